"""The snapshot, encoded and decoded: the whole database at one sequence, as JSON, one row a line.

The format is described in `snaptable/README.md`. The lines of rows are `values/row_lines.py`'s; what is wrong with a
file that does not verify, and where, is `damage.py`'s.
"""

import json
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

from snaptable.changes.records import ErasedKeys
from snaptable.errors import CorruptSnapshot
from snaptable.storage.disk import names
from snaptable.storage.snapshot import damage
from snaptable.storage.snapshot.checksum import ChecksummedBytes, shift, times
from snaptable.storage.snapshot.pages import PAGE_BYTES, PAGE_ROWS
from snaptable.storage.snapshot.table_marks import TableMarks
from snaptable.values.row_lines import SEPARATOR

CHUNK = 1 << 19
"""Bytes that are handed to the system at a time, about."""

_START = b'{\n"snaptable": '
_HEADER_LINE = 2
_TRAILER = re.compile(rb',\n"checksum": "crc32:([0-9a-f]{8})"\n}\n\Z')
_OPENING = re.compile(rb',\n("(?:[^"\\]|\\.)*"): \{\n')


@dataclass(frozen=True)
class SnapshotHeader:
    """What a snapshot says of itself in its first lines.

    Attributes:
        store: id of the store.
        sequence: the last commit it holds.
        saved_at: the time it was written.
        rows: number of rows, by table.
        head_digest: digest of the journal frame that ends at its sequence; the journal that may follow names it.
        numbered: the last number given out, by table that numbers its keys.
        migrations: the names of those that were applied.
        erased: the keys whose content was erased.
        marks: what the models say of the tables.
        speller: what wrote all of its rows, if that is known: its name is the snapshot's seal, together with the
            checksum of all that follows the header. "" for no seal, or one that the rows no longer fit.
    """

    store: str
    sequence: int
    saved_at: str
    rows: Mapping[str, int]
    head_digest: str
    numbered: Mapping[str, int]
    migrations: tuple[str, ...] = ()
    erased: ErasedKeys = field(default_factory=dict)
    marks: TableMarks = field(default_factory=TableMarks)
    speller: str = ""

    def encode(self, rows_checksum: int = 0) -> bytes:
        """Return the header as it stands in the file; the checksum is that of what follows, for a seal."""
        members: dict[str, Any] = {
            "format": names.format_with(self.migrations or self.erased), "store": self.store, "sequence": self.sequence,
            "saved_at": self.saved_at, "rows": dict(self.rows), "journal": self.head_digest,
        }  # fmt: skip
        if self.numbered:
            members["numbered"] = dict(self.numbered)
        if self.migrations:
            members["migrations"] = list(self.migrations)
        if self.erased:
            members["erased"] = {table: dict(keys) for table, keys in self.erased.items()}
        members |= self.marks.members()
        if self.speller:
            members["seal"] = _seal(self.speller, rows_checksum)
        return json.dumps(members).encode()


def _seal(speller: str, rows_checksum: int) -> dict[str, str]:
    return {"by": speller, "rows": f"{rows_checksum:08x}"}


# ── encode ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def compose(header: SnapshotHeader, tables: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    """Return the file's content as a list of buffers; the pages are taken as they are, not copied."""
    summed = {name: [ChecksummedBytes([page]) for page in pages] for name, pages in tables.items()}
    return list(chain.from_iterable(chunks(header, summed)))


def chunks(header: SnapshotHeader, tables: Mapping[str, Iterable[ChecksummedBytes]]) -> Iterator[list[bytes]]:
    """Yield the file's content, some buffers at a time; its parts are taken as they are, not copied.

    Args:
        header: the header.
        tables: the lines of each table, in parts. They are asked for one by one while the content is yielded; all at
            once for a seal, which stands before them, and let go of one by one.
    """
    parts, rows_checksum, length = _parts(tables), 0, 0
    if header.speller:
        waiting = deque(parts)
        for part in waiting:
            rows_checksum = part.after(rows_checksum)
        length = sum(part.size for part in waiting)
        parts = (waiting.popleft() for _ in range(len(waiting)))
    head = _START + header.encode(rows_checksum)
    checksum, size, gathered = zlib.crc32(head), 0, [head]
    if header.speller:
        checksum = times(checksum, shift(length)) ^ rows_checksum
    for part in parts:
        if not header.speller:
            checksum = part.after(checksum)
        gathered += part.buffers
        size += part.size
        if size >= CHUNK:
            del part
            yield gathered
            size, gathered = 0, []
    gathered.append(b'"checksum": "crc32:%08x"\n}\n' % checksum)
    yield gathered


