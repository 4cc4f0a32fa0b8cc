"""The lines of `db_snapshot.json` as a page may show them: numbered, found, and without what is secret.

The file is mapped, not read: a line is found by counting line breaks, megabyte by megabyte, at the speed of memory.
What is not as the library writes it (a file that was edited may be laid out otherwise) is not shown where anything
could be a secret: a line is shown if it is one of a table that is shown, parses, and is masked field by field.
"""

import json
import mmap
import os
import time
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from snaptable.secrets import MASK, masked
from snaptable.values.row_lines import key_json, line_key, row_json

NAME = "db_snapshot.json"
CHUNK = 1 << 20
KEPT = 4
"""Files whose index is kept."""
LONGEST = 4_000
"""Characters of a line that are shown."""
FIND_SECONDS = 0.5
"""How long is looked for bytes; then the search says how far it came."""


@dataclass(frozen=True)
class Line:
    """A line of the file.

    Attributes:
        number: counted from 1.
        text: what may be shown of it.
        table, key: the row that it is; None for a line that is none.
    """

    number: int
    text: str
    table: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Found:
    """Where a search ended.

    Attributes:
        line: the line; None if nothing was found.
        looked_to: the line up to which was looked, if that isn't the end.
    """

    line: int | None
    looked_to: int | None = None


@contextmanager
def opened(directory: Path, shown: Mapping[str, Collection[str]]) -> "Iterator[FileLines]":
    """Give the lines of a store's file; a file that replaces it meanwhile is another one.

    Args:
        directory: the store's.
        shown: the secrets of each table that may be shown.

    Raises:
        OSError: there is none, or it can't be read.
    """
    with (directory / NAME).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        about = os.fstat(file.fileno())
        identity = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, *sorted(shown))
        yield FileLines(data, shown, _index_of(identity, data, shown))


@dataclass(frozen=True)
class Index:
    """Where things are in a file: half a millisecond a megabyte, so it is kept for as long as the file is the same.

    Attributes:
        before: line breaks before each chunk.
        sections: begin, end and name of each table's lines, in order.
    """

    before: list[int]
    sections: list[tuple[int, int, str]]

    @classmethod
    def of(cls, data: mmap.mmap, shown: Mapping[str, Collection[str]]) -> "Index":
        """Look through a file; O(its size)."""
        before = [0]
        for begin in range(0, len(data), CHUNK):
            before.append(before[-1] + data[begin : begin + CHUNK].count(b"\n"))
        return cls(before, sorted(_find_sections(data, shown)))


_known: dict[tuple[object, ...], Index] = {}


def _index_of(identity: tuple[object, ...], data: mmap.mmap, shown: Mapping[str, Collection[str]]) -> Index:
    """Return the index of a file, that of the last few from memory."""
    index = _known.get(identity)
    if index is None:
        index = Index.of(data, shown)
        if len(_known) >= KEPT:
            _known.clear()
        _known[identity] = index
    return index


def _find_sections(data: mmap.mmap, shown: Mapping[str, Collection[str]]) -> Iterator[tuple[int, int, str]]:
    """Yield begin, end and name of each table's lines; each is looked for behind the one before it first."""
    place = 0
    for table in shown:
        head = b"\n%b: {\n" % key_json(table)
        begin = data.find(head, place)
        begin = data.find(head) if begin < 0 else begin
        if begin >= 0:
            end = data.find(b"\n}", begin + len(head) - 1)
            place = end if end >= 0 else len(data)
            yield begin + len(head), place, table


