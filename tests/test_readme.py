"""Run the code of the README: what a newcomer pastes works, in one folder, in order, and again after a restart."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import snaptable
from snaptable import Database, Query, Table
from snaptable.database.lifecycle import Lifecycle
from snaptable.history import History
from snaptable.query.grouped import Grouped
from snaptable.query.questions import Questions

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- example: (\w+) -->\n```python\n(.+?)```", re.DOTALL)


def example(name: str) -> str:
    """Return the code block of the README that a comment names."""
    return dict(BLOCK.findall(README))[name]  # type: ignore[no-any-return]


def run(folder: Path, *command: str | Path) -> str:
    """Run a program in a folder, and return what it printed."""
    done = subprocess.run([*command], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def store_example(folder: Path) -> str:
    """Run the first example as a program of its own."""
    (folder / "library.py").write_text(example("store"), encoding="utf-8")
    return run(folder, sys.executable, "library.py")


def fastapi_example() -> TestClient:
    """Start the application of the second example in the current folder, as if for the first time."""
    namespace: dict[str, object] = {"__name__": "notes"}
    exec(compile(example("fastapi"), "notes.py", "exec"), namespace)
    return TestClient(namespace["app"])  # type: ignore[arg-type]


def test_the_store_example_is_still_there_when_run_again(tmp_path: Path) -> None:
    """The first run writes, the second finds it, and the file between them is readable JSON, as the README shows it."""
    assert store_example(tmp_path) == "written; run me again\n"
    text = (tmp_path / "library-data" / "db_snapshot.json").read_text(encoding="utf-8")
    snapshot = json.loads(text)
    assert [row["email"] for row in snapshot["users"].values()] == ["ada@example.org"]
    shown = re.search(r"From such a file:\n```\n.+?\n(.+?)\n```", README, re.DOTALL)
    assert shown is not None
    assert shown[1] in text
    assert store_example(tmp_path).startswith("still there: [('notes.pdf', 13)]\n")


def test_the_fastapi_example_serves_and_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes written over HTTP are listed, and are there after the application was started anew."""
    monkeypatch.chdir(tmp_path)
    with fastapi_example() as client:
        created = client.post("/notes", params={"text": "first"})
        assert (created.status_code, created.json()) == (201, {"id": 1, "text": "first"})
        assert client.get("/notes/7").status_code == 404
    with fastapi_example() as client:
        assert client.get("/notes/1").json()["text"] == "first"
        assert client.post("/notes", params={"text": "second"}).json()["id"] == 2


