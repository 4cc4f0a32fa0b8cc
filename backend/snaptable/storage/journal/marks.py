"""Where frames begin in the segments, so that some of them are read without all the others.

A *mark* is the place of one frame. There is one about every 32 KiB of a segment: made when the frame was written, or
when the segment was first read whole. A mark is a hint, never trusted: what is read from there on is verified as ever,
and must be the frame that the mark names. So one that is out of date (a purge wrote the segment anew) leads to no
wrong frame. There, and wherever anything doesn't verify, the segment is read whole, which says what is wrong.
"""

import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.format import Frame, decode_frames, decode_header
from snaptable.storage.journal.reader import SegmentReader

MARK_BYTES = 1 << 15
"""How far marks are apart, in bytes, unless a frame is longer."""
MOST_SEGMENTS = 64
"""Segments whose marks are kept, those that were asked for last: 64 of 8 MiB have 16,384 marks, about 3 MB."""
_NOT_DECODED = 1 << 63
"""Beyond any sequence: the commits of no frame are decoded."""
LONGEST_HEADER = 1 << 16
"""Bytes of a first line that is looked for; a segment with a longer one is read whole."""


class Mark(NamedTuple):
    """The place of a frame in its segment."""

    sequence: int
    """Of its first commit."""
    offset: int
    previous_digest: str
    """The digest of the frame before it."""


class SegmentMarks:
    """The marks of one segment, in order; any thread may add."""

    __slots__ = ("_marks", "_mutex")

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._mutex = threading.Lock()

    def add(self, sequence: int, offset: int, previous_digest: str) -> None:
        """Take the place of a frame that is on the disk, if it is far enough behind the last mark; O(1)."""
        marks = self._marks
        if marks and offset < marks[-1].offset + MARK_BYTES:
            return
        with self._mutex:
            marks = self._marks
            if not marks or (offset >= marks[-1].offset + MARK_BYTES and sequence > marks[-1].sequence):
                marks.append(Mark(sequence, offset, previous_digest))

    def mark_anew(self, frames: Iterable[Frame]) -> None:
        """Forget all marks, and mark these frames from the segment's first one on; O(frames)."""
        with self._mutex:
            self._marks = []
        for frame in frames:
            self.add(frame.first, frame.offset, frame.previous_digest)

    def up_to(self, sequence: int) -> list[Mark]:
        """Return the marks at or before a commit; the last one is where to look for it."""
        marks = self._marks
        return marks[: bisect_right(marks, sequence, key=itemgetter(0))]


class FrameMarks:
    """The marks of a journal, by the first sequence of each segment."""

    def __init__(self) -> None:
        self._segments: dict[int, SegmentMarks] = {}
        self._mutex = threading.Lock()

    def of(self, first: int) -> SegmentMarks:
        """Return the marks of a segment, none if it was not read yet."""
        with self._mutex:
            marks = self._segments.pop(first) if first in self._segments else SegmentMarks()
            return self._put(first, marks)

    def put(self, first: int, marks: SegmentMarks) -> None:
        """Have these marks for those of a segment from now on."""
        with self._mutex:
            self._segments.pop(first, None)
            self._put(first, marks)

    def _put(self, first: int, marks: SegmentMarks) -> SegmentMarks:
        self._segments[first] = marks
        while len(self._segments) > MOST_SEGMENTS:
            del self._segments[next(iter(self._segments))]
        return marks


class MarkedSegments:
    """The frames of segments, read from the marks that are next to them."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.marks = FrameMarks()

    def frames(self, first: int, following: int | None, after: int, until: int) -> list[Frame]:
        """Return the frames of a segment that hold commits of a range, in order; none if it was pruned.

        O(their bytes, and those between two marks); O(segment) the first time.

        Args:
            first: the first sequence of the segment.
            following: that of the next one; None for the last.
            after: the commit before the range.
            until: the last commit of the range. It is durable.

        Raises:
            CorruptJournal: the segment is damaged.
        """
        last = until if following is None else min(until, following - 1)
        marks = self.marks.of(first).up_to(after + 1)
        try:
            frames = self._read_from(first, marks[-1], last) if marks else None
            if frames is None:
                frames = self._read_whole(first, following)
        except FileNotFoundError:
            return []
        return [frame for frame in frames if frame.last > after and frame.first <= until]

    def newest_first(self, first: int, following: int | None, after: int, until: int) -> Iterator[Frame]:
        """Yield the same frames, the last first, each part of the segment read when its turn comes.

        Raises:
            CorruptJournal: the segment is damaged.
        """
        last = until if following is None else min(until, following - 1)
        for mark in reversed(self.marks.of(first).up_to(last)):
            if last <= after:
                return
            part = self.frames(first, following, max(after, mark.sequence - 1), last)
            yield from reversed(part)
            last = min(last, part[0].first - 1 if part else after)
        if last > after:
            yield from reversed(self.frames(first, following, after, last))

    def _read_whole(self, first: int, following: int | None) -> list[Frame]:
        """Return all frames of a segment, and mark them; whoever asks for commits decodes those that are asked for."""
        data = journal_directory.read(self._files, first)
        path = str(self._files.path(journal_directory.path_of(first)))
        segment = SegmentReader(path, data, first, following, checkpoint_sequence=_NOT_DECODED)
        frames = list(segment.frames())
        self.marks.of(first).mark_anew(frames)
        return frames

    def _read_from(self, first: int, mark: Mark, until: int) -> list[Frame] | None:
        """Return the frames from a mark up to that of a commit; None if they don't stand there as they should."""
        marks, frames = self.marks.of(first), []
        sequence, digest, start, size = mark.sequence, mark.previous_digest, mark.offset, MARK_BYTES
        with self._files.open(journal_directory.path_of(first)) as file:
            decoded = decode_header(file.readline(LONGEST_HEADER))
            if decoded is None or decoded[0].first != first or not decoded[0].is_readable:
                return None
            file.seek(start)
            data = b""
            while sequence <= until:
                more = file.read(size)
                if not more:
                    return None
                data, size, end = data + more, 2 * size, 0
                for frame in decode_frames(data, decoded[0], 0, start):
                    if frame.first != sequence or frame.previous_digest != digest or frame.closed:
                        return None
                    frames.append(frame)
                    marks.add(sequence, frame.offset, digest)
                    sequence, digest, end = frame.last + 1, frame.digest, frame.end - start
                    if sequence > until:
                        break
                data, start = data[end:], start + end
        return frames
