"""The zeros written behind the journal's frames: there while it is written, nothing to anybody who reads it."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.storage.faults import Disk, FaultyStore
from tests.snaptable.storage.support import JOURNAL, QUARANTINE, Store, User, ids, segments

from snaptable import ReadOnlyStore, WriteFailed
from snaptable.storage import group_commit
from snaptable.storage.disk.files import DISK_FULL, Files, SyncFailed

needs_room = pytest.mark.skipif(not hasattr(os, "pwrite"), reason="this system can't write ahead of its place")


def journal_of(directory: Path) -> bytes:
    """Return the bytes of the only journal file."""
    (path,) = segments(directory)
    return path.read_bytes()


@needs_room
def test_room_is_made_and_given_back(directory: Path) -> None:
    """Ensure the file ends in zeros while it is written, and in its last line once the store is closed."""
    with Store(directory) as db:
        db.users.insert(User(id="a"))
        assert b'"}\n' + bytes(1_000) in journal_of(directory)
    assert journal_of(directory).endswith(b'"}\n')
    with Store(directory) as db:
        assert ids(db) == ["a"]


@needs_room
def test_room_grows_with_the_file_up_to_a_bound(directory: Path) -> None:
    """Ensure a long journal has its zeros written, and synced, ever less often, and a short one has few of them."""
    disk = Disk()
    with FaultyStore(directory, disk, fsync=True, snapshot="background") as db:
        rooms = []
        for number in range(60):
            db.users.insert(User(id=str(number), note="n" * 30_000))
            data = journal_of(directory)
            rooms.append(len(data) - len(data.rstrip(b"\0")))
        assert 1 << 15 <= max(rooms[:2]) <= 1 << 16
        assert 1 << 18 <= max(rooms) <= 1 << 19
        assert disk.count("zeros", JOURNAL) <= 8
        assert disk.count("sync", JOURNAL) <= 60 + 2 + disk.count("zeros", JOURNAL)


@pytest.mark.parametrize("how", ["before", "short", "after"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_zeros_that_fail_cost_no_commit(directory: Path, how: str, error: int) -> None:
    """Ensure commits are durable without the zeros, and what was written of these is gone after the close."""
    disk = Disk()
    with FaultyStore(directory, disk, fsync=True) as db:
        disk.fail("zeros", error, name=JOURNAL, how=how, times=3)
        for key in "abcde":
            db.users.insert(User(id=key))
    assert journal_of(directory).endswith(b'"}\n')
    with Store(directory) as again:
        assert ids(again) == list("abcde")


def test_zeros_whose_sync_fails_are_never_synced_again(directory: Path) -> None:
    """Ensure the commit that needed them is taken back, and the next goes to a new file."""
    disk = Disk()
    with FaultyStore(directory, disk, fsync=True) as db:
        disk.fail("sync", errno.EIO, name="1.jsonl", how="lost")
        with pytest.raises(WriteFailed):
            db.users.insert(User(id="lost"))
        before = disk.count("sync", "1.jsonl")
        with pytest.raises(ReadOnlyStore):
            db.users.insert(User(id="refused"))
        assert disk.count("sync", "1.jsonl") == before
        db.persist()
        db.users.insert(User(id="b"))
    with Store(directory) as again:
        assert ids(again) == ["b"]


def test_a_file_that_is_left_ends_in_its_last_line(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the room goes with the file's turn, and none of the files behind it is the longer for it."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 600)
    with Store(directory) as db:
        for number in range(12):
            db.users.insert(User(id=str(number)))
        *left, _ = segments(directory)
        assert len(left) >= 2
        assert all(path.read_bytes().endswith(b'"}\n') for path in left)


@pytest.mark.parametrize("room", [0, 1, 700, 1 << 20])
def test_a_copy_of_a_running_store_opens(directory: Path, room: int) -> None:
    """Ensure that however much room lies behind the frames, a killed store has every commit, and nothing set aside."""
    with Store(directory) as db:
        for key in "abc":
            db.users.insert(User(id=key))
        copy = directory.parent / "copy"
        shutil.copytree(directory, copy)
        with Store(directory, read_only=True) as reader:
            assert ids(reader) == ["a", "b", "c"]
    path = copy / JOURNAL / "1.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\0") + bytes(room))
    with Store(copy) as again:
        assert ids(again) == ["a", "b", "c"]
        again.users.insert(User(id="d"))
    assert not (copy / QUARANTINE).exists()


def test_room_behind_a_clean_close_is_no_damage(directory: Path) -> None:
    """Ensure a power cut that kept the mark of the close and lost that the file was cut leaves a store that opens."""
    with Store(directory) as db:
        db.users.insert(User(id="a"))
    (path,) = segments(directory)
    path.write_bytes(path.read_bytes() + bytes(3_000))
    with Store(directory) as db:
        assert ids(db) == ["a"]


@needs_room
@pytest.mark.parametrize("written", [0, 1, 5_000])
def test_a_disk_without_room_for_zeros_is_written_all_the_same(
    directory: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Ensure commits are durable where there is no room for zeros, or only for some of them."""
    real, left = os.pwrite, written

    def refuse(descriptor: int, data: memoryview, offset: int) -> int:
        nonlocal left
        if left <= 0:
            left = written
            raise OSError(errno.ENOSPC, "no space left")
        count, left = min(left, len(data)), 0
        return real(descriptor, data[:count], offset)

    monkeypatch.setattr(os, "pwrite", refuse)
    with Store(directory) as db:
        for key in "abc":
            db.users.insert(User(id=key))
        assert journal_of(directory).endswith(b'"}\n')
    with Store(directory) as db:
        assert ids(db) == ["a", "b", "c"]


@pytest.mark.skipif(not hasattr(os, "RWF_DSYNC"), reason="this system writes and syncs in two calls")
@pytest.mark.parametrize("code", [*DISK_FULL, errno.EIO])
def test_what_a_failed_call_means(directory: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Ensure no room means that the bytes aren't there, and any other error that nobody knows."""
    files = Files(directory)
    files.make_directory()
    file = files.create("some")
    file.write_zeros(0, 100)
    real = os.pwritev

    def fail(*_: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pwritev", fail)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        file.write_synced(b"lost", 0)
    assert isinstance(caught.value, SyncFailed) == (code not in DISK_FULL)
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, *rest: real(fd, [buffers[0][:2]], *rest))
    file.write_synced(b"whole", 0)
    file.close()
    assert files.read("some").rstrip(b"\0") == b"whole"


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failed_append_is_rolled_back(directory: Path, operation: str) -> None:
    """Ensure a frame that fails among the zeros is taken back, and what follows survives with all before it."""
    disk = Disk()
    with FaultyStore(directory, disk, fsync=True) as db:
        db.users.insert(User(id="a"))
        disk.fail(operation, errno.ENOSPC, name=JOURNAL)
        with pytest.raises(WriteFailed):
            db.users.insert(User(id="lost"))
        try:
            db.users.insert(User(id="b"))
        except ReadOnlyStore:
            db.persist()
            db.users.insert(User(id="b"))
        assert ids(db) == ["a", "b"]
    with Store(directory) as again:
        assert ids(again) == ["a", "b"]
