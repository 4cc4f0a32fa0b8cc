"""A purge whose every operation on the disk fails once: it says so, and called again it leaves nothing."""

import errno
from contextlib import closing
from itertools import count

import pytest
from tests.snaptable.crash.oracle import SECRET, Author, Book, Shelf, check_files

from snaptable import ReadOnlyStore, WriteFailed
from snaptable.runtime.silenced_log import silenced_log
from snaptable.testing.disk import SimulatedDisk
from snaptable.testing.recording import Recording, record


def live(db: Shelf) -> None:
    """Make commits with what is purged then."""
    db.authors.insert_many([Author(name=SECRET), Author(name="Grace")])
    db.books.insert(Book(id="b1", author=1, tags=[SECRET]))
    db.authors.update(1, note=f"{SECRET} again")


def purged(error: int, operation: str, after: int) -> bool:
    """Purge while an operation fails, and again once the disk is well; return whether the fault was met."""
    disk = SimulatedDisk(record(Shelf, live).disk.contents)
    with closing(Recording(Shelf, disk).open_database()) as db:
        fault = disk.faults.fail(operation, error, after=after, times=1)
        try:
            db.history.purge("authors", 1)
        except (WriteFailed, ReadOnlyStore):
            assert db.check() == []
        disk.faults.heal()
        if not db.status().writable:
            db.persist()
        db.history.purge("authors", 1)
        db.authors.update(2, note="after")
        check_files(db)
    with closing(Recording(Shelf, disk).open_database()) as db:
        assert db.authors.where().all() == [Author(id=2, name="Grace", note="after")]
        assert len(list(db.history)) == db.history.sequence
        assert [change for commit in db.history for change in commit.changes if SECRET in str(change)] == []
        check_files(db)
    return fault.trigger_count > 0


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "syncdir", "truncate"])
def test_a_purge_that_failed_can_be_ended(operation: str, error: int) -> None:
    """Ensure no operation that fails leaves a store that can't be purged, or that lost a commit."""
    with silenced_log():
        met = next(after for after in count() if not purged(error, operation, after))
    assert met > 0
