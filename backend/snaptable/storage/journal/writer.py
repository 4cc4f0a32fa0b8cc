"""The journal as it is written: one segment after the other, and where frames begin in them.

A segment is followed by another when it is large, when its commits are to be purged, or when its end is in doubt.
"""

from collections.abc import Iterable

from snaptable.runtime.clock import StoreClock
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.marks import FrameMarks
from snaptable.storage.journal.segment import Segment


class JournalWriter:
    """The segment that is being written, and those that followed each other before it.

    Attributes:
        segment: the one that is being written.
        marks: where frames begin, in all of them.
    """

    def __init__(self, files: Files, segment: Segment) -> None:
        """Begin with a segment."""
        self._files = files
        self.marks = FrameMarks()
        self._use(segment)

    @property
    def size(self) -> int:
        """Bytes of the present segment; 0 before its file exists."""
        return self.segment.size

    @property
    def head_digest(self) -> str:
        """The digest of the last frame."""
        return self.segment.head_digest

    def new_segment(
        self, store: str, first: int, previous_digest: str, clock: StoreClock, migrations: Iterable[str]
    ) -> Segment:
        """Return a segment for this directory; arguments as of `Segment`."""
        return Segment(self._files, store, first, previous_digest, clock, migrations)

    def continue_with(self, segment: Segment) -> None:
        """Write to another segment from here on: behind the beginning of that, this one would not count."""
        present = self.segment
        self._use(segment)
        present.finish()

    def replace_doubtful(self, segment: Segment) -> None:
        """Begin another segment than one whose end is in doubt, and write to it once its header is on the disk.

        Raises:
            OSError, SyncFailed: it is not there for certain; nothing else was changed.
        """
        # 1. If it needs the name of the one that is in doubt: a copy of that.
        if self.segment.first == segment.first:
            journal_directory.keep_copy(self._files, segment.first)
        # 2. The new one; recovery ignores what the old one holds behind its beginning.
        segment.begin()
        self._use(segment)

    def _use(self, segment: Segment) -> None:
        self.segment = segment
        self.marks.put(segment.first, segment.marks)