def test_every_example_runs_twice_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples pasted one after another don't meet each other's data."""
    assert [name for name, _ in BLOCK.findall(README)] == ["store", "fastapi"]
    assert README.count("```python") == 2
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        store_example(tmp_path)
        with fastapi_example() as client:
            assert client.post("/notes", params={"text": "again"}).json()["id"] == number


def test_a_changed_model_opens_after_jq_and_accept(tmp_path: Path) -> None:
    """The recipe for a model that changed leads from the old rows to the new class; jq is Python here."""
    store_example(tmp_path)
    model = (tmp_path / "library.py").read_text(encoding="utf-8").replace("    name: str\n", "    title: str\n")
    (tmp_path / "library.py").write_text(model.partition("with Library")[0], encoding="utf-8")
    assert "map_values({id, user_id, title: .name, pages})" in README
    path = tmp_path / "library-data" / "db_snapshot.json"
    edited = json.loads(path.read_text(encoding="utf-8"))
    for row in edited["documents"].values():
        row["title"] = row.pop("name")
    (tmp_path / "new").write_text(json.dumps(edited, indent=2), encoding="utf-8")
    (tmp_path / "new").replace(path)
    command = re.search(r"^uv run (snaptable accept .+?)  #", README, re.MULTILINE)
    assert command is not None
    name, *arguments = command[1].split()
    run(tmp_path, sys.executable, "-m", f"{name}.cli", *arguments, "--yes")
    ask = "import library; db = library.Library('library-data').open(); print(db.documents[1].title)"
    assert run(tmp_path, sys.executable, "-c", ask) == "notes.pdf\n"


def public_methods() -> Iterator[str]:
    """Return the names of all that a user may call or read on a table, a query, a database and its history."""
    for owner in (Table, Query, Questions, Grouped, Database, Lifecycle, History):
        yield from (name for name in vars(owner) if not name.startswith("_"))


INNER = {"import_legacy"}
"""For those who bring data of the older format."""
NAMED_ELSEWHERE = {
    "Group", "IndexSchema", "LegacySnapshot", "Page", "Plan", "Query", "ReferenceSchema", "Status", "TableSchema",
}  # fmt: skip
"""What methods return; nobody makes one."""


def test_the_cheat_sheet_names_everything() -> None:
    """Whatever is public is in the table of methods; and what the table names is there."""
    sheet = README.partition("## Every method\n")[2].partition("\n\n")[0]
    for name in set(public_methods()) - INNER:
        assert re.search(rf"\b{name}\b", sheet), f"the cheat sheet lacks {name}"
    for name in set(snaptable.__all__) - NAMED_ELSEWHERE:
        errors = isinstance(value := getattr(snaptable, name), type) and issubclass(value, Exception)
        assert errors or name in README, f"the README lacks {name}"
    called = set(re.findall(r"\b([a-z_]+)\(", sheet)) - {"desc", "len"}
    known = set(public_methods()) | set(snaptable.__all__)
    assert called <= known, f"the cheat sheet names {called - known}, which isn't there"


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    """The page is read in ten minutes; what it points at exists."""
    assert README.count("\n") <= 130
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


@pytest.mark.parametrize("page", ["backend/snaptable", "backend/snaptable/web", "tests", "tests/benchmarks"])
def test_the_modules_that_a_page_names_are_there(page: str) -> None:
    """A page about the code doesn't outlive the names in it."""
    text = (ROOT / page / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py|\.md)?|[a-z_]+\.py)`", text)) - {"quarantine/"}
    paths = [path for top in (ROOT / "backend", ROOT / "tests") for path in (top, *top.rglob("*"))]
    known = {f"/{path.relative_to(ROOT).as_posix()}" for path in paths}
    assert named
    for name in named:
        ends = tuple(f"/{name.removesuffix('/')}{ending}" for ending in ("", ".py"))
        assert any(path.endswith(ends) for path in known), f"{page}/README.md names {name}, which isn't there"


FOREIGN = {
    "_2", "ALTER", "B01", "CONSTRAINTS", "IMMEDIATE", "IN", "J", "MODE", "O_DIRECT", "O_DSYNC", "Space", "T14",
    "ci", "connect_query", "cors", "div", "httpx2", "ignore_startup_parameters", "keepalives_idle", "pem", "pydoc",
    "search_path", "tcp_user_timeout", "tls", "ulimit", "users_numbers", "validate_default",
}  # fmt: skip
"""What pages name of other programs: SQL, settings of servers and systems, keys of a keyboard, values in examples."""


@cache
def names_in_code() -> frozenset[str]:
    """Return every name that the code defines, uses or spells, of modules and files too; O(files)."""
    names: set[str] = set()
    for top in (ROOT / "backend", ROOT / "tests", ROOT / ".ci"):
        names.update(part for path in top.rglob("*") for part in path.relative_to(ROOT).with_suffix("").parts)
    for path in (*(ROOT / "backend").rglob("*.html"), *(ROOT / "backend").rglob("*.js")):
        names.update(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    for path in (ROOT / "backend").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    names.add(name)
                case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                    names.add(name)
                case ast.alias(name=name):
                    names.update(name.split("."))
                case ast.Constant(value=str(text)):
                    names.update(re.findall(r"\w+", text))
    return frozenset(names)


@pytest.mark.parametrize("page", ["", "admin", "cli", "postgres", "testing", "web", "../app", "../demos"])
def test_the_names_that_a_page_gives_are_in_the_code(page: str) -> None:
    """Every name between backticks is one of the code's, or of the few of other programs."""
    text = (ROOT / "backend/snaptable" / page / "README.md").read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    named = {name for code in re.findall(r"`([^`\n]+)`", prose) for name in re.findall(r"(?<!\w)[^\W\d]\w*", code)}
    known = names_in_code() | FOREIGN
    assert named
    for name in named - known:
        # Settings are fields, filters are a field and a comparison.
        parts = [name.removeprefix("BACKEND_").lower(), *name.split("__")]
        assert parts[0] in known or ("__" in name and all(not part or part in known for part in parts[1:])), name


def test_the_readme_names_the_two_commands_that_set_everything_up() -> None:
    """One command runs the backend, one the tests; the second is what CI runs, to the letter."""
    commands = dict(re.findall(r"<!-- command: (\w+) -->\n```sh\n(.+?)\n```", README, re.DOTALL))
    assert commands["run"].endswith("uv run backend")
    assert commands["test"].endswith("uv run pytest")
    assert "command: test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
