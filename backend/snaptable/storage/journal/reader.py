"""The reader of the journal: what verifies, what follows what, and how it ends.

Opening a store, checking it, repairing it and looking into its past all read the journal through this, at the level
they need:

    JournalReader(files, after=41).commits()     commits in order, from one segment to the next
    JournalReader(files, after=41).frames()      the same as frames, with time and digest; `segment` says where
    JournalReader(files).segments(on_damage)     segment by segment, past damaged ones
    SegmentReader(path, data, first, following)  one segment, wherever its bytes are from
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from snaptable.changes.records import CommitRecord
from snaptable.errors import CorruptJournal, OpenError, UnsupportedFormat
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.format import Frame, SegmentHeader, decode_frames, decode_header, frame_after

OnDamage = Callable[[int, OpenError | OSError], None]
"""Told the first sequence of a segment that can't be read, and why."""


class Ending(Enum):
    """How a segment ends."""

    CLOSED = "closed"
    """With the mark of a clean close."""
    OPEN = "open"
    """With a whole frame: the process that wrote it was killed, or is running."""
    TORN = "torn"
    """With bytes that are not a whole frame: a crash interrupted a write that was never acknowledged."""


class SegmentReader:
    """One journal file, read frame by frame.

    Attributes:
        path: the file's path, for messages.
        data: its content.
        first: the sequence that its name says it begins with.
        following: where the next file begins; None for the last file.
        header: its first line.
        last_sequence: the last sequence of the frames read so far.
        head_digest: digest of the frame that ends there.
        last_at: the time of the last line read so far; "" if there was none.
        end: where the last line that verifies ends.
        ending: how the file ends; None until all frames were read.
        clean_close: the mark of a clean close that was read so far; None if there was none.
    """

    def __init__(
        self, path: str, data: bytes, first: int, following: int | None, *, checkpoint_sequence: int = 0
    ) -> None:
        """Read the header.

        Args:
            path: the file's path, for messages.
            data: its content, without the zeros behind it.
            first: the sequence that its name says it begins with.
            following: where the next file begins. What lies behind that here was given up, and is not read. None for
                the last file.
            checkpoint_sequence: commits up to this sequence are in a snapshot; they are not parsed.

        Raises:
            CorruptJournal, UnsupportedFormat: the header is damaged, of another format, or of another file.
        """
        self.path, self.data, self.first, self.following = path, data, first, following
        self.header, self.end = self._read_header()
        self.last_sequence, self.head_digest = first - 1, self.header.previous_digest
        self.last_at = ""
        self.ending: Ending | None = None
        self.clean_close: Frame | None = None
        self._checkpoint_sequence = checkpoint_sequence
        self._closed = False

    def _read_header(self) -> tuple[SegmentHeader, int]:
        decoded = decode_header(self.data)
        if decoded is None:
            # The header is synced before the file gets its name, so a crash leaves no half of it.
            raise self.damage(0, "its first line is damaged; it was left as it is")
        header, _ = decoded
        if not header.is_readable:
            raise UnsupportedFormat(
                f"{self.path} has format {header.format}; this version reads format {names.FORMAT}, and "
                f"{names.FORMAT_WITH_PAST}",
                path=self.path,
                line=1,
                offset=0,
            )
        if header.first != self.first:
            reason = f"{self.path} says it begins at sequence {header.first}: it was renamed"
            raise CorruptJournal(reason, path=self.path, line=1, offset=0)
        return decoded

    @property
    def torn_bytes(self) -> bytes:
        """The bytes behind the last line that verifies."""
        return self.data[self.end :]

    def check_follows(self, store: str | None, head_digest: str | None) -> None:
        """Check that the file belongs to a store and continues behind a frame, as far as these are known.

        Raises:
            CorruptJournal: it does not.
        """
        if store is not None and self.header.store != store:
            reason = f"{self.path} belongs to another store ({self.header.store}); this one is {store}"
        elif head_digest is not None and self.header.previous_digest != head_digest:
            reason = f"{self.path} continues another history than that of sequence {self.first - 1}"
        else:
            return
        raise CorruptJournal(reason, path=self.path, line=1, offset=0)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that count, each following the one before it; then find out how the file ends.

        Raises:
            CorruptJournal: naming the byte offset and the reason.
        """
        digest = self.header.previous_digest
        for frame in decode_frames(self.data, self.header, self.end):
            if frame.previous_digest != digest or self._closed:
                raise self.damage(frame.offset, "a frame does not follow the one before it")
            if not frame.closed:
                if self._is_given_up(frame):
                    break
                self._check_sequence(frame)
                yield frame
                self.last_sequence, self.head_digest = frame.last, frame.digest
            else:
                self.clean_close = frame
            digest, self._closed, self.end, self.last_at = frame.digest, frame.closed, frame.end, frame.at
        self.ending = self._find_ending()

    def _is_given_up(self, frame: Frame) -> bool:
        """Return whether the next segment was begun instead of this frame: its sync had failed."""
        return self.following is not None and frame.first >= self.following

    def _check_sequence(self, frame: Frame) -> None:
        if frame.first != self.last_sequence + 1 or not self._is_complete(frame):
            raise self.damage(
                frame.offset,
                f"sequence {self.last_sequence + 1} is missing; the frame holds {frame.first} to {frame.last}",
            )

    def _is_complete(self, frame: Frame) -> bool:
        """Return whether a frame holds a commit for each of its sequences; not asked of those a snapshot covers."""
        if frame.last <= self._checkpoint_sequence:
            return True
        try:
            return frame.last - frame.first + 1 == len(frame.commits)
        except ValueError as error:
            raise self.damage(frame.offset, f"its digest is right, but it can't be decoded: {error}") from None

    def _find_ending(self) -> Ending:
        """Return how the file ends; raises CorruptJournal if frames are lost."""
        ending = Ending.CLOSED if self._closed else Ending.OPEN
        if self.following is not None:
            if self.last_sequence == self.following - 1:
                return ending
            raise self.damage(
                self.end,
                f"sequence {self.last_sequence + 1} is damaged or missing; the next file begins at {self.following}",
            )
        if self.end == len(self.data):
            return ending
        if self._closed:
            count = len(self.data) - self.end
            raise self.damage(self.end, f"{count} bytes behind a clean close; it was left as it is")
        later = frame_after(self.data, self.header, self.end)
        if later is not None:
            raise self.damage(
                self.end,
                f"damaged, and a whole frame (sequence {later.first}) follows at byte {later.offset}: not a torn end, "
                f"but lost commits; it was left as it is",
            )
        return Ending.TORN

    def frames_behind_damage(self) -> Iterator[Frame]:
        """Yield the whole frames anywhere behind `end` that were not given up, after `frames` has raised; O(n).

        Whether they can be used depends on what is lost between: `previous_digest` names the frame each continues.
        """
        start = self.end
        while frame := frame_after(self.data, self.header, start):
            start = frame.end
            if not frame.closed and not self._is_given_up(frame):
                yield frame

    def damage(self, offset: int, reason: str) -> CorruptJournal:
        """Return the error for damage at an offset of the file."""
        line = self.data.count(b"\n", 0, offset) + 1
        return CorruptJournal(f"{self.path}, byte {offset}: {reason}", path=self.path, line=line, offset=offset)


class JournalReader:
    """The journal from a sequence on: its segments in order, each checked to continue the one before it.

    Attributes:
        first: the sequence that its first segment begins with; None without segments.
        store: id of the store; None until known.
        segment: the segment that is being read, at the end the last one.
    """

    def __init__(
        self, files: Files, *, after: int = 0, store: str | None = None, head_digest: str | None = None
    ) -> None:
        """Find the segments; nothing is read yet.

        Args:
            files: the store's directory.
            after: commits up to this sequence are not wanted, and not parsed. If the journal begins later, it is read
                from its first segment: compare `first`.
            store: id that the segments must have, if known.
            head_digest: digest of the frame that ends at `after`, if known.
        """
        spans = journal_directory.spans(files)
        wanted = [span for span in spans if span[1] is None or span[1] > after + 1]
        self._files, self._after, self._spans = files, after, wanted
        self.first = wanted[0][0] if wanted else None
        self.store = store
        self._head_digest = head_digest if self.first == after + 1 else None
        self.segment: SegmentReader | None = None

    def segments(self, on_damage: OnDamage | None = None) -> Iterator[SegmentReader]:
        """Yield the segments, oldest first; read the frames of each before going on to the next.

        Args:
            on_damage: called for a segment whose header can't be read, or doesn't continue the one before it; then
                the next follows. Without it, such a segment is an error.

        Raises:
            CorruptJournal, UnsupportedFormat, OSError: as said there.
        """
        head_digest = self._head_digest
        for first, following in self._spans:
            try:
                self.segment = segment = self._open(first, following)
                segment.check_follows(self.store, head_digest)
            except (OpenError, OSError) as error:
                if on_damage is None:
                    raise
                on_damage(first, error)
                head_digest = None
                continue
            self.store = segment.header.store
            yield segment
            # Only a segment that was read to its end says what the next one has to continue.
            head_digest = segment.head_digest if segment.ending is not None else None

    def _open(self, first: int, following: int | None) -> SegmentReader:
        name = journal_directory.path_of(first)
        data = journal_directory.read(self._files, first)
        return SegmentReader(str(self._files.path(name)), data, first, following, checkpoint_sequence=self._after)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order, from the first of the segment that holds the wanted ones; O(n).

        Raises:
            CorruptJournal, UnsupportedFormat: naming file, byte offset and reason.
        """
        for segment in self.segments():
            yield from segment.frames()

    def commits(self) -> Iterator[CommitRecord]:
        """Yield the commits after the given sequence, in order; O(n). Raises as `frames`."""
        for frame in self.frames():
            if frame.last > self._after:
                yield from (commit for commit in frame.commits if commit.sequence > self._after)


@dataclass(frozen=True)
class CommitSummary:
    """What a commit was: when it was written, and which rows it changed."""

    sequence: int
    at: str
    rows: Mapping[str, tuple[str, ...]]
    """The keys it changed, by table."""

    @classmethod
    def of(cls, commit: CommitRecord, at: str) -> "CommitSummary":
        """Return the summary of a commit that was written at a time."""
        rows: dict[str, list[str]] = {}
        for change in commit.changes:
            rows.setdefault(change.table, []).append(change.key)
        return cls(commit.sequence, at, {table: tuple(keys) for table, keys in rows.items()})


def summaries_of(frame: Frame) -> Iterator[CommitSummary]:
    """Yield a summary of each commit of a frame."""
    return (CommitSummary.of(commit, frame.at) for commit in frame.commits)
