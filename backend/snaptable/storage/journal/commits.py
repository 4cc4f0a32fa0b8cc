"""The commits that the journal keeps, from the present backward or in order: what history is read from.

Segments are pruned, and the last one is written, while they are read: what is gone ends the reading, and what lies
behind the last durable commit is not looked at. Whoever follows the commits asks for each as it comes, and would read
the last segment again and again: from the first follower on, the newest commits are kept in memory too.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from snaptable.changes.recent_commits import RecentCommits
from snaptable.changes.records import CommitRecord, TimedCommit
from snaptable.changes.retention import HistoryStatus
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.format import Frame, key_member
from snaptable.storage.journal.marks import MarkedSegments
from snaptable.storage.journal.stored_commits import stored_commits
from snaptable.values.row_lines import Key

RECENT_BYTES = 8 << 20
"""How many bytes of commits are kept in memory for followers."""


class JournalCommits:
    """The durable commits of a store, as its journal keeps them.

    Attributes:
        store: the store's id.
    """

    leaves_numbers_out = False
    """Whether numbers may be missing."""

    def __init__(self, files: Files, last_visible: Callable[[], int]) -> None:
        """Take the store's directory, and what gives the last durable commit that readers see."""
        self.store = ""
        self._files, self._last_visible = files, last_visible
        self.segments = MarkedSegments(files)
        """What reads frames; whoever writes the journal marks where they begin."""
        self._since: tuple[int, datetime | None] | None = None
        self._recent: RecentCommits | None = None

    def keep_recent(self) -> None:
        """Keep the newest commits in memory from now on."""
        if self._recent is None:
            self._recent = RecentCommits(self.sequence, RECENT_BYTES)

    def forget_recent(self) -> None:
        """Read every commit from the files again; those to come are kept if any were."""
        if self._recent is not None:
            self._recent = RecentCommits(self.sequence, RECENT_BYTES)

    def add(self, at: str | None, commits: Sequence[CommitRecord]) -> None:
        """Take commits that became durable; `at` is the time of their frame, None if it is not known."""
        recent = self._recent
        if recent is None:
            return
        if at is None or commits[0].sequence > recent.last + 1:
            self._recent = RecentCommits(commits[-1].sequence, RECENT_BYTES)
            return
        for commit in commits:
            recent.add(at, commit)

    @property
    def sequence(self) -> int:
        """The last durable commit that readers see."""
        return self._last_visible()

    @property
    def first(self) -> int:
        """The earliest moment that can be reached: the one before the first commit kept."""
        firsts = journal_directory.segments(self._files)
        return min(firsts[0] - 1, self.sequence) if firsts else self.sequence

    def status(self) -> HistoryStatus:
        """Return how far back the past can be seen; O(segments), and reading one at the first call, if it is old."""
        first = self.first
        if self._since is None or self._since[0] != first:
            oldest = next(self.oldest_first(first, first + 1), None)
            self._since = (first, None if oldest is None else datetime.fromisoformat(oldest.at))
        return HistoryStatus(*self._since, journal_directory.total_size(self._files))

    def newest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:
        """Yield commits, the last first; O(bytes read), each verified. Ends early if older ones are gone.

        With a `key`, frames in which it does not stand are not parsed, and left out.

        Raises:
            CorruptJournal: a segment is damaged.
        """
        for frame in self._frames_newest_first(after, until):
            for commit in reversed(_commits_with(frame, key)):
                if after < commit.sequence <= until:
                    yield TimedCommit(frame.at, commit)

    def oldest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:
        """Yield commits in order; raises as `newest_first`. Begins later if older ones are gone."""
        recent = self._recent
        if recent is not None and recent.first <= after and until <= recent.last:
            commits = list(recent.oldest_first(after, until))
            if len(commits) == until - after:  # else some of them were forgotten meanwhile
                return iter(commits)
        return self._read_oldest_first(after, until, key)

    def _read_oldest_first(self, after: int, until: int, key: Key | None) -> Iterator[TimedCommit]:
        for first, following in journal_directory.spans(self._files):
            if (following is None or following > after + 1) and first <= until:
                for frame in self.segments.frames(first, following, after, until):
                    for commit in _commits_with(frame, key):
                        if after < commit.sequence <= until:
                            yield TimedCommit(frame.at, commit)

    def last_until(self, at: str) -> int | None:
        """Return the last commit that was not made later than a time; None if none is known. O(segments read)."""
        last = self.sequence
        for frame in self._frames_newest_first(0, last):
            if frame.at <= at:
                return min(frame.last, last)
        return None

    def _frames_newest_first(self, after: int, until: int) -> Iterator[Frame]:
        for first, following in reversed(journal_directory.spans(self._files)):
            if first <= until and (following is None or following > after + 1):
                yield from self.segments.newest_first(first, following, after, until)


def _commits_with(frame: Frame, key: Key | None) -> tuple[CommitRecord, ...]:
    """Return a frame's commits; none, without parsing it, if a key is wanted that stands nowhere in it."""
    return stored_commits(frame) if key is None or key_member(key) in frame.line else ()
