"""The present time, as files spell it."""

import threading
import time
from datetime import UTC, datetime
from functools import lru_cache


def timestamp() -> str:
    """Return the present time in UTC, to the microsecond: `2026-11-20T12:00:00.000000Z`."""
    nanoseconds = time.time_ns()
    return f"{_second(nanoseconds // 1_000_000_000)}.{nanoseconds // 1000 % 1_000_000:06d}Z"


class StoreClock:
    """The times that a store's frames and snapshots are given: they never go back, whatever the machine's clock does.

    So a time always means one state: the last commit that was not made later.
    """

    def __init__(self, last: str = "") -> None:
        """Begin behind a time that the store has given already; "" for none."""
        self._last = last
        self._mutex = threading.Lock()

    def timestamp(self) -> str:
        """Return the present time, or the last one given if the machine's clock was set back; O(1)."""
        with self._mutex:
            now = timestamp()
            if now > self._last:
                self._last = now
            return self._last


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """Return the time up to the second; cached, because many frames are written within one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
