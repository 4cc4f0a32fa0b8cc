"""What comes and goes: import, export, what is somebody's, fixtures; types exact, secrets masked, all or nothing."""

import csv
import json
import runpy
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.cli.library import SCHEMA, Document, Library, User, filled
from tests.snaptable.cli.support import command, unchanged

from snaptable.cli import import_rows
from snaptable.control import db_socket

SECRETS = ("hush-hush", "sesame-2", "unset")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a store in the working directory, and let its models be known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAPTABLE_SCHEMA", SCHEMA)
    return filled(tmp_path / "data")


def document(*arguments: object) -> Any:
    """Return the JSON document that a command writes."""
    return json.loads(command(*arguments, "--json").out)


@contextmanager
def served(store: Path) -> Iterator[None]:
    """Have this process hold the store, and listen."""
    with Library(store, banner=False, fsync=False) as db, db_socket(db):
        yield


# ── import ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("has_server", [False, True])
def test_import(store: Path, has_server: bool) -> None:
    """Ensure rows of a CSV come in as one commit that says from where, beside a server too, and one undo takes all."""
    Path("new.csv").write_text('id,email,Full Name\n"01",one@x.org,"Eins\nZwei"\nann,ann@x.org,Annika\n')
    asked = ("import", "users", "new.csv", "--map", "Full Name=name")
    with served(store) if has_server else nullcontext():
        refused = unchanged(store, *asked)
        assert refused.says("1 wrong", "line 4", "id: there is a row with this key already").status == 4
        assert unchanged(store, *asked, "--update", "--dry-run").says("1 to insert, 1 to change").status == 0
        done = command(*asked, "--update", "--note", "spring")
        assert done.says("Done: commit #8", *(["applied by the server"] if has_server else [])).status == 0
        assert document("get", "users", "01")["name"] == "Eins\nZwei"
        shown = document("show")
        assert (shown["note"], shown["via"], len(shown["changes"])) == ("spring", "snaptable import", 2)
        assert command(*asked, "--update").says("2 unchanged").status == 0
        assert command("undo", "8", "--yes").status == 0
        assert command("get", "users", "01").status == 1


def test_what_is_wrong_is_told_by_line(store: Path) -> None:
    """Ensure faults by line, rows set aside with their reasons, and that nothing is written then."""
    Path("bad.jsonl").write_text(
        '{"id":"x","user_id":"ann","filename":"a","pages":1}\n'
        '{"id":"y","user_id":"nobody","filename":"b","pages":"many"}\n'
        '{"id":"z","user_id":"ann","filename":"c","colour":"red"}\nno json\n'
    )
    result = unchanged(store, "import", "documents", "bad.jsonl", "--rejects", "rejects.jsonl")
    assert result.says("line 2: pages:", "colour", "Nothing of bad.jsonl was imported").status == 4
    rejects = [json.loads(line) for line in Path("rejects.jsonl").read_text().splitlines()]
    assert [each["line"] for each in rejects] == [2, 4]
    assert rejects[0]["record"]["pages"] == "many"
    assert (
        command("import", "documents", "bad.jsonl", "--rejects", "rejects.jsonl").says("is there already").status == 2
    )
    assert command("import", "documents", "nowhere.json").says("nowhere.json").status == 2
    assert command("import", "documents", "bad.jsonl", "--map", "colour").says("NAME=FIELD").status == 2
    assert command("import", "books", "bad.jsonl").says("no table 'books'").status == 2


