"""The commands that look: rows, commits and earlier states without models, without the lock, without secrets."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.cli.library import SCHEMA, Library, Note, User, fill, filled
from tests.snaptable.cli.support import ROOT, Result, command, process, unchanged

from snaptable.cli.filters import Filter, sorted_rows
from snaptable.cli.output import Output
from snaptable.maintenance.raw_opening import opened

SECRETS = ("hush-hush", "sesame-2", "unset")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the store, which no test changes."""
    return filled(tmp_path_factory.mktemp("look") / "data")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the output be a terminal of 100 columns, without colours."""
    monkeypatch.setattr(Output, "is_terminal", property(lambda _: True))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")


def lines(result: Result) -> list[list[str]]:
    """Return the output, split at tabs."""
    return [line.split("\t") for line in result.out.splitlines()]


def document(*arguments: object) -> dict[str, object]:
    """Return the JSON document that a command writes."""
    value = json.loads(command(*arguments, "--json").out)
    assert isinstance(value, dict)
    return value


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tables(kept: Path) -> None:
    """Ensure each table has its line, with its rows, what is secret in it, and whether it has a past."""
    result = unchanged(kept, "tables", "-s", kept)
    assert [line[:2] for line in lines(result)] == [
        ["users", "2"],
        ["documents", "9"],
        ["notes", "1"],
        ["sessions", "1"],
    ]
    assert lines(result)[0][3] == "password_hash"
    assert lines(result)[3][4] == "transient"
    told = document("tables", "-s", kept)
    assert told["sequence"] == 7
    assert told["tables"][2] == {"table": "notes", "rows": 1, "bytes": 43, "secret": [], "transient": False}  # type: ignore[index]
    past = document("tables", "-s", kept, "--at", "1")
    assert [(each["table"], each["rows"]) for each in past["tables"]] == [("users", 2), ("documents", 0), ("notes", 0)]  # type: ignore[attr-defined]


def test_get(kept: Path) -> None:
    """Ensure a row is shown by its key or the beginning of it, now and as it was, and that none is exit 1."""
    assert lines(command("get", "users", "ann", "-s", kept))[2:] == [["name", "Anna"], ["password_hash", "••••"]]
    assert document("get", "documents", "f10c18c3", "-s", kept)["pages"] == 57
    assert document("get", "documents", "f10c18c3", "-s", kept, "--at", "~1")["pages"] == 30
    assert document("get", "notes", "1", "-s", kept) == {"id": 1, "user_id": "ann", "text": "milk"}
    assert command("get", "notes", "2", "-s", kept).says("notes has no row '2'").status == 1
    assert document("get", "notes", "2", "-s", kept, "--at", "4")["text"] is None
    assert command("get", "documents", "f10c", "-s", kept).says("9 keys of documents begin with 'f10c'").status == 2
    assert command("get", "books", "1", "-s", kept).says("no table 'books'; it has users, documents").status == 2


def test_find(kept: Path) -> None:
    """Ensure filters, order, limit and fields; that nothing found is exit 1, and a field that isn't there 2."""
    found = command("find", "documents", "pages >= 57", "--sort", "-pages", "--fields", "filename,pages", "-s", kept)
    assert lines(found) == [[f"invoice-{n}.pdf", str(p)] for n, p in ((8, 80), (7, 70), (6, 60), (3, 57))]
    assert command("find", "documents", "pages >= 99", "-s", kept).status == 1
    assert command("find", "documents", "page >= 9", "-s", kept).says("no field 'page'; it has id, user_id").status == 2
    assert command("find", "documents", "--sort", "page", "-s", kept).says("no field 'page'").status == 2
    told = document(
        "find", "documents", "user_id=ann", "--limit", "2", "--fields", "filename,metadata.lang", "-s", kept
    )
    assert told == {"items": [{"filename": f"invoice-{n}.pdf", "metadata.lang": "en"} for n in (1, 3)], "total": 4}
    streamed = command("find", "documents", "pages is null", "--fields", "filename", "--jsonl", "-s", kept)
    assert streamed.out == '{"filename":"invoice-0.pdf"}\n'
    assert command("find", "documents", "INVOICE-7", "--count", "-s", kept).out == "1\n"


