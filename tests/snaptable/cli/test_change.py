"""The commands that change: undo, rewind, purge; by this process where the store is closed, else through its server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.snaptable.cli.library import SCHEMA, Library, Note, User, filled
from tests.snaptable.cli.support import Result, command, unchanged

from snaptable.control import db_socket
from snaptable.testing import second_process

DOCUMENT = "f10c18c3-0000-4000-8000-000000000000"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a store, and let its models be known."""
    monkeypatch.setenv("SNAPTABLE_STORE", str(tmp_path / "data"))
    monkeypatch.setenv("SNAPTABLE_SCHEMA", SCHEMA)
    return filled(tmp_path / "data")


@contextmanager
def served(store: Path) -> Iterator[Library]:
    """Have this process hold the store, and listen."""
    with Library(store, banner=False, fsync=False) as db, db_socket(db):
        yield db


def document(result: Result) -> dict[str, object]:
    """Return the JSON document that a command wrote."""
    value = json.loads(result.out)
    assert isinstance(value, dict)
    return value


def rows(store: Path, table: str) -> dict[str, dict[str, object]]:
    """Return the rows of a table, without changing the store."""
    with Library(store, banner=False, read_only=True) as db:
        return db.raw(table)


@pytest.mark.parametrize("has_server", [False, True])
def test_undo(store: Path, has_server: bool) -> None:
    """Ensure an undo is shown, asked for and done, as a commit that says who made it and by which way."""

    def check() -> None:
        """Undo the last commit."""
        shown = unchanged(store, "undo", "7", "--dry-run")
        assert shown.says("Would remove 0, put back 0, change 1 documents", "pages  57 → 30").status == 0
        assert unchanged(store, "undo", "#7").says("--yes").status == 2
        assert unchanged(store, "undo", "7", answer="n\n").says("Nothing was changed").status == 1
        assert command("undo", "7", "--yes", "--note", "by mistake").says("Done: commit #8").status == 0
        told = document(command("show", "--json"))
        assert (told["via"], told["note"], told["undoes"]) == ("snaptable undo", "by mistake", [7])
        assert told["actor"]
        assert command("undo", "7", "--yes").says("There is nothing to do").status == 1

    if not has_server:
        check()
        return
    with served(store):
        check()
        assert command("undo", "8", "--yes").says("applied by the server, pid").status == 0


@pytest.mark.parametrize("has_server", [False, True])
def test_conflicts(store: Path, has_server: bool) -> None:
    """Ensure what is in the way is told in words and is exit 4, and that --force overrides changes, no constraint."""

    def check() -> None:
        """Undo what was changed since, and what is referred to."""
        result = unchanged(store, "undo", "2", "--yes")
        words = ("1 conflict:", "documents f10c18c3", "pages", "changed since by #7: 30 → 57", "--force overrides")
        assert result.says(*words).status == 4
        told = document(command("undo", "2", "--dry-run", "--json"))
        assert told["commit"] is None
        conflict = told["conflicts"][0]  # type: ignore[index]
        assert (conflict["kind"], conflict["by"], conflict["then"], conflict["now"]) == ("changed since", 7, 30, 57)
        assert unchanged(store, "undo", "1", "--force", "--yes").says("still referenced").status == 4
        assert command("undo", "2", "--force", "--yes").says("overridden", "Done").status == 0

    if not has_server:
        check()
    else:
        with served(store):
            check()
    assert not rows(store, "documents")


@pytest.mark.parametrize("has_server", [False, True])
def test_rewind(store: Path, has_server: bool) -> None:
    """Ensure one row, a table or everything goes back, by number, commits ago or time, and can be undone."""

    def check() -> None:
        """Go back and forth."""
        assert command("rewind", "documents", DOCUMENT, "--at", "~1", "--yes").says("change 1 documents").status == 0
        assert command("rewind", "notes", "--at", "3", "--yes").says("put back 1 notes").status == 0
        moment = document(command("show", "2", "--json"))["at"]
        told = document(command("rewind", "--at", moment, "--yes", "--json"))
        assert (told["commit"], told["removes"], told["changes"]) == (10, 2, 1)
        assert command("undo", "10", "--yes").status == 0
        assert command("rewind", "--at", "99", "--yes").says("no commit 99 yet").status == 2
        assert command("rewind", "books", "--at", "1", "--yes").says("no table 'books'").status == 2
        assert command("rewind", "notes", "one", "--at", "1", "--yes").says("no key of notes").status == 2
        assert command("rewind", "sessions", "--at", "1", "--yes").says("transient").status == 2
        assert command("rewind").says("--at").status == 2

    if not has_server:
        check()
    else:
        with served(store):
            check()
    assert [row["text"] for row in rows(store, "notes").values()] == ["milk", None]


