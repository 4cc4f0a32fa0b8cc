"""The exit status of each kind of ending, as the command's page has them, and what a mistake is answered with."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.snaptable.cli.library import SCHEMA, Library, filled
from tests.snaptable.cli.support import ROOT, command, process

PAGE = ROOT / "backend" / "snaptable" / "cli" / "README.md"
ENDINGS: list[tuple[int, Sequence[str], str]] = [
    (0, ["tables"], "users"),
    (0, ["undo", "7", "--dry-run"], "Would"),
    (0, ["shell", "-c", "print(len(db.users), db.users['bob']['id'], db)"], "2 bob <"),
    (1, ["get", "users", "nobody"], "users has no row 'nobody'"),
    (1, ["find", "documents", "pages >= 9999"], ""),
    (1, ["diff", "~1"], ""),
    (1, ["show", "999"], "kept are 1 to 7"),
    (1, ["shell", "-c", "db.nothing"], "the store has no table 'nothing'; it has users, documents"),
    (2, [], "usage: "),
    (2, ["lgo"], "there is no command 'lgo'; did you mean 'log'?"),
    (2, ["frobnicate"], "there is no command 'frobnicate'; --help lists them"),
    (2, ["tables", "--jsn"], "--jsn"),
    (2, ["get", "users"], "Missing argument 'KEY'"),
    (2, ["get", "usrs", "ann"], "no table 'usrs'; it has users, documents"),
    (2, ["find", "documents", "pgs > 1"], "no field 'pgs'; it has id, user_id"),
    (2, ["find", "documents", "--fields", "id,pgs"], "no field 'pgs'; it has id, user_id"),
    (2, ["find", "documents", "--sort", "pgs"], "no field 'pgs'"),
    (2, ["undo", "seven"], "'seven' is no commit"),
    (2, ["log", "--since", "yesterday"], "is no moment; write a commit (57)"),
    (2, ["tables", "-s", "nowhere"], "nowhere is not a directory"),
    (2, ["check", "nowhere"], "nowhere is not a directory"),
    (2, ["import", "users", "nowhere.csv"], "'nowhere.csv' does not exist"),
    (2, ["restore", "nowhere.zip", "new"], "nowhere.zip is not a file that is there"),
    (2, ["serve", "nowhere.json"], "nowhere.json is not a file that is there"),
    (2, ["serve", "nowhere:Library"], "No module named 'nowhere'"),
    (2, ["migrate", "data", "--schema", "nowhere:Library"], "No module named 'nowhere'"),
    (2, ["completion", "tcsh"], "is not one of 'bash', 'zsh', 'fish'"),
    (2, ["purge", "users", "ann"], "say --yes"),
    (4, ["undo", "1", "--yes"], "conflicts:"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a store `data`, which no test changes."""
    place = tmp_path_factory.mktemp("endings")
    filled(place / "data")
    return place


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in that folder, as one does who has just begun: no store and no models are named."""
    monkeypatch.chdir(place)
    for name in ("SNAPTABLE_STORE", "SNAPTABLE_SCHEMA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("status", "asked", "said"), ENDINGS, ids=[" ".join(asked) for _, asked, _ in ENDINGS])
def test_each_ending_has_its_status(status: int, asked: Sequence[str], said: str) -> None:
    """Ensure the status, that a mistake is told in words and not as a traceback, and never twice."""
    result = command(*asked)
    assert result.status == status, result.err
    text = result.out + result.err
    assert said in text
    assert "Errno" not in text
    assert text.count("usage: ") <= 1
    if asked[:1] != ["shell"]:
        assert "Traceback" not in text


def test_held_damaged_and_interrupted(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure 3 where another process has the store, 5 where it is damaged, 130 at Ctrl-C."""
    store = filled(tmp_path / "data")
    with Library(store, banner=False):
        held = process("undo", "7", "--yes", "-s", store, "--schema", SCHEMA)
    assert held.says("in use by process").status == 3
    snapshot = store / "db_snapshot.json"
    snapshot.write_bytes(snapshot.read_bytes()[:-40])
    assert command("tables", "-s", store).says("db_snapshot.json").status == 5

    def stop(**_given: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("snaptable.cli.tables.run", stop)
    assert command("tables", "-s", place / "data").status == 130


def test_the_page_lists_each_status() -> None:
    """Ensure that the page, and the command's own help, name those that there are, and no other."""
    seen = {status for status, _, _ in ENDINGS} | {3, 5, 130}
    told = re.search(r"\*\*Exit status\*\*: (.+?)\n\n", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert told is not None
    assert {int(number) for number in re.findall(r"(?:^|; )(\d+) ", told[1])} == seen
    assert {
        int(number) for number in re.findall(r"(\d+) \w", command("--help").out.partition("Exit status: ")[2])
    } == seen


def test_bash_completes() -> None:
    """Ensure that the script works in a real shell: commands, options, and the tables of the store."""
    folder = Path(sys.executable).parent
    script = """eval "$(snaptable completion bash)"
    complete -p snaptable
    for line in "snaptable re" "snaptable find --sor" "snaptable get doc"; do
        COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _snaptable_completion snaptable
        echo "$line: ${COMPREPLY[*]}"
    done"""
    path = f"{folder}:/usr/bin:/bin"
    done = subprocess.run(["bash", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert "-F _snaptable_completion snaptable" in done.stdout, done.stderr
    assert "snaptable re: repair restore rewind" in done.stdout
    assert "snaptable find --sor: --sort" in done.stdout
    assert "snaptable get doc: documents" in done.stdout