def _parts(tables: Mapping[str, Iterable[ChecksummedBytes]]) -> Iterable[ChecksummedBytes]:
    """Yield all that follows the header's object, up to the line of the checksum."""
    for name, parts in tables.items():
        opening = between = _opening(name)
        for part in parts:
            yield between
            yield part
            between = _BETWEEN
        yield _CLOSING if between is _BETWEEN else ChecksummedBytes([*opening.buffers, b"}"])
    yield _BETWEEN


@lru_cache(maxsize=256)
def _opening(table: str) -> ChecksummedBytes:
    """Return what stands before a table's lines; kept, because every snapshot holds it."""
    return ChecksummedBytes([b",\n" + json.dumps(table).encode() + b": {\n"])


_BETWEEN, _CLOSING = ChecksummedBytes([SEPARATOR]), ChecksummedBytes([b"\n}"])


# ── decode ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Section:
    """The lines of one table: the bytes between its braces, which may be many; they are copied only when asked for.

    Attributes:
        path: the file's path, for messages.
        table: the table's name.
        file: the whole file.
        offset: where the lines begin there.
        end: where they end.
        rows: how many the header says there are.
        speller: what wrote them, if that is known and nothing changed them since; else "".
    """

    path: str
    table: str
    file: bytes
    offset: int
    end: int
    rows: int
    speller: str = ""

    @property
    def empty(self) -> bool:
        """Whether the table has no rows."""
        return self.offset == self.end

    @property
    def data(self) -> bytes:
        """All its bytes."""
        return self.file[self.offset : self.end]

    @property
    def line(self) -> int:
        """The line of the file with which it begins, counted from 1; O(n)."""
        return self.line_at(self.offset)

    def line_at(self, offset: int) -> int:
        """Return the line of an offset of the file, counted from 1; O(n)."""
        return damage.line_at(self.file, offset)

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield its lines, joined, about a page at a time, each with its offset in the file."""
        size = min(PAGE_BYTES, (self.end - self.offset) * PAGE_ROWS // max(1, self.rows))
        start, end = self.offset, self.offset
        while end >= 0:
            end = self.file.find(SEPARATOR, start + size, self.end)
            yield start, self.file[start : end if end >= 0 else self.end]
            start = end + len(SEPARATOR)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as it was read, its checksum verified."""

    header: SnapshotHeader
    sections: Sequence[Section]


def is_ours(data: bytes) -> bool:
    """Return whether a file begins as a snapshot of this library does, be it whole, edited or damaged."""
    return data.startswith(_START)


def read(path: str, data: bytes) -> Snapshot:
    """Return a verified snapshot; O(n).

    Args:
        path: the file's path, for messages.
        data: its content.

    Raises:
        CorruptSnapshot, SnapshotEdited, UnsupportedFormat: naming line, byte offset and reason.
    """
    # 1. The header, as far as it says whether this version can read the rest.
    members = _header_members(data)
    number = names.FORMAT if members is None else members.get("format", names.FORMAT)
    if not names.can_read(number, members or ()):
        raise damage.unsupported(path, number, _HEADER_LINE)
    # 2. The checksum.
    trailer = _TRAILER.search(data, max(0, len(data) - 64))
    rows_checksum = None if members is None or trailer is None else _verified(data, trailer)
    if members is None or trailer is None or rows_checksum is None:
        raise damage.explain(path, data, has_header=members is not None)
    # 3. The tables, each where the header says.
    header = decode_header(path, members)
    seal = members.get("seal")
    if isinstance(seal, dict) and seal == _seal(str(seal.get("by")), rows_checksum):
        header = replace(header, speller=str(seal["by"]))
    try:
        sections = list(_sections(path, data, trailer.start(), header))
    except ValueError as error:
        raise CorruptSnapshot(f"{path}: the name of a table can't be read: {error}", path=path) from None
    _check_tables(path, header, sections)
    return Snapshot(header, sections)


def _verified(data: bytes, trailer: re.Match[bytes]) -> int | None:
    """Return the checksum of what follows the header, up to the checksum's line; None if the file's own is wrong."""
    view, end = memoryview(data), trailer.start() + len(SEPARATOR)
    head_end = _head_end(data)
    rows_checksum = zlib.crc32(view[head_end:end])
    checksum = times(zlib.crc32(view[:head_end]), shift(end - head_end)) ^ rows_checksum
    return rows_checksum if b"%08x" % checksum == trailer[1] else None


