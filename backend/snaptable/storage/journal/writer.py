"""The journal as it is written: one segment after the other, and where frames begin in them.

A segment is followed by another when it is large, when its commits are to be purged, or when its end is in doubt.
"""

import logging
from collections.abc import Iterable

from snaptable.changes.retention import Retention
from snaptable.errors import SnaptableError
from snaptable.runtime.clock import StoreClock
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.marks import FrameMarks
from snaptable.storage.journal.segment import Segment

logger = logging.getLogger("snaptable")


class JournalWriter:
    """The segment that is being written, and those that followed each other before it.

    Attributes:
        segment: the one that is being written.
        marks: where frames begin, in all of them.
    """

    def __init__(self, files: Files, segment: Segment, store: str, clock: StoreClock, retention: Retention) -> None:
        """Begin with a segment.

        Args:
            files: the store's directory.
            segment: it may not have a file yet.
            store: the store's id.
            clock: gives the times of frames.
            retention: how many of the segments that were followed by others are kept.
        """
        self._files, self._store, self._clock, self._retention = files, store, clock, retention
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

    def behind(self, sequence: int, digest: str, migrations: Iterable[str]) -> Segment:
        """Return the segment of what follows a commit; its file is made with the first write.

        Args:
            sequence: the commit.
            digest: of the frame that ends with it.
            migrations: the names of those that were applied up to there.
        """
        return Segment(self._files, self._store, sequence + 1, digest, self._clock, migrations)

    def continue_behind(self, sequence: int, migrations: Iterable[str]) -> None:
        """Write to a new segment from here on: behind the beginning of that, the present one would not count."""
        present = self.segment
        self._use(self.behind(sequence, present.head_digest, migrations))
        present.finish()

    def prune(self, saved: int) -> None:
        """Remove the oldest segments, as far as they needn't be kept and the snapshot, of commit `saved`, has them."""
        try:
            journal_directory.prune(self._files, saved, self._retention)
        except (OSError, SnaptableError) as error:
            # Old history that stays costs room on the disk, not data: not worth failing a write.
            logger.warning("Old journal files could not be removed: %s", error)

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
