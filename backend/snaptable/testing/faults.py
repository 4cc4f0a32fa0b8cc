"""What goes wrong with a disk, and when: full, failing, slow. Nothing does until told."""

import errno
import os
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

How = Literal["before", "after", "short"]
OPERATIONS = (
    "mkdir", "create", "write", "reserve", "truncate", "sync", "rename", "unlink", "syncdir",
    "open", "read", "list", "inspect", "lock", "close",
)  # fmt: skip
CHANGES = ("mkdir", "create", "write", "reserve", "truncate", "sync", "rename", "unlink", "syncdir", "close")
GROUPS = {"fsync": ("sync", "syncdir"), "change": CHANGES, "any": OPERATIONS}
"""What can fail, by name; besides, "fsync" is the sync of a file or of a directory, "change" whatever changes the disk
and "any" all there is."""


@dataclass
class DiskFault:
    """Be something that goes wrong until it is undone; as a context manager, undone at the end of the block."""

    faults: "DiskFaults"
    operation: str
    error: BaseException
    name: str = ""
    after: int = 0
    times: int | None = None
    how: How = "before"
    room: int | None = None
    struck: int = 0
    """How often it struck."""

    def undo(self) -> None:
        """Let the disk be as if this had never been said."""
        self.faults.forget(self)

    def __enter__(self) -> Self:
        """Do nothing: it holds already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Undo it."""
        self.undo()

    def strikes(self, operation: str, name: str) -> bool:
        """Return whether it strikes this operation, and count."""
        if operation not in _covered(self.operation) or self.name not in name or self.times == self.struck:
            return False
        if self.after:
            self.after -= 1
            return False
        self.struck += 1
        return True


def _covered(operation: str) -> tuple[str, ...]:
    return GROUPS.get(operation, (operation,))


class DiskFaults:
    """Be the faults of one disk; safe to use from any thread."""

    def __init__(self) -> None:
        self._faults: list[DiskFault] = []
        self._delays: dict[str, float] = {}
        self._gate = threading.Lock()

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
        """Let an operation fail: from now on, or so many times.

        Args:
            operation: one of `OPERATIONS`; "fsync" for either kind of sync, "change" for what changes the disk, "any".
            error: an errno, or an exception to raise.
            times: how often; None for from now on.
            after: how many are let through first.
            name: only on files whose name contains this.
            how: "before": nothing happens; "after": it happens, and fails all the same; "short": half of a write.
        """
        if operation not in (*OPERATIONS, *GROUPS):
            raise ValueError(f"{operation!r} is no operation; there are {', '.join((*OPERATIONS, *GROUPS))}")
        exception = OSError(error, os.strerror(error)) if isinstance(error, int) else error
        return self._add(DiskFault(self, operation, exception, name, after, times, how))

    def full(self, room: int = 0) -> DiskFault:
        """Let the disk be full: what is written past so many more bytes fails with ENOSPC."""
        return self._add(
            DiskFault(self, "write", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), how="short", room=room)
        )

    def slow(self, seconds: float, operation: str = "fsync") -> None:
        """Let an operation take so long."""
        for covered in _covered(operation):
            self._delays[covered] = seconds

    def heal(self) -> None:
        """Undo everything."""
        with self._gate:
            self._faults.clear()
            self._delays.clear()

    def forget(self, fault: DiskFault) -> None:
        """Undo one fault."""
        with self._gate:
            self._faults = [other for other in self._faults if other is not fault]

    def _add(self, fault: DiskFault) -> DiskFault:
        with self._gate:
            self._faults.append(fault)
        return fault

    def meet(self, operation: str, name: str, size: int = 0) -> tuple[BaseException, How, int] | None:
        """Wait as long as an operation is to take; return the error it meets, how, and the bytes written before."""
        if self._delays:
            time.sleep(self._delays.get(operation, 0))
        with self._gate:
            for fault in self._faults:
                if fault.room is not None and operation == "write" and size <= fault.room:
                    fault.room -= size
                elif fault.strikes(operation, name):
                    written = size // 2 if fault.room is None else fault.room
                    return fault.error, fault.how, written
        return None