@pytest.mark.parametrize("has_server", [False, True])
def test_purge(store: Path, has_server: bool) -> None:
    """Ensure a row and what goes with it are erased from every file, and that the receipt says what is left where."""

    def check() -> None:
        """Erase somebody."""
        assert unchanged(store, "purge", "users", "bob").says("Erases users bob from 1 commit", "--yes").status == 2
        result = command("purge", "users", "bob", "--yes")
        assert result.says("Purged 6 rows (1 of users, 5 of documents)", "recorded by commit #9").status == 0
        assert "db.socket" not in result.out
        told = document(command("purge", "users", "bob", "--yes", "--json"))
        assert told["commit"] is None
        assert command("purge", "users", "ann", "--yes").says("notes").status == 4
        assert command("purge", "notes", "many", "--yes").says("no key of notes").status == 2
        assert command("rewind", "users", "bob", "--at", "1", "--yes").says("was purged").status == 4

    if not has_server:
        check()
    else:
        with served(store):
            check()
    assert not [path for path in store.rglob("*") if path.is_file() and b"bob@x.org" in path.read_bytes()]


def test_what_stands_elsewhere_is_on_the_receipt(store: Path) -> None:
    """Ensure a value of the purged row that another file or row has is listed by file and line."""
    (store / "quarantine").mkdir(mode=0o700, exist_ok=True)
    (store / "quarantine" / "kept.txt").write_text("one\ntwo bob@x.org\n")
    told = document(command("purge", "users", "bob", "--yes", "--json"))
    assert {"file": "quarantine/kept.txt", "line": 2, "what": "users.email"} in told["left"]  # type: ignore[operator]


def test_a_store_that_another_process_holds(store: Path) -> None:
    """Ensure exit 3 names the process and what to do, and that looking goes on."""
    with second_process.kept_open(store):
        for asked in (["undo", "7"], ["rewind", "--at", "1"], ["purge", "users", "bob"]):
            result = command(*asked, "--yes")
            assert result.says("is in use by process", "db_socket(db)", "snaptable serve").status == 3
        assert command("log", "-n", "1").status == 0
        assert command("tables", "--advise").says("no server").status == 2


def test_models_are_needed_where_the_store_is_closed(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a change is never made unchecked: without models exit 2; those that opened the store last are enough."""
    monkeypatch.delenv("SNAPTABLE_SCHEMA")
    assert command("undo", "7", "--dry-run").status == 0
    (store / "db.lock").write_text("{}")
    assert command("undo", "7", "--yes").says("--schema MODULE:DATABASE").status == 2
    with served(store):
        assert command("undo", "7", "--yes").status == 0


def test_it_does_not_migrate_in_passing(store: Path) -> None:
    """Ensure a change by models that the store doesn't fit yet is refused, and nothing is filled in."""
    schema = "tests.snaptable.cli.newer_library:Newer"
    assert unchanged(store, "undo", "7", "--yes", "--schema", schema).says("migrat").status == 1


def test_advice(store: Path) -> None:
    """Ensure slow queries of the server are shown with the index to write, if it measures them, without values."""
    from snaptable.web import monitoring_router

    with served(store) as db:
        assert command("tables", "--advise").says("monitoring_router").status == 0
        monitoring_router(db, slow_seconds=0)
        db.notes.where(Note.text == "milk").all()
        db.users.where(User.name == "Anna").all()
        lines = [line.split("\t") for line in command("tables", "--advise").out.splitlines()]
        assert {(line[0], line[3]) for line in lines} == {("notes", 'Index("text")'), ("users", 'Index("name")')}
        told = document(command("tables", "--advise", "--json"))
        assert told["measured"] is True
        assert "milk" not in str(told)
