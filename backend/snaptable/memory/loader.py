"""Rows from snapshot lines and journalled changes, each validated, each proven to be what would be written again.

The quick way takes a page of lines at a time (`reader`). A page that is not as it would be written (edited by hand, or
by another version) goes line by line through the strict parser, which says what is wrong with which row.
"""

import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

from snaptable.changes import Change, Delete, Insert
from snaptable.codec import Codec
from snaptable.errors import CorruptSnapshot, InvalidRow, SchemaMismatch
from snaptable.memory import constraints
from snaptable.memory.page_decoder import PageDecoder
from snaptable.memory.rows import TableRows
from snaptable.values.bulk_validator import Intern
from snaptable.values.row_lines import encode_line, find_line, join_lines, line_start, lines_with_offsets, parse_line

MOST_PROBLEMS = 50
FREEZE_ROWS = 10_000
"""Loads of so many rows or more are taken out of the garbage collector's sight."""
READING = 4
"""Parts of five that reading takes of the time of loading; the rest is building indexes."""


class Lines(Protocol):
    """The lines of one table, as a snapshot holds them."""

    @property
    def path(self) -> str:
        """The file's path, for messages."""

    @property
    def table(self) -> str:
        """The table's name."""

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield its lines, joined, some at a time, each with its offset in the file."""

    def line_at(self, offset: int) -> int:
        """Return the line of an offset of the file, counted from 1; O(n)."""


class Interned(dict[str, str]):
    """Give one object for all texts that are equal: a foreign key is the very key it names, not a copy of it."""

    def __missing__(self, text: str) -> str:
        """Take note of a text."""
        self[text] = text
        return text


class TableLoader:
    """Fill the tables of an engine. Indexes are built once, at the end."""

    def __init__(self, tables: Mapping[str, TableRows], progress: Callable[[int], None]) -> None:
        """Begin with empty tables; `progress` is told the number of bytes done, now and then."""
        self.tables = tables
        self.problems: list[str] = []
        self._lines: dict[str, int] = {}
        """The line in the file that a problem is about."""
        self._rows: dict[str, dict[Any, Any]] = {name: table.rows for name, table in tables.items()}
        for rows in self._rows.values():
            rows.clear()  # another loader may have tried
        self._progress = progress
        self._to_index = 0
        self._known: dict[str, Interned] = {}

    def load(self, lines: Lines) -> Iterator[tuple[bytes, list[Any]]]:
        """Take a table's lines; give them as pages, `(bytes, keys)` each; O(n)."""
        table = self.tables[lines.table]
        found, reader = self._rows[table.name], PageDecoder(table.codec, self._shared(table))
        for offset, page in lines.pages():
            read = reader.read(page)
            if read is None:
                rows = self._line_by_line(table.codec, lines, page, offset)
                read = list(rows), [row for row, _ in rows.values()]
                page = join_lines(line for _, line in rows.values())
            keys = read[0]
            count = len(found)
            found.update(zip(*read, strict=True))
            if len(found) != count + len(keys):
                key = _twice(found, count, keys)
                place = find_line(page, line_start(key)) or (0, 0)
                raise _corrupt(lines, offset + place[0], f"the key {key!r} stands twice in {table.name}")
            yield page, keys
            self._done(len(page))
        if self.problems:
            # Rows are missing from what is returned: nothing further would make sense.
            self._refuse(lines.path, path=lines.path)

    def _shared(self, table: TableRows) -> dict[str, Intern]:
        """Return what finds, for each foreign key that is text, the text it has in common with others."""
        references = [found for found in table.schema.references if self.tables[found.target].schema.key_type is str]
        for reference in references:
            keys = self._rows[reference.target]
            self._known.setdefault(reference.target, Interned(zip(keys, keys, strict=True)))
        return {reference.field: self._known[reference.target].__getitem__ for reference in references}

    def _done(self, size: int) -> None:
        part = size * READING // 5
        self._to_index += size - part
        self._progress(part)

    def _line_by_line(self, codec: Codec, lines: Lines, page: bytes, start: int) -> dict[Any, tuple[Any, bytes]]:
        found: dict[Any, tuple[Any, bytes]] = {}
        for offset, line in lines_with_offsets(page, start):
            try:
                text, data = parse_line(codec.table, line)
            except ValueError as error:
                raise _corrupt(lines, offset, str(error)) from None
            row = self._row(codec, text, data)
            if row is None:
                if len(self.problems) <= MOST_PROBLEMS:
                    self._lines[self.problems[-1]] = lines.line_at(offset)
                continue
            key = getattr(row, codec.key)
            if key in found:
                raise _corrupt(lines, offset, f"the key {key!r} stands twice in {codec.table}")
            found[key] = (row, encode_line(key, codec.encode(row)))
        return found

    def _row(self, codec: Codec, text: str, data: bytes) -> Any:
        """Return the row of a line; report it, and return None, where it does not fit the model."""
        try:
            row = codec.decode(data)
            codec.encode(row)
        except InvalidRow as error:
            self.problems.append(f"{codec.table}[{text!r}]: {error}")
            return None
        if str(getattr(row, codec.key)) != text:
            self.problems.append(f"{codec.table}[{text!r}].{codec.key}: the row holds another key than its line")
            return None
        return row

    def parse_key(self, table: str, text: str, where: str) -> Any:
        """Return the key that a journalled text stands for.

        Raises:
            SchemaMismatch: there is no such table.
        """
        if table not in self.tables:
            raise SchemaMismatch(
                f"{where}: the journal holds rows of {table}, which the database doesn't have; nothing was changed. "
                f"Is this another program's directory? If not, add the table; to drop it, open and close the store "
                f"once with the classes that have it, and then take it out of the snapshot"
            )
        return self.tables[table].schema.parse_key(text)

    def apply(self, change: Change, key: Any, where: str) -> Change:
        """Apply a journalled change, and return it as it would be written today.

        Raises:
            SchemaMismatch: the row doesn't fit its model.
        """
        table, rows = self.tables[change.table], self._rows[change.table]
        if isinstance(change, Delete):
            del rows[key]
            return Delete(change.table, key)
        row = self._row(table.codec, change.key, change.row)
        if row is None:
            self._refuse(where)
        rows[key] = row
        return type(change)(change.table, key, table.codec.encode(row))

    def add_raw(self, table: str, key: str, row: Mapping[str, Any]) -> Insert | None:
        """Take a raw row of a stop-gap file; return its insertion, or report it and return None."""
        state = self.tables[table]
        found = self._row(state.codec, key, json.dumps(row).encode())
        if found is None:
            return None
        self._rows[table][state.key_of(found)] = found
        return Insert(table, state.key_of(found), state.codec.encode(found))

    def finish(self, numbered: Mapping[str, int]) -> None:
        """Build the indexes, check the constraints, set the counters.

        Raises:
            SchemaMismatch: listing what does not hold.
        """
        self._known.clear()
        self._index()
        for name, table in self.tables.items():
            highest = max((key for key in table.rows if type(key) is int), default=0) if table.schema.numbered else 0
            table.last_number = numbered.get(name, highest)
            if table.last_number < highest:
                self.problems.append(
                    f"{name}: the last number given out is {table.last_number}, but there is a row {highest}"
                )
        self.problems += constraints.problems(self.tables)
        if self.problems:
            self._refuse("the rows")
        # Before the collector is let go again: its first round would look at every row.
        freeze_loaded(sum(map(len, self.tables.values())))

    def _index(self) -> None:
        """Build every index, and say how far that is."""
        total, told = sum(len(table.indexes) * len(table) for table in self.tables.values()), 0
        for table in self.tables.values():
            for index in table.indexes:
                index.load(table.rows)
                part = self._to_index * len(table) // max(1, total)
                told += part
                self._progress(part)
        self._progress(self._to_index - told)

    def _refuse(self, where: str, *, path: str | None = None) -> NoReturn:
        lines = [self._lines.get(problem) for problem in self.problems[:MOST_PROBLEMS]]
        texts = [
            f"line {line}: {problem}" if line else problem for line, problem in zip(lines, self.problems, strict=False)
        ]
        shown = "\n  ".join(texts)
        more = f"\n  … and {len(self.problems) - MOST_PROBLEMS} more" if len(self.problems) > MOST_PROBLEMS else ""
        raise SchemaMismatch(
            f"{where}: what is stored does not fit the models; nothing was changed:\n  {shown}{more}",
            path=path,
            line=next(filter(None, lines), None),
        )


def _corrupt(lines: Lines, offset: int, reason: str) -> CorruptSnapshot:
    path = lines.path
    return CorruptSnapshot(f"{path}, byte {offset}: {reason}", path=path, line=lines.line_at(offset), offset=offset)


def _twice(found: Mapping[Any, Any], count: int, keys: list[Any]) -> Any:
    """Return the first of some keys that the first rows of a table have already, or another of those keys."""
    seen = set(list(found)[:count])
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Keep the collector from scanning the growing heap again and again while rows are made: it finds nothing there."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def freeze_loaded(rows: int) -> None:
    """Take what was loaded out of the collector's sight: it lives as long as the store does."""
    if rows >= FREEZE_ROWS:
        gc.freeze()