@pytest.mark.parametrize(
    "filters", [["password_hash=unset"], ["password_hash starts_with h"], ["--sort=password_hash"]]
)
def test_secrets_are_not_found_out(kept: Path, filters: list[str]) -> None:
    """Ensure nobody learns a secret by asking for the rows that have it."""
    assert command("find", "users", *filters, "-s", kept).says("users.password_hash is secret").status == 2
    if not filters[0].startswith("--"):
        assert command("find", "users", *filters, "--explain", "--schema", SCHEMA, "-s", kept).status == 2


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("tags has urgent", 3), ("filename contains VOICE-2", 1), ("filename starts_with invoice-", 9),
        ("filename in invoice-1.pdf, invoice-2.pdf", 2), ("pages is not null", 8), ("pages != 10", 8),
        ("metadata.lang = de", 3), ("uploaded = 2026-11-25", 1), ("uploaded > 2026-11-25", 3),
        ("uploaded >= 2026-11-25", 4), ("uploaded < 2026-11-25T12:00:00Z", 5),
        ("pages__gte=57", 4), ("filename__in=invoice-1.pdf", 1),
        ("pages__isnull=true", 1), ('filename = "invoice-4.pdf"', 1), ("pages=null", 1),
    ],
)  # fmt: skip
def test_each_way_to_write_a_filter(kept: Path, text: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the raw rows and the program's own query give as many; days are those of this machine."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert command("find", "documents", text, "--count", "-s", kept).out == f"{count}\n"
    if "2026-11-25" not in text or "T12" in text:  # a day is a range: the models know moments only
        told = document("find", "documents", text, "--explain", "--schema", SCHEMA, "-s", kept)
        assert len(told["items"]) == count  # type: ignore[arg-type]


def test_explain(kept: Path) -> None:
    """Ensure the plan of the program's own query is shown, that it needs models, and that they are not forgotten."""
    asked = ("find", "documents", "user_id=ann", "--explain", "-s", kept)
    assert command(*asked, "--schema", SCHEMA).says("documents by index user_id, about", " ms").status == 0
    assert command(*asked).says("--schema").status == 2
    assert command("find", "documents", "pages=many", *asked[3:], "--schema", SCHEMA).says("pages = many").status == 2


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-20, 20), st.floats(-9, 9), st.text("ab1", max_size=3))