def test_many_rows_are_asked_for(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a large import is only planned unless it was said, or answered, that it should be done."""
    monkeypatch.setattr(import_rows, "MANY_ROWS", 2)
    Path("many.json").write_text(json.dumps([{"user_id": "ann", "text": str(n)} for n in range(3)]))
    assert unchanged(store, "import", "notes", "many.json").says("3 to insert", "--yes").status == 2
    assert unchanged(store, "import", "notes", "many.json", answer="n\n").status == 1
    assert command("import", "notes", "many.json", "--yes").says("Done").status == 0
    assert command("find", "notes", "--count").out == "4\n"


# ── export ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_export_and_back(store: Path) -> None:
    """Ensure each format holds every value of a table exactly: what is read back changes nothing."""
    for name in ("d.json", "d.jsonl", "d.csv", "d.sqlite"):
        assert command("export", "documents", name).says("9 documents, of commit 7").status == 0
        assert Path(name).stat().st_mode & 0o077 == 0
        assert command("import", "documents", name, "--update").says("9 unchanged").status == 0, name
    assert command("export", "documents", "d.json").says("is there already").status == 2
    assert command("export", "documents", "d.json", "--overwrite").status == 0
    assert command("export", "documents", "d.parquet").says("names no format").status == 2
    assert command("export", "d2.csv").says("holds one table").status == 2
    assert command("export", "books", "b.json").status == 2


def test_export_of_everything(store: Path) -> None:
    """Ensure all tables with a past are written, of now or of then, and secrets in no format."""
    for name in ("all.json", "all.sqlite"):
        assert command("export", name).says("2 users, 9 documents, 1 notes").status == 0
    assert command("export", "then.json", "--at", "1").says("2 users, 0 documents").status == 0
    assert list(json.loads(Path("all.json").read_text())) == ["users", "documents", "notes"]
    with sqlite3.connect("all.sqlite") as database:
        assert database.execute("SELECT pages FROM documents WHERE filename = 'invoice-3.pdf'").fetchone() == (57,)
    database.close()
    assert not [name for name in Path().glob("*.*") for secret in SECRETS if secret.encode() in name.read_bytes()]
    told = command("export", "users", "-", "--format", "csv").out
    assert [row["password_hash"] for row in csv.DictReader(told.splitlines())] == ["••••", "••••"]


def test_export_of_somebody(store: Path) -> None:
    """Ensure subject access: a row, what refers to it, what these refer to, and nothing of others."""
    assert command("export", "--of", "users", "ann", "ann.json").status == 0
    told = json.loads(Path("ann.json").read_text())
    assert {name: len(rows) for name, rows in told.items()} == {"users": 1, "documents": 4, "notes": 1}
    assert "bob" not in Path("ann.json").read_text()
    assert command("export", "--of", "notes", "1", "note.json").status == 0
    assert list(json.loads(Path("note.json").read_text())) == ["users", "notes"]
    assert command("export", "--of", "users", "zoe", "z.json").says("no row 'zoe'").status == 2
    assert command("export", "--of", "users", "ann", "users", "z.json").status == 2


# ── fixtures ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_from_a_moment_to_a_test(store: Path) -> None:
    """Ensure the rows of then open as a store of their own, valid, without secrets; the test is red where it should."""
    assert command("fixture", "users", "ann", "--at", "3").says("tests/fixtures/users-ann.json").status == 0
    data = Path("tests/fixtures/users-ann.json").read_bytes()
    assert not [secret for secret in SECRETS if secret.encode() in data]
    Path("copy").mkdir()
    Path("copy/db_snapshot.json").write_bytes(data)
    with Library("copy", banner=False, fsync=False) as db:
        assert db.check() == []
        assert [user.name for user in db.users.all()] == ["Ann"]
        assert db.documents.where(Document.filename == "invoice-3.pdf").one().pages == 30
        assert db.notes.count() == 2
        db.users.insert(User(id="new", email="new@x.org"))
        assert db.history.sequence == 4
    written = runpy.run_path("tests/fixtures/test_users_ann.py")
    Path("red").mkdir()
    with pytest.raises(AssertionError):
        written["test_users_ann"](Path("red"))
    assert command("fixture", "users", "ann").says("is there already").status == 2


def test_fixtures_of_numbered_rows_and_of_several(store: Path) -> None:
    """Ensure keys that are numbers, several rows, only what they refer to, a name of one's own, and no test."""
    told = document("fixture", "notes", "1", "2", "--at", "4", "-o", "cut/n.json", "--no-referring", "--no-test")
    assert told == {"files": ["cut/n.json"], "sequence": 4, "rows": {"users": 1, "notes": 2}, "missing": []}
    command("fixture", "notes", "1", "-o", "other/n.json")
    assert "db.notes[1]" in Path("other/test_n.py").read_text()
    assert "from tests.snaptable.cli.library import Library" in Path("other/test_n.py").read_text()
    assert command("fixture", "users", "zoe").says("no row 'zoe'").status == 2
    assert command("fixture", "users", "ann", "--at", "0", "-o", "x.json").says("no row 'ann' at commit 0").status == 2
