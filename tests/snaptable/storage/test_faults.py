"""What a failing disk means for whoever writes: the promised errors, the way back, and what is never done."""

import errno
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.snaptable.storage.faults import FOREVER, Disk, FaultyStore
from tests.snaptable.storage.support import (
    JOURNAL,
    QUARANTINE,
    SNAPSHOT,
    Store,
    User,
    ids,
    killed,
    opened,
    read_snapshot,
)

from snaptable import DatabaseClosed, OpenError, ReadOnlyStore, WriteFailed
from snaptable.storage import group_commit
from snaptable.storage.snapshot import pages

PATIENCE = 30.0
"""Seconds after which what should have happened counts as missing."""


@pytest.fixture
def disk() -> Disk:
    """Give a disk that does as it is told."""
    return Disk()


@pytest.fixture
def db(directory: Path, disk: Disk) -> FaultyStore:
    """Give a store with the users a, b and c on that disk."""
    store = FaultyStore(directory, disk).open()
    for key in "abc":
        store.users.insert(User(id=key))
    return store


def order(db: Store) -> None:
    """Check that the file and memory hold the same users in the same order."""
    assert db.directory is not None
    db.persist()
    assert list(read_snapshot(db.directory)[1]["users"]) == ids(db)


@pytest.mark.parametrize("how", ["before", "after", "lost"])
def test_a_failed_sync(db: FaultyStore, disk: Disk, how: str) -> None:
    """Ensure the write raises with the OSError as its cause, leaves nothing; writes are refused, reads go on."""
    disk.fail("sync", name=JOURNAL, how=how)
    with pytest.raises(WriteFailed) as raised:
        db.users.insert(User(id="d"))
    assert isinstance(raised.value.__cause__, OSError)
    assert raised.value.__cause__.errno == errno.EIO
    writes: list[Callable[[], object]] = [
        lambda: db.users.insert(User(id="e")),
        lambda: db.users.delete("a"),
        lambda: db.users.update("a", note="x"),
    ]
    for write in writes:
        with pytest.raises(ReadOnlyStore, match="persist"):
            write()
    assert ids(db) == ["a", "b", "c"]
    assert db.users["a"].note == ""
    assert db.check() == []
    status = db.status()
    assert not status.writable
    assert status.reason is not None
    assert status.sequence == 3
    assert db.users.where().count() == 3
    db.close()
    assert list(opened(db.directory or Path())["users"]) == ["a", "b", "c"]


def test_a_failed_sync_is_never_tried_again_on_that_file(db: FaultyStore, disk: Disk) -> None:
    """Ensure nothing is synced, or written, to the file whose sync failed: the kernel would only pretend."""
    (segment,) = (db.directory or Path()).glob(f"{JOURNAL}/*")
    name = f"{JOURNAL}/{segment.name}"
    disk.fail("sync", name=name, how="lost")
    with pytest.raises(WriteFailed):
        db.users.insert(User(id="d"))
    before = disk.count("sync", name), disk.count("write", name)
    db.persist()
    db.users.insert(User(id="e"))
    db.close()
    assert (disk.count("sync", name), disk.count("write", name)) == before
    assert list(opened(db.directory or Path())["users"]) == ["a", "b", "c", "e"]


@pytest.mark.parametrize("way", ["persist", "reopen"])
@pytest.mark.parametrize("how", ["before", "after", "lost"])
def test_the_way_back(db: FaultyStore, disk: Disk, way: str, how: str) -> None:
    """Ensure persist(), or reopening, makes writes work again, with no gap, from memory's state."""
    disk.fail("sync", name=JOURNAL, how=how)
    with pytest.raises(WriteFailed):
        db.users.insert(User(id="ghost"))
    if way == "persist":
        db.persist()
    else:
        db.close()
        db.open()
    assert db.status().writable
    db.users.insert(User(id="d"))
    assert db.status().sequence == 4
    assert list(opened(killed(db))["users"]) == ["a", "b", "c", "d"]
    db.close()
    assert list(opened(db.directory or Path())["users"]) == ["a", "b", "c", "d"]


