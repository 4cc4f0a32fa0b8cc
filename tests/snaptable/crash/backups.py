"""The workload of backups: each that has its name is whole, and holds a state that was; whatever a crash leaves."""

from __future__ import annotations

import io
import json
from functools import lru_cache

from tests.snaptable.crash.oracle import Author, Book, Shelf

from snaptable.backup.archive import MANIFEST, Archive
from snaptable.testing.disk import Contents, SimulatedDisk
from snaptable.testing.recording import Recording, Rows, disk_of, rows_of


def backed_up(db: Shelf) -> None:
    """Back up between commits, a restart and a purge between; two of one state."""
    root = disk_of(db).root
    db.authors.insert(Author(name="Ada", note="n" * 700))
    db.backup(root / "one.zip")
    db.books.insert(Book(id="b1", author=1, tags=["x"] * 40))
    db.authors.delete(1)
    db.backup(root / "two.zip")
    db.backup(root / "three.zip")
    db.close()
    db.open()
    db.history.undo(3)


def check_backups(run: Recording[Shelf], db: Shelf) -> None:
    """Check every backup that there is: verified, opened, and compared with the states of the recording."""
    contents = disk_of(db).contents
    for name, inode in contents.names.items():
        if name.endswith(".zip"):
            sequence, rows = _restored(contents.inodes[inode])
            assert any(rows == each.rows for each in run.states[sequence]), f"{name} holds no state that was"


@lru_cache(maxsize=64)
def _restored(data: bytes) -> tuple[int, Rows]:
    """Return what a backup holds: the sequence that it names, and the rows of the store that it unpacks to."""
    archive = Archive("backup", io.BytesIO(data))
    archive.verify()
    assert MANIFEST not in archive.manifest.members
    contents = Contents({"", "db_journal"}, {}, {})
    for number, name in enumerate(archive.manifest.members, start=1):
        contents.names[name], contents.inodes[-number] = -number, b"".join(archive.read(name))
    disk = SimulatedDisk(contents)
    with Shelf(disk.root, filesystem=disk.mount) as copy:
        assert copy.check() == []
        assert copy.history.sequence == archive.manifest.sequence
        assert json.loads(archive.manifest.encode())["rows"] == {name: len(each) for name, each in copy.tables.items()}
        return archive.manifest.sequence, rows_of(copy)
