"""The snapshot: the whole database at one sequence, as JSON, one row a line; described in `snaptable/README.md`.

Written beside the old one and renamed over it, so that a reader, and a crash, finds either the old or the new one.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from snaptable.errors import CorruptSnapshot, SnapshotEdited, UnsupportedFormat
from snaptable.storage import names
from snaptable.storage.files import Files, Identity
from snaptable.storage.pages import SEPARATOR
from snaptable.strictjson import parse_strictly


@dataclass(frozen=True)
class Header:
    """Be what a snapshot says of itself in its first lines."""

    store: str
    sequence: int
    saved_at: str
    rows: Mapping[str, int]
    tip: str
    """Check of the journal frame that ended at its sequence: the journal that may follow names it."""
    numbered: Mapping[str, int]

    def json(self) -> bytes:
        """Return the header as it stands in the file."""
        plain: dict[str, Any] = {
            "format": names.FORMAT, "store": self.store, "sequence": self.sequence, "saved_at": self.saved_at,
            "rows": dict(self.rows), "journal": self.tip,
        }  # fmt: skip
        if self.numbered:
            plain["numbered"] = dict(self.numbered)
        return json.dumps(plain).encode()


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def compose(header: Header, tables: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    """Return the file's content as a list of buffers; the pages are taken as they are, not copied."""
    buffers = [b'{\n"snaptable": ' + header.json()]
    for name, pages in tables.items():
        buffers.append(b",\n" + json.dumps(name).encode() + b": {\n")
        for number, page in enumerate(pages):
            if number:
                buffers.append(SEPARATOR)
            buffers.append(page)
        buffers.append(b"\n}" if pages else b"}")
    buffers.append(SEPARATOR)
    checksum = 0
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
    buffers.append(b'"checksum": "crc32:%08x"\n}\n' % checksum)
    return buffers


def write(files: Files, buffers: Sequence[bytes], renamed: Callable[[Identity], None]) -> None:
    """Replace the snapshot by new content, and return when that is on the disk.

    Args:
        files: the store's directory.
        buffers: the content.
        renamed: told the new file's identity as soon as it is the snapshot.

    Raises:
        OSError: it is not; the old snapshot is in its place, untouched, unless only the last step failed, in which
            case either is there, whole.
    """
    # 1. A new file, under a name nobody can have planted.
    temporary = names.temporary()
    file = files.create(temporary)
    try:
        # 2. The content, on the disk before it has the name.
        try:
            file.write(buffers)
            file.sync()
            identity = file.identity()
        finally:
            file.close()
        # 3. The name, in one step.
        files.replace(temporary, names.SNAPSHOT)
    except BaseException:
        _discard(files, temporary)
        raise
    renamed(identity)
    # 4. The name, on the disk.
    files.sync_directory()


def _discard(files: Files, temporary: str) -> None:
    try:
        files.remove(temporary)
    except OSError:
        return  # it never got that far, or the disk is gone; the next start removes leftovers


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_START = b'{\n"snaptable": '
_TRAILER = re.compile(rb',\n"checksum": "crc32:([0-9a-f]{8})"\n}\n\Z')
_OPENING = re.compile(rb',\n("(?:[^"\\]|\\.)*"): \{\n')


@dataclass(frozen=True)
class Section:
    """Be the lines of one table: the bytes between its braces, and where they begin in the file."""

    table: str
    data: bytes
    offset: int


@dataclass(frozen=True)
class Snapshot:
    """Be a snapshot as it was read, its checksum verified."""

    header: Header
    sections: Sequence[Section]


def is_ours(data: bytes) -> bool:
    """Return whether a file claims to be a snapshot of this library: it begins as one, or is empty or damaged JSON."""
    return data.startswith(_START)


