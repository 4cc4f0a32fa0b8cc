"""What data/README.md says of deleted rows: where copies of them stay, and how to be rid of these."""

import shutil
from pathlib import Path

from snaptable import Database, Row, Table, numbered


class Note(Row):
    """A row."""

    id: int = numbered()
    text: str


class Notes(Database):
    """A table of them."""

    notes: Table[Note]


def holding(directory: Path, text: bytes) -> list[str]:
    """Return the names of the files that hold a text."""
    return [path.name for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]


def test_a_deleted_row_is_gone_with_the_journal(tmp_path: Path) -> None:
    """A stopped store opens without its journal and quarantine, with all that was not deleted, and goes on."""
    store = tmp_path / "store"
    with Notes(store, banner=False) as db:
        deleted = db.notes.create(text="forget me")
        kept = db.notes.create(text="keep me")
        db.notes.delete(deleted.id)
    assert holding(store, b"forget me") == ["1.jsonl"]
    for path in (store / "db_journal").iterdir():
        path.unlink()
    shutil.rmtree(store / "quarantine", ignore_errors=True)
    with Notes(store, banner=False) as db:
        assert db.notes.where().all() == [kept]
        assert db.check() == []
        later = db.notes.create(text="later")
    assert holding(store, b"forget me") == []
    with Notes(store, banner=False) as db:
        assert db.notes.where().all() == [kept, later]
