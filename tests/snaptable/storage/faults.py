"""A disk that fails when told to: it stands where the store meets the operating system, and records what passes."""

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.snaptable.storage.support import Store

from snaptable.storage.disk.files import File, Files, Identity

FOREVER = 1_000_000


@dataclass
class Fault:
    """Something that goes wrong: which operation, on which name, how, and how often."""

    operation: str
    error: BaseException
    name: str = ""
    skip: int = 0
    times: int = 1
    how: str = "before"
    """"before": nothing happens; "after": it happens, then fails; "short": half is written; "lost": a sync drops what
    was written since the last one, as kernels do."""

    def fresh(self) -> BaseException:
        """Return the error to raise: a new one each time, as the system makes them."""
        return type(self.error)(*self.error.args)

    def strikes(self, operation: str, name: str) -> bool:
        """Return whether it strikes here, and count."""
        if self.operation not in (operation, "any") or self.name not in name:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


class Disk:
    """What is done to a store's file operations: recorded, delayed, failed."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, str]] = []
        self.before: Callable[[str, str], object] | None = None
        """Called before each operation with its name and the file's."""
        self.delays: dict[str, float] = {}
        self._faults: list[Fault] = []
        self._gate = threading.Lock()

    def fail(self, operation: str, error: int | BaseException = errno.EIO, **how: Any) -> Fault:
        """Let an operation fail with an errno, or with an exception; see Fault for how."""
        exception = OSError(error, os.strerror(error)) if isinstance(error, int) else error
        fault = Fault(operation, exception, **how)
        with self._gate:
            self._faults.append(fault)
        return fault

    def mend(self) -> None:
        """Let everything work again."""
        with self._gate:
            self._faults.clear()

    def count(self, operation: str, name: str = "") -> int:
        """Return how often an operation took place on names that contain this."""
        return sum(1 for done, where in list(self.operations) if done == operation and name in where)

    def meet(self, operation: str, name: str) -> Fault | None:
        """Record an operation; raise its fault, or return one that strikes in the middle of it."""
        if self.before is not None:
            self.before(operation, name)
        with self._gate:
            self.operations.append((operation, name))
            fault = next((fault for fault in self._faults if fault.strikes(operation, name)), None)
        if operation in self.delays:
            time.sleep(self.delays[operation])
        if fault is not None and (fault.how == "before" or not self._in_the_middle(operation, fault)):
            raise fault.fresh()
        return fault

    @staticmethod
    def _in_the_middle(operation: str, fault: Fault) -> bool:
        writes = ("write", "zeros")
        return operation in {"after": (*writes, "sync", "replace"), "short": writes, "lost": ("sync",)}[fault.how]


class FaultyFile(File):
    """A file on such a disk."""

    def __init__(self, inner: File, disk: Disk, name: str) -> None:
        super().__init__(inner._descriptor, fsync=inner._fsync)
        self._disk, self._name = disk, name
        self._synced = os.fstat(self._descriptor).st_size

    def write(self, buffers: Sequence[bytes]) -> None:
        """Write all, or half and fail."""
        fault = self._disk.meet("write", self._name)
        if fault is None:
            return super().write(buffers)
        data = b"".join(buffers)
        super().write([data[: len(data) // 2] if fault.how == "short" else data])
        raise fault.fresh()

    def sync(self) -> None:
        """Sync, or fail, losing what was not synced before where told so."""
        fault = self._disk.meet("sync", self._name)
        if fault is not None and fault.how == "lost":
            os.truncate(self._descriptor, self._synced)
            raise fault.fresh()
        super().sync()
        self._synced = os.fstat(self._descriptor).st_size
        if fault is not None:
            raise fault.fresh()

    def write_synced(self, data: bytes, start: int) -> None:
        """Write and sync, or either fails."""
        self._write_then_sync(data, start)

    def write_zeros(self, start: int, count: int) -> None:
        """Write zeros, all or half and fail."""
        fault = self._disk.meet("zeros", self._name)
        super().write_zeros(start, count // 2 if fault is not None and fault.how == "short" else count)
        if fault is not None:
            raise fault.fresh()

    def truncate(self, size: int) -> None:
        """Truncate, or fail."""
        self._disk.meet("truncate", self._name)
        super().truncate(size)

    def close(self) -> None:
        """Close; a failing close leaves no descriptor open, as on Linux."""
        try:
            self._disk.meet("close", self._name)
        finally:
            super().close()


class FaultyFiles(Files):
    """A directory on such a disk."""

    def __init__(self, root: Path, disk: Disk, *, fsync: bool) -> None:
        super().__init__(root, fsync=fsync)
        self._disk = disk

    def make_directory(self, name: str = "") -> bool:
        """Make a directory, or fail."""
        self._disk.meet("make_directory", name)
        return super().make_directory(name)

    def list(self, name: str = "") -> "list[str]":
        """List a directory, or fail."""
        self._disk.meet("list", name)
        return super().list(name)

    def sync_directory(self, name: str = "") -> None:
        """Sync a directory, or fail."""
        self._disk.meet("sync_directory", name)
        super().sync_directory(name)

    def create(self, name: str) -> File:
        """Create a file on this disk, or fail."""
        self._disk.meet("create", name)
        return FaultyFile(super().create(name), self._disk, name)

    def append(self, name: str) -> File:
        """Open a file on this disk, or fail."""
        self._disk.meet("append", name)
        return FaultyFile(super().append(name), self._disk, name)

    def read(self, name: str) -> bytes:
        """Read a file, or fail."""
        self._disk.meet("read", name)
        return super().read(name)

    def inspect(self, name: str) -> Identity | None:
        """Look at a file, or fail."""
        self._disk.meet("inspect", name)
        return super().inspect(name)

    def retain(self, name: str) -> None:
        """Return None: a replaced file is closed in the background, and two runs would not be the same operations."""

    def overwrite(self, name: str, content: bytes) -> None:
        """Overwrite a file, or fail."""
        self._disk.meet("overwrite", name)
        super().overwrite(name, content)

    def replace(self, source: str, target: str) -> None:
        """Rename a file, or fail, before or after."""
        fault = self._disk.meet("replace", target)
        super().replace(source, target)
        if fault is not None:
            raise fault.fresh()

    def rename_new(self, source: str, target: str) -> None:
        """Rename a file to a free name, or fail, before or after."""
        fault = self._disk.meet("replace", target)
        super().rename_new(source, target)
        if fault is not None:
            raise fault.fresh()

    def remove(self, name: str) -> None:
        """Remove a file, or fail."""
        self._disk.meet("remove", name)
        super().remove(name)


class FaultyStore(Store):
    """A store on such a disk."""

    def __init__(self, url: Path, disk: Disk, **options: Any) -> None:
        super().__init__(url, **{"fsync": False, "filesystem": self._files_of, **options})
        self.disk = disk

    def _files_of(self, directory: Path, *, fsync: bool) -> Files:
        return FaultyFiles(directory, self.disk, fsync=fsync)