class FileLines:
    """The lines of a file, by number."""

    def __init__(self, data: mmap.mmap, shown: Mapping[str, Collection[str]], index: Index | None = None) -> None:
        """Take the bytes, the secrets of each table that may be shown, and where things are, if that is known."""
        self._data, self._shown = data, shown
        self.size = len(data)
        index = index or Index.of(data, shown)
        self._before, self._sections = index.before, index.sections

    @property
    def count(self) -> int:
        """The number of lines."""
        return self._before[-1] + (self.size > 0 and self._data[self.size - 1 : self.size] != b"\n")

    # ── where ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def offset_of(self, number: int) -> int:
        """Return where a line begins; the file's size behind the last one. O(lines of a megabyte)."""
        breaks = number - 1
        if breaks <= 0:
            return 0
        chunk = bisect_right(self._before, breaks - 1) - 1
        position: int = chunk * CHUNK - 1
        for _ in range(breaks - self._before[chunk]):
            position = self._data.find(b"\n", position + 1)
            if position < 0:
                return self.size
        return position + 1

    def number_at(self, offset: int) -> int:
        """Return the line that a byte lies in."""
        chunk = offset // CHUNK
        return self._before[chunk] + int(self._data[chunk * CHUNK : offset].count(b"\n")) + 1

    # ── what ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def lines(self, first: int, count: int) -> list[Line]:
        """Return lines from one on."""
        offset, lines = self.offset_of(max(1, first)), []
        for number in range(max(1, first), max(1, first) + count):
            if offset >= self.size:
                break
            end = self._data.find(b"\n", offset)
            end = self.size if end < 0 else end
            lines.append(self._line(number, offset, end))
            offset = end + 1
        return lines

    def _line(self, number: int, begin: int, end: int) -> Line:
        table = self._table_at(begin)
        raw = self._data[begin:end]
        if table is None:
            return Line(number, self._outside(raw, number))
        row = shown_row(raw, self._shown[table])
        return Line(number, MASK) if row is None else Line(number, _cut(row[1]), table, row[0])

    def _table_at(self, offset: int) -> str | None:
        place = bisect_right(self._sections, offset, key=lambda section: section[0]) - 1
        if place < 0 or offset >= self._sections[place][1]:
            return None
        return self._sections[place][2]

    def _outside(self, raw: bytes, number: int) -> str:
        """Return what may be shown of a line between tables: their heads and ends, and the file's."""
        text = raw[:LONGEST].decode("utf-8", "replace")
        is_name = text.endswith(": {") and text.removesuffix(": {") in {json.dumps(name) for name in self._shown}
        is_head = number == 2 and text.startswith('"snaptable": {')
        is_known = text in ("{", "}", "},") or is_name or is_head or text.startswith('"checksum": ')
        return text if is_known else MASK

    # ── find ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def find_key(self, key: str) -> int | None:
        """Return the line of the first row that has a key, in tables that are shown."""
        head = b"\n%b: {" % key_json(key)
        for begin, end, _ in self._sections:
            place = self._data.find(head, begin - 1, end)
            if place >= 0:
                return self.number_at(place + 1)
        return None

    def find(self, text: str, after: int = 0) -> Found:
        """Return the next line behind one that has a text, as it is shown: what is secret is not found."""
        needle = text.encode("utf-8", "replace")
        offset, deadline = self.offset_of(after + 1) if after else 0, time.perf_counter() + FIND_SECONDS
        while needle:
            place = self._data.find(needle, offset)
            if place < 0:
                return Found(None)
            begin = self._data.rfind(b"\n", 0, place) + 1
            end = self._data.find(b"\n", place)
            end = self.size if end < 0 else end
            number = self.number_at(begin)
            if text in self._whole(number, begin, end):
                return Found(number)
            if time.perf_counter() > deadline:
                return Found(None, number)
            offset = end + 1
        return Found(None)

    def _whole(self, number: int, begin: int, end: int) -> str:
        table, raw = self._table_at(begin), self._data[begin:end]
        if table is None:
            return self._outside(raw, number)
        row = shown_row(raw, self._shown[table])
        return "" if row is None else row[1]


def shown_row(raw: bytes, secrets: Collection[str]) -> tuple[str, str] | None:
    """Return the key and the text of a row's line, masked; None if it is not such a line."""
    key = line_key(raw)
    if key is None:
        return None
    if not secrets:
        return key, raw.decode("utf-8", "replace")
    head = key_json(key) + b": "
    comma = b"," if raw.endswith(b",") else b""
    try:
        row = json.loads(raw[len(head) : len(raw) - len(comma)])
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    return key, (head + row_json(masked(row, secrets)) + comma).decode("utf-8", "replace")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
