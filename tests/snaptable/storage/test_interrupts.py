"""Ctrl-C while a write waits for the disk: the write is there or not, whole, and the next one works at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from snaptable import Database, Row, Table
from snaptable.storage.disk import atomic_write
from snaptable.storage.journal.segment import Segment
from snaptable.storage.snapshot import checkpointer


class Note(Row):
    id: int
    text: str = ""


class Notes(Database):
    notes: Table[Note]


def interrupted(function: Callable[..., object], *, after: bool) -> Callable[..., object]:
    """Return a function that raises KeyboardInterrupt before, or after, it did its work."""

    def call(*args: object, **kwargs: object) -> object:
        if after:
            function(*args, **kwargs)
        raise KeyboardInterrupt

    return call


def verify(db: Notes, directory: Path, keys: list[int]) -> None:
    """Verify that memory is sound, and that a clean close keeps exactly these rows."""
    assert db.check() == []
    assert [note.id for note in db.notes] == keys
    assert db.status().writable
    db.close()
    with Notes(directory) as again:
        assert [note.id for note in again.notes] == keys
        assert again.check() == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_snapshot_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """The frame is durable, so the write is there; the snapshot follows."""
    db = Notes(tmp_path).open()
    for number in range(0, 10, 2):
        with monkeypatch.context() as patch:
            patch.setattr(checkpointer, "replace", interrupted(atomic_write.replace, after=after))
            with pytest.raises(KeyboardInterrupt):
                db.notes.insert(Note(id=number))
        db.notes.insert(Note(id=number + 1))
    verify(db, tmp_path, list(range(10)))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_journal_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """It is not known whether the frame is on the disk: taken back, and the next write begins a new segment at once."""
    db = Notes(tmp_path).open()
    for number in range(0, 10, 2):
        with monkeypatch.context() as patch:
            patch.setattr(Segment, "append", interrupted(Segment.append, after=after))
            with pytest.raises(KeyboardInterrupt):
                db.notes.insert(Note(id=number))
        assert number not in db.notes
        db.notes.insert(Note(id=number + 1))
    verify(db, tmp_path, list(range(1, 10, 2)))
