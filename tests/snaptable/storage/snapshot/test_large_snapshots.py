"""Large snapshots beside commits: written in small slices, each synced; what they replace is freed in small steps.

Nobody who has a file open finds it cut, and no copy under another name is.
"""

import fcntl
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.snaptable.storage.support import SNAPSHOT, Store, User, ids
from tests.snaptable.support import start

from snaptable.storage.background import BackgroundThread, Task
from snaptable.storage.disk.files import File, Files
from snaptable.storage.snapshot import checkpointer, replaced_files
from snaptable.storage.snapshot.replaced_files import ReplacedFiles
from snaptable.storage.snapshot.write_pacer import SLICE, slices

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has leases of files")
SECONDS = 30.0
MIB = 1 << 20


@given(st.lists(st.lists(st.binary(max_size=40), max_size=5), max_size=6), st.integers(1, 50))
def test_slices_are_the_same_bytes(chunks: list[list[bytes]], size: int) -> None:
    """Whatever the buffers, no slice but the last is larger or smaller than asked for."""
    found = [b"".join(part) for part in slices(chunks, size)]
    assert b"".join(found) == b"".join(b"".join(chunk) for chunk in chunks)
    assert all(len(part) == size for part in found[:-1])
    assert all(0 < len(part) <= size for part in found[-1:])


class Watched(Files):
    """A directory of which every operation of some kinds is recorded, with how many bytes it was about."""

    def __init__(self, root: Path, *, fsync: bool) -> None:
        super().__init__(root, fsync=fsync)
        self.done: list[tuple[str, int]] = []

    def create(self, name: str) -> File:
        """Create a file of which writes and syncs are recorded, if it is a snapshot."""
        file = super().create(name)
        return WatchedFile(file, self.done, "published") if "snapshot" in name else file

    def retain(self, name: str) -> File | None:
        """Open a file of which cuts and the close are recorded."""
        file = super().retain(name)
        return None if file is None else WatchedFile(file, self.done, "close")


class WatchedFile(File):
    """A file whose operations are recorded."""

    def __init__(self, file: File, done: list[tuple[str, int]], end: str) -> None:
        super().__init__(file._descriptor, fsync=file._fsync)
        self._done, self._end = done, end

    def write(self, buffers: Sequence[bytes]) -> None:
        """Write."""
        self._done.append(("write", sum(map(len, buffers))))
        super().write(buffers)

    def sync(self) -> None:
        """Sync."""
        self._done.append(("sync", 0))
        super().sync()

    def truncate(self, size: int) -> None:
        """Cut."""
        self._done.append(("cut", self.identity().size - size))
        super().truncate(size)

    def close(self) -> None:
        """Close."""
        if self._descriptor >= 0:
            self._done.append((self._end, self.identity().size))
        super().close()


@pytest.fixture
def large(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, Watched]]:
    """Give a store of 3 MiB, whose files are watched, that saves in the background at once, and cuts by the MiB."""
    for module, name, value in (
        (checkpointer, "DELAY", 3600.0),  # until all is saved: what the background did by then would be recorded too
        (replaced_files, "DELAY", 0.05),
        (replaced_files, "RETRY", 0.05),
        (replaced_files, "CUT", MIB),
    ):
        monkeypatch.setattr(module, name, value)
    opened: list[Watched] = []

    def mount(root: Path, *, fsync: bool) -> Files:
        opened.append(Watched(root, fsync=fsync))
        return opened[-1]

    with Store(directory, snapshot="background", filesystem=mount) as db:
        db.users.insert_many([User(id=str(number), note="n" * 30_000) for number in range(115)])
        db.persist()
        opened[-1].done.clear()
        monkeypatch.setattr(checkpointer, "DELAY", 0.01)
        yield db, opened[-1]


def wait_for(condition: Callable[[], Any]) -> None:
    """Return when something is true."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def save(db: Store, number: int = 0) -> None:
    """Commit, and return when the background has saved it."""
    db.users.update(str(number), note=f"changed {number}")
    wait_for(lambda: db.status().snapshot_sequence == db.status().sequence)


def test_a_snapshot_is_synced_slice_by_slice(large: tuple[Store, Watched]) -> None:
    """Ensure the disk is never handed more than a slice between two syncs, and commits find it idle in between."""
    db, watched = large
    save(db)
    unsynced, most = 0, 0
    for kind, size in watched.done:
        unsynced = {"write": unsynced + size, "sync": 0}.get(kind, unsynced)
        most = max(most, unsynced)
    assert most == SLICE
    assert sum(size for kind, size in watched.done if kind == "write") > 3 * MIB


def test_a_snapshot_that_is_waited_for_is_not_slowed(
    large: tuple[Store, Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure `persist` writes at the disk's pace, and syncs once."""
    db, watched = large
    monkeypatch.setattr(checkpointer, "DELAY", 3600.0)  # so that the background does not begin one before it
    db.users.update("0", note="changed")
    db.persist()
    assert [kind for kind, _ in watched.done].count("sync") == 1


@linux_only
def test_the_replaced_file_is_freed_in_steps(large: tuple[Store, Watched]) -> None:
    """Ensure nothing but an empty file is closed, and no step frees more than it should."""
    db, watched = large
    save(db)
    wait_for(lambda: any(kind == "close" for kind, _ in watched.done[-1:]))
    cuts = [size for kind, size in watched.done if kind == "cut"]
    assert len(cuts) >= 3
    assert max(cuts) == MIB
    assert watched.done[-1] == ("close", 0)


