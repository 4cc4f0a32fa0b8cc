"""Counts of events by key over windows of time: bounded in memory, and O(1) whatever there is to count."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.errors import TooManyAttempts

KEYS = 65_536
"""Keys that one counter remembers, some 20 MB at most; with more, those whose windows began first are forgotten."""
KNOWN_ADDRESSES = 10_000
"""Pairs of account and address that are remembered after a successful login."""

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


@dataclass(frozen=True)
class Count:
    """What an attempt counts for one limit.

    Attributes:
        kind: of what is counted.
        key: whose event it is.
        limit: how many there may be in a window.
        seconds: length of the window.
    """

    kind: str
    key: str
    limit: int
    seconds: float


class Counts(Protocol):
    """What was counted, by kind and key: of this process, or of all that share a database."""

    is_shared: bool
    """Whether asking waits for a server, which is not for an event loop to do."""

    def count(self, count: Count) -> int:
        """Return how many events of a key were counted in its window."""

    def take(self, counts: list[Count]) -> None:
        """Count an event for each key, or for none.

        Raises:
            TooManyAttempts: one of them has as many as it may.
        """

    def give_back(self, counts: list[Count]) -> None:
        """Take back an event of each key, as far as its window has not ended."""

    def forget(self, count: Count) -> None:
        """Forget what was counted of a key."""

    def is_known(self, pair: str) -> bool:
        """Return whether an account has logged in from an address."""

    def know(self, pair: str) -> None:
        """Remember an address from which an account has logged in."""


class OwnCounts:
    """Counts of this process, in memory; gone with it.

    Attributes:
        by_kind: what counts the events of each kind.
    """

    is_shared = False

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Take a clock that never goes back."""
        self.by_kind: dict[str, WindowCounter] = {}
        self._clock = clock
        self._known: OrderedDict[str, None] = OrderedDict()

    def _of(self, count: Count) -> WindowCounter:
        counter = self.by_kind.get(count.kind)
        if counter is None:
            counter = self.by_kind[count.kind] = WindowCounter(count.seconds, clock=self._clock)
        return counter

    def count(self, count: Count) -> int:
        """Return how many events of a key were counted in its window; O(1)."""
        return self._of(count).count(count.key)

    def take(self, counts: list[Count]) -> None:
        """Count an event for each key, or for none; O(1) each.

        Raises:
            TooManyAttempts: one of them has as many as it may.
        """
        for count in counts:
            counter = self._of(count)
            if counter.count(count.key) >= count.limit:
                raise TooManyAttempts(max(1, math.ceil(counter.remaining(count.key))))
        for count in counts:
            self._of(count).add(count.key)

    def give_back(self, counts: list[Count]) -> None:
        """Take back an event of each key, as far as its window has not ended."""
        for count in counts:
            self._of(count).take_back(count.key)

    def forget(self, count: Count) -> None:
        """Forget what was counted of a key."""
        self._of(count).forget(count.key)

    def is_known(self, pair: str) -> bool:
        """Return whether an account has logged in from an address."""
        return pair in self._known

    def know(self, pair: str) -> None:
        """Remember an address from which an account has logged in, in the place of the oldest if there are many."""
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > KNOWN_ADDRESSES:
            self._known.popitem(last=False)
