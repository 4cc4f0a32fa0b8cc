"""The lines of the journal, encoded and decoded: one frame a line; the format is described in `snaptable/README.md`.

A frame holds whole commits. Its digest covers its bytes, keyed with the segment's salt, and it names the digest of the
frame before it. So neither stale blocks of a deleted segment nor row contents that look like a frame can pass for one,
and a frame that is missing in the middle is noticed. There is one frame a sync, not several: of frames synced together
a crash may keep the second and lose the first, which would look like damage.

A frame that was purged keeps its digest, by which the next one names it, and has a *seal* before that: the digest of
the line as it stands now.

    encode   encode_header, encode_frame, encode_purged, encode_close, encode_commit, encode_change
    decode   decode_header, decode_frames, frame_after, decode_commit, decode_change
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Literal

from snaptable.changes.attribution import Attribution
from snaptable.changes.records import (
    ChangeRecord,
    CommitRecord,
    Delete,
    Insert,
    PlainChange,
    PlainCommit,
    PurgedChange,
    Replace,
)
from snaptable.storage.disk import names
from snaptable.values.row_lines import Key, key_json, row_json

Kind = Literal["insert", "replace", "delete"]
GENESIS = "0" * 32
"""What the first frame of a store names as the digest before it."""

DIGEST_MARK = b',"check":"'
SEAL_MARK = b',"seal":"'
LINE_END = b'"}\n'
_FRAME = b'{"frame":'
_FRAME_HEAD = re.compile(
    rb'\{"frame":(?:\[([0-9]+),([0-9]+)\]|"closed"),"at":"([^"]*)","previous":"([0-9a-f]*)",'
    rb'(?:"commits":|"sequence":([0-9]+))'
)
"""How a frame begins, up to its commits; matched only with lines whose digest was verified."""
_TOKEN_BACKWARDS = re.compile(rb'"(?:[^"]++|"\\(?:\\\\)*+(?!\\))*+"?|[\[{]|[\]}]', re.DOTALL)
"""A JSON string, or a bracket, in bytes that are read backwards: there a quote is followed by what escapes it."""
_DIGEST = re.compile(rb"[0-9a-f]{32}")
_VERBS: dict[type[ChangeRecord], bytes] = {Replace: b"replace", Delete: b"delete"}


@dataclass(frozen=True)
class SegmentHeader:
    """The first line of a segment.

    Attributes:
        store: id of the store.
        salt: keys the digests of the segment.
        first: sequence of its first commit.
        previous_digest: digest of the frame before that.
        format: version of the format.
        migrations: the names of those that were applied before its first commit; None if none were, nor in it.
        purged: whether lines of it were purged.
    """

    store: str
    salt: bytes
    first: int
    previous_digest: str
    format: int
    migrations: tuple[str, ...] | None = None
    purged: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether this version reads files of its format."""
        migrations = () if self.migrations is None else ("migrations",)
        return names.can_read(self.format, (*migrations, *(("purged",) if self.purged else ())))


@dataclass(frozen=True)
class Frame:
    """One verified line of a segment: commits, or the mark of a clean close.

    Attributes:
        offset: where the line begins in the file.
        end: where it ends.
        first: sequence of its first commit; of a mark of a clean close, the one after the last commit.
        last: sequence of its last commit.
        previous_digest: digest of the line before it.
        digest: its own.
        at: the time it was written.
        closed: whether it is the mark of a clean close.
        line: its bytes.
    """

    offset: int
    end: int
    first: int
    last: int
    previous_digest: str
    digest: str
    at: str
    closed: bool
    line: bytes

    @cached_property
    def commits(self) -> tuple[CommitRecord, ...]:
        """Its commits, as `decode_commit` returns them; parsed at the first use, so never if a snapshot covers them.

        Raises:
            ValueError: a commit can't be decoded.
        """
        try:
            return tuple(map(decode_commit, json.loads(self.line).get("commits", ())))
        except RecursionError:
            raise ValueError("nested too deeply") from None


# ── digests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _digest(payload: bytes, salt: bytes) -> str:
    digest = _keyed(salt).copy()
    digest.update(payload)
    return digest.hexdigest()


@lru_cache(maxsize=16)
def _keyed(salt: bytes) -> "blake2b":
    """Return the digest of nothing, to be copied: the key is hashed as a block of its own, as much as half a row."""
    return blake2b(key=salt, digest_size=16)


def sign(payload: bytes, salt: bytes) -> tuple[bytes, str]:
    """Return a whole line, and its digest: BLAKE2b-128 of the payload, keyed with the segment's salt."""
    digest = _digest(payload, salt)
    return b"".join((payload, DIGEST_MARK, digest.encode(), LINE_END)), digest


def verify(line: bytes, salt: bytes) -> str | None:
    """Return the digest of a whole line that is as it was written, or as a purge left it; else None."""
    payload, mark, rest = line.rpartition(DIGEST_MARK)
    if not mark or not rest.endswith(LINE_END):
        return None
    digest = _digest(payload, salt)
    given = rest[: -len(LINE_END)]
    return digest if given == digest.encode() else _verify_sealed(payload, given, salt)


