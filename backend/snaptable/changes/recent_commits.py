"""Commits in memory, by sequence: all that "memory:" knows of its past, and what a feed reads of a store with files."""

from collections.abc import Callable, Iterator

from snaptable.changes.records import CommitRecord, TimedCommit

COMMIT_BYTES = 512
"""What a commit takes beside its rows, about."""


class RecentCommits:
    """The newest commits, without gaps, up to a size; the oldest are forgotten.

    One thread adds at a time; others may read meanwhile.

    Attributes:
        first: the moment before the oldest commit that is kept.
        last: the newest commit.
        size: about how many bytes the commits take.
    """

    def __init__(self, first: int, max_bytes: int) -> None:
        """Begin without commits, behind one."""
        self.first = self.last = first
        self.size = 0
        self._max_bytes = max_bytes
        self._commits: dict[int, TimedCommit] = {}

    def add(self, at: str, record: CommitRecord) -> None:
        """Keep the next commit, unless it is kept, and forget the oldest if there are too many; O(changes)."""
        if record.sequence <= self.last:
            return
        self._commits[record.sequence] = TimedCommit(at, record)
        self.last = record.sequence
        self.size += _size_of(record)
        while self.size > self._max_bytes and self.first < self.last:
            # The bound rises first: whoever reads meanwhile takes the commit for gone, not for never made.
            self.first += 1
            self.size -= _size_of(self._commits.pop(self.first).record)

    def forget(self, moment: int) -> None:
        """Forget the commits up to a moment; not while another thread adds. O(commits)."""
        while self.first < min(moment, self.last):
            self.first += 1
            self.size -= _size_of(self._commits.pop(self.first).record)

    def rewrite(self, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:
        """Put other commits in the place of those up to one; return how many differ. Not while another thread adds."""
        count = 0
        for commit in list(self.oldest_first(self.first, until)):
            record = rewritten(commit.record)
            if record is not commit.record:
                self._commits[record.sequence] = TimedCommit(commit.at, record)
                self.size += _size_of(record) - _size_of(commit.record)
                count += 1
        return count

    def oldest_first(self, after: int, until: int) -> Iterator[TimedCommit]:
        """Yield the commits with after < sequence <= until, in order, later if older ones are gone; O(1) each."""
        commits = map(self._commits.get, range(max(after, self.first) + 1, min(until, self.last) + 1))
        return (commit for commit in commits if commit is not None)

    def newest_first(self, after: int, until: int) -> Iterator[TimedCommit]:
        """Yield the same commits, the last first; ends early where older ones are gone. O(1) each."""
        for sequence in range(min(until, self.last), max(after, self.first), -1):
            commit = self._commits.get(sequence)
            if commit is None:
                return
            yield commit

    def last_until(self, at: str) -> int | None:
        """Return the last commit that was not made later than a time; None if none is kept. O(log n)."""
        low, high = self.first, self.last
        while low < high:
            middle = (low + high + 1) // 2
            commit = self._commits.get(middle)
            if commit is None or commit.at <= at:
                low = middle
            else:
                high = middle - 1
        return low if low in self._commits else None


def _size_of(commit: CommitRecord) -> int:
    """Return what a commit takes, about; O(changes), at every write, so without a generator."""
    size = COMMIT_BYTES
    for change in commit.changes:
        size += len(getattr(change, "row", None) or b"") + len(getattr(change, "before", None) or b"")
    return size
