"""The segment: the journal file that is being written.

`begin` (header, synced) → `append` (frames, synced) → `close` (clean) | `drop` (another segment follows)
"""

import secrets
from collections.abc import Iterable, Sequence
from functools import partial

from snaptable.changes.records import CommitRecord
from snaptable.runtime.clock import StoreClock
from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace_durably
from snaptable.storage.disk.files import File, Files, sync
from snaptable.storage.journal.format import SegmentHeader, encode_close, encode_frame, encode_header
from snaptable.storage.journal.marks import SegmentMarks

MOST_ROOM = 8
"""Up to how many times its least size the room grows with the file."""


class Segment:
    """The journal file that is being written.

    Attributes:
        first: sequence of the first commit it holds, or will hold.
        head_digest: digest of the last frame, at first of the frame before the segment.
        size: bytes up to the end of the last frame; 0 before the file exists.
        marks: where some of its frames begin.
    """

    def __init__(
        self,
        files: Files,
        store: str,
        first: int,
        previous_digest: str,
        clock: StoreClock,
        migrations: Iterable[str] = (),
    ) -> None:
        """Prepare a segment; its file is created by `begin`, or with the first write.

        Args:
            files: the store's directory.
            store: the store's id.
            first: sequence of the first commit it will hold.
            previous_digest: digest of the frame before that.
            clock: gives the times of its frames.
            migrations: the names of those that were applied before its first commit.
        """
        self.first = first
        self.head_digest = previous_digest
        self.size = 0
        self.marks = SegmentMarks()
        self._end_of_room = 0
        self._has_unsynced_cut = False
        self._files, self._clock = files, clock
        self._name = f"{names.JOURNAL}/{names.segment(first)}"
        self._salt = secrets.token_bytes(16)
        self._file: File | None = None
        self._header_of = partial(SegmentHeader, store, self._salt, first, previous_digest)
        self._migrations = tuple(migrations)

    def begin(self, commits: Sequence[CommitRecord] = ()) -> None:
        """Create the file with its header, and return when it and its name are on the disk.

        Commits, if there are any, are its first frame, and are there with the file or not at all.

        The header is synced before the file gets its name, so that a header that does not verify is always damage. A
        file without a commit may have the name already. It is replaced, never removed first: it may carry the mark of
        a clean close, or bound what the file before it holds.

        Raises:
            OSError: the file was not created.
            SyncFailed: it is unknown whether it was.
            UnsafeDirectory: `db_journal` is not a directory of ours any more.
        """
        # It may have been replaced, by a symlink for example, since the store was opened.
        self._files.check_directory(names.JOURNAL)
        named = [name for commit in commits for name in commit.named_migrations]
        number = names.format_with((*self._migrations, *named))
        header = self._header_of(number, self._migrations if self._migrations or named else None)
        lines, head_digest = [encode_header(header)], self.head_digest
        if commits:
            line, head_digest = encode_frame(commits, self._clock.timestamp(), head_digest, self._salt)
            lines.append(line)
        replace_durably(self._files, names.temporary_segment(), self._name, lines)
        if commits:
            self.marks.add(commits[0].sequence, len(lines[0]), self.head_digest)
        self._file = self._files.append(self._name)
        self.size = self._end_of_room = sum(map(len, lines))
        self.head_digest = head_digest

    def append(self, commits: Sequence[CommitRecord]) -> str:
        """Write commits as one frame, and return its time when it is on the disk.

        Raises:
            OSError: it could not be written; `truncate_to_last_frame` restores the file.
            SyncFailed: it is unknown whether it is on the disk.
        """
        at, previous_digest = self._clock.timestamp(), self.head_digest
        line, digest = encode_frame(commits, at, previous_digest, self._salt)
        self._write(line, digest)
        self.marks.add(commits[0].sequence, self.size - len(line), previous_digest)
        return at

    def close(self, sequence: int) -> None:
        """Mark the journal as closed cleanly at a sequence: damage found here later is not a torn tail.

        Raises:
            OSError, SyncFailed: the mark may be missing.
        """
        if self._file is not None:
            try:
                # 1. Nothing behind the last frame. A disk may do the cut after what is written later, or not at all:
                #    it is synced first, or the freed blocks could lie behind the mark, holding anything.
                if self._end_of_room > self.size:
                    self.truncate_to_last_frame()
                if self._has_unsynced_cut:
                    sync(self._file.sync)
                # 2. The mark.
                self._write(*encode_close(sequence, self._clock.timestamp(), self.head_digest, self._salt), last=True)
            finally:
                self.drop()

    def finish(self) -> None:
        """Cut off the room behind the last frame, and close the file: the next segment follows."""
        self.truncate_to_last_frame()
        self.drop()

    def _write(self, line: bytes, digest: str, *, last: bool = False) -> None:
        if self._file is None:
            self.begin()
        assert self._file is not None
        fits = self.size + len(line) <= self._end_of_room
        if not last and (fits or self._make_room(self._file, len(line))):
            self._file.write_synced(line, self.size)
        else:
            self._file.seek(self.size)
            self._file.write([line])
            sync(self._file.sync)
        self._has_unsynced_cut = False
        self.size += len(line)
        self._end_of_room = max(self._end_of_room, self.size)
        self.head_digest = digest

    def _make_room(self, file: File, count: int) -> bool:
        """Write zeros behind the last frame, into which `count` bytes fit; return whether they do.

        Raises:
            SyncFailed: it is unknown whether the zeros are on the disk.
        """
        least = self._files.room
        if least:
            start = self._end_of_room
            self._end_of_room = self.size + max(count, least, min(self.size, MOST_ROOM * least))
            try:
                file.write_zeros(start, self._end_of_room - start)
            except OSError:
                self.truncate_to_last_frame()
                return False
            sync(file.sync)
        return self.size + count <= self._end_of_room

    def truncate_to_last_frame(self) -> bool:
        """Cut off what is behind the last frame: zeros, or half a frame after a failed *write*.

        Never after a failed sync: the kernel has dropped the pages then, and a later sync would report success.

        Returns:
            Whether that worked.
        """
        try:
            if self._file is not None:
                self._file.truncate(self.size)
                self._end_of_room = self.size
                self._has_unsynced_cut = True
        except OSError:
            return False
        return True

    def drop(self) -> None:
        """Close the file, whatever that reports; nothing more is written to it."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return
