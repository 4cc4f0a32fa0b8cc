"""A real directory whose store runs as on a simulated disk: every operation takes place in both.

So a person can look at the files, and yet what a power cut may leave is known, any operation can fail, and a process
can be killed. Nothing is really synced, which makes it fast.
"""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import BinaryIO

from snaptable.storage.disk import names
from snaptable.storage.disk.files import File, Files, HeldLock, Identity
from snaptable.testing.crash import Model, UnsyncedChanges, sample
from snaptable.testing.disk import Contents, Operation, SimulatedDisk
from snaptable.testing.faults import DiskFaults


class ProcessKilled(OSError):
    """The error of every file operation after the simulated process was killed, or its power cut."""


class RealLock:
    """A lock on the real file, which the directory releases when the process is killed."""

    def __init__(self, directory: "RecordedDirectory", lock: HeldLock) -> None:
        self._directory, self._lock = directory, lock
        directory.locks.append(self)

    def release(self) -> None:
        """Release the lock."""
        self._directory.locks = [other for other in self._directory.locks if other is not self]
        self._lock.release()


class RecordedDirectory(SimulatedDisk):
    """A store's real directory, and the record of what is not durable in it.

    Attributes:
        unsynced: by model, what a power cut may take.
        operations_left: how many operations until the process is killed; None for never.
        locks: the locks that are held.
    """

    def __init__(
        self, root: Path, faults: DiskFaults, previous: "RecordedDirectory | None" = None, *, fsync: bool
    ) -> None:
        """Take the directory as it is, and what an earlier process left unsynced in it."""
        present = contents_of(root, previous.contents.directories if previous is not None else ())
        if previous is not None and previous.contents.signature() == present.signature():
            present, unsynced = previous.contents, previous.unsynced
        else:
            unsynced = {
                "ordered": UnsyncedChanges(present.copy(), ordered=True),
                "weak": UnsyncedChanges(present.copy()),
            }
        super().__init__(present, root, fsync=fsync, faults=faults)
        self.unsynced: dict[Model, UnsyncedChanges] = unsynced
        self.operations_left: int | None = None
        self.locks: list[RealLock] = []
        self._real = Files(root, fsync=False)
        self._open_files: dict[int, File] = {}
        self._killed = ""
        self._mutex = threading.RLock()

    # ── every operation, twice ──────────────────────────────────────────────────────────────────────────────────────

    def perform(self, operation: Operation) -> None:
        """Perform an operation, unless the process is killed by now."""
        with self._mutex:
            if self.operations_left is not None:
                self.operations_left -= 1
                if self.operations_left < 0:
                    self.kill("the power was cut here")
        super().perform(operation)

    def record(self, operation: Operation) -> None:
        """Perform an operation in the real directory as well, and add it to what is not synced."""
        with self._mutex:
            if self._killed:
                raise ProcessKilled(errno.EIO, self._killed)
            self._perform_for_real(operation)
            super().record(operation)
            self.operations.clear()  # `unsynced` has what counts
            for changes in self.unsynced.values():
                changes.add(operation)
                if operation.kind == "syncdir":
                    changes.drop_unreachable()

    def _perform_for_real(self, operation: Operation) -> None:
        match operation.kind:
            case "mkdir":
                self._real.make_directory(operation.name)
            case "create" if operation.name not in self._real.list(operation.name.rpartition("/")[0]):
                self._open_files[operation.inode] = self._real.create(operation.name)
            case "write" | "zeros" | "reserve" | "truncate":
                self._change_bytes_for_real(operation)
            case "rename":
                self._real.replace(operation.name, operation.target)
            case "unlink":
                self.file_closed(operation.inode)
                self._real.remove(operation.name)

    def _change_bytes_for_real(self, operation: Operation) -> None:
        file = self._open_files.get(operation.inode) or self._real.append(operation.name)
        self._open_files[operation.inode] = file
        if operation.kind == "write":
            file.seek(operation.offset)
            file.write([operation.data])
        elif operation.kind == "zeros":
            file.write_zeros(operation.offset, len(operation.data))
        elif operation.kind == "reserve":
            size = file.identity().size
            file.preallocate(size, operation.offset - size)
        else:
            file.truncate(operation.offset)

    def file_closed(self, inode: int) -> None:
        """Close the real file as well."""
        file = self._open_files.pop(inode, None)
        if file is not None:
            file.close()

    # ── what the real directory holds ───────────────────────────────────────────────────────────────────────────────

    def read(self, name: str) -> bytes:
        """Return the content of the real file, which a person may have edited."""
        self.raise_if_failing("read", name)
        return self._real.read(name)

    def open(self, name: str) -> BinaryIO:
        """Open the real file."""
        self.raise_if_failing("read", name)
        return self._real.open(name)

    def walk(self, folder: str) -> Iterator[str]:
        """Yield the names of the real files below a folder."""
        return self._real.walk(folder)

    def inspect(self, name: str) -> Identity | None:
        """Return the real file's identity."""
        self.raise_if_failing("inspect", name)
        return self._real.inspect(name)

    def identity(self, name: str) -> Identity | None:
        """Return the real file's identity."""
        return self._real.identity(name)

    def identity_of(self, inode: int) -> Identity:
        """Return the real identity of an open file."""
        return self._open_files[inode].identity() if inode in self._open_files else super().identity_of(inode)

    def check_directory(self, name: str = "") -> str | None:
        """Check the real directory."""
        return self._real.check_directory(name)

    def exposed(self, name: str) -> str | None:
        """Check the real file."""
        return self._real.exposed(name)

    def lock(self, name: str) -> HeldLock:
        """Lock the real file, so that another process is kept out."""
        self.raise_if_failing("lock", name)
        lock = RealLock(self, self._real.lock(name))
        if name not in self.contents.names:
            super().lock(name)
        return lock

    # ── ends ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def kill(self, reason: str) -> None:
        """Let no operation reach the directory any more, and release the lock, as the system does for a dead process.

        Args:
            reason: the message of the error that later operations raise.
        """
        with self._mutex:
            self._killed = self._killed or reason
            for lock in list(self.locks):
                lock.release()
            for inode in list(self._open_files):
                self.file_closed(inode)

    def lose_unsynced(self, model: Model, rng: Random) -> None:
        """Leave in the directory one of the states that a power cut may leave."""
        write_contents(self.root, sample(self.unsynced[model], rng))