@given(st.lists(VALUES, max_size=8), st.integers(-20, 20), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
@settings(max_examples=200, deadline=None)
def test_numbers_compare_as_numbers(values: list[object], number: int, sign: str) -> None:
    """Ensure a filter holds for exactly the numbers it should; null, truth and texts are no numbers."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    python: dict[str, Callable[[Decimal], bool]] = {
        "=": lambda value: value == number, "!=": lambda value: value != number, "<": lambda value: value < number,
        "<=": lambda value: value <= number, ">": lambda value: value > number, ">=": lambda value: value >= number,
    }  # fmt: skip
    wanted = Filter.parse(f"n {sign} {number}")
    held = [value for value in numbers if wanted.holds({"n": value})]
    assert held == [value for value in numbers if python[sign](Decimal(str(value)))]
    assert not wanted.holds({"n": None}) or sign == "!="


@given(st.lists(VALUES), st.booleans())
@settings(max_examples=100, deadline=None)
def test_null_is_sorted_last(values: list[object], descending: bool) -> None:
    """Ensure an order is total, whatever the values, and null comes last in both directions."""
    rows: list[dict[str, object]] = [{"v": value} for value in values]
    result = [row["v"] for row in sorted_rows(list(rows), "-v" if descending else "v")]
    there = [value for value in result if value is not None]
    assert result == there + [None] * values.count(None)
    texts = [value for value in there if isinstance(value, str)]
    assert texts == sorted(texts, reverse=descending)


# ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_log(kept: Path) -> None:
    """Ensure commits by table, key, actor and moment; between tabs a change is a line."""
    told = document("log", "-s", kept)
    assert [each["sequence"] for each in told["items"]] == [7, 6, 4, 3, 2, 1]  # type: ignore[attr-defined]
    assert told["next"] is None
    by_row = document("log", "users", "ann", "-s", kept)["items"]
    assert [(each["sequence"], each["actor"], each["via"]) for each in by_row] == [  # type: ignore[attr-defined]
        (4, "ada@x.org", "PATCH /users/ann"),
        (1, "ada@x.org", "POST /users"),
    ]
    change = by_row[0]["changes"][0]  # type: ignore[index]
    assert change["before"] == {"id": "ann", "email": "ann@x.org", "name": "Ann", "password_hash": "••••"}
    assert document("log", "-n", "2", "-s", kept)["next"] == 4
    assert len(lines(command("log", "documents", "--actor", "import", "-s", kept))) == 9
    assert len(document("log", "--since", "4", "--until", "6", "-s", kept)["items"]) == 1  # type: ignore[arg-type]
    assert command("log", "--actor", "nobody", "-s", kept).status == 1
    assert command("log", "--since", "99", "-s", kept).says("there is no commit 99 yet").status == 2
    streamed = command("log", "--jsonl", "-s", kept).out.splitlines()
    assert [json.loads(line)["sequence"] for line in streamed] == [7, 6, 4, 3, 2, 1]


def test_show(kept: Path) -> None:
    """Ensure a commit is shown whole, the last one unless another is named; one that isn't there is exit 1."""
    assert document("show", "-s", kept)["sequence"] == 7
    for name in ("4", "#4", "~3"):
        assert document("show", name, "-s", kept)["changes"][0]["after"]["name"] == "Anna"  # type: ignore[index]
    assert command("show", "99", "-s", kept).says("there is no commit 99; kept are 1 to 7").status == 1
    assert command("show", "0", "-s", kept).status == 1
    assert command("show", "x", "-s", kept).status == 2


def test_diff(kept: Path, tmp_path: Path) -> None:
    """Ensure moments, files and backups compare, in both directions, and that differences are exit 1, none 0."""
    assert lines(command("diff", "-s", kept)) == [
        ["replace", "documents", "f10c18c3-0000-4000-8000-000000000000", '{"pages": [30, 57]}']
    ]
    forth, back = document("diff", "3", "5", "-s", kept)["changes"], document("diff", "5", "3", "-s", kept)["changes"]
    assert [(each["before"], each["after"]) for each in forth] == [(each["after"], each["before"]) for each in back]  # type: ignore[attr-defined]
    assert command("diff", "7", "-s", kept).status == 0
    command("backup", kept, tmp_path / "b.zip")
    assert command("diff", f"file:{tmp_path / 'b.zip'}", f"file:{kept / 'db_snapshot.json'}").status == 0
    by_rows = document("diff", f"file:{tmp_path / 'b.zip'}", "2", "-s", kept)["changes"]
    by_commits = document("diff", "7", "2", "-s", kept)["changes"]
    assert sorted(map(str, by_rows)) == sorted(map(str, by_commits))  # type: ignore[call-overload]
    assert len(document("diff", "0", "-s", kept, "--table", "users")["changes"]) == 2  # type: ignore[arg-type]
    assert command("diff", "0", "-s", kept, "--table", "nope").status == 2


def test_no_secret_appears(kept: Path, tmp_path: Path, terminal: None) -> None:
    """Ensure that no command shows a secret, in any form, of now or of then."""
    command("backup", kept, tmp_path / "b.zip")
    for store in (kept, kept / "db_snapshot.json", tmp_path / "b.zip"):
        for asked in (
            ["get", "users", "ann"], ["find", "users"], ["log"], ["show", "1"], ["show", "4"], ["diff", "0"],
            ["find", "users", "--at", "1"], ["shell", "-c", "print(list(db.rows('users')))"],
        ):  # fmt: skip
            for form in ([], ["--json"]):
                result = command(*asked, "-s", store, *form)
                assert not [secret for secret in SECRETS if secret in result.out + result.err], asked


@given(st.lists(st.tuples(st.sampled_from(["put", "change", "remove"]), st.integers(1, 4)), max_size=12))
@settings(max_examples=25, deadline=None)
def test_an_earlier_state_is_what_history_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Ensure the rows of every moment are those that the library itself gives, whatever happened since."""
    place = tmp_path_factory.mktemp("past") / "data"
    with Library(place, banner=False, fsync=False) as db:
        db.users.insert(User(id="ann", email="a@x.org"))
        for step, number in steps:
            there = db.notes.get(number) is not None
            if step == "put" and not there:
                db.notes.insert(Note(id=number, user_id="ann", text=str(len(steps))))
            elif step == "change" and there:
                db.notes.update(number, text=f"{number} again")
            elif step == "remove" and there:
                db.notes.delete(number)
        with opened(str(place)) as raw:
            for moment in range(db.history.sequence + 1):
                with db.history.at(moment) as past:
                    expected = past.raw("notes")
                    then = raw.at(moment)
                    assert dict(then.rows("notes")) == expected
                    assert [then.row("notes", str(key)) for key in range(1, 5)] == [
                        expected.get(str(key)) for key in range(1, 5)
                    ]


# ── beside a writer, and of other files ─────────────────────────────────────────────────────────────────────────────


def test_beside_the_process_that_writes(tmp_path: Path) -> None:
    """Ensure the newest commit is seen while the store is open, and that watching tells each as it is made."""
    with Library(tmp_path / "data", banner=False, fsync=False, snapshot="background") as db:
        fill(db)
        assert document("tables", "-s", tmp_path / "data")["sequence"] == 7
        watched: list[Result] = []
        watch = threading.Thread(
            target=lambda: watched.append(process("watch", "notes", "--jsonl", "-n", "2", "-s", tmp_path / "data"))
        )
        watch.start()
        deadline = time.monotonic() + 150
        while watch.is_alive() and time.monotonic() < deadline:
            db.notes.insert(Note(user_id="bob", text="seen"))
            db.users.update("bob", name=str(time.monotonic()))
            time.sleep(0.2)
        watch.join()
    told = [json.loads(line) for line in watched[0].out.splitlines()]
    assert [[change["table"] for change in each["changes"]] for each in told] == [["notes"], ["notes"]]
    assert told[1]["sequence"] == told[0]["sequence"] + 2


@pytest.mark.parametrize(
    "asked", [["tables"], ["log"], ["find", "users"], ["diff"], ["purge", "users", "ann", "--yes"]]
)
def test_the_address_of_a_server_is_not_repeated(asked: list[str]) -> None:
    """Ensure that what reads files says so of a server, without the password in its address."""
    result = command(*asked, "-s", "postgresql://ann:hush-hush@nowhere/x")
    assert result.says("a directory").status == 2
    assert "hush-hush" not in result.out + result.err
    assert "hush-hush" not in (other := command("check", "postgresql://ann:hush-hush@nowhere/x")).err + other.out


def test_stores_that_are_none_or_damaged(kept: Path, tmp_path: Path) -> None:
    """Ensure no store is exit 2, damage is 5, and a store whose secrets nobody names is not shown."""
    assert command("tables", "-s", tmp_path).says("no store").status == 2
    assert command("tables", "-s", tmp_path / "nowhere").says("nowhere").status == 2
    copy = tmp_path / "copy"
    shutil.copytree(kept, copy)
    snapshot = copy / "db_snapshot.json"
    whole = snapshot.read_bytes()
    snapshot.write_bytes(whole.replace(b"Anna", b"Anne"))
    assert command("get", "users", "ann", "-s", copy).says("snaptable accept").status == 5
    snapshot.write_bytes(whole[:-40])
    assert command("log", "-s", copy).status == 5
    assert command("check", copy).status == 1
    snapshot.unlink()
    assert command("find", "users", "-s", copy).says("what is secret is not known", "repair").status == 5
    (tmp_path / "old.json").write_text('{"users": {"ann": {"id": "ann"}}}')
    assert command("tables", "-s", tmp_path / "old.json").says("older format").status == 1
    assert command("log", "-s", snapshot.parent / "db.lock").status != 0
    snapshot.write_bytes(whole)
    shutil.rmtree(copy / "db_journal")
    assert command("find", "users", "-s", copy).status == 0


# ── what is meant when nothing is named ─────────────────────────────────────────────────────────────────────────────


def test_the_project_and_the_environment(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure --store, SNAPTABLE_STORE, [tool.snaptable] of this folder or one above, and "data", in this order."""
    project, below = tmp_path / "project", tmp_path / "project" / "src"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert command("tables").says(f"{below / 'data'} is not a directory").status == 2
    relative = os.path.relpath(kept, project)
    (project / "pyproject.toml").write_text(f'[tool.snaptable]\nstore = "{relative}"\nschema = "{SCHEMA}"\n')
    assert command("tables").status == 0
    assert command("find", "documents", "user_id=ann", "--explain").says("by index user_id").status == 0
    monkeypatch.setenv("SNAPTABLE_STORE", "elsewhere")
    assert command("tables").says("elsewhere is not a directory").status == 2
    assert command("tables", "--store", kept).status == 0
    assert command("find", "documents", "--explain", "-s", kept / "db_snapshot.json").says("--schema").status == 2
    monkeypatch.delenv("SNAPTABLE_STORE")
    (project / "pyproject.toml").write_text("[tool.snaptable]\nstores = 'x'\n")
    assert command("tables").says("[tool.snaptable] has store and schema").status == 2
    (project / "pyproject.toml").write_text("[tool.")
    assert command("tables").says("pyproject.toml").status == 2


def test_completion(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure each shell has its script, and tables are completed without reading the rows."""
    for shell in ("bash", "zsh", "fish"):
        assert command("completion", shell).says("_SNAPTABLE_COMPLETE").status == 0
    assert command("completion", "tcsh").status == 2
    monkeypatch.setenv("SNAPTABLE_STORE", str(kept))
    monkeypatch.setenv("_SNAPTABLE_COMPLETE", "bash_complete")
    for words, number, completed in (("snaptable get ", "2", "documents"), ("snaptable lo", "1", "log")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", number)
        assert f"plain,{completed}" in process().out


# ── what is shown where ─────────────────────────────────────────────────────────────────────────────────────────────


def test_on_a_terminal(kept: Path, terminal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure people get heads, short keys and times in words, and are told what was left out."""
    assert command("tables", "-s", kept).says("table", "rows", "password_hash", "commit 7")
    assert command("log", "-s", kept).says(
        "#7", "~ documents f10c18c3", "pages  30 → 57", '"spring batch"', "… and 4 more", "ada@x.org"
    )
    assert command("show", "2", "-s", kept).says("+ documents f10c18c8", '"invoice-8.pdf"')
    monkeypatch.setenv("COLUMNS", "70")
    assert command("find", "documents", "-s", kept).says(
        "filename", "f10c18c0", "null", "not shown:", "--fields chooses"
    )
    assert command("find", "documents", "--limit", "2", "-s", kept).says("… and 7 more")
    assert command("get", "documents", "f10c18c1", "-s", kept).says("f10c18c1-0000-4000-8000-000000000000", "Nov 2026")


def test_control_characters_do_nothing(tmp_path: Path, terminal: None) -> None:
    """Ensure what rows hold can't clear a screen, move a cursor, or make a line of its own."""
    with Library(tmp_path / "data", banner=False, fsync=False) as db:
        db.users.insert(User(id="a\x1b[2J", email="x\r\ny\tz\x9b", name="\x1b]0;title\x07"))
    for asked in (["find", "users"], ["log"], ["show"], ["diff"], ["get", "users", "a\x1b[2J"]):
        shown = command(*asked, "-s", tmp_path / "data").out
        assert not [char for char in shown if (ord(char) < 32 and char != "\n") or 0x7F <= ord(char) < 0xA0], asked


def test_colours(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure colours on a terminal alone, and none with --no-color, NO_COLOR or a dumb terminal."""
    assert "\x1b[" not in command("log", "-s", kept).out
    monkeypatch.setattr(Output, "is_terminal", property(lambda _: True))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in command("log", "-s", kept).out
    assert "\x1b[" not in command("log", "-s", kept, "--no-color").out
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[" not in command("log", "-s", kept).out


def test_help_is_quick_to_give() -> None:
    """Ensure that help, of all and of one command, imports neither Pydantic, nor rich, nor the library's engine."""
    heavy = ("pydantic", "rich", "snaptable.database", "snaptable.storage.store", "asyncio", "logging")
    code = "import sys; from snaptable.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    for asked in (["--help"], ["find", "--help"], ["accept", "-h"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *asked], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert "usage: " in done.stdout
        assert not set(heavy) & set(done.stderr.split()), asked


def test_without_click(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure it says which extra is missing."""
    monkeypatch.setitem(sys.modules, "click", None)
    for name in [name for name in sys.modules if name.startswith("snaptable.cli.") and name != "snaptable.cli.main"]:
        monkeypatch.delitem(sys.modules, name)
    assert command("tables").says('pip install "snaptable[cli]"').status == 2
