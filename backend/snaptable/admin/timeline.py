"""The bar of the time machine: how much happened, along the commits."""

import threading
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from math import log1p

from snaptable import Database, SnaptableError

MOST = 10_000
"""Commits that the bars are drawn from, the newest; older ones are drawn flat."""
BARS = 120


@dataclass(frozen=True)
class Bar:
    """A stretch of commits.

    Attributes:
        first, last: its commits.
        weight: how many rows they changed; 0 where that isn't known.
        height: of the tallest, from 0 to 1.
    """

    first: int
    last: int
    weight: int
    height: float


class Timeline:
    """What is known of the weights of commits: read once, then only what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sequences: list[int] = []
        self._weights: list[int] = []
        self._times: list[datetime] = []

    def bars(self, db: Database) -> list[Bar]:
        """Return the bars from the first commit that is kept to the last; O(new commits)."""
        with self._lock:
            self._catch_up(db)
            first, last = db.history.first, db.history.sequence
            count = min(BARS, last - first)
            edges = [first + (last - first) * number // max(count, 1) for number in range(count + 1)]
            weights = [self._weight(begin, end) for begin, end in pairwise(edges)]
        most = max(weights, default=0) or 1
        return [
            Bar(begin + 1, end, weight, log1p(weight) / log1p(most))
            for begin, end, weight in zip(edges, edges[1:], weights, strict=False)
        ]

    def time_of(self, sequence: int) -> datetime | None:
        """Return when a commit was made, or the one before it; None if it isn't known here."""
        with self._lock:
            place = bisect_left(self._sequences, sequence + 1) - 1
            return self._times[place] if place >= 0 else None

    def _weight(self, after: int, until: int) -> int:
        begin, end = (bisect_left(self._sequences, moment + 1) for moment in (after, until))
        return sum(self._weights[begin:end])

    def _catch_up(self, db: Database) -> None:
        last = self._sequences[-1] if self._sequences else 0
        if last > db.history.sequence:  # another store, or one that was put back
            self._sequences, self._weights, self._times, last = [], [], [], 0
        try:
            since = max(last, db.history.first)
            found = list(islice(db.history.commits(since=since), MOST))
        except SnaptableError:
            return
        if len(found) == MOST:
            self._sequences, self._weights, self._times = [], [], []
        for commit in reversed(found):
            self._sequences.append(commit.sequence)
            self._weights.append(max(1, len(commit.places)))
            self._times.append(commit.at)
        surplus = len(self._sequences) - 2 * MOST
        if surplus > 0:
            del self._sequences[:surplus], self._weights[:surplus], self._times[:surplus]
