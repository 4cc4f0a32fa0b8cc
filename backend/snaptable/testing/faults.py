"""Faults that a test injects into a disk: full, failing, slow. A disk has none until it is told to."""

import errno
import os
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NamedTuple, Self

How = Literal["before", "after", "short"]
OPERATIONS = (
    "mkdir", "create", "write", "zeros", "reserve", "truncate", "sync", "rename", "unlink", "syncdir",
    "open", "read", "list", "inspect", "lock", "close",
)  # fmt: skip
CHANGES = ("mkdir", "create", "write", "zeros", "reserve", "truncate", "sync", "rename", "unlink", "syncdir", "close")
GROUPS = {"fsync": ("sync", "syncdir"), "change": CHANGES, "any": OPERATIONS}
"""Names for several operations: "fsync" is the sync of a file or of a directory, "change" all that change the disk."""


class Failure(NamedTuple):
    """How one operation fails."""

    error: BaseException
    how: How
    written: int
    """Bytes that a short write still writes."""


@dataclass
class DiskFault:
    """A fault of a disk until it is undone; as a context manager, undone at the end of the block.

    Attributes:
        trigger_count: how many operations failed because of it.
    """

    faults: "DiskFaults"
    operation: str
    error: BaseException
    name: str = ""
    after: int = 0
    times: int | None = None
    how: How = "before"
    room: int | None = None
    trigger_count: int = 0

    def undo(self) -> None:
        """Remove the fault from the disk."""
        self.faults.remove(self)

    def __enter__(self) -> Self:
        """Return the fault: it is in force since it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo it."""
        self.undo()

    def triggers(self, operation: str, name: str) -> bool:
        """Return whether this operation fails, and count it."""
        if operation not in _members(self.operation) or self.name not in name or self.times == self.trigger_count:
            return False
        if self.after:
            self.after -= 1
            return False
        self.trigger_count += 1
        return True


def _members(operation: str) -> tuple[str, ...]:
    return GROUPS.get(operation, (operation,))


class DiskFaults:
    """The faults of one disk; safe to use from any thread."""

    def __init__(self) -> None:
        self._faults: list[DiskFault] = []
        self._delays: dict[str, float] = {}
        self._mutex = threading.Lock()

    def fail(
        self,
        operation: str,
        error: int | BaseException = errno.EIO,
        *,
        times: int | None = None,
        after: int = 0,
        name: str = "",
        how: How = "before",
    ) -> DiskFault:
        """Make an operation fail from now on, or a number of times.

        Args:
            operation: one of `OPERATIONS`; "fsync" for either kind of sync, "change" for what changes the disk, "any".
            error: an errno, or an exception to raise.
            times: how often it fails; None for every time until it is undone.
            after: how many operations succeed first.
            name: fail only on files whose name contains this.
            how: "before" does nothing of the operation; "after" does all of it; "short" does half of a write.

        Raises:
            ValueError: there is not an operation of this name.
        """
        if operation not in (*OPERATIONS, *GROUPS):
            raise ValueError(f"{operation!r} is not a disk operation; there are {', '.join((*OPERATIONS, *GROUPS))}")
        exception = OSError(error, os.strerror(error)) if isinstance(error, int) else error
        return self._add(DiskFault(self, operation, exception, name, after, times, how))

    def full(self, room: int = 0) -> DiskFault:
        """Make the disk full: writes beyond `room` more bytes fail with ENOSPC."""
        return self._add(
            DiskFault(self, "write", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), how="short", room=room)
        )

    def slow(self, seconds: float, operation: str = "fsync") -> None:
        """Delay every operation of this name by `seconds`."""
        for member in _members(operation):
            self._delays[member] = seconds

    def heal(self) -> None:
        """Undo every fault and every delay."""
        with self._mutex:
            self._faults.clear()
            self._delays.clear()

    def remove(self, fault: DiskFault) -> None:
        """Undo one fault."""
        with self._mutex:
            self._faults = [other for other in self._faults if other is not fault]

    def _add(self, fault: DiskFault) -> DiskFault:
        with self._mutex:
            self._faults.append(fault)
        return fault

    def next_failure(self, operation: str, name: str, size: int = 0) -> Failure | None:
        """Wait out the delay of an operation, and return how it fails; None if it succeeds.

        Args:
            operation: one of `OPERATIONS`.
            name: the file's.
            size: of a write, in bytes.
        """
        if self._delays:
            time.sleep(self._delays.get(operation, 0))
        with self._mutex:
            for fault in self._faults:
                if fault.room is not None and operation == "write" and size <= fault.room:
                    fault.room -= size
                elif fault.triggers(operation, name):
                    return Failure(fault.error, fault.how, size // 2 if fault.room is None else fault.room)
        return None
