"""A disk in memory that remembers what was synced: it stands in for `storage.files.Files`, the store's one seam.

Every operation is recorded. From the record follows what a crash at any point may legally leave (`crash.py`): what was
written but not synced may be there, be gone, or be torn; names that were made but not synced may be there or not.

A sync of a file that fails is an operation too: the kernel takes the pages for clean then, though the disk may lack
them, and no later sync of the file makes them durable (Rebello et al., ATC 2020).
"""

import errno
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from snaptable.storage.disk.files import File, Files, HeldLock, Identity
from snaptable.testing.faults import DiskFaults

ROOT = Path("/simulated")
PREALLOCATE_FROM = 1200
"""Room is reserved for small files already, so that a search meets that."""
PREALLOCATION = 1500
"""Little room is reserved here, so that a search meets the moments at which more is."""
_numbers = itertools.count(1)

Kind = Literal["mkdir", "create", "write", "reserve", "truncate", "sync", "rename", "unlink", "syncdir", "sync failed"]


@dataclass(frozen=True, slots=True)
class Operation:
    """Be one thing that was done to the disk."""

    kind: Kind
    name: str = ""
    inode: int = 0
    offset: int = 0
    data: bytes = b""
    target: str = ""


@dataclass
class Contents:
    """Be what is on a disk: directories, names, and the bytes of each file."""

    directories: set[str]
    names: dict[str, int]
    inodes: dict[int, bytes]

    def copy(self) -> "Contents":
        """Return an independent copy."""
        return Contents(set(self.directories), dict(self.names), dict(self.inodes))

    def signature(self) -> frozenset[object]:
        """Return what tells these contents from others that would read differently."""
        return frozenset((*self.directories, *((name, self.inodes[inode]) for name, inode in self.names.items())))


EMPTY = Contents(set(), {}, {})


class _Locked:
    """Be a lock on a simulated file; it goes with the disk, as a kernel's lock goes with the process."""

    def __init__(self, disk: "SimulatedDisk", name: str) -> None:
        self._disk, self._name = disk, name

    def release(self) -> None:
        """Let others in."""
        self._disk.locked.discard(self._name)


class SimulatedFile(File):
    """Be an open file of a simulated disk."""

    def __init__(self, disk: "SimulatedDisk", name: str, inode: int, position: int) -> None:
        super().__init__(-1)
        self._disk, self._name, self._inode, self._position = disk, name, inode, position

    def write(self, buffers: Sequence[bytes]) -> None:
        """Write the buffers at the present position."""
        data = b"".join(buffers)
        self._disk.accepted = 0
        try:
            self._disk.do(Operation("write", self._name, self._inode, self._position, data))
        finally:
            # As much as was written, also where only a part was.
            self._position += self._disk.accepted

    def start_writeback(self) -> None:
        """Do nothing: what was not synced may be on the disk or not, whatever was begun."""

    def sync(self) -> None:
        """Make the file's bytes durable."""
        if self._disk.fsync:
            self._disk.do(Operation("sync", self._name, self._inode))

    def append_synced(self, data: bytes) -> None:
        """Write and sync, in two operations: a crash may come between."""
        self._append_then_sync(data)

    def preallocate(self, start: int, count: int) -> None:
        """Lengthen the file by zeros."""
        self._disk.do(Operation("reserve", self._name, self._inode, start + count))

    def truncate(self, size: int) -> None:
        """Cut the file, and continue there."""
        self._disk.do(Operation("truncate", self._name, self._inode, size))
        self._position = size

    def identity(self) -> Identity:
        """Return what tells this file, with this content, from any other."""
        return self._disk.identity_of(self._inode)

    def close(self) -> None:
        """Close the file; it may fail, as on a disk that finds out only now that it is full."""
        try:
            self._disk.meet("close", self._name)
        finally:
            self._disk.closed(self._inode)


