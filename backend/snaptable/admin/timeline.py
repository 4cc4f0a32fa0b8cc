"""The bar of the time machine: how much happened, along the commits."""

import threading
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from math import log1p
from time import thread_time

from snaptable import Database, SnaptableError
from snaptable.history import Commit

MOST = 10_000
"""Commits that the bars are drawn from, the newest; older ones are drawn flat."""
LOOK_SECONDS = 0.03
"""Processor time for which a page reads older commits than those that are known; the next one goes on from there."""
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
        """Return the bars from the first commit that is kept to the last; O(new commits), and some older ones."""
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
            if last:
                commits = list(islice(db.history.commits(since=max(last, db.history.first)), MOST))
                if len(commits) == MOST:
                    self._sequences, self._weights, self._times = [], [], []
                self._add(commits, at=len(self._sequences))
            self._add(self._older(db), at=0)
        except SnaptableError:
            return
        surplus = len(self._sequences) - 2 * MOST
        if surplus > 0:
            del self._sequences[:surplus], self._weights[:surplus], self._times[:surplus]

    def _older(self, db: Database) -> list[Commit]:
        """Return commits before the oldest that is known, the newest first, as many as a page may take the time for."""
        commits: list[Commit] = []
        oldest = self._sequences[0] if self._sequences else db.history.sequence + 1
        if oldest <= db.history.first + 1 or len(self._sequences) >= MOST:
            return commits
        end = thread_time() + LOOK_SECONDS
        for commit in db.history.commits(since=db.history.first, until=oldest - 1):
            commits.append(commit)
            len(commit.places)  # which are read now
            if thread_time() > end or len(commits) + len(self._sequences) >= MOST:
                break
        return commits

    def _add(self, commits: list[Commit], at: int) -> None:
        """Add commits, given newest first, at a place among those that are known."""
        commits = commits[::-1]
        self._sequences[at:at] = [commit.sequence for commit in commits]
        self._weights[at:at] = [max(1, len(commit.places)) for commit in commits]
        self._times[at:at] = [commit.at for commit in commits]
