"""Waits for the writer lock that take long: who holds it, since when, whether it will end, and what to write instead.

A transaction is short and is left by the thread that began it, so a wait ends by itself. It does not if the owner waits
for the waiting one, or if the function that began the transaction was suspended. What is looked at costs nothing until
a caller has waited for a tenth of a second.

    after 0.1 s   an event loop that waits for a transaction of another thread gives up: the loop may be what that
                  thread needs, and nothing else runs on it meanwhile
    after 1 s     every wait is told in the log, once
    after 2 s     an owner that can't go on while others wait for it: the function that began the transaction is
                  suspended (`yield`, `await`), or its thread has itself been waiting for another thread since
    timeout       any other wait (`Database(writer_timeout=)`)

These are seconds in which the waiting one could run: what a stopped process, or a suspended machine, lets pass does not
count.
"""

import logging
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from snaptable.memory.owner import Owner, Place

if TYPE_CHECKING:
    import threading

logger = logging.getLogger("snaptable")

LOOP_PATIENCE = 0.1
"""Seconds that an event loop waits for the transaction of another thread."""
LOG_AFTER = 1.0
"""Seconds after which a wait is told in the log."""
STALL_PATIENCE = 2.0
"""Seconds that an owner may be suspended or blocked before it is no longer waited for."""

_WAITING = frozenset(("threading.py", "queue.py", "_base.py", "thread.py", "selectors.py"))
"""Files of the standard library in which a thread waits for another one."""


class Observation:
    """What one waiting thread or task has seen of the owners that it waits for."""

    __slots__ = ("_blocks_loop", "_logged", "_stalled_since", "_state")

    def __init__(self, *, blocks_loop: bool) -> None:
        """Begin; `blocks_loop` says whether an event loop stands still meanwhile."""
        self._blocks_loop = blocks_loop
        self._logged = False
        self._state: tuple[object, ...] | None = None
        self._stalled_since = 0.0

    def look(self, owner: Owner, waited: float, timeout: float) -> str | None:
        """Look at the owner after a wait of some seconds; return why to give up, None to wait on."""
        if self._blocks_loop and owner.place is not None and waited >= LOOP_PATIENCE:
            return f"{_describe(owner)}. {_LOOP}"
        if waited >= min(LOG_AFTER, timeout) and not self._logged:
            self._logged = True
            logger.warning("A write has been waiting for %.1f s: %s", waited, _describe(owner))
        advice = self._stalled(owner, waited)
        if advice is not None:
            return f"{_describe(owner)}. {advice}"
        if waited >= timeout:
            return f"{_describe(owner)}; gave up after {waited:.1f} s (writer_timeout={timeout:g}). {_SLOW}"
        return None

    def _stalled(self, owner: Owner, waited: float) -> str | None:
        """Return what to write instead if the owner has not moved for `STALL_PATIENCE` seconds and won't."""
        frame = sys._current_frames().get(owner.thread.ident or 0)
        advice = _why_stalled(owner, frame)
        # A blocked thread is at the same instruction all the time; what a suspended function's thread does is no sign.
        at = (id(frame), frame.f_lasti) if advice is _BLOCKED and frame is not None else None
        state = (owner, advice, at)
        if advice is None or state != self._state:
            self._state, self._stalled_since = state, waited
            return None
        return advice if waited - self._stalled_since >= STALL_PATIENCE else None


def _why_stalled(owner: Owner, frame: FrameType | None) -> str | None:
    """Return what to write instead if the owner looks as if it could not go on, else None."""
    if owner.place is None:
        return None  # a single write
    if not _runs(owner.place, frame):
        return _SUSPENDED
    blocked = owner.task is None and frame is not None and Path(frame.f_code.co_filename).name in _WAITING
    return _BLOCKED if blocked else None


def _runs(place: Place, frame: FrameType | None) -> bool:
    """Return whether the function that began a transaction is on a thread's stack."""
    while frame is not None:
        if frame.f_code is place.code:
            return True
        frame = frame.f_back
    return False


def _describe(owner: Owner) -> str:
    """Say who holds the lock, where the transaction was begun, and since when."""
    holder = f"thread {_name(owner.thread)}" if owner.task is None else f"task {owner.task.get_name()!r}"
    if owner.place is None:
        return f"the writer lock is held: {holder} is writing"
    seconds = time.monotonic() - owner.place.since
    return f"the writer lock is held: {holder} began a transaction in {owner.place} {seconds:.1f} s ago"


def _name(thread: "threading.Thread") -> str:
    return repr(thread.name)


_LOOP = (
    "A write on the event loop would block the loop until that ends, and it may need the loop; write "
    "`await db.run(fn, …)`, which waits without blocking it"
)
_SUSPENDED = (
    "The function that began it is suspended at a `yield` or an `await`, as a dependency is during a request: begin "
    "and leave a transaction in one go, in a function that you pass to db.run(fn, …) or call after the yield"
)
_BLOCKED = (
    "Its thread has been waiting for another thread since, perhaps for this one: let the thread that began the "
    "transaction make its changes, or begin one in each worker"
)
_SLOW = "Keep transactions short: do what takes long before or after them"
