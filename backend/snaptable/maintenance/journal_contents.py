"""Everything that is whole in a damaged journal.

A frame proves itself, wherever it lies, and names the one before it. So frames behind damage can be used again as soon
as something bridges the damage. Frames that were given up (a later file begins with their sequence) are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from snaptable.errors import CorruptJournal
from snaptable.maintenance.untyped import UntypedStore
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import format as journal_format
from snaptable.storage.journal.reader import SegmentReader


class Position(NamedTuple):
    """A place in the history of a store: a sequence, and the digest of the frame that ends there."""

    sequence: int
    digest: str


@dataclass(eq=False)
class SegmentContents:
    """One journal file, and everything in it that is whole.

    Attributes:
        first: the sequence that its name says it begins with.
        data: its bytes, without the zeros at its end.
        reader: the reader as far as it got, None if not even the header verifies.
        frames: the frames up to the first damage.
        later_frames: whole frames behind the first damage.
        damage: what is wrong with the file, None if nothing is.
    """

    first: int
    data: bytes
    reader: SegmentReader | None = None
    frames: list[journal_format.Frame] = field(default_factory=list)
    later_frames: list[journal_format.Frame] = field(default_factory=list)
    damage: str | None = None

    @property
    def name(self) -> str:
        """Its name below the store's directory."""
        return journal_directory.path_of(self.first)

    @property
    def whole_frames(self) -> list[journal_format.Frame]:
        """Every frame in it that verifies."""
        return self.frames + self.later_frames

    @property
    def store(self) -> str | None:
        """The id of its store, None if that can't be read."""
        return self.reader.header.store if self.reader else None

    @property
    def migrations(self) -> tuple[str, ...]:
        """The migrations that were applied before its first commit, as far as its header can be read."""
        return (self.reader.header.migrations if self.reader else None) or ()

    @property
    def start(self) -> Position | None:
        """The position that its first frame follows, None if the header can't be read."""
        return Position(self.first - 1, self.reader.header.previous_digest) if self.reader else None

    def end_within(self, store: UntypedStore) -> Position | None:
        """Return the position where the file ends if it leads towards a state; None if it doesn't.

        It doesn't if it belongs to another store, is damaged before the state is reached, or goes beyond the state.
        """
        if self.start is None or self.store != store.id or (self.frames and self.frames[-1].last > store.sequence):
            return None
        end = Position(self.frames[-1].last, self.frames[-1].digest) if self.frames else self.start
        return None if self.damage and end.sequence != store.sequence else end


def read_segments(files: Files) -> list[SegmentContents]:
    """Return what is whole in each of the journal's files, the oldest first; O(n)."""
    return [_read_segment(files, first, following) for first, following in journal_directory.spans(files)]


def _read_segment(files: Files, first: int, following: int | None) -> SegmentContents:
    segment = SegmentContents(first, journal_directory.read(files, first))
    try:
        segment.reader = SegmentReader(str(files.path(segment.name)), segment.data, first, following)
        segment.frames.extend(segment.reader.frames())
    except CorruptJournal as error:
        segment.damage = str(error)
    if segment.reader and segment.damage:
        segment.later_frames.extend(segment.reader.frames_behind_damage())
    return segment


def newest_close(segments: Sequence[SegmentContents]) -> journal_format.Frame | None:
    """Return the newest mark of a clean close, None if there is none; a snapshot of its sequence was there then."""
    readers = [segment.reader for segment in segments if segment.reader]
    return next((reader.clean_close for reader in reversed(readers) if reader.clean_close), None)


def frames_after(store: UntypedStore, segments: Sequence[SegmentContents]) -> list[journal_format.Frame]:
    """Return the frames that continue a state without a gap, each naming the one before it."""
    followers = {
        Position(frame.first - 1, frame.previous_digest): frame
        for segment in segments
        if segment.store == store.id
        for frame in segment.whole_frames
    }
    frames, position = [], Position(store.sequence, store.head_digest)
    while frame := followers.get(position):
        frames.append(frame)
        position = Position(frame.last, frame.digest)
    return frames