def _verify_sealed(payload: bytes, given: bytes, salt: bytes) -> str | None:
    """Return the digest that a purged line was given when it was written, if its seal is right; else None."""
    sealed, mark, seal = payload.rpartition(SEAL_MARK)
    if not mark or not _DIGEST.fullmatch(given) or seal != _seal(sealed, given, salt) + b'"':
        return None
    return given.decode()


def _seal(payload: bytes, digest: bytes, salt: bytes) -> bytes:
    """Return the seal of a purged line; it covers the digest too, which nothing else vouches for any more."""
    return _digest(payload + DIGEST_MARK + digest, salt).encode()


# ── encode ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def encode_header(header: SegmentHeader) -> bytes:
    """Return the first line of a segment."""
    members: dict[str, object] = {
        "format": header.format, "store": header.store, "salt": header.salt.hex(), "first": header.first,
        "previous": header.previous_digest,
    }  # fmt: skip
    if header.migrations is not None:
        members["migrations"] = header.migrations
    if header.purged:
        members["purged"] = True
    return sign(b'{"snaptable":' + json.dumps(members, separators=(",", ":")).encode(), header.salt)[0]


def encode_frame(commits: Sequence[CommitRecord], at: str, previous_digest: str, salt: bytes) -> tuple[bytes, str]:
    """Return the line of a frame, and its digest.

    Args:
        commits: its commits, at least one, in sequence.
        at: the present time.
        previous_digest: digest of the line before it.
        salt: the segment's.
    """
    return sign(_frame_payload(commits[0].sequence, commits[-1].sequence, at, previous_digest, commits), salt)


def encode_close(sequence: int, at: str, previous_digest: str, salt: bytes) -> tuple[bytes, str]:
    """Return the mark of a clean close at a sequence, and its digest."""
    payload = b'{"frame":"closed","at":"%b","previous":"%b","sequence":%d'
    return sign(payload % (at.encode(), previous_digest.encode(), sequence), salt)


def encode_purged(frame: Frame, commits: Sequence[CommitRecord], salt: bytes) -> bytes:
    """Return the line that stands for a frame whose commits were purged; it keeps the frame's digest."""
    payload = _frame_payload(frame.first, frame.last, frame.at, frame.previous_digest, commits)
    digest = frame.digest.encode()
    return payload + SEAL_MARK + _seal(payload, digest, salt) + b'"' + DIGEST_MARK + digest + LINE_END


def _frame_payload(first: int, last: int, at: str, previous_digest: str, commits: Sequence[CommitRecord]) -> bytes:
    body = encode_commit(commits[0]) if len(commits) == 1 else b",".join(map(encode_commit, commits))
    payload = b'{"frame":[%d,%d],"at":"%b","previous":"%b","commits":[%b]'
    return payload % (first, last, at.encode(), previous_digest.encode(), body)


def encode_commit(commit: CommitRecord) -> bytes:
    """Return a commit as it stands in a frame."""
    changes = commit.changes
    body = encode_change(changes[0]) if len(changes) == 1 else b",".join(map(encode_change, changes))
    if commit.numbered or commit.attribution or commit.undoes or commit.migrations or commit.erased:
        return b'{"sequence":%d,"changes":[%b]%b}' % (commit.sequence, body, _encode_members(commit))
    return b'{"sequence":%d,"changes":[%b]}' % (commit.sequence, body)


def _encode_members(commit: CommitRecord) -> bytes:
    """Return the members of a commit that stand only where there is something to say."""
    by = commit.attribution or Attribution()
    members = {
        "numbered": dict(commit.numbered), "actor": by.actor, "note": by.note, "via": by.via,
        "undoes": commit.undoes, "migrations": commit.migrations, "erased": commit.erased,
    }  # fmt: skip
    return b"," + row_json({name: value for name, value in members.items() if value})[1:-1]


def encode_change(change: ChangeRecord) -> bytes:
    """Return a change as it stands in a frame."""
    if isinstance(change, Insert):
        return b'%b%b,"row":%b}' % (_opening(b"insert", change.table), key_json(change.key), change.row)
    if isinstance(change, PurgedChange):
        return b'%b%b,"row":null,"purged":true}' % (_opening(change.kind.encode(), change.table), key_json(change.key))
    opening, key = _opening(_VERBS[type(change)], change.table), key_json(change.key)
    before = b"" if change.before is None else b',"before":%b' % change.before
    if isinstance(change, Delete):
        return b"%b%b%b}" % (opening, key, before)
    added = _added(change.added) if change.added else b""
    return b'%b%b,"row":%b%b%b}' % (opening, key, change.row, before, added)


