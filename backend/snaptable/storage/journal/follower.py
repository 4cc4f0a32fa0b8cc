"""The end of a journal that another process writes: what was added since it was last looked at.

A follower knows the commit that it has come to, and the place behind it in a segment. It reads from there on: O(new
bytes), and the zeros that the writer writes ahead. The frames must continue the chain; where they don't, another
history has taken the place (files put back, a repair, a write that was given up), or files were pruned meanwhile.
"""

from dataclasses import dataclass, replace

from snaptable.changes.records import PurgedChange
from snaptable.errors import CorruptJournal
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.format import Frame, SegmentHeader, decode_frames, decode_header, frame_after

MOST_SEGMENTS = 3
"""Segments that may go while they are looked for, before the place counts as lost."""


class PlaceLost(Exception):
    """A journal that doesn't continue from where a follower is: the store must be loaded anew."""


@dataclass(frozen=True)
class Place:
    """A place in a segment, behind a line.

    Attributes:
        first: the first sequence of the segment.
        header: its first line, as bytes.
        offset: where the line ends.
        digest: the line's.
        closed: whether it is the mark of a clean close.
    """

    first: int
    header: bytes
    offset: int
    digest: str
    closed: bool = False


@dataclass(frozen=True)
class JournalFollower:
    """A commit that a reader has come to; `advanced` gives the next one.

    Attributes:
        files: the store's directory.
        store: the store's id.
        sequence: the commit.
        head_digest: digest of the frame that ends there.
        place: the place behind that frame; None until it was looked for.
    """

    files: Files
    store: str
    sequence: int
    head_digest: str
    place: Place | None = None

    def advanced(self) -> tuple[list[Frame], "JournalFollower"]:
        """Return the frames that follow, in order, and the follower behind them; O(new bytes).

        The end of a write that is under way is left for the next time.

        Raises:
            PlaceLost: the journal doesn't continue from here.
            CorruptJournal: it is damaged.
            OSError: it can't be read.
        """
        for _ in range(MOST_SEGMENTS):
            try:
                return self._advanced()
            except FileNotFoundError:
                continue  # pruned, or renamed, between two of our reads
        raise PlaceLost

    def _advanced(self) -> tuple[list[Frame], "JournalFollower"]:
        frames: list[Frame] = []
        follower = self
        while True:
            found, follower = follower._read_segment()
            frames += found
            if follower.place is None or not follower._is_continued():
                return frames, follower

    def _is_continued(self) -> bool:
        """Return whether another segment begins at the next commit."""
        assert self.place is not None
        return self.place.first <= self.sequence and self.sequence + 1 in journal_directory.segments(self.files)

    def _read_segment(self) -> tuple[list[Frame], "JournalFollower"]:
        """Return the new frames of the segment that the next commit is in, or would be."""
        spans = [span for span in journal_directory.spans(self.files) if span[0] <= self.sequence + 1]
        if not spans:
            raise PlaceLost
        first, following = spans[-1]
        with self.files.open(journal_directory.path_of(first)) as file:
            if self.place is not None and self.place.first == first:
                if file.read(len(self.place.header)) != self.place.header:
                    raise PlaceLost
                file.seek(self.place.offset)
                header, start = _header_of(self.place.header), self.place
                data = file.read().rstrip(b"\0")
            else:
                data = file.read().rstrip(b"\0")
                header, start = self._begin(first, data)
                data = data[start.offset :]
        return self._read_frames(header, start, data, following)

    def _begin(self, first: int, data: bytes) -> tuple[SegmentHeader, Place]:
        """Return a segment's header, and the place in it behind the present commit."""
        decoded = decode_header(data)
        if decoded is None:
            raise CorruptJournal(f"{self._path(first)}: its first line is damaged", path=self._path(first), line=1)
        header, end = decoded
        if header.store != self.store or not header.is_readable:
            raise PlaceLost
        line = data[:end]
        if first == self.sequence + 1:
            if header.previous_digest != self.head_digest:
                raise PlaceLost
            return header, Place(first, line, end, header.previous_digest)
        for frame in decode_frames(data, header, end):
            if frame.last == self.sequence and not frame.closed and frame.digest == self.head_digest:
                return header, Place(first, line, frame.end, frame.digest)
        raise PlaceLost

    def _read_frames(
        self, header: SegmentHeader, start: Place, data: bytes, following: int | None
    ) -> tuple[list[Frame], "JournalFollower"]:
        frames, follower = [], replace(self, place=start)
        for frame in decode_frames(data, header, 0):
            place = follower.place
            assert place is not None
            if frame.previous_digest != place.digest or place.closed:
                raise PlaceLost
            if not frame.closed:
                if following is not None and frame.first >= following:
                    break  # given up
                if frame.first != follower.sequence + 1:
                    raise PlaceLost
                self._check_complete(frame, start)
                if any(commit.named_migrations for commit in frame.commits):
                    raise PlaceLost  # whether these models know them is for an opening to say
                if any(isinstance(change, PurgedChange) for commit in frame.commits for change in commit.changes):
                    raise PlaceLost  # only the snapshot tells what became of the row
                frames.append(frame)
                follower = replace(follower, sequence=frame.last, head_digest=frame.digest)
            end = start.offset + frame.end
            follower = replace(follower, place=Place(start.first, start.header, end, frame.digest, frame.closed))
        assert follower.place is not None
        self._check_end(header, follower.place, data[follower.place.offset - start.offset :], following)
        return frames, follower

    def _check_complete(self, frame: Frame, start: Place) -> None:
        try:
            complete = len(frame.commits) == frame.last - frame.first + 1
        except ValueError:
            complete = False
        if not complete:
            raise self._damage(start.first, start.offset + frame.offset, "a frame can't be decoded")

    def _check_end(self, header: SegmentHeader, place: Place, rest: bytes, following: int | None) -> None:
        """Tell the end of a write that is under way from damage, behind which whole frames follow."""
        if rest and following is None and (later := frame_after(rest, header, 0)) is not None:
            raise self._damage(place.first, place.offset, f"damaged, and sequence {later.first} follows behind it")

    def _damage(self, first: int, offset: int, reason: str) -> CorruptJournal:
        path = self._path(first)
        return CorruptJournal(f"{path}, byte {offset}: {reason}", path=path, offset=offset)

    def _path(self, first: int) -> str:
        return str(self.files.path(journal_directory.path_of(first)))


def _header_of(line: bytes) -> SegmentHeader:
    decoded = decode_header(line)
    assert decoded is not None
    return decoded[0]
