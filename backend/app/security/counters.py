"""Counts of events by key over windows of time: bounded in memory, and O(1) whatever there is to count."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

KEYS = 65_536
"""Keys that one counter remembers, some 20 MB at most; with more, those whose windows began first are forgotten."""

Clock = Callable[[], float]
"""Seconds that never go back: the time of day may be set, and a lock-out must not last until it is right again."""


@dataclass
class _Window:
    """What was counted of one key, since its first event."""

    ends: float
    count: int = 0


class WindowCounter:
    """Counts by key, each over windows of one length that begin with the key's first event.

    All windows have the same length, so those that began first end first, and a look at the oldest two at every new
    key is enough to forget what has ended.
    """

    def __init__(self, seconds: float, *, keys: int = KEYS, clock: Clock = time.monotonic) -> None:
        """Begin with no key.

        Args:
            seconds: length of a window.
            keys: how many are remembered; a further one takes the place of the oldest.
            clock: never goes back.
        """
        self._seconds = seconds
        self._keys = keys
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of keys that are remembered."""
        return len(self._windows)

    def count(self, key: str) -> int:
        """Return how many events of this key were counted in its window; O(1)."""
        window = self._current(key)
        return window.count if window else 0

    def remaining(self, key: str) -> float:
        """Return the seconds until the window of this key ends; 0 if there is none."""
        window = self._current(key)
        return window.ends - self._clock() if window else 0.0

    def add(self, key: str) -> int:
        """Count an event, and return how many there are now; O(1)."""
        window = self._current(key)
        if window is None:
            self._make_room()
            window = self._windows[key] = _Window(self._clock() + self._seconds)
        window.count += 1
        return window.count

    def take_back(self, key: str) -> None:
        """Take back one event, as far as its window has not ended; O(1)."""
        window = self._current(key)
        if window is not None:
            window.count -= 1
            if window.count <= 0:
                del self._windows[key]

    def forget(self, key: str) -> None:
        """Forget a key with all that was counted."""
        self._windows.pop(key, None)

    def _current(self, key: str) -> _Window | None:
        """Return the window of a key, forgetting one that has ended."""
        window = self._windows.get(key)
        if window is not None and window.ends <= self._clock():
            del self._windows[key]
            return None
        return window

    def _make_room(self) -> None:
        """Forget up to two windows that have ended, and the oldest one if there are as many as may be."""
        now = self._clock()
        for _ in range(2):
            oldest = next(iter(self._windows), None)
            if oldest is None or self._windows[oldest].ends > now:
                break
            del self._windows[oldest]
        while len(self._windows) >= self._keys:
            self._windows.popitem(last=False)
