"""The segment: the journal file that is being written."""

import json
import secrets
from collections.abc import Sequence

from snaptable.changes import Commit
from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace_durably
from snaptable.storage.disk.clock import timestamp
from snaptable.storage.disk.files import File, Files, sync
from snaptable.storage.journal.format import encode_commit, sign


class Segment:
    """Be the journal file that is being written."""

    def __init__(self, files: Files, store: str, first: int, previous: str) -> None:
        """Begin a segment; its file is created by `begin`, or with the first write.

        Args:
            files: the store's directory.
            store: the store's id.
            first: sequence of the first commit it will hold.
            previous: check of the frame before that.
        """
        self.first = first
        self.tip = previous
        self.size = 0
        self._reserved = 0
        self._files = files
        self._name = f"{names.JOURNAL}/{names.segment(first)}"
        self._salt = secrets.token_bytes(16)
        self._file: File | None = None
        head = {"format": names.FORMAT, "store": store, "salt": self._salt.hex(), "first": first, "previous": previous}
        self._header, _ = sign(b'{"snaptable":' + json.dumps(head, separators=(",", ":")).encode(), self._salt)

    def begin(self) -> None:
        """Create the file with its header, and return when it and its name are on the disk.

        The header is synced before the file gets its name, so that a header that does not verify is always damage. A
        file without a commit may have the name already: it is replaced, never removed first, for it may carry the mark
        of a clean close, or end what the file before it had to give up.
        """
        # Somebody may have put a symlink there since the store was opened.
        self._files.check_directory(names.JOURNAL)
        replace_durably(self._files, names.temporary_segment(), self._name, [self._header])
        self._file = self._files.append(self._name)
        self.size = self._reserved = len(self._header)

    def append(self, commits: Sequence[Commit]) -> None:
        """Write commits as one frame and return when it is on the disk.

        Raises:
            OSError: it could not be written; `cut_back` makes the file as before.
            SyncFailed: nobody knows whether it is there.
        """
        body = b",".join(map(encode_commit, commits))
        span = b"[%d,%d]" % (commits[0].sequence, commits[-1].sequence)
        self._write_frame(span, b',"commits":[%b]' % body)

    def close(self, sequence: int) -> None:
        """Write that the store was closed cleanly at a sequence: whatever is damaged here later is no torn tail."""
        if self._file is not None:
            try:
                self.cut_back()
                self._write_frame(b'"closed"', b',"sequence":%d' % sequence, last=True)
            finally:
                self.abandon()

    def end(self) -> None:
        """Give back the room that no frame took, and let go of the file."""
        self.cut_back()
        self.abandon()

    def _write_frame(self, span: bytes, body: bytes, *, last: bool = False) -> None:
        payload = b'{"frame":%b,"at":"%b","previous":"%b"%b' % (span, timestamp().encode(), self.tip.encode(), body)
        self._write(*sign(payload, self._salt), last=last)

    def _write(self, line: bytes, check: str, *, last: bool) -> None:
        if self._file is None:
            self.begin()
        assert self._file is not None
        if not last and self._has_room(self._file, len(line)):
            self._file.append_synced(line)
        else:
            self._file.write([line])
            sync(self._file.sync)
        self.size += len(line)
        self.tip = check

    def _has_room(self, file: File, count: int) -> bool:
        """Return whether a line of so many bytes fits into what is reserved, reserving more where it doesn't."""
        if self.size + count > self._reserved and self._files.preallocation:
            room = max(count, self._files.preallocation)
            try:
                file.preallocate(self._reserved, self.size + room - self._reserved)
            except OSError:
                return False
            self._reserved = self.size + room
        return self.size + count <= self._reserved

    def cut_back(self) -> bool:
        """Take off what is behind the last frame: reserved room, or half a frame after a failed *write*.

        Return whether that worked.

        Never after a failed sync: the kernel has dropped the pages then, and a later sync would report success.
        """
        try:
            if self._file is not None:
                self._file.truncate(self.size)
                self._reserved = self.size
        except OSError:
            return False
        return True

    def abandon(self) -> None:
        """Let go of the file without another word to it."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────
