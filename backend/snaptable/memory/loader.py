"""Rows from snapshot lines and journalled changes, each validated, each proven to be what would be written again.

The quick way takes a page of lines at a time: parsed and validated by Pydantic, encoded again, compared byte for byte.
Equal bytes mean: valid JSON, no key twice, no NaN, the right keys, nothing lost. A page that differs (written by hand,
or by another version) goes line by line through the strict parser, which says what is wrong with which row.
"""

import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import TypeAdapter, ValidationError

from snaptable.changes import Change, Delete, Insert, Replace, key_json
from snaptable.codec import Codec
from snaptable.errors import CorruptJournal, CorruptSnapshot, InvalidRow, SchemaMismatch
from snaptable.memory import constraints
from snaptable.memory.rows import TableRows
from snaptable.strictjson import parse_line

PAGE_ROWS = 64
MOST_PROBLEMS = 50
FREEZE_ROWS = 10_000
"""Loads of so many rows or more are taken out of the garbage collector's sight."""


class Loader:
    """Fill the tables of an engine. Rows gather in plain dictionaries; indexes are built once, at the end."""

    def __init__(self, tables: Mapping[str, TableRows], progress: Callable[[int], None]) -> None:
        """Begin with empty tables; `progress` is told the number of bytes done, now and then."""
        self.tables = tables
        self.problems: list[str] = []
        self._rows: dict[str, dict[Any, Any]] = {name: {} for name in tables}
        self._progress = progress
        self._adapters: dict[str, TypeAdapter[dict[str, Any]]] = {}

    def load(self, table: str, data: bytes, where: str) -> list[tuple[bytes, list[Any]]]:
        """Take a table's lines; return them as pages, `(bytes, keys)` each; O(n)."""
        codec = self.tables[table].codec
        lines = data.split(b",\n")
        pages = []
        for start in range(0, len(lines), PAGE_ROWS):
            part = lines[start : start + PAGE_ROWS]
            page = b",\n".join(part)
            rows = self._page(table, page, len(part))
            if rows is None:
                rows = self._line_by_line(codec, part, where)
            found = self._rows[table]
            keys = list(rows)
            twice = found.keys() & rows.keys()
            if twice:
                raise CorruptSnapshot(f"{where}: the key {next(iter(twice))!r} stands twice in {table}")
            found.update((key, row) for key, (row, _) in rows.items())
            pages.append((b",\n".join(line for _, line in rows.values()), keys))
            self._progress(len(page))
        if self.problems:
            # Rows are missing from what is returned: nothing further would make sense.
            self._refuse(where)
        return pages

    def _page(self, table: str, page: bytes, count: int) -> dict[Any, tuple[Any, bytes]] | None:
        """Return the rows and lines of a page that is exactly as it would be written, else None."""
        codec = self.tables[table].codec
        try:
            rows = self._adapter(table).validate_json(b"{" + page + b"}", by_alias=False, by_name=True)
        except ValidationError:
            return None
        found = {}
        for row in rows.values():
            codec.adopt(row)
            key = getattr(row, codec.key)
            try:
                found[key] = (row, key_json(key) + b": " + codec.dump_readable(row))
            except ValueError:
                return None
        same = len(found) == count and b",\n".join(line for _, line in found.values()) == page
        return found if same else None

    def _adapter(self, table: str) -> TypeAdapter[dict[str, Any]]:
        adapter = self._adapters.get(table)
        if adapter is None:
            model: Any = self.tables[table].schema.model
            adapter = self._adapters[table] = TypeAdapter(dict[str, model])
        return adapter

    def _line_by_line(self, codec: Codec, lines: list[bytes], where: str) -> dict[Any, tuple[Any, bytes]]:
        found: dict[Any, tuple[Any, bytes]] = {}
        for line in lines:
            try:
                text, data = parse_line(codec.table, line)
            except ValueError as error:
                raise CorruptSnapshot(f"{where}: {error}") from None
            row = self._row(codec, text, data)
            if row is None:
                continue
            key = getattr(row, codec.key)
            if key in found:
                raise CorruptSnapshot(f"{where}: the key {key!r} stands twice in {codec.table}")
            found[key] = (row, key_json(key) + b": " + codec.encode(row))
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

    def apply(self, change: Mapping[str, Any], where: str) -> Change:
        """Take a journalled change; return it in its usual form."""
        verb, table = next((verb, change[verb]) for verb in ("insert", "replace", "delete") if verb in change)
        if table not in self.tables:
            raise SchemaMismatch(f"{where}: the journal speaks of the table {table}, which the database doesn't have")
        state, rows = self.tables[table], self._rows[table]
        key = state.schema.parse_key(change["key"])
        if (verb == "insert") == (key in rows):
            known = "is there already" if verb == "insert" else "isn't there"
            raise CorruptJournal(f"{where}: {verb} of {table}[{key!r}], which {known}")
        if verb == "delete":
            del rows[key]
            return Delete(table, key)
        row = self._row(state.codec, change["key"], json.dumps(change["row"]).encode())
        if row is None:
            self._refuse(where)
        rows[key] = row
        kind = Insert if verb == "insert" else Replace
        return kind(table, key, state.codec.encode(row))

    def adopt(self, table: str, key: str, row: Mapping[str, Any]) -> Insert | None:
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
        for name, table in self.tables.items():
            table.load(self._rows[name])
            highest = max((key for key in table.rows if type(key) is int), default=0) if table.schema.numbered else 0
            table.last_number = numbered.get(name, highest)
            if table.last_number < highest:
                self.problems.append(
                    f"{name}: the last number given out is {table.last_number}, but there is a row {highest}"
                )
        self.problems += constraints.problems(self.tables)
        if self.problems:
            self._refuse("the rows")

    def _refuse(self, where: str) -> None:
        shown = "\n  ".join(self.problems[:MOST_PROBLEMS])
        more = f"\n  … and {len(self.problems) - MOST_PROBLEMS} more" if len(self.problems) > MOST_PROBLEMS else ""
        raise SchemaMismatch(f"{where}: what is stored does not fit the models; nothing was changed:\n  {shown}{more}")


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


def settle(rows: int) -> None:
    """Take what was loaded out of the collector's sight: it lives as long as the store does."""
    if rows >= FREEZE_ROWS:
        gc.freeze()