@lru_cache(maxsize=256)
def _opening(verb: bytes, table: str) -> bytes:
    """Return how a change to a table begins, up to its key."""
    return b'{"%b":%b,"key":' % (verb, json.dumps(table).encode())


@lru_cache(maxsize=64)
def _added(names: tuple[str, ...]) -> bytes:
    return b',"added":%b' % row_json(names)


def key_member(key: Key) -> bytes:
    """Return how a key stands in each change of its row: without these bytes, a line holds no such change."""
    return b'"key":' + key_json(key)


# ── decode ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def decode_header(data: bytes) -> tuple[SegmentHeader, int] | None:
    """Return a segment's header and the offset where it ends, None if the line is not whole."""
    end = data.find(b"\n") + 1
    line = data[:end]
    try:
        plain = json.loads(line)["snaptable"]
        header = SegmentHeader(
            plain["store"], bytes.fromhex(plain["salt"]), plain["first"], plain["previous"], plain["format"],
            tuple(plain["migrations"]) if "migrations" in plain else None, bool(plain.get("purged")),
        )  # fmt: skip
        return (header, end) if verify(line, header.salt) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def decode_frames(data: bytes, header: SegmentHeader, start: int, base: int = 0) -> Iterator[Frame]:
    """Yield the frames of a segment from an offset up to the first line that does not verify.

    Args:
        data: bytes of the segment.
        header: its first line.
        start: where in `data` the first frame begins.
        base: where in the file `data` begins.
    """
    while start < len(data):
        end = data.find(b"\n", start) + 1
        frame = _decode_frame(data, start, end, header.salt, base) if end else None
        if frame is None:
            return
        yield frame
        start = end


def frame_after(data: bytes, header: SegmentHeader, start: int) -> Frame | None:
    """Return the next whole frame anywhere behind an offset: its presence tells damage from a torn tail; O(n)."""
    while (start := data.find(_FRAME, start)) >= 0 and (end := data.find(b"\n", start) + 1):
        # Rows, and damage, may hold what looks like the beginning of a frame any number of times. But a frame is one
        # object, which ends with its line: so only one place in a line can be its beginning.
        if data.find(_FRAME, start + 1, end) >= 0:
            start = _object_start(data, start, end - 1)
        frame = _decode_frame(data, start, end, header.salt)
        if frame is not None:
            return frame
        start = end
    return None


def _object_start(data: bytes, start: int, end: int) -> int:
    """Return where the JSON object that ends at `end` begins; `start` if that is not behind it."""
    depth = 0
    for match in _TOKEN_BACKWARDS.finditer(data[start:end][::-1]):
        mark = match[0]
        depth += (mark in b"]}") - (mark in b"[{")
        if depth <= 0:
            return end - match.end()
    return start


def _decode_frame(data: bytes, start: int, end: int, salt: bytes, base: int = 0) -> Frame | None:
    line = data[start:end]
    digest = verify(line, salt) if line.startswith(_FRAME) else None
    head = _FRAME_HEAD.match(line) if digest is not None else None
    if digest is None or head is None:
        return None
    first, last, at, previous, closed_at = head.groups()
    if first is None:
        # The mark of a clean close holds no commit: it begins behind where it ends.
        first, last = int(closed_at or 0) + 1, int(closed_at or 0)
    closed = closed_at is not None
    return Frame(base + start, base + end, int(first), int(last), previous.decode(), digest, at.decode(), closed, line)


def decode_commit(plain: PlainCommit) -> CommitRecord:
    """Return a commit from the parsed JSON of a frame.

    Keys are the texts that the journal holds, rows their JSON: what they mean is known only to the tables' models.

    Raises:
        ValueError: it is not a commit.
    """
    try:
        changes = tuple(map(decode_change, plain["changes"]))
        return CommitRecord(
            int(plain["sequence"]),
            changes,
            plain.get("numbered", {}),
            _decode_attribution(plain),
            tuple(plain.get("undoes", ())),
            tuple(plain.get("migrations", ())),
            plain.get("erased"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a commit: {error!r}") from None


def _decode_attribution(plain: PlainCommit) -> Attribution | None:
    actor, note, via = plain.get("actor"), plain.get("note"), plain.get("via")
    return Attribution(actor, note, via) if actor or note or via else None


def decode_change(plain: PlainChange) -> ChangeRecord:
    """Return a change from its parsed JSON, its key as text.

    Raises:
        ValueError, KeyError, TypeError: it is not a change.
    """
    key = plain["key"]
    if plain.get("purged"):
        kind: Kind = "insert" if "insert" in plain else "replace" if "replace" in plain else "delete"
        return PurgedChange(plain[kind], key, kind=kind)
    if "insert" in plain:
        return Insert(plain["insert"], key, row_json(plain["row"]))
    before = row_json(plain["before"]) if "before" in plain else None
    if "delete" in plain:
        return Delete(plain["delete"], key, before)
    return Replace(plain["replace"], key, row_json(plain["row"]), before, tuple(plain.get("added", ())))
