"""One journal file, walked frame by frame: what verifies, what follows what, and how it ends.

Opening a store, checking it and repairing it all read the journal through this.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from snaptable.errors import CorruptJournal, UnsupportedFormat
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal import format as journal_format


class SegmentReader:
    """Be on the way through one journal file.

    Attributes:
        first: sequence the file's name says it begins with.
        header: its first line.
        reached: the last sequence of the frames seen.
        tip: check of the frame that ended there.
        end: where the last line that verifies ends.
        closed: whether that line is the mark of a clean close.
        torn: whether bytes behind it are the torn end of the last file.
    """

    def __init__(self, path: str, data: bytes, first: int, following: int | None, covered: int = 0) -> None:
        """Read the header.

        Args:
            path: the file's path, for messages.
            data: its content.
            first: the sequence its name says it begins with.
            following: where the next file begins; what lies behind that here was given up. None for the last file.
            covered: the sequence up to which nobody will ask for the commits.

        Raises:
            CorruptJournal, UnsupportedFormat: the header is damaged, of another format, or of another file.
        """
        self.path, self.data, self.first, self.following = path, data, first, following
        self.covered = covered
        found = journal_format.read_header(data)
        if found is None:
            # The header is synced before the file gets its name: no crash leaves this behind.
            raise CorruptJournal(f"{path}, byte 0: its first line is damaged; it was left as it is").at(0)
        self.header, self.end = found
        if self.header.format != names.FORMAT:
            raise UnsupportedFormat(
                f"{path} has format {self.header.format}; this version reads format {names.FORMAT}"
            ).at(0)
        if self.header.first != first:
            raise CorruptJournal(f"{path} says it begins at sequence {self.header.first}: it was renamed").at(0)
        self.reached, self.tip = first - 1, self.header.previous
        self.closed = self.torn = False

    def check_follows(self, store: str | None, tip: str | None) -> None:
        """Check that the file belongs to a store, and continues behind a frame, as far as they are known.

        Raises:
            CorruptJournal: it does not.
        """
        if store is not None and self.header.store != store:
            raise CorruptJournal(f"{self.path} belongs to another store ({self.header.store}); this one is {store}").at(
                0
            )
        if tip is not None and self.header.previous != tip:
            raise CorruptJournal(f"{self.path} continues another history than that of sequence {self.first - 1}").at(0)

    def frames(self) -> Iterator[journal_format.Frame]:
        """Yield the frames that count, each following the one before it, and then judge how the file ends.

        Raises:
            CorruptJournal: naming the byte offset and the reason.
        """
        chain = self.header.previous
        for frame in journal_format.read_frames(self.data, self.header, self.end):
            if frame.previous != chain or self.closed:
                raise self._damage(frame.offset, "a frame does not follow the one before it")
            if not frame.closed:
                if self.following is not None and frame.first >= self.following:
                    break  # given up when the next segment was begun: its sync had failed
                self._check_sequence(frame)
                yield frame
                self.reached, self.tip = frame.last, frame.check
            chain, self.closed, self.end = frame.check, frame.closed, frame.end
        self._check_end()

    def _check_sequence(self, frame: journal_format.Frame) -> None:
        # What the snapshot covers is not parsed: only its place in the sequence counts.
        counted = frame.last <= self.covered or frame.last - frame.first + 1 == len(frame.commits)
        if frame.first != self.reached + 1 or not counted:
            raise self._damage(
                frame.offset,
                f"sequence {self.reached + 1} is missing; the frame holds {frame.first} to {frame.last}",
            )

    def _check_end(self) -> None:
        """Tell a torn end from damage."""
        if self.following is not None:
            if self.reached != self.following - 1:
                raise self._damage(
                    self.end,
                    f"sequence {self.reached + 1} is damaged or missing; the next file begins at {self.following}",
                )
            return
        if self.end == len(self.data):
            return
        if self.closed:
            behind = len(self.data) - self.end
            raise self._damage(self.end, f"{behind} bytes behind a clean close; it was left as it is")
        later = journal_format.frame_after(self.data, self.header, self.end)
        if later is not None:
            raise self._damage(
                self.end,
                f"damaged, and a whole frame (sequence {later.first}) follows at byte {later.offset}: no torn end, but "
                f"lost commits; it was left as it is",
            )
        self.torn = True

    def _damage(self, offset: int, reason: str) -> CorruptJournal:
        return CorruptJournal(f"{self.path}, byte {offset}: {reason}").at(offset)


def begin(files: Files, first: int, following: int | None, covered: int = 0) -> SegmentReader:
    """Return the reader of the segment that begins with a sequence; raises as `SegmentReader` and `Files.read`."""
    return SegmentReader(
        str(files.path(journal_directory.path_of(first))),
        journal_directory.read(files, first),
        first,
        following,
        covered,
    )


@dataclass(frozen=True)
class CommitSummary:
    """Name a commit of the journal: when it was written, and which rows it changed."""

    sequence: int
    at: str
    rows: Mapping[str, tuple[str, ...]]
    """The keys it changed, by table."""


def summaries_of(frame: journal_format.Frame) -> Iterator[CommitSummary]:
    """Yield the commits of a frame by name."""
    for commit in frame.commits:
        yield CommitSummary(commit["sequence"], frame.at, rows_of(commit["changes"]))


def rows_of(changes: list[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the keys that a commit changed, by table."""
    rows: dict[str, list[str]] = {}
    for change in changes:
        table = next(change[verb] for verb in ("insert", "replace", "delete") if verb in change)
        rows.setdefault(table, []).append(change["key"])
    return {table: tuple(keys) for table, keys in rows.items()}
