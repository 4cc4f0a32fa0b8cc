"""A disk in memory that remembers what was synced: it stands in for `storage.disk.files.Files`, the one seam to the OS.

Every operation is recorded. From the record follows what a crash at any point may legally leave (`crash.py`): bytes
that were written and not synced may be there, be gone, or be torn; so may names whose directory was not synced.

A sync of a file that fails is recorded too: the kernel then marks the pages clean though the disk may lack them, and
no later sync of the file makes them durable (Rebello et al., ATC 2020).
"""

import errno
import io
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from snaptable.storage.disk.files import File, Files, HeldLock, Identity
from snaptable.testing.faults import DiskFaults

ROOT = Path("/simulated")
PREALLOCATE_FROM = 1200
"""Bytes from which on a new file is preallocated; few, so that a search meets such files."""
ROOM = 1500
"""Bytes of zeros behind a journal; few, so that a search meets the moments at which more are written."""
_inode_numbers = itertools.count(1)

Kind = Literal[
    "mkdir", "create", "write", "zeros", "reserve", "truncate", "sync", "rename", "exchange", "unlink", "syncdir",
    "sync failed"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of the disk, or one sync."""

    kind: Kind
    name: str = ""
    inode: int = 0
    offset: int = 0
    data: bytes = b""
    target: str = ""


@dataclass
class Contents:
    """Everything on a disk: its directories, the inode of each name, and the bytes of each inode."""

    directories: set[str]
    names: dict[str, int]
    inodes: dict[int, bytes]

    def copy(self) -> "Contents":
        """Return an independent copy."""
        return Contents(set(self.directories), dict(self.names), dict(self.inodes))

    def signature(self) -> frozenset[object]:
        """Return a value that is equal for contents that read the same, whatever their inode numbers."""
        return frozenset((*self.directories, *((name, self.inodes[inode]) for name, inode in self.names.items())))


EMPTY = Contents(set(), {}, {})


class SimulatedLock:
    """A lock on a simulated file; it vanishes with the disk, as a kernel's lock does with the process."""

    def __init__(self, disk: "SimulatedDisk", name: str) -> None:
        self._disk, self._name = disk, name

    def release(self) -> None:
        """Release the lock."""
        self._disk.locked.discard(self._name)


class SimulatedFile(File):
    """An open file of a simulated disk."""

    def __init__(self, disk: "SimulatedDisk", name: str, inode: int, position: int) -> None:
        super().__init__(-1)
        self._disk, self._name, self._inode, self._position = disk, name, inode, position

    def write(self, buffers: Sequence[bytes]) -> None:
        """Write the buffers at the present position."""
        data = b"".join(buffers)
        self._disk.last_write_size = 0
        try:
            self._disk.perform(Operation("write", self._name, self._inode, self._position, data))
        finally:
            # By as much as was written, which after a short write is less than all.
            self._position += self._disk.last_write_size

    def start_writeback(self) -> None:
        """Do nothing: any write may be on the disk before it is synced, whether writeback was started or not."""

    def sync(self) -> None:
        """Make the file's bytes durable."""
        if self._disk.fsync:
            self._disk.perform(Operation("sync", self._name, self._inode))

    def write_synced(self, data: bytes, start: int) -> None:
        """Write and sync, in two operations: a crash may come between them."""
        self._write_then_sync(data, start)

    def write_zeros(self, start: int, count: int) -> None:
        """Write zeros, an operation of its own, so that faults can strike it alone."""
        self._disk.perform(Operation("zeros", self._name, self._inode, start, bytes(count)))

    def preallocate(self, start: int, count: int) -> None:
        """Lengthen the file by zeros."""
        self._disk.perform(Operation("reserve", self._name, self._inode, start + count))

    def seek(self, position: int) -> None:
        """Continue writing at a position."""
        self._position = position

    def truncate(self, size: int) -> None:
        """Cut the file at `size`, and continue writing there."""
        self._disk.perform(Operation("truncate", self._name, self._inode, size))
        self._position = size

    def identity(self) -> Identity:
        """Return what distinguishes this file, with this content, from any other."""
        return self._disk.identity_of(self._inode)

    def close(self) -> None:
        """Close the file; may fail, as on a full disk that reports it only now."""
        try:
            self._disk.raise_if_failing("close", self._name)
        finally:
            self._disk.file_closed(self._inode)


class SimulatedDisk(Files):
    """A store's directory in memory, which records every operation.

    Attributes:
        start: what was on the disk when it was made.
        contents: what a running system sees on it now.
        operations: every operation since it was made, in order.
        locked: the names that are locked.
        last_write_size: bytes of the last write that were written.
        before: called before each operation; may raise.
        faults: how operations fail.
    """

    def __init__(
        self,
        contents: Contents = EMPTY,
        root: Path = ROOT,
        *,
        fsync: bool = True,
        faults: DiskFaults | None = None,
        operations: Sequence[Operation] = (),
    ) -> None:
        """Make a disk.

        Args:
            contents: what is durable on it.
            root: the path of the directory it stands for.
            fsync: False to record no syncs.
            faults: how operations fail; none fails if not given.
            operations: what was already done to the disk since then, and may be lost in a power cut.
        """
        super().__init__(root, fsync=fsync)
        self.room = ROOM if fsync else 0
        self.preallocate_from = PREALLOCATE_FROM if fsync else sys.maxsize
        self.start = contents.copy()
        self.contents = contents.copy()
        self.operations: list[Operation] = list(operations)
        self.locked: set[str] = set()
        self.last_write_size = 0
        self.before: Callable[[Operation], None] = lambda _: None
        self.faults = faults or DiskFaults()
        for operation in operations:
            apply(self.contents, operation)

    def mount(self, directory: Path, /, *, fsync: bool) -> "SimulatedDisk":  # noqa: ARG002 - it has one directory
        """Return the disk itself, for `Database(…, filesystem=disk.mount)`."""
        self.fsync = fsync
        return self

    def perform(self, operation: Operation) -> None:
        """Perform and record an operation, unless a fault makes it fail wholly or in part."""
        self.before(operation)
        failure = self.faults.next_failure(operation.kind, operation.target or operation.name, len(operation.data))
        if failure is None:
            self.record(operation)
            return
        if failure.how == "after":
            self.record(operation)
        elif failure.how == "short" and operation.kind in ("write", "zeros"):
            self.record(replace(operation, data=operation.data[: failure.written]))
        elif operation.kind == "sync" and isinstance(failure.error, OSError):
            self.record(replace(operation, kind="sync failed"))
        raise failure.error

    def record(self, operation: Operation) -> None:
        """Append an operation to the record and apply it to the contents."""
        self.operations.append(operation)
        self.last_write_size = len(operation.data)
        apply(self.contents, operation)

    def raise_if_failing(self, operation: str, name: str) -> None:
        """Delay an operation that changes nothing on the disk, and raise if a fault makes it fail."""
        failure = self.faults.next_failure(operation, name)
        if failure is not None:
            raise failure.error

    def file_closed(self, inode: int) -> None:
        """Do nothing: a file in memory needs no closing."""

    def after_kill(self, point: int) -> "SimulatedDisk":
        """Return this disk as a new process sees it, the old one having been killed after `point` operations."""
        return SimulatedDisk(self.start, self.root, fsync=self.fsync, operations=self.operations[:point])

    def identity_of(self, inode: int) -> Identity:
        """Return a file's identity, with a hash of its content for its modification time."""
        data = self.contents.inodes[inode]
        return Identity(1, inode, len(data), hash(data))

    # ── the methods of Files ────────────────────────────────────────────────────────────────────────────────────────

    def exists(self) -> bool:
        """Return whether the directory exists."""
        return "" in self.contents.directories

    def make_directory(self, name: str = "") -> bool:
        """Create a directory and sync its entry; return whether it was missing."""
        if name in self.contents.directories:
            return False
        self.perform(Operation("mkdir", name))
        self.sync_directory(_folder(name) if name else "/")
        return True

    def check_directory(self, name: str = "") -> str | None:  # noqa: ARG002 - no other user exists
        """Return None: no other user can write to a simulated directory."""
        return None

    def exposed(self, name: str) -> str | None:  # noqa: ARG002 - no other user exists
        """Return None: no other user can read a simulated file."""
        return None

    def list(self, name: str = "") -> list[str]:
        """Return the names in a directory, sorted."""
        self.raise_if_failing("list", name)
        folder = name.rstrip("/")
        return sorted(path.rpartition("/")[2] for path in self.contents.names if _folder(path) == folder)

    def sync_directory(self, name: str = "") -> None:
        """Make the names in a directory durable."""
        if self.fsync:
            self.perform(Operation("syncdir", name))

    def create(self, name: str) -> File:
        """Create a file that must not exist yet."""
        if name in self.contents.names:
            raise FileExistsError(errno.EEXIST, "exists", name)
        inode = next(_inode_numbers)
        self.perform(Operation("create", name, inode))
        return SimulatedFile(self, name, inode, 0)

    def append(self, name: str) -> File:
        """Open a file to write at its end."""
        self.raise_if_failing("open", name)
        inode = self._inode(name)
        return SimulatedFile(self, name, inode, len(self.contents.inodes[inode]))

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        self.raise_if_failing("read", name)
        return self.contents.inodes[self._inode(name)]

    def open(self, name: str) -> BinaryIO:
        """Return a file's content, to be read in parts."""
        return io.BytesIO(self.read(name))

    def walk(self, folder: str) -> Iterator[str]:
        """Yield the names of all files below a folder, sorted, but for those that begin with a dot."""
        below = (name for name in sorted(self.contents.names) if name.startswith(f"{folder}/"))
        return (name for name in below if not any(part.startswith(".") for part in name.split("/")))

    def _inode(self, name: str) -> int:
        if name not in self.contents.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return self.contents.names[name]

    def inspect(self, name: str) -> Identity | None:
        """Return a file's identity; None if it doesn't exist."""
        self.raise_if_failing("inspect", name)
        return self.identity(name)

    def identity(self, name: str) -> Identity | None:
        """Return a file's identity; None if it doesn't exist."""
        inode = self.contents.names.get(name)
        return None if inode is None else self.identity_of(inode)

    def inode(self, name: str) -> tuple[int, int] | None:
        """Return a file's device and inode; None if it doesn't exist."""
        identity = self.inspect(name)
        return None if identity is None else identity[:2]

    def lock(self, name: str) -> HeldLock:
        """Lock a file for this simulated process."""
        self.raise_if_failing("lock", name)
        if name in self.locked:
            raise BlockingIOError(errno.EAGAIN, "locked", name)
        if name not in self.contents.names:
            self.perform(Operation("create", name, next(_inode_numbers)))
        self.locked.add(name)
        return SimulatedLock(self, name)

    def retain(self, name: str) -> None:
        """Return None: closing a replaced file changes nothing on the disk, and its time would differ between runs."""

    def overwrite(self, name: str, content: bytes) -> None:
        """Replace a file's content in place."""
        inode = self._inode(name)
        self.perform(Operation("truncate", name, inode))
        self.perform(Operation("write", name, inode, data=content))

    def replace(self, source: str, target: str) -> None:
        """Rename a file over another."""
        self._inode(source)
        self.perform(Operation("rename", source, self.contents.names[source], target=target))

    def rename_new(self, source: str, target: str) -> None:
        """Rename a file to a name that nothing has."""
        if target in self.contents.names:
            raise FileExistsError(errno.EEXIST, "exists", target)
        self.replace(source, target)

    def remove(self, name: str) -> None:
        """Remove a file's name."""
        self.perform(Operation("unlink", name, self._inode(name)))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def apply(contents: Contents, operation: Operation) -> None:
    """Change contents as an operation changes what a running system sees."""
    if operation.kind in ("write", "zeros", "reserve", "truncate"):
        contents.inodes[operation.inode] = applied_to_bytes(contents.inodes[operation.inode], operation)
    elif operation.kind == "create":
        contents.inodes[operation.inode] = b""
        contents.names[operation.name] = operation.inode
    else:
        apply_to_names(contents, operation)


def apply_to_names(contents: Contents, operation: Operation) -> None:
    """Change directories and names as an operation does; its bytes, if it has any, are left alone."""
    match operation.kind:
        case "mkdir":
            contents.directories.add(operation.name)
        case "create":
            contents.names[operation.name] = operation.inode
        case "rename" if operation.name in contents.directories:
            _move(contents, {operation.name: operation.target})
        case "rename" if operation.inode:
            contents.names.pop(operation.name, None)
            contents.names[operation.target] = operation.inode
        case "exchange":
            _move(contents, {operation.name: operation.target, operation.target: operation.name})
        case "unlink":
            contents.names.pop(operation.name, None)


def _move(contents: Contents, folders: dict[str, str]) -> None:
    """Give folders other names, with all that is in them."""

    def moved(path: str) -> str:
        """Return where a path leads to then."""
        for old, new in folders.items():
            if path == old or path.startswith(f"{old}/"):
                return new + path[len(old) :]
        return path

    contents.directories = set(map(moved, contents.directories))
    contents.names = {moved(name): inode for name, inode in contents.names.items()}


def applied_to_bytes(before: bytes, operation: Operation) -> bytes:
    """Return a file's bytes after a write, of zeros or others, a reservation or a truncation."""
    if operation.kind == "reserve":
        return before.ljust(operation.offset, b"\0")
    if operation.kind == "truncate":
        return before[: operation.offset].ljust(operation.offset, b"\0")
    end = operation.offset + len(operation.data)
    return before[: operation.offset].ljust(operation.offset, b"\0") + operation.data + before[end:]
