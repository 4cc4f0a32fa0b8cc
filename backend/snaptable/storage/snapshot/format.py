"""The snapshot: the whole database at one sequence, as JSON, one row a line; described in `snaptable/README.md`.

Written beside the old one and renamed over it, so that a reader, and a crash, finds either the old or the new one.
"""

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NoReturn

from snaptable.errors import CorruptSnapshot, SnapshotEdited, UnsupportedFormat
from snaptable.storage.disk import names
from snaptable.storage.snapshot.checksum import ChecksummedBytes
from snaptable.storage.snapshot.pages import PAGE_BYTES, PAGE_ROWS, SEPARATOR
from snaptable.values.strict_json import MAX_DEPTH, depth_of, parse_strictly

CHUNK = 1 << 19
"""Bytes that are handed to the system at a time, about."""


@dataclass(frozen=True)
class SnapshotHeader:
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


def compose(header: SnapshotHeader, tables: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    """Return the file's content as a list of buffers; the pages are taken as they are, not copied."""
    stretches = {name: [ChecksummedBytes([page]) for page in pages] for name, pages in tables.items()}
    return list(chain.from_iterable(chunks(header, stretches)))


def chunks(header: SnapshotHeader, tables: Mapping[str, Iterable[ChecksummedBytes]]) -> Iterator[list[bytes]]:
    """Yield the file's content, some buffers at a time; what it consists of is taken as it is, not copied."""
    checksum, size, gathered = 0, 0, list[bytes]()
    for piece in _pieces(header, tables):
        if isinstance(piece, ChecksummedBytes):
            checksum = piece.after(checksum)
            gathered += piece.buffers
            size += piece.size
        else:
            checksum = zlib.crc32(piece, checksum)
            gathered.append(piece)
        if size >= CHUNK:
            yield gathered
            size, gathered = 0, []
    gathered.append(b'"checksum": "crc32:%08x"\n}\n' % checksum)
    yield gathered


def _pieces(
    header: SnapshotHeader, tables: Mapping[str, Iterable[ChecksummedBytes]]
) -> Iterator[ChecksummedBytes | bytes]:
    yield b'{\n"snaptable": ' + header.json()
    for name, stretches in tables.items():
        between = b",\n" + json.dumps(name).encode() + b": {\n"
        for stretch in stretches:
            yield between
            yield stretch
            between = SEPARATOR
        yield b"\n}" if between is SEPARATOR else between + b"}"
    yield SEPARATOR


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_START = b'{\n"snaptable": '
_TRAILER = re.compile(rb',\n"checksum": "crc32:([0-9a-f]{8})"\n}\n\Z')
_OPENING = re.compile(rb',\n("(?:[^"\\]|\\.)*"): \{\n')
_TABLE_LINE = re.compile(rb'^("(?:[^"\\\n]|\\.)*"): \{$', re.MULTILINE)
_ROW_START = re.compile(rb'("(?:[^"\\\n]|\\.)*"): ?\{.')


@dataclass(frozen=True)
class Section:
    """Be the lines of one table: the bytes between its braces, which may be many; they are copied when they are read.

    Attributes:
        table: its name.
        file: the whole file.
        offset: where its lines begin there.
        end: where they end.
        rows: how many the header says there are.
    """

    table: str
    file: bytes
    offset: int
    end: int
    rows: int

    @property
    def empty(self) -> bool:
        """Whether there is no line."""
        return self.offset == self.end

    @property
    def data(self) -> bytes:
        """All its bytes."""
        return self.file[self.offset : self.end]

    def pages(self) -> Iterator[bytes]:
        """Yield its lines, joined, some at a time: a page each."""
        size = min(PAGE_BYTES, (self.end - self.offset) * PAGE_ROWS // max(1, self.rows))
        start, found = self.offset, self.offset
        while found >= 0:
            found = self.file.find(SEPARATOR, start + size, self.end)
            yield self.file[start : found if found >= 0 else self.end]
            start = found + len(SEPARATOR)


@dataclass(frozen=True)
class Snapshot:
    """Be a snapshot as it was read, its checksum verified."""

    header: SnapshotHeader
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
    header = header_of(path, plain)
    try:
        sections = list(_sections(path, data, trailer.start(), header))
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


def claimed(data: bytes) -> tuple[str | None, int]:
    """Return the store and the sequence that a damaged snapshot's header speaks of, as far as it can be read."""
    plain = _header_json(data) or {}
    store, sequence = plain.get("store"), plain.get("sequence")
    return store if isinstance(store, str) else None, sequence if type(sequence) is int else 0


def header_of(path: str, plain: dict[str, Any] | None) -> SnapshotHeader:
    """Return a header from its JSON; raises CorruptSnapshot where it is incomplete."""
    try:
        assert plain is not None
        header = SnapshotHeader(
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
        raise CorruptSnapshot(f"{path}, byte {len(_START)}: its header is incomplete: {error}").at(
            len(_START)
        ) from None
    return header


def _sections(path: str, data: bytes, end: int, header: SnapshotHeader) -> Iterator[Section]:
    position = data.index(b"\n", len(_START)) - 1
    following = dict(pairwise([*header.rows, None]))
    while position < end:
        opening = _OPENING.match(data, position)
        if opening is None:
            raise CorruptSnapshot(f"{path}, byte {position}: a table was expected to begin here").at(position)
        table, start = json.loads(opening[1]), opening.end()
        close = _close(data, start, end, following.get(table))
        if close < 0 or close > end:
            raise CorruptSnapshot(f"{path}, byte {start}: the table {opening[1].decode()} does not end").at(start)
        yield Section(table, data, start, close, header.rows.get(table, 0))
        position = close + (1 if close == start else 2)


def _close(data: bytes, start: int, end: int, following: str | None) -> int:
    """Return where the lines of a table end: at once, or before a line that is a lone brace, which no row looks like.

    That line and the beginning of the next table are sought together, as they stand in a sound file: a search for two
    bytes looks at each one, a longer one leaps. Should a lone brace stand before, it will not pass for a row.
    """
    if data.startswith(b"}", start):
        return start
    if following is None:
        return end - 2 if data.startswith(b"\n}", end - 2) else -1
    found = data.find(b"\n},\n" + json.dumps(following).encode() + b": {\n", start, end)
    return found if found >= 0 else data.find(b"\n}", start)


def _explain(path: str, data: bytes, header: dict[str, Any] | None) -> NoReturn:
    """Raise the error that tells how a file that does not verify is wrong."""
    directory = Path(path).parent
    try:
        plain = parse_strictly(data)
    except (ValueError, RecursionError) as error:
        offset = _offset(data, error)
        raise CorruptSnapshot(
            f"{path} is damaged at byte {offset} of {len(data)}: {error}; it was left as it is. "
            f"{names.command('check', directory)} lists the damage, {names.command('repair', directory)} says what can "
            f"be saved; or put a copy back"
        ).at(offset) from None
    if not isinstance(plain, dict) or not isinstance(plain.get("snaptable"), dict):
        raise CorruptSnapshot(
            f"{path}: valid JSON, but not as this library writes it (its first or last lines are not)"
        )
    if "checksum" not in plain or header is None:
        raise SnapshotEdited(edited(path, "its first or last lines are not those of a snapshot"))
    raise SnapshotEdited(edited(path, f"{plain['checksum']!r} is not the checksum of its bytes"))


def edited(path: str, what: str) -> str:
    """Return the message about a snapshot that is valid JSON, but not as it was written."""
    directory = Path(path).parent
    return (
        f"{path} is valid JSON, but not as it was written: {what}. It was edited by hand, or damaged; it was left as "
        f"it is. {names.command('accept', directory)} shows the difference and takes it over; otherwise put the copy "
        f"from before that back"
    )


def _offset(data: bytes, error: Exception) -> int:
    """Return the byte where a file stops being what it should: the parser's own, or the first line that is wrong."""
    if isinstance(error, UnicodeDecodeError):
        return error.start
    if isinstance(error, json.JSONDecodeError):
        return len(data.decode("utf-8")[: error.pos].encode("utf-8"))
    return next((offset for offset, _ in damaged_rows(data)), 0)


def damaged_rows(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the offset of each line of a file that should be a row and isn't strict JSON, and the reason."""
    position = 0
    for line in data.split(b"\n"):
        if _ROW_START.match(line):
            try:
                # The braces around it count as one level.
                if depth_of(parse_strictly(b"{" + line.rstrip(b",") + b"}")) > MAX_DEPTH + 1:
                    yield position, f"nested deeper than {MAX_DEPTH}"
            except (ValueError, RecursionError) as error:
                yield position, str(error)
        position += len(line) + 1


@dataclass(frozen=True)
class Place:
    """Be a place in a snapshot, as a person looks it up."""

    line: int
    table: str | None = None
    key: str | None = None


def locate(data: bytes, offset: int) -> Place:
    """Return the line of an offset, counted from 1, and table and key of the row there, if there is one; O(n)."""
    start = data.rfind(b"\n", 0, offset) + 1
    line = data.count(b"\n", 0, offset) + 1
    row = _ROW_START.match(data, start)
    tables = [match[1] for match in _TABLE_LINE.finditer(data, 0, start)]
    return Place(line, _text(tables[-1]) if tables else None, _text(row[1]) if row and tables else None)


def _text(name: bytes) -> str:
    try:
        return str(json.loads(name))
    except ValueError:
        return name.decode("utf-8", "backslashreplace")
