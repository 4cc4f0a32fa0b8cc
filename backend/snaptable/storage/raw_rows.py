"""Rows without models, as a migration changes them: parsed when a step first asks for their table, written again after.

A table that no step asks for stays bytes throughout, and costs what it costs at any opening.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from itertools import islice, repeat
from typing import Any

from pydantic_core import from_json, to_json, to_jsonable_python

from snaptable.changes.records import ChangeRecord, Delete, Insert, Key, Replace
from snaptable.errors import CorruptSnapshot
from snaptable.storage.snapshot.format import Section
from snaptable.storage.snapshot.pages import PAGE_ROWS, Pages, TablePages
from snaptable.values.row_lines import encode_line, encode_lines, join_lines, row_json, split_lines

RawRow = dict[str, Any]
RawTable = dict[str, RawRow]
PARSED_AT_ONCE = 1000
"""Rows; one call costs a good deal less than one each."""

_LINE_START = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+": ')
_ATOMS = frozenset((str, int, float, bool, type(None)))


class RawTarget:
    """The target of a recovery that makes no rows: the pages of recovery are all there is."""

    def __init__(self, pages: Pages) -> None:
        """Take the pages that recovery fills; tables that only the journal knows are added to them."""
        self._pages = pages

    def load(self, section: Section) -> Iterable[tuple[bytes, list[str]]]:
        """Yield a table's lines as pages, with the keys of each; O(n), in C.

        Raises:
            CorruptSnapshot: what lies there are no rows, which a checksum that is right makes all but impossible.
        """
        for offset, page in section.pages():
            try:
                keys = list(_rows_of(page))
            except ValueError:
                line = section.line_at(offset)
                raise CorruptSnapshot(
                    f"{section.path}, byte {offset}: a line of {section.table} is not a row",
                    path=section.path,
                    line=line,
                    offset=offset,
                ) from None
            yield page, keys

    def parse_key(self, table: str, text: str, where: str) -> str:  # noqa: ARG002 - nothing is refused
        """Return the key's text, and add the table if only the journal knows it."""
        self._pages.tables.setdefault(table, TablePages())
        return text

    def apply(self, change: ChangeRecord, key: str, where: str) -> ChangeRecord:  # noqa: ARG002 - the text is the key
        """Return a journalled change as it is."""
        return change

    def finish(self, numbered: Mapping[str, int]) -> None:
        """Do nothing: only models have constraints."""


class RawTables(MutableMapping[str, RawTable]):
    """Tables of raw rows by name: what the steps of migrations change.

    Attributes:
        numbered: the last number given out, by table that numbers its keys.
    """

    def __init__(self, pages: Pages) -> None:
        """Begin with the rows that recovery found."""
        self._pages: dict[str, TablePages] = dict(pages.tables)
        self._order = {name: list(table.keys()) for name, table in pages.tables.items()}
        self._parsed: dict[str, RawTable] = {}
        self.numbered = dict(pages.numbered)

    def __getitem__(self, name: str) -> RawTable:
        if name not in self._parsed:
            rows: RawTable = {}
            for page in self._pages[name]:
                rows.update(from_json(b"{" + page.render() + b"}"))
            self._parsed[name] = rows
            del self._pages[name]
        return self._parsed[name]

    def __setitem__(self, name: str, rows: RawTable) -> None:
        self._pages.pop(name, None)
        self._parsed[name] = rows

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._pages.pop(name, None)
        self._parsed.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._pages or name in self._parsed

    def __iter__(self) -> Iterator[str]:
        return iter(
            [*(name for name in self._order if name in self), *(n for n in self._parsed if n not in self._order)]
        )

    def __len__(self) -> int:
        return len(self._pages) + len(self._parsed)

    def lines(self, name: str, fields: Sequence[str]) -> "RawLines":
        """Return a table's lines: as they were if no step asked for it, else encoded, the fields in a model's order."""
        table = self._pages.get(name)
        if table is not None:
            return RawLines(name, (page.render() for page in table))
        return RawLines(name, self._encoded(name, fields))

    def _encoded(self, name: str, fields: Sequence[str]) -> Iterator[bytes]:
        """Yield pages of lines: rows that were there in their old order, the others behind them."""
        rows = self._parsed.get(name, {})
        kept = [key for key in self._order.get(name, ()) if key in rows]
        known = set(kept)
        keys = iter((*kept, *(key for key in rows if key not in known)))
        encode = _PageEncoder(name, fields).encode
        while page := list(islice(keys, PAGE_ROWS)):
            yield encode(page, [rows[key] for key in page])


class _PageEncoder:
    """What writes pages of raw rows of one table as lines, all rows of a page in one go."""

    def __init__(self, table: str, fields: Sequence[str]) -> None:
        """Take the fields in a model's order."""
        self._table, self._fields = table, fields
        self._in_order = dict.fromkeys(fields)
        self._row_start = "{" + json.dumps(fields[0], ensure_ascii=False) + ":" if fields else ""
        self._between = f",{self._row_start}".encode()

    def encode(self, keys: Sequence[str], rows: Sequence[RawRow]) -> bytes:
        """Return lines, joined; raises as `encoded`."""
        # As in `page_decoder`: what comes before each row's rest is cut away, if nothing inside of a row looks like it.
        _, *ends = self._array(rows).split(self._between) if self._fields else (b"",)
        if len(ends) == len(rows):
            return encode_lines(keys, self._row_start, ends)
        parts = map(encoded, repeat(self._table), keys, rows, repeat(self._fields))
        return join_lines(map(encode_line, keys, parts))

    def _array(self, rows: Sequence[RawRow]) -> bytes:
        """Return the JSON of rows that have just these fields, one after another, a comma before each; else nothing."""
        in_order, count = self._in_order, len(self._fields)
        try:
            ordered = [made for row in rows if len(row) == count and len(made := {**in_order, **row}) == count]
            data = to_json(ordered, by_alias=False, round_trip=True, bytes_mode="base64")
        except (TypeError, ValueError, RecursionError):
            return b""  # one by one, which names the row
        return b"" if b"NaN" in data or b"Infinity" in data else b"," + data[1:-1]


