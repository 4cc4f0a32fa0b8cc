"""How much changed in each hour of the last day, by table: the small bars of the overview."""

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from snaptable import Database, SnaptableError

HOURS = 24
MOST_COMMITS = 5_000
"""Commits that are read at once; of a busier day the latest are shown."""
PATIENCE = 0.05
"""Seconds that a page waits for commits to be read: a large one takes a while, and is there the next time."""


@dataclass
class Activity:
    """The commits of the last day, each with how many rows it changed by table; read once each, beside the pages.

    Attributes:
        db: the database.
    """

    db: Database
    _read_until: int | None = None
    _commits: "deque[tuple[datetime, Counter[str]]]" = field(default_factory=deque)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def lines(self) -> tuple[dict[str, list[int]], list[int]]:
        """Return how many rows changed in each hour, by table, and how many commits there were; the oldest first."""
        reader = threading.Thread(target=self._read, name="admin-activity", daemon=True)
        reader.start()
        reader.join(PATIENCE)
        begin = datetime.now(UTC) - timedelta(hours=HOURS)
        changed: dict[str, list[int]] = {}
        commits = [0] * HOURS
        for at, counts in tuple(self._commits):
            if at >= begin:
                hour = min(HOURS - 1, int((at - begin).total_seconds() // 3600))
                commits[hour] += 1
                for table, count in counts.items():
                    changed.setdefault(table, [0] * HOURS)[hour] += count
        return changed, commits

    def _read(self) -> None:
        """Read the commits since the last time; nothing while another thread does."""
        if not self._mutex.acquire(blocking=False):
            return
        try:
            self._read_new()
        except (SnaptableError, ValueError):
            self._read_until = None  # it was closed, or has another history now
            self._commits.clear()
        finally:
            self._mutex.release()

    def _read_new(self) -> None:
        history, begin = self.db.history, datetime.now(UTC) - timedelta(hours=HOURS)
        sequence = history.sequence
        if self._read_until == sequence:
            return
        since = self._read_until if self._read_until is not None and self._read_until >= history.first else None
        new: list[tuple[datetime, Counter[str]]] = []
        for commit in history.commits(since=since, until=sequence, limit=MOST_COMMITS):
            if commit.at < begin:
                break
            new.append((commit.at, Counter(place.table for place in commit.places)))
        self._commits.extend(reversed(new))
        while self._commits and self._commits[0][0] < begin:
            self._commits.popleft()
        self._read_until = sequence
