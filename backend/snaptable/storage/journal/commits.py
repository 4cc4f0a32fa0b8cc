"""The commits that the journal keeps, from the present backward or in order: what history is read from.

Segments are pruned, and the last one is written, while they are read: what is gone ends the reading, and what lies
behind the last durable commit is not looked at.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from snaptable.changes import TimedCommit
from snaptable.retention import HistoryStatus
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.format import Frame
from snaptable.storage.journal.reader import SegmentReader


class JournalCommits:
    """The durable commits of a store, as its journal keeps them."""

    def __init__(self, files: Files, last_visible: Callable[[], int]) -> None:
        """Take the store's directory, and what gives the last durable commit that readers see."""
        self._files, self._last_visible = files, last_visible
        self._since: tuple[int, datetime | None] | None = None

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
        """Return how far back the past can be seen; O(segments), and reading one at the first call."""
        first = self.first
        if self._since is None or self._since[0] != first:
            oldest = next(self.oldest_first(first, first + 1), None)
            self._since = (first, None if oldest is None else datetime.fromisoformat(oldest.at))
        return HistoryStatus(*self._since, journal_directory.total_size(self._files))

    def newest_first(self, after: int, until: int) -> Iterator[TimedCommit]:
        """Yield commits, the last first; O(segments read), each verified. Ends early if older ones are gone.

        Raises:
            CorruptJournal: a segment is damaged.
        """
        for frame in self._frames_newest_first(after, until):
            for commit in reversed(frame.commits):
                if after < commit.sequence <= until:
                    yield TimedCommit(frame.at, commit)

    def oldest_first(self, after: int, until: int) -> Iterator[TimedCommit]:
        """Yield commits in order; raises as `newest_first`. Begins later if older ones are gone."""
        for first, following in journal_directory.spans(self._files):
            if (following is None or following > after + 1) and first <= until:
                for frame in self._frames_of(first, following, after, until):
                    for commit in frame.commits:
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
                yield from reversed(self._frames_of(first, following, after, until))

    def _frames_of(self, first: int, following: int | None, after: int, until: int) -> list[Frame]:
        """Return the frames of a segment that hold wanted commits; none if it was pruned meanwhile."""
        try:
            data = journal_directory.read(self._files, first)
        except FileNotFoundError:
            return []
        path = str(self._files.path(journal_directory.path_of(first)))
        segment = SegmentReader(path, data, first, following, checkpoint_sequence=until)
        return [frame for frame in segment.frames() if frame.last > after and frame.first <= until]
