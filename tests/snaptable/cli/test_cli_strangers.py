"""What a store, a file or a repository of somebody else's may hold without doing anything here but be shown."""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.cli.library import Library, filled
from tests.snaptable.cli.support import command

from snaptable.cli.fixture import _test
from snaptable.cli.output import Output, visible
from snaptable.cli.schema_option import load_last
from snaptable.cli.served.inference import infer
from snaptable.cli.served.models_text import models_text
from snaptable.cli.served.taking_over import take_over
from snaptable.interchange import read_bytes

ROW = b'{"users": [{"id": 1, "name": "ann"}]}'
CODE = "+str(open('ran','w'))+"
"""What would make a file, were it carried out."""
TEXTS = st.text(st.sampled_from("ab\"'\\\n\r{}#;:()=\x1b\0\u2028 "), max_size=12)


def test_a_file_is_served_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the name of a file is no part of the program that its models become."""
    monkeypatch.chdir(tmp_path)
    for name in (f'x"""{CODE}""".json', f"x'''{CODE}'''.json", "x\\", '"', "x\n\nimport os\n"):
        path = Path(name if name.endswith(".json") else f"{name}.json")
        path.write_bytes(ROW)
        assert list(take_over(str(path), None).models.__schemas__) == ["users"]
    assert not Path("ran").exists()


@settings(max_examples=60, deadline=None)
@given(source=TEXTS, table=TEXTS, field=TEXTS)
def test_what_is_inferred_is_data(source: str, table: str, field: str) -> None:
    """Ensure that whatever a file, its tables and its fields are called, the module has their models alone."""
    tables = infer(read_bytes(json.dumps({table: [{field: 1, "id": 2}]}).encode(), "db.json")).tables
    tree = ast.parse(models_text(tables, source, "Served"))
    kinds = {type(each) for each in tree.body[1:]}
    assert kinds <= {ast.ImportFrom, ast.ClassDef}
    bodies = [each for part in tree.body if isinstance(part, ast.ClassDef) for each in part.body]
    texts = [each for each in bodies if isinstance(each, ast.Expr)]
    assert all(isinstance(each.value, ast.Constant) for each in texts)
    assert {type(each) for each in bodies} <= {ast.Expr, ast.AnnAssign}


@settings(max_examples=60, deadline=None)
@given(key=TEXTS, table=TEXTS, models=TEXTS, file=TEXTS)
def test_a_test_that_is_cut_out_is_data(key: str, table: str, models: str, file: str) -> None:
    """Ensure keys, tables and the models that a store names are texts in the test that a fixture comes with."""
    file = file.replace("/", "").replace("\0", "") or "x"
    text = _test(Path(file), f"{table} {key}", table, key, models)
    tree = ast.parse(text)
    calls = {
        each.func.attr for each in ast.walk(tree) if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)
    }
    assert calls <= {"with_name", "copyfile", "check"}
    assert [type(each).__name__ for each in tree.body] == [
        "Expr",
        "Import",
        "ImportFrom",
        "ImportFrom",
        "Assign",
        "FunctionDef",
    ]


CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
ESCAPES = ["\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "\x1bP1$r\x9c", "\r", "\x08\x08", "\x7f"]


def hostile_store(directory: Path, text: str) -> Path:
    """Return a store whose tables, keys and texts hold a text, as somebody else may have written it."""
    filled(directory)
    path = directory / "db_snapshot.json"
    shutil.rmtree(directory / "db_journal")
    lines = json.loads(path.read_text(encoding="utf-8"))
    users = {f"{text}1": {"id": f"{text}1", "email": text, "name": text}}
    plain = {text: users, "notes": {}, "users": {text: {"id": text, "name": text, "tags": [text]}}}
    assert lines
    path.write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")
    return directory


@pytest.mark.parametrize("text", ESCAPES)
def test_no_store_writes_to_a_terminal(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure no control character of a store comes out, by any command that shows one, for people or as JSON."""
    monkeypatch.chdir(tmp_path)
    store = hostile_store(tmp_path / "data", text)
    asked: list[tuple[object, ...]] = [
        ("tables",), ("find", "users"), ("find", text), ("get", "users", text), ("get", "users", f"no{text}"),
        ("find", f"no{text}"),
        ("log",), ("check", store), ("export", "users", "--format", "csv"), ("show",), ("diff", "0"),
        ("fixture", text, "1"), ("import", text, "data/db_snapshot.json"), ("git", "diff", text, "/dev/null", ".", ".",
        store / "db_snapshot.json", "2b", "100644"),
    ]  # fmt: skip
    for words in asked:
        for options in ((), ("--json",)):
            given_to = () if words[0] in ("check", "git") else ("-s", store)
            result = command(*words, *given_to, *options)
            shown = result.err if words[0] == "export" else result.out + result.err
            assert not CONTROLS.search(shown), words


def test_colours_stay_and_json_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Ensure what is escaped on its way out is what a terminal carries out, and JSON still says the same."""
    Output().write("\x1b[32mgreen\x1b[0m\x1b[2J\tand\nmore \x9b")
    assert capsys.readouterr().out == "\x1b[32mgreen\x1b[0m\\x1b[2J\tand\nmore \\x9b\n"
    Output().document({"a\x7f": "\x9b31m\x00é"})
    assert json.loads(capsys.readouterr().out) == {"a\x7f": "\x9b31m\x00é"}
    assert visible("a\x1b[31m\n\tb") == "a\\x1b[31m\n\tb"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_runs_nothing_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a diff in a repository imports no module that lies there, whatever it is called."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    filled(tmp_path / "data")
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)

    def git(*arguments: str) -> str:
        """Call git."""
        identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
        return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout

    git("init", "-q", ".")
    assert command("git", "install").status == 0
    shutil.copy(tmp_path / "data" / "db_snapshot.json", "db_snapshot.json")
    for name in ("click", "json", "snaptable", "sitecustomize", "pydantic", "runpy"):
        Path(f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit('ran')\n")
    git("add", ".")
    git("commit", "-qm", "seed")
    with Library(tmp_path / "data", banner=False, fsync=False) as db:
        db.users.update("ann", name="Annika")
    shutil.copy(tmp_path / "data" / "db_snapshot.json", "db_snapshot.json")
    assert "snapshot db_snapshot.json" in git("diff")
    assert not (tmp_path / "ran").exists()


def test_a_store_names_no_program_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a store that says what opened it last has nothing imported here but a module that defines that class."""
    monkeypatch.chdir(tmp_path)
    Path("stranger_deploy.py").write_text("import pathlib\npathlib.Path('ran').touch()\nApp = None\n")
    base = "from tests.snaptable.cli.library import Library as Base"
    Path("stranger_models.py").write_text(
        f"import pathlib\npathlib.Path('asked').touch()\n{base}\nclass App(Base): ...\n"
    )
    for name in (
        "deploy:App",
        "deploy:ran",
        "deploy.x:App",
        "antigravity:App",
        "os.path:App",
        "..:App",
        "stranger_models:Other",
    ):
        models, told = load_last(name)
        assert models is None
        assert "can't be imported here" in told
    assert not {"ran", "asked"} & {each.name for each in tmp_path.iterdir()}
    models, _ = load_last("stranger_models:App")
    assert models is not None
    assert models.__name__ == "App"
