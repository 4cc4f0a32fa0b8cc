"""The room reserved behind the journal's frames: there while it is written, nothing to anybody who reads it."""

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

needs_room = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")


def journal_of(directory: Path) -> bytes:
    """Return the bytes of the only journal file."""
    (path,) = segments(directory)
    return path.read_bytes()


@needs_room
def test_room_is_reserved_and_given_back(directory: Path) -> None:
    """Ensure the file ends in zeros while it is written, and in its last line once the store is closed."""
    with Store(directory) as db:
        db.users.insert(User(id="a"))
        assert b'"}\n' + bytes(1_000) in journal_of(directory)
    assert journal_of(directory).endswith(b'"}\n')
    with Store(directory) as db:
        assert ids(db) == ["a"]


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


def test_a_disk_that_reserves_nothing_is_written_all_the_same(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure commits are durable where the system can't reserve room, or has none left to reserve."""

    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
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
    file.preallocate(0, 100)
    real = os.pwritev

    def fail(*_: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pwritev", fail)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        file.append_synced(b"lost")
    assert isinstance(caught.value, SyncFailed) == (code not in DISK_FULL)
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, *rest: real(fd, [buffers[0][:2]], *rest))
    file.append_synced(b"whole")
    file.close()
    assert files.read("some").rstrip(b"\0") == b"whole"


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failed_append_is_rolled_back(directory: Path, operation: str) -> None:
    """Ensure a frame that fails in reserved room is taken back, and what follows survives with all before it."""
    disk = Disk()
    with FaultyStore(directory, disk) as db:
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