def read(path: str, data: bytes) -> Snapshot:
    """Return a verified snapshot.

    Args:
        path: the file's path, for messages.
        data: its content.

    Raises:
        CorruptSnapshot, SnapshotEdited, UnsupportedFormat: naming the byte offset and the reason.
    """
    trailer = _TRAILER.search(data, max(0, len(data) - 64))
    plain = _header_json(data)
    if plain is not None and plain.get("format", names.FORMAT) != names.FORMAT:
        raise UnsupportedFormat(
            f"{path} has format {plain['format']}; this version reads format {names.FORMAT}: "
            f"open it with the version that wrote it; nothing was changed"
        )
    body_end = trailer.start() + len(SEPARATOR) if trailer else 0
    if trailer is None or plain is None or b"%08x" % zlib.crc32(memoryview(data)[:body_end]) != trailer[1]:
        _explain(path, data, plain)
    header = _header(path, plain)
    try:
        sections = list(_sections(path, data, trailer.start()))
    except ValueError as error:
        raise CorruptSnapshot(f"{path}: the name of a table can't be read: {error}") from None
    counted = {section.table: 0 for section in sections}
    if len(counted) != len(sections) or counted.keys() != header.rows.keys():
        raise CorruptSnapshot(
            f"{path}: its header speaks of tables {list(header.rows)}, "
            f"the file holds {[section.table for section in sections]}"
        )
    return Snapshot(header, sections)


def _header_json(data: bytes) -> dict[str, Any] | None:
    end = data.find(b"\n", len(_START))
    line = data[len(_START) : end if end > 0 else len(data)].rstrip(b",")
    try:
        plain = json.loads(line)
    except ValueError:
        return None
    return plain if isinstance(plain, dict) else None


def _header(path: str, plain: dict[str, Any] | None) -> Header:
    try:
        assert plain is not None
        header = Header(
            plain["store"],
            plain["sequence"],
            plain["saved_at"],
            plain["rows"],
            plain["journal"],
            plain.get("numbered", {}),
        )
        numbers = (header.sequence, *header.rows.values(), *header.numbered.values())
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise TypeError("a number is none")
        if not (isinstance(header.store, str) and isinstance(header.tip, str)):
            raise TypeError("a text is none")
        datetime.fromisoformat(header.saved_at)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise CorruptSnapshot(f"{path}, byte {len(_START)}: its header is incomplete: {error}") from None
    return header


def _sections(path: str, data: bytes, end: int) -> Iterator[Section]:
    position = data.index(b"\n", len(_START)) - 1
    while position < end:
        opening = _OPENING.match(data, position)
        if opening is None:
            raise CorruptSnapshot(f"{path}, byte {position}: a table was expected to begin here")
        start = opening.end()
        # An empty table closes at once; else at the first line that is a lone brace, which no row can look like.
        close = start if data.startswith(b"}", start) else data.find(b"\n}", start)
        if close < 0 or close > end:
            raise CorruptSnapshot(f"{path}, byte {start}: the table {opening[1].decode()} does not end")
        yield Section(json.loads(opening[1]), data[start:close], start)
        position = close + (1 if close == start else 2)


def _explain(path: str, data: bytes, header: dict[str, Any] | None) -> NoReturn:
    """Raise the error that tells how a file that does not verify is wrong."""
    try:
        plain = parse_strictly(data)
    except (ValueError, RecursionError) as error:
        offset = _offset(data, error)
        raise CorruptSnapshot(
            f"{path} is damaged at byte {offset} of {len(data)}: {error}; it was left as it is. "
            f"Restore a copy, or move it away to start from the journal or afresh"
        ) from None
    if not isinstance(plain, dict) or "checksum" not in plain or header is None:
        raise CorruptSnapshot(
            f"{path}: valid JSON, but not as this library writes it (its first or last lines are not)"
        )
    raise SnapshotEdited(
        f"{path} is valid JSON, but not as it was written: {plain['checksum']!r} is not the checksum of its bytes. "
        f"It was edited by hand, or damaged; it was left as it is. Put the copy from before that back"
    )


def _offset(data: bytes, error: Exception) -> int:
    """Return the byte where a file stops being what it should: the parser's own, or the first line that is wrong."""
    if isinstance(error, UnicodeDecodeError):
        return error.start
    if isinstance(error, json.JSONDecodeError):
        return len(data.decode("utf-8")[: error.pos].encode("utf-8"))
    position = 0
    for line in data.split(b"\n"):
        if line.startswith(b'"') and line.rstrip(b",").endswith(b"}"):
            try:
                parse_strictly(b"{" + line.rstrip(b",") + b"}")
            except (ValueError, RecursionError):
                return position
        position += len(line) + 1
    return 0