def encoded(table: str, key: str, row: Mapping[str, object], fields: Sequence[str]) -> bytes:
    """Return a raw row as it is written, its fields in a model's order.

    Raises:
        UnwritableRow: a value in it is none of JSON's.
    """
    ordered = {name: row[name] for name in fields if name in row}
    if len(ordered) != len(row):
        ordered |= row
    try:
        data = to_json(ordered, by_alias=False, round_trip=True, bytes_mode="base64")
        if b"NaN" in data or b"Infinity" in data:
            json.dumps(to_jsonable_python(ordered), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnwritableRow(table, key, type(error).__name__) from None
    return data


class UnwritableRow(ValueError):
    """A row that a migration left with a value that JSON doesn't have; `table` and `key` name it."""

    def __init__(self, table: str, key: str, reason: str) -> None:
        super().__init__(f"{table}[{key!r}] holds a value that can't be written as JSON ({reason})")
        self.table, self.key = table, key


class RawLines:
    """A table's lines on their way into models; they are in no file."""

    path = "the rows"
    speller = ""

    def __init__(self, table: str, pages: Iterable[bytes]) -> None:
        self.table, self._pages = table, pages

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines, joined, some at a time."""
        return ((0, page) for page in self._pages if page)

    def line_at(self, offset: int) -> int:  # noqa: ARG002 - there is no file
        """Return 0: the lines are in no file."""
        return 0


# ── what changed ────────────────────────────────────────────────────────────────────────────────────────────────────


def changes_between(old: Pages, new: Pages) -> Iterator[ChangeRecord]:
    """Yield the changes that lead from some rows to others, keys as texts; O(n), O(1) a table that is the same."""
    for table in dict.fromkeys((*old.tables, *new.tables)):
        before, after = _rendered(old, table), _rendered(new, table)
        if before != after:
            yield from changes_of(table, _rows_of(before), _rows_of(after))


def _rendered(pages: Pages, table: str) -> bytes:
    return join_lines(pages.tables[table].render()) if table in pages.tables else b""


def _rows_of(lines: bytes) -> dict[str, bytes]:
    """Return the JSON of each row of joined lines by the text of its key; O(bytes).

    Raises:
        ValueError: a line is not a row, or a key stands twice.
    """
    each_line = split_lines(lines)
    starts = [match.group() for match in map(_LINE_START.match, each_line) if match is not None]
    keys = json.loads(b"[" + b",".join([start[:-2] for start in starts]) + b"]")
    rows = dict(zip(keys, [line[len(start) :] for start, line in zip(starts, each_line, strict=True)], strict=True))
    if len(rows) != len(each_line):
        raise ValueError("a key stands twice")
    return rows


def changes_of(table: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[ChangeRecord]:
    """Yield the changes that lead from some rows of a table to others, each its JSON by the text of its key; O(n)."""
    for key, row in before.items():
        if key not in after:
            yield Delete(table, key, row)
    changed = ((key, row) for key, row in after.items() if before.get(key) != row)
    while some := list(islice(changed, PARSED_AT_ONCE)):
        formers = from_json(b"[%b]" % b",".join([before.get(key, b"null") for key, _ in some]))
        rows = from_json(b"[%b]" % b",".join([row for _, row in some]))
        for (key, row), old, new in zip(some, formers, rows, strict=True):
            change = Insert(table, key, row) if old is None else _replaced(table, key, row, old, new)
            if change is not None:
                yield change


def _replaced(table: str, key: Key, row: bytes, old: RawRow, new: RawRow) -> Replace | None:
    """Return the change of a row; None if only its spelling differs."""
    gone, both, added = _fields_of(tuple(old), tuple(new))
    before = {name: old[name] for name in gone}
    for name in both:
        value, now = old[name], new[name]
        # An atom differs, or is the same, without a call; a list or a dict is compared in depth.
        kind = type(value)
        if value is now or (value == now and kind is type(now) and kind in _ATOMS):
            continue
        if kind in _ATOMS or not _is_same(value, now):
            before[name] = value
    return Replace(table, key, row, to_json(before), added) if before or added else None


@lru_cache(maxsize=64)
def _fields_of(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the fields that only the first of two rows has, those that both have, those that only the second has."""
    return (
        tuple([name for name in old if name not in new]),
        tuple([name for name in old if name in new]),
        tuple([name for name in new if name not in old]),
    )


def _is_same(first: object, second: object) -> bool:
    """Return whether two JSON values are the same: 1, 1.0 and true are three values."""
    if first is second or (first == second and type(first) is type(second) and type(first) in _ATOMS):
        return True
    return first == second and row_json(first) == row_json(second)