def test_failing_again_and_again(db: FaultyStore, disk: Disk) -> None:
    """Ensure many failures with a way back after each don't get in each other's way."""
    expected = ["a", "b", "c"]
    for number in range(12):
        disk.fail("sync", name=JOURNAL, how=("before", "after", "lost")[number % 3])
        with pytest.raises(WriteFailed):
            db.users.insert(User(id=f"ghost {number}"))
        db.persist()
        if number % 4 == 3:
            db.close()
            db.open()
        if number % 2:
            db.users.insert(User(id=str(number)))
            expected.append(str(number))
        assert list(opened(killed(db))["users"]) == expected
    db.close()
    assert list(opened(db.directory or Path())["users"]) == expected


def test_a_failed_delete_leaves_the_row_in_its_place(db: FaultyStore, disk: Disk) -> None:
    """Ensure a rolled back delete, update or re-insertion does not move a row, in memory or in the file."""

    def again() -> None:
        with db.transaction():
            db.users.delete("a")
            db.users.insert(User(id="a", note="new"))
            db.users.delete("b")

    for write in (
        lambda: db.users.delete("a"),
        lambda: db.users.where().delete(),
        lambda: db.users.update("b", note="x"),
        again,
    ):
        disk.fail("sync", name=JOURNAL, how="after")
        with pytest.raises(WriteFailed):
            write()
        assert ids(db) == ["a", "b", "c"]
        assert db.check() == []
        order(db)
    db.close()