def _head_end(data: bytes) -> int:
    """Return where the header's object ends: before the comma at the end of its line."""
    return data.index(b"\n", len(_START)) - 1


def _check_tables(path: str, header: SnapshotHeader, sections: Sequence[Section]) -> None:
    tables = [section.table for section in sections]
    if len(set(tables)) != len(tables) or set(tables) != header.rows.keys():
        raise CorruptSnapshot(
            f"{path}: its header speaks of tables {list(header.rows)}, the file holds {tables}",
            path=path,
            line=_HEADER_LINE,
        )


def _header_members(data: bytes) -> dict[str, Any] | None:
    """Return the header's JSON object, None if the line can't be read; nothing of it is verified."""
    end = data.find(b"\n", len(_START))
    line = data[len(_START) : end if end > 0 else len(data)].rstrip(b",")
    try:
        members = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def claimed(data: bytes) -> tuple[str | None, int]:
    """Return the store and the sequence that a damaged snapshot's header speaks of, as far as it can be read."""
    members = _header_members(data) or {}
    store, sequence = members.get("store"), members.get("sequence")
    return store if isinstance(store, str) else None, sequence if type(sequence) is int else 0


def claimed_erased(data: bytes) -> tuple[str | None, ErasedKeys]:
    """Return the store, and the purged keys, that a snapshot's header names, as far as it can be read. O(1)."""
    members = _header_members(data) or {}
    erased = members.get("erased", {})
    is_listed = isinstance(erased, dict) and all(isinstance(keys, dict) for keys in erased.values())
    return members.get("store"), erased if is_listed else {}


def claimed_migrations(data: bytes) -> tuple[str, ...]:
    """Return the migrations that a snapshot's header names, as far as it can be read; nothing is verified. O(1)."""
    names = (_header_members(data) or {}).get("migrations", ())
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def decode_header(path: str, members: Mapping[str, Any]) -> SnapshotHeader:
    """Return a header from its JSON object.

    Raises:
        CorruptSnapshot: it is incomplete, or a member is of the wrong type.
    """
    try:
        header = SnapshotHeader(
            members["store"], members["sequence"], members["saved_at"], members["rows"], members["journal"],
            members.get("numbered", {}), tuple(members.get("migrations", ())), members.get("erased", {}),
            TableMarks.of(members),
        )  # fmt: skip
        last_erased = chain.from_iterable(keys.values() for keys in header.erased.values())
        for number in (header.sequence, *header.rows.values(), *header.numbered.values(), *last_erased):
            if type(number) is not int or number < 0:
                raise TypeError(f"{number!r} is not a number")
        for text in (header.store, header.head_digest, *header.migrations):
            if not isinstance(text, str):
                raise TypeError(f"{text!r} is not a text")
        datetime.fromisoformat(header.saved_at)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptSnapshot(
            f"{path}, byte {len(_START)}: its header is incomplete: {error}",
            path=path,
            line=_HEADER_LINE,
            offset=len(_START),
        ) from None
    return header


def _sections(path: str, data: bytes, end: int, header: SnapshotHeader) -> Iterator[Section]:
    """Yield the tables of a file, in order; raises CorruptSnapshot, or ValueError for a name that is not JSON."""
    position = _head_end(data)
    following = dict(pairwise([*header.rows, None]))
    while position < end:
        opening = _OPENING.match(data, position)
        if opening is None:
            raise damage.at(path, data, position, "a table was expected to begin here")
        table, start = json.loads(opening[1]), opening.end()
        close = _close(data, start, end, following.get(table))
        if close < 0 or close > end:
            raise damage.at(path, data, start, f"the table {opening[1].decode()} does not end")
        yield Section(path, table, data, start, close, header.rows.get(table, 0), header.speller)
        position = close + (1 if close == start else 2)


def _close(data: bytes, start: int, end: int, following: str | None) -> int:
    """Return where the lines of a table end: at once, or before a line that is a lone brace; -1 if they don't.

    That line and the beginning of the next table are searched for together, as they stand in a sound file: a search
    for two bytes looks at each one, a longer one skips. If a lone brace comes before, it does not pass for a row.
    """
    if data.startswith(b"}", start):
        return start
    if following is None:
        return end - 2 if data.startswith(b"\n}", end - 2) else -1
    close = data.find(b"\n},\n" + json.dumps(following).encode() + b": {\n", start, end)
    return close if close >= 0 else data.find(b"\n}", start)
