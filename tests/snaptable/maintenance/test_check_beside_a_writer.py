"""Checking a store: files that change meanwhile are read again, and nothing is written."""

from pathlib import Path

from tests.snaptable.maintenance.support import lift
from tests.snaptable.storage.support import JOURNAL, Rows, Store, User, killed

from snaptable.maintenance.check import check_store
from snaptable.testing.disk import SimulatedDisk


def test_a_writer_that_moves_on_between_two_reads(directory: Path, states: list[Rows]) -> None:
    """Ensure files are read again when they changed under the report, and only then."""
    assert states
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="new"))
        whole = lift(killed(db))
    torn = whole.contents.copy()
    last = max(name for name in torn.names if name.startswith(JOURNAL))
    torn.inodes[torn.names[last]] = torn.inodes[torn.names[last]][:-9]
    disk = SimulatedDisk(torn)
    reads = 0
    read = disk.read

    def moving(name: str) -> bytes:
        nonlocal reads
        data = read(name)
        reads += name == last
        if reads == 2:
            disk.contents = whole.contents
        return data

    disk.read = moving  # type: ignore[method-assign]
    report = check_store(disk)
    assert report.findings == []
    assert report.store is not None
    assert report.store.sequence == 9


def test_nothing_is_ever_written(directory: Path, states: list[Rows]) -> None:
    """Ensure a report needs no operation that a read-only medium would refuse."""
    assert states
    disk = lift(directory)
    assert check_store(disk).problems == []
    assert disk.operations == []
    assert disk.locked == set()