@pytest.mark.parametrize("how", ["before", "short"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_at_the_write(db: FaultyStore, disk: Disk, error: int, how: str) -> None:
    """Ensure a full disk costs the write that met it and no more: the next one works, in the same file."""
    for number in range(3):
        disk.fail("write", error, name=JOURNAL, how=how)
        with pytest.raises(WriteFailed) as raised:
            db.users.insert(User(id="ghost"))
        assert isinstance(raised.value.__cause__, OSError)
        assert raised.value.__cause__.errno == error
        assert db.status().writable
        db.users.insert(User(id=str(number)))
        assert list(opened(killed(db))["users"]) == ids(db)
    assert ids(db) == ["a", "b", "c", "0", "1", "2"]
    db.close()
    assert not (db.directory or Path()).joinpath(QUARANTINE).exists()


def test_a_full_disk_at_the_sync_heals_by_itself(db: FaultyStore, disk: Disk) -> None:
    """Ensure writes work again once there is room, without anybody doing anything."""
    disk.fail("sync", errno.ENOSPC, how="lost", times=FOREVER)
    for _ in range(3):
        with pytest.raises((WriteFailed, ReadOnlyStore)):
            db.users.insert(User(id="ghost"))
    assert ids(db) == ["a", "b", "c"]
    disk.mend()
    _until(lambda: db.users.insert(User(id="d")))
    assert list(opened(killed(db))["users"]) == ["a", "b", "c", "d"]
    db.close()


@pytest.mark.parametrize("operation", ["create", "write", "sync", "make_directory", "replace", "truncate"])
@pytest.mark.parametrize("first", ["sync", "write"])
def test_a_disk_that_stays_full_for_a_while(db: FaultyStore, disk: Disk, operation: str, first: str) -> None:
    """Ensure a reviving that meets the full disk half-way can be tried again until there is room."""
    disk.fail(first, errno.ENOSPC, name=JOURNAL, how="after")
    with pytest.raises(WriteFailed):
        db.users.insert(User(id="ghost"))
    for skip in range(12):
        disk.fail(operation, errno.ENOSPC, skip=skip, times=FOREVER)
        try:
            db.users.upsert(User(id="tried", note=str(skip)))
        except (WriteFailed, ReadOnlyStore):
            assert db.check() == []
        disk.mend()
    _until(lambda: db.users.upsert(User(id="d")))
    assert db.status().writable
    assert list(opened(killed(db))["users"]) == ids(db)
    db.close()
    assert list(opened(db.directory or Path())["users"])[:3] == ["a", "b", "c"]


def _until(write: Callable[[], object]) -> None:
    """Try a write until the store has tried again by itself, and healed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            write()
        except ReadOnlyStore:
            assert time.monotonic() < deadline, "it did not heal"
            time.sleep(0.05)
        else:
            return


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("create", ".tmp"),
        ("write", ".tmp"),
        ("sync", ".tmp"),
        ("close", ".tmp"),
        ("replace", SNAPSHOT),
        ("sync_directory", ""),
    ],
)
def test_a_failed_snapshot_fails_no_write(
    db: FaultyStore, disk: Disk, caplog: pytest.LogCaptureFixture, operation: str, name: str
) -> None:
    """Ensure the write returns, the old file stays, the log and the status say so, and it is tried again by itself."""
    assert db.directory is not None
    before = (db.directory / SNAPSHOT).read_bytes()
    disk.fail(operation, errno.EIO, name=name, times=FOREVER)
    with caplog.at_level(logging.ERROR, "snaptable"):
        db.users.insert(User(id="d"))
        # The write does not wait for the name's own sync, which follows soon.
        deadline = time.monotonic() + (PATIENCE if operation == "sync_directory" else 0)
        while db.status().snapshot_error is None and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "Failed to save database snapshot: [Errno 5] Input/output error" in caplog.messages
    assert "Input/output error" in (db.status().snapshot_error or "")
    assert db.status().writable
    # Where the name's sync failed, it is the last one whose name is known to be on the disk.
    assert db.status().snapshot_sequence in ((0, 3) if operation == "sync_directory" else (3,))
    if operation != "sync_directory":
        assert (db.directory / SNAPSHOT).read_bytes() == before
    assert list(opened(killed(db))["users"]) == ["a", "b", "c", "d"]
    disk.mend()
    deadline = time.monotonic() + PATIENCE
    while db.status().snapshot_error is not None:
        assert time.monotonic() < deadline, "it was not tried again"
        time.sleep(0.02)
    assert list(read_snapshot(db.directory)[1]["users"]) == ["a", "b", "c", "d"]
    assert not list(db.directory.glob("*.tmp")) + list(db.directory.glob(".*.tmp"))
    assert not (db.directory / QUARANTINE).exists(), "its own snapshot was taken for somebody's edit"
    db.close()


def test_persist_that_fails(db: FaultyStore, disk: Disk) -> None:
    """Ensure persist() raises WriteFailed with the OSError, changes nothing, and works when the disk does."""
    disk.fail("write", errno.ENOSPC, name=".tmp", times=FOREVER)
    with pytest.raises(WriteFailed) as raised:
        db.persist()
    assert isinstance(raised.value.__cause__, OSError)
    assert db.status().snapshot_error is not None
    assert ids(db) == ["a", "b", "c"]
    disk.mend()
    db.persist()
    assert db.status().snapshot_error is None
    db.close()


def test_persist_that_can_not_heal(db: FaultyStore, disk: Disk) -> None:
    """Ensure a store whose reviving fails stays read-only, says why, and can still be read and closed."""
    disk.fail("sync", errno.EIO, times=FOREVER)
    with pytest.raises(WriteFailed):
        db.users.insert(User(id="ghost"))
    for _ in range(3):
        with pytest.raises(WriteFailed) as raised:
            db.persist()
        assert isinstance(raised.value.__cause__, OSError)
        with pytest.raises(ReadOnlyStore):
            db.users.insert(User(id="ghost"))
    assert ids(db) == ["a", "b", "c"]
    with pytest.raises(WriteFailed):
        db.close()
    assert not db.is_open
    disk.mend()
    db.open()
    assert ids(db)[:3] == ["a", "b", "c"]
    db.close()


@pytest.mark.parametrize("operation", ["create", "write", "sync", "replace", "sync_directory"])
def test_close_that_fails(directory: Path, disk: Disk, operation: str) -> None:
    """Ensure a failing close raises WriteFailed, lets go of the lock, and what was acknowledged is in the journal."""
    db = FaultyStore(directory, disk, snapshot="background").open()
    db.users.insert(User(id="a"))
    disk.fail(operation, errno.EIO, times=FOREVER)
    with pytest.raises(WriteFailed) as raised:
        db.close()
    assert isinstance(raised.value.__cause__, OSError)
    assert not db.is_open
    db.close()
    with pytest.raises(DatabaseClosed):
        db.users.insert(User(id="b"))
    assert list(opened(directory)["users"]) == ["a"]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_open_that_fails(directory: Path, disk: Disk, error: int) -> None:
    """Ensure every operation that fails while opening gives an OpenError with the OSError as its cause, and no lock."""
    with Store(directory, fsync=False) as other:
        empty = (directory / SNAPSHOT).read_bytes()
        other.users.insert(User(id="a"))
        template = killed(other, keep=empty)
    (template / f".db_snapshot.{'0' * 32}.tmp").touch()
    record, copy = Disk(), directory.parent / "copy"
    shutil.copytree(template, copy)
    FaultyStore(copy, record).open().close()
    for number, operation in enumerate(record.operations):
        shutil.rmtree(copy)
        shutil.copytree(template, copy)
        disk = Disk()
        disk.fail("any", error, skip=number, times=FOREVER)
        db = FaultyStore(copy, disk)
        try:
            db.open()
        except OpenError as refusal:
            assert isinstance(refusal.__cause__, OSError), (operation, refusal)  # noqa: PT017 - opening may also work
            assert list(opened(copy)["users"]) == ["a"]
        else:
            disk.mend()
            assert ids(db) == ["a"]
            db.close()


def test_interrupted_again_before_the_first_interruption_is_dealt_with(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure two Ctrl-C at once behind the sync tear nothing for good: the next write does what they left undone."""
    db = Store(directory, fsync=False, snapshot="always").open()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pages.TablePages, "apply", interrupt)
        patch.setattr(group_commit.GroupCommit, "_finish_durable", interrupt)
        with pytest.raises(KeyboardInterrupt):
            db.users.insert(User(id="a"))
    db.users.insert(User(id="b"))
    db.persist()
    assert ids(db) == ["a", "b"]
    assert list(read_snapshot(directory)[1]["users"]) == ["a", "b"]
    assert db.check() == []
    db.close()
    assert list(opened(directory)["users"]) == ["a", "b"]


def test_interrupted_while_the_pages_change(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure Ctrl-C behind the sync of a large transaction leaves no half of it, by persist(), close() or open()."""
    for number in range(1, 6):
        where = directory / str(number)
        db = Store(where, fsync=False).open()
        db.users.insert(User(id="z"))
        original, calls = pages.TablePages.apply, [0]

        def apply(self: pages.TablePages, change: object, calls: list[int] = calls, stop: int = number) -> None:
            calls[0] += 1
            if calls[0] == stop:
                raise KeyboardInterrupt
            original(self, change)  # type: ignore[arg-type]  # noqa: B023 - the same each time

        monkeypatch.setattr(pages.TablePages, "apply", apply)
        with pytest.raises(KeyboardInterrupt):
            db.users.insert_many([User(id=str(key)) for key in range(5)])
        monkeypatch.setattr(pages.TablePages, "apply", original)
        copy = killed(db)
        db.persist()
        db.close()
        for each in (copy, where):
            assert list(opened(each)["users"]) in (["z"], ["z", "0", "1", "2", "3", "4"])
