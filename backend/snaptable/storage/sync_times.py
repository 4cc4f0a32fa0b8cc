"""How long frames took to be on the disk: the last of them, in a room that does not grow."""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from math import ceil
from time import perf_counter
from typing import TypeVar

from snaptable.changes.sync_status import SyncStatus

T = TypeVar("T")
LAST = 1_024
"""Frames of which the time is kept."""
SHARE = 0.99


class SyncTimes:
    """The times of the last frames, each with its sync; noted by one thread at a time, read by any."""

    def __init__(self) -> None:
        """Begin without any."""
        self._seconds: deque[float] = deque(maxlen=LAST)
        self._last_at = ""

    def timed(self, write: Callable[[T], str], value: T) -> str:
        """Call what writes a frame, note how long it took, and return what it does; O(1), a quarter microsecond."""
        begin = perf_counter()
        at = write(value)
        self._seconds.append(perf_counter() - begin)
        self._last_at = at
        return at

    def status(self) -> SyncStatus | None:
        """Return how they are, None before the first since the start; O(n log n) in those that are kept."""
        seconds, last_at = sorted(self._seconds.copy()), self._last_at
        if not seconds or not last_at:
            return None
        return SyncStatus(datetime.fromisoformat(last_at), len(seconds), seconds[ceil(SHARE * len(seconds)) - 1])
