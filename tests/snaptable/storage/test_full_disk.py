"""A store on a full disk opens: rows can be read, writes say why they are refused, and work once there is room."""

import errno
import logging
from contextlib import closing
from typing import Literal

import pytest
from tests.snaptable.crash.faults import template
from tests.snaptable.crash.search import Author, Shelf, background, configured

from snaptable import ReadOnlyStore, WriteFailed
from snaptable.testing.disk import Contents, SimulatedDisk
from snaptable.testing.faults import How

Made = Literal["killed", "closed", "without a journal", "without a snapshot"]
MADE: tuple[Made, ...] = ("killed", "closed", "without a journal", "without a snapshot")


def made(how: Made) -> Contents:
    """Return the disk of a store with two authors."""
    disk = SimulatedDisk(template())
    if how == "killed":
        return disk.contents
    with closing(background(disk.root, filesystem=disk.mount).open()):
        pass
    gone = {"without a journal": "db_journal/", "without a snapshot": "db_snapshot"}.get(how, "nothing")
    for name in [name for name in disk.contents.names if name.startswith(gone)]:
        disk.remove(name)
    return disk.contents


def names(db: Shelf) -> list[str]:
    """Return the authors' names."""
    return [author.name for author in db.authors.where().all()]


def operations_of_opening(contents: Contents) -> int:
    """Return how many changes an undisturbed opening makes."""
    disk = SimulatedDisk(contents)
    never = disk.faults.fail("change", after=1_000_000)
    with closing(Shelf(disk.root, filesystem=disk.mount).open()):
        return 1_000_000 - never.after


@pytest.mark.parametrize("how", ["before", "short", "after"])
@pytest.mark.parametrize("state", MADE)
def test_a_disk_that_is_full_from_any_operation_on(state: Made, how: How) -> None:
    """Ensure the store opens whichever operation finds no room, reads, refuses writes by name, and then writes."""
    contents = made(state)
    with configured("none"):
        for index in range(operations_of_opening(contents) + 1):
            disk = SimulatedDisk(contents)
            fault = disk.faults.fail("change", errno.ENOSPC, after=index, how=how)
            db = Shelf(disk.root, filesystem=disk.mount).open()
            assert names(db) == ["first", "second"]
            with pytest.raises((ReadOnlyStore, WriteFailed), match="No space left"):
                db.authors.insert(Author(id=3, name="third"))
            assert names(db) == ["first", "second"], index
            fault.undo()
            db.authors.insert(Author(id=4, name="fourth"))
            assert db.check() == []
            db.close()
            with closing(Shelf(disk.root, filesystem=disk.mount).open()) as again:
                assert names(again) == ["first", "second", "fourth"]


@pytest.mark.parametrize("state", MADE)
def test_a_store_that_is_closed_on_a_full_disk(state: Made, caplog: pytest.LogCaptureFixture) -> None:
    """Ensure that a program which only reads on a full disk ends without an error, and leaves no half-written files."""
    contents = made(state)
    disk = SimulatedDisk(contents)
    disk.faults.full()
    with caplog.at_level(logging.ERROR), closing(Shelf(disk.root, filesystem=disk.mount).open()) as db:
        assert names(db) == ["first", "second"]
        for _ in range(3):
            with pytest.raises((ReadOnlyStore, WriteFailed), match="No space left"):
                db.authors.insert(Author(id=3, name="third"))
    kept = [name for name in disk.contents.names if name.startswith("quarantine/")]
    assert kept == [name for name in contents.names if name.startswith("quarantine/")]
    assert not [name for name in disk.contents.names if name.endswith(".tmp")]
    disk.faults.heal()
    with closing(Shelf(disk.root, filesystem=disk.mount).open()) as again:
        assert names(again) == ["first", "second"]