def contents_of(root: Path, folders: Iterable[str] = ()) -> Contents:
    """Return what a store's directory holds: its own files, not those of the application beside them.

    Args:
        root: the store's directory.
        folders: further folders, in which an application writes through the store's own disk.
    """
    contents = Contents(set(), {}, {})
    for name, path in store_files(root, contents.directories.add, folders):
        inode = -1 - len(contents.names)
        contents.names[name] = inode
        contents.inodes[inode] = path.read_bytes()
    return contents


def store_files(root: Path, directory: Callable[[str], object], folders: Iterable[str] = ()) -> list[tuple[str, Path]]:
    """Return the store's own files below a directory, and all in further folders.

    Args:
        root: the store's directory.
        directory: called with the name of each folder that exists.
        folders: the further folders.
    """
    files = []
    for folder in dict.fromkeys(("", names.JOURNAL, names.QUARANTINE, names.BEFORE, *sorted(folders))):
        if not (root / folder).is_dir():
            continue
        directory(folder)
        for path in sorted((root / folder).iterdir()):
            own = bool(folder) or path.name in (names.SNAPSHOT, names.LOCK) or names.is_temporary(path.name)
            if own and path.is_file() and not path.is_symlink():
                files.append((f"{folder}/{path.name}" if folder else path.name, path))
    return files


def write_contents(root: Path, contents: Contents) -> None:
    """Make a store's directory hold exactly these contents; the application's files beside them are left alone."""
    for _, path in store_files(root, lambda _: None, contents.directories):
        path.unlink()
    for folder in (names.JOURNAL, names.QUARANTINE, names.BEFORE):
        if folder not in contents.directories:
            shutil.rmtree(root / folder, ignore_errors=True)
    if "" not in contents.directories:
        with suppress(OSError):
            root.rmdir()
        return
    for folder in contents.directories:
        (root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, inode in contents.names.items():
        with (root / name).open("xb") as file:
            os.chmod(file.fileno(), 0o600)  # noqa: PTH101 - by descriptor
            file.write(contents.inodes[inode])