class SimulatedDisk(Files):
    """Be a store's directory in memory, recording every operation.

    Attributes:
        operations: what was done since the disk was made, in order.
        before: called before each operation; may raise.
        faults: what goes wrong, when.
    """

    def __init__(
        self,
        contents: Contents = EMPTY,
        root: Path = ROOT,
        *,
        fsync: bool = True,
        faults: DiskFaults | None = None,
        done: Sequence[Operation] = (),
    ) -> None:
        """Take what is on the disk, and what was done to it since it was last switched on."""
        super().__init__(root, fsync=fsync)
        self.preallocation = PREALLOCATION if fsync else 0
        self.preallocate_from = PREALLOCATE_FROM if fsync else sys.maxsize
        self.start = contents.copy()
        self.contents = contents.copy()
        self.operations: list[Operation] = list(done)
        self.locked: set[str] = set()
        self.accepted = 0
        """Bytes of the last write that were taken, be it a part of them."""
        self.before: Callable[[Operation], None] = lambda _: None
        self.faults = faults or DiskFaults()
        for operation in done:
            apply(self.contents, operation)

    def do(self, operation: Operation) -> None:
        """Let an operation happen, and record it; or fail, wholly or half-way."""
        self.before(operation)
        met = self.faults.meet(operation.kind, operation.target or operation.name, len(operation.data))
        if met is None:
            self.happen(operation)
            return
        error, how, size = met
        if how == "after":
            self.happen(operation)
        elif how == "short" and operation.kind == "write":
            self.happen(replace(operation, data=operation.data[:size]))
        elif operation.kind == "sync" and isinstance(error, OSError):
            self.happen(replace(operation, kind="sync failed"))
        raise error

    def happen(self, operation: Operation) -> None:
        """Record an operation and bring the contents up to it."""
        self.operations.append(operation)
        self.accepted = len(operation.data)
        apply(self.contents, operation)

    def meet(self, operation: str, name: str) -> None:
        """Let something that changes nothing on the disk take its time, or fail."""
        met = self.faults.meet(operation, name)
        if met is not None:
            raise met[0]

    def closed(self, inode: int) -> None:
        """Do nothing: a file in memory needs no closing."""

    def resumed(self, point: int) -> "SimulatedDisk":
        """Return this disk as a process finds it that was started after another was killed at a point."""
        return SimulatedDisk(self.start, self.root, fsync=self.fsync, done=self.operations[:point])

    def identity_of(self, inode: int) -> Identity:
        """Return a file's identity; its content stands in for the time it was changed."""
        data = self.contents.inodes[inode]
        return Identity(1, inode, len(data), hash(data))

    # ── what Files offers ───────────────────────────────────────────────────────────────────────────────────────────

    def exists(self) -> bool:
        """Return whether the directory is there."""
        return "" in self.contents.directories

    def make_directory(self, name: str = "") -> bool:
        """Create a directory and sync its entry."""
        if name in self.contents.directories:
            return False
        self.do(Operation("mkdir", name))
        self.sync_directory(_folder(name) if name else "/")
        return True

    def check_directory(self, name: str = "") -> str | None:  # noqa: ARG002 - nobody else is there
        """Return None: nobody else can write to a simulated directory."""
        return None

    def exposed(self, name: str) -> str | None:  # noqa: ARG002 - nobody else is there
        """Return None: nobody else can read a simulated file."""
        return None

    def list(self, name: str = "") -> list[str]:
        """Return the names in a directory, sorted."""
        self.meet("list", name)
        folder = name.rstrip("/")
        return sorted(found.rpartition("/")[2] for found in self.contents.names if _folder(found) == folder)

    def sync_directory(self, name: str = "") -> None:
        """Make the names in a directory durable."""
        if self.fsync:
            self.do(Operation("syncdir", name))

    def create(self, name: str) -> File:
        """Create a file that must not exist yet."""
        if name in self.contents.names:
            raise FileExistsError(errno.EEXIST, "exists", name)
        inode = next(_numbers)
        self.do(Operation("create", name, inode))
        return SimulatedFile(self, name, inode, 0)

    def append(self, name: str) -> File:
        """Open a file to write at its end."""
        self.meet("open", name)
        inode = self._inode(name)
        return SimulatedFile(self, name, inode, len(self.contents.inodes[inode]))

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        self.meet("read", name)
        return self.contents.inodes[self._inode(name)]

    def _inode(self, name: str) -> int:
        if name not in self.contents.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return self.contents.names[name]

    def inspect(self, name: str) -> Identity | None:
        """Return a file's identity, None where there is none."""
        self.meet("inspect", name)
        return self.identity(name)

    def identity(self, name: str) -> Identity | None:
        """Return a file's identity, None where there is none."""
        inode = self.contents.names.get(name)
        return None if inode is None else self.identity_of(inode)

    def inode(self, name: str) -> tuple[int, int] | None:
        """Return a file's number, None where there is none."""
        found = self.inspect(name)
        return None if found is None else found[:2]

    def lock(self, name: str) -> HeldLock:
        """Lock a file for this simulated process."""
        self.meet("lock", name)
        if name in self.locked:
            raise BlockingIOError(errno.EAGAIN, "locked", name)
        if name not in self.contents.names:
            self.do(Operation("create", name, next(_numbers)))
        self.locked.add(name)
        return _Locked(self, name)

    def retain(self, name: str) -> None:
        """Return None: closing a replaced file changes nothing on the disk, and its time would differ between runs."""

    def overwrite(self, name: str, content: bytes) -> None:
        """Replace a file's content in place."""
        inode = self._inode(name)
        self.do(Operation("truncate", name, inode))
        self.do(Operation("write", name, inode, data=content))

    def replace(self, source: str, target: str) -> None:
        """Give a file another file's name."""
        self._inode(source)
        self.do(Operation("rename", source, self.contents.names[source], target=target))

    def remove(self, name: str) -> None:
        """Remove a file's name."""
        self.do(Operation("unlink", name, self._inode(name)))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def apply(contents: Contents, operation: Operation) -> None:
    """Bring contents up to an operation, as a running system shows it."""
    if operation.kind in ("write", "reserve", "truncate"):
        before = contents.inodes[operation.inode]
        contents.inodes[operation.inode] = written(before, operation)
    elif operation.kind == "create":
        contents.inodes[operation.inode] = b""
        contents.names[operation.name] = operation.inode
    else:
        apply_to_names(contents, operation)


def apply_to_names(contents: Contents, operation: Operation) -> None:
    """Bring names up to an operation on a directory."""
    match operation.kind:
        case "mkdir":
            contents.directories.add(operation.name)
        case "create":
            contents.names[operation.name] = operation.inode
        case "rename":
            contents.names.pop(operation.name, None)
            contents.names[operation.target] = operation.inode
        case "unlink":
            contents.names.pop(operation.name, None)


def written(before: bytes, operation: Operation) -> bytes:
    """Return a file's bytes after a write, a reservation or a truncation."""
    if operation.kind == "reserve":
        return before.ljust(operation.offset, b"\0")
    if operation.kind == "truncate":
        return before[: operation.offset].ljust(operation.offset, b"\0")
    end = operation.offset + len(operation.data)
    return before[: operation.offset].ljust(operation.offset, b"\0") + operation.data + before[end:]
