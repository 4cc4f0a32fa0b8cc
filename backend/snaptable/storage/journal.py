"""The journal: JSON lines, one frame a line, one frame a sync; the format is described in `snaptable/README.md`.

A frame holds whole commits. Its check covers its bytes, keyed with the segment's salt; it names the check of the frame
before it. So stale blocks of a deleted segment, and row contents that look like a frame, can't pass for one, and a
frame that is missing in the middle is noticed. One frame a sync, and not several: of frames synced together a crash may
keep the second and lose the first, which looks like damage and is none.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

from snaptable.changes import Change, Commit, Delete, Insert, Replace, key_json
from snaptable.storage import names
from snaptable.storage.files import File, Files, sync
from snaptable.storage.publish import publish

GENESIS = "0" * 32
"""What the first frame of a store names as the check before it."""

_CHECK = b',"check":"'
_LINE_END = b'"}\n'
_FRAME = b'{"frame":'
_FRAME_HEAD = re.compile(
    rb'\{"frame":(?:\[([0-9]+),([0-9]+)\]|"closed"),"at":"([^"]*)","previous":"([0-9a-f]*)",'
    rb'(?:"commits":|"sequence":([0-9]+))'
)
"""What a frame says of itself before its commits; read off lines whose seal was verified."""


def timestamp() -> str:
    """Return the present time, UTC, as it stands in files."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """Return the time up to the second; spelled out once a second, not once a frame."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _check(payload: bytes, salt: bytes) -> str:
    return blake2b(payload, key=salt, digest_size=16).hexdigest()


def _seal(payload: bytes, salt: bytes) -> tuple[bytes, str]:
    """Return a line of the journal, and its check."""
    check = _check(payload, salt)
    return payload + _CHECK + check.encode() + _LINE_END, check


def _open_seal(line: bytes, salt: bytes) -> str | None:
    """Return the check of a whole line that is as it was written, else None."""
    payload, found, rest = line.rpartition(_CHECK)
    if not found or not rest.endswith(_LINE_END):
        return None
    check = _check(payload, salt)
    return check if rest[: -len(_LINE_END)] == check.encode() else None


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


_VERBS: dict[type[Change], bytes] = {Insert: b"insert", Replace: b"replace", Delete: b"delete"}


@lru_cache(maxsize=256)
def _opening(verb: bytes, table: str) -> bytes:
    """Return how a change to a table begins."""
    return b'{"%b":%b,"key":' % (verb, json.dumps(table).encode())


def _change_json(change: Change) -> bytes:
    opening, key = _opening(_VERBS[type(change)], change.table), key_json(change.key)
    if isinstance(change, Delete):
        return b"%b%b}" % (opening, key)
    return b'%b%b,"row":%b}' % (opening, key, change.row)


def _commit_json(commit: Commit) -> bytes:
    changes = b",".join(map(_change_json, commit.changes))
    numbered = b',"numbered":%b' % json.dumps(dict(commit.numbered)).encode() if commit.numbered else b""
    return b'{"sequence":%d,"changes":[%b]%b}' % (commit.sequence, changes, numbered)


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
        self._header, _ = _seal(b'{"snaptable":' + json.dumps(head, separators=(",", ":")).encode(), self._salt)

    def begin(self) -> None:
        """Create the file with its header, and return when it and its name are on the disk.

        The header is synced before the file gets its name, so that a header that does not verify is always damage. A
        file without a commit may have the name already: it is replaced, never removed first, for it may carry the mark
        of a clean close, or end what the file before it had to give up.
        """
        # Somebody may have put a symlink there since the store was opened.
        self._files.check_directory(names.JOURNAL)
        publish(self._files, names.temporary_segment(), self._name, [self._header])
        self._file = self._files.append(self._name)
        self.size = self._reserved = len(self._header)

    def append(self, commits: Sequence[Commit]) -> None:
        """Write commits as one frame and return when it is on the disk.

        Raises:
            OSError: it could not be written; `cut_back` makes the file as before.
            SyncFailed: nobody knows whether it is there.
        """
        body = b",".join(map(_commit_json, commits))
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
        self._write(*_seal(payload, self._salt), last=last)

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
        if self.size + count > self._reserved and self._files.room:
            room = max(count, self._files.room)
            try:
                file.reserve(self._reserved, self.size + room - self._reserved)
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


@dataclass(frozen=True)
class Header:
    """Be the first line of a segment."""

    store: str
    salt: bytes
    first: int
    previous: str
    format: int


@dataclass(frozen=True)
class Frame:
    """Be one verified line of a segment."""

    offset: int
    end: int
    first: int
    last: int
    previous: str
    check: str
    at: str
    closed: bool
    line: bytes

    @cached_property
    def commits(self) -> tuple[Mapping[str, Any], ...]:
        """Its commits, parsed when they are asked for: those that the snapshot covers never are."""
        return tuple(json.loads(self.line).get("commits", ()))


def read_header(data: bytes) -> tuple[Header, int] | None:
    """Return a segment's header and where it ends, None where the line is not whole."""
    end = data.find(b"\n") + 1
    line = data[:end]
    try:
        plain = json.loads(line)["snaptable"]
        header = Header(
            plain["store"], bytes.fromhex(plain["salt"]), plain["first"], plain["previous"], plain["format"]
        )
    except (ValueError, KeyError, TypeError):
        return None
    return (header, end) if _open_seal(line, header.salt) else None


def read_frames(data: bytes, header: Header, start: int) -> Iterator[Frame]:
    """Yield the frames from an offset up to the first that does not verify; each is whole, as written."""
    while start < len(data):
        end = data.find(b"\n", start) + 1
        frame = _parse_frame(data, start, end, header.salt) if end else None
        if frame is None:
            return
        yield frame
        start = end


def _parse_frame(data: bytes, start: int, end: int, salt: bytes) -> Frame | None:
    line = data[start:end]
    check = _open_seal(line, salt) if line.startswith(_FRAME) else None
    if check is None:
        return None
    head = _FRAME_HEAD.match(line)
    if head is None:
        return None
    first, last, at, previous, closed_at = head.groups()
    if first is None:
        # The mark of a clean close holds no commit: it begins behind where it ends.
        first, last = int(closed_at or 0) + 1, int(closed_at or 0)
    return Frame(start, end, int(first), int(last), previous.decode(), check, at.decode(), closed_at is not None, line)


def frame_after(data: bytes, header: Header, start: int) -> Frame | None:
    """Return the next whole frame anywhere behind an offset: its presence tells damage from a torn tail."""
    while (start := data.find(_FRAME, start)) >= 0:
        end = data.find(b"\n", start) + 1
        frame = _parse_frame(data, start, end, header.salt) if end else None
        if frame is not None:
            return frame
        start += 1
    return None