@linux_only
@pytest.mark.parametrize("how", ["read", "mapped", "child"])
def test_who_has_the_file_open_reads_it_whole(large: tuple[Store, Watched], how: str) -> None:
    """Ensure a reader that is slower than the next snapshots finds every byte, however it holds the file."""
    db, watched = large
    path = Path(db.directory or "") / SNAPSHOT
    before = path.read_bytes()
    if how == "mapped":
        with path.open("rb") as file:
            held: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    elif how == "child":
        program = (
            "import sys; f = open(sys.argv[1], 'rb'); print(flush=True); input(); sys.stdout.buffer.write(f.read())"
        )
        held = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        held.stdout.readline()
    else:
        held = path.open("rb")
    for number in range(3):
        save(db, number)
    time.sleep(0.3)
    read = held.communicate(b"\n")[0] if how == "child" else held.read()
    assert read == before
    held.wait() if how == "child" else held.close()
    wait_for(lambda: sum(kind == "close" for kind, _ in watched.done) >= 3)


@linux_only
def test_a_reader_is_waited_for_but_not_for_ever(large: tuple[Store, Watched], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a file that somebody keeps open is closed here after some time, whole."""
    monkeypatch.setattr(replaced_files, "TRIES", 3)
    db, watched = large
    with (Path(db.directory or "") / SNAPSHOT).open("rb") as file:
        save(db)
        wait_for(lambda: any(kind == "close" and size > 0 for kind, size in watched.done[-1:]))
        assert not [size for kind, size in watched.done if kind == "cut"]
        assert len(file.read()) > 3 * MIB


@linux_only
def test_nothing_is_cut_before_its_time(large: tuple[Store, Watched], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a snapshot that is waited for, and freed at once, does not have the one before it cut at once as well."""
    monkeypatch.setattr(replaced_files, "DELAY", 3600.0)
    db, watched = large
    save(db)
    db.users.update("1", note="changed")
    db.persist()
    wait_for(lambda: any(kind == "close" for kind, _ in watched.done))
    assert not any(kind == "cut" for kind, _ in watched.done)


@linux_only
def test_another_name_of_the_file_keeps_it(large: tuple[Store, Watched]) -> None:
    """Ensure a snapshot that somebody gave a second name, as backups do, stays as it is under that."""
    db, _ = large
    path = Path(db.directory or "") / SNAPSHOT
    before = path.read_bytes()
    os.link(path, path.with_name("kept.json"))
    save(db)
    time.sleep(0.3)
    assert path.with_name("kept.json").read_bytes() == before
    assert path.read_bytes() != before


@linux_only
def test_a_lease_that_is_broken_ends_nothing(directory: Path) -> None:
    """Ensure the signal by which the system tells of it is one that this process survives, and the lease says no."""
    files = Files(directory)
    files.make_directory()
    for _ in range(2):
        file = files.create("some")
        file.write([b"content"])
        assert file.lease() is None, "it has a name"
        files.remove("some")
        assert file.lease() is True
        assert file.lease() is True
        with pytest.raises(BlockingIOError):
            os.open(f"/proc/self/fd/{file._descriptor}", os.O_RDONLY | os.O_NONBLOCK)
        assert file.lease() is False
        file.close()
    assert fcntl.fcntl(0, fcntl.F_GETFD) >= 0
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL


@pytest.mark.parametrize("slowly", [False, True])
def test_a_file_that_is_freed_while_the_next_is_replaced(directory: Path, *, slowly: bool) -> None:
    """Ensure nothing is raised where the background frees the last file just when another has to make room."""

    class Freed(dict[File, tuple[int, float]]):
        """The files, all of which the background takes out just before somebody looks at the first one."""

        def __iter__(self) -> Iterator[File]:
            for file in list(self.keys()):
                del self[file]
                file.close()
            return super().__iter__()

    class Late(BackgroundThread):
        """A background that gets to nothing by itself."""

        def run(self, task: Task, delay: float = 0.0) -> bool:
            """Do nothing."""
            return True

    files = Files(directory)
    files.make_directory()
    replaced = ReplacedFiles(files, Late("test"), lambda: False)
    replaced._open = Freed()
    for _ in range(4):
        file = files.create(SNAPSHOT)
        file.write([b"content"])
        file.close()
        with replaced.retaining(replaced_files.RETAIN_FROM, slowly=slowly):
            files.remove(SNAPSHOT)
        assert len(replaced._open) == 1  # the one that was just replaced; those before it were freed
    replaced.close()
    assert not replaced._open


def test_a_store_closes_while_something_is_freed(large: tuple[Store, Watched], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure closing waits for no reader, and leaves no descriptor open."""
    monkeypatch.setattr(replaced_files, "RETRY", 3600.0)
    db, watched = large
    with (Path(db.directory or "") / SNAPSHOT).open("rb"):
        save(db)
        start(db.close).result(SECONDS)
    kinds = [kind for kind, _ in watched.done]
    assert kinds.count("close") == 1
    with Store(db.directory or "", read_only=True) as again:
        assert len(ids(again)) == 115
