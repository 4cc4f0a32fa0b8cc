"""The journal: JSON lines, one frame a line, one frame a sync; the format is described in `snaptable/README.md`.

A frame holds whole commits. Its check covers its bytes, keyed with the segment's salt; it names the check of the frame
before it. So stale blocks of a deleted segment, and row contents that look like a frame, can't pass for one, and a
frame that is missing in the middle is noticed. One frame a sync, and not several: of frames synced together a crash may
keep the second and lose the first, which looks like damage and is none.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any

from snaptable.changes import Change, Commit, Delete, Insert, Replace, key_json

GENESIS = "0" * 32
"""What the first frame of a store names as the check before it."""

DIGEST_MARK = b',"check":"'
LINE_END = b'"}\n'
_FRAME = b'{"frame":'
_FRAME_HEAD = re.compile(
    rb'\{"frame":(?:\[([0-9]+),([0-9]+)\]|"closed"),"at":"([^"]*)","previous":"([0-9a-f]*)",'
    rb'(?:"commits":|"sequence":([0-9]+))'
)
"""What a frame says of itself before its commits; read off lines whose seal was verified."""


def _digest(payload: bytes, salt: bytes) -> str:
    return blake2b(payload, key=salt, digest_size=16).hexdigest()


def sign(payload: bytes, salt: bytes) -> tuple[bytes, str]:
    """Return a line of the journal, and its check."""
    check = _digest(payload, salt)
    return payload + DIGEST_MARK + check.encode() + LINE_END, check


def verify(line: bytes, salt: bytes) -> str | None:
    """Return the check of a whole line that is as it was written, else None."""
    payload, found, rest = line.rpartition(DIGEST_MARK)
    if not found or not rest.endswith(LINE_END):
        return None
    check = _digest(payload, salt)
    return check if rest[: -len(LINE_END)] == check.encode() else None


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


_VERBS: dict[type[Change], bytes] = {Insert: b"insert", Replace: b"replace", Delete: b"delete"}


@lru_cache(maxsize=256)
def _opening(verb: bytes, table: str) -> bytes:
    """Return how a change to a table begins."""
    return b'{"%b":%b,"key":' % (verb, json.dumps(table).encode())


def encode_change(change: Change) -> bytes:
    """Return a change as it stands in a frame."""
    opening, key = _opening(_VERBS[type(change)], change.table), key_json(change.key)
    if isinstance(change, Delete):
        return b"%b%b}" % (opening, key)
    return b'%b%b,"row":%b}' % (opening, key, change.row)


def encode_commit(commit: Commit) -> bytes:
    """Return a commit as it stands in a frame."""
    changes = b",".join(map(encode_change, commit.changes))
    numbered = b',"numbered":%b' % json.dumps(dict(commit.numbered)).encode() if commit.numbered else b""
    return b'{"sequence":%d,"changes":[%b]%b}' % (commit.sequence, changes, numbered)


@dataclass(frozen=True)
class SegmentHeader:
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


def read_header(data: bytes) -> tuple[SegmentHeader, int] | None:
    """Return a segment's header and where it ends, None where the line is not whole."""
    end = data.find(b"\n") + 1
    line = data[:end]
    try:
        plain = json.loads(line)["snaptable"]
        header = SegmentHeader(
            plain["store"], bytes.fromhex(plain["salt"]), plain["first"], plain["previous"], plain["format"]
        )
    except (ValueError, KeyError, TypeError):
        return None
    return (header, end) if verify(line, header.salt) else None


def read_frames(data: bytes, header: SegmentHeader, start: int) -> Iterator[Frame]:
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
    check = verify(line, salt) if line.startswith(_FRAME) else None
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


def frame_after(data: bytes, header: SegmentHeader, start: int) -> Frame | None:
    """Return the next whole frame anywhere behind an offset: its presence tells damage from a torn tail."""
    while (start := data.find(_FRAME, start)) >= 0:
        end = data.find(b"\n", start) + 1
        frame = _parse_frame(data, start, end, header.salt) if end else None
        if frame is not None:
            return frame
        start += 1
    return None
