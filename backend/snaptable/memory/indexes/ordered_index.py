"""Ordered indexes: rows sorted by one or several fields, for ranges and orders.

Invariants, which `problems` compares with a full scan: every row has exactly one entry; a row with None in one of the
fields is not among the sorted entries but in `nulls`, because None sorts last in both directions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import compress, repeat
from operator import attrgetter, sub
from typing import Any

from pydantic import BaseModel

from snaptable.memory.indexes.sorted_rows import AFTER_ALL, Entry, SortedEntries
from snaptable.schema.tables import IndexSchema, TableSchema
from snaptable.values import value_types
from snaptable.values.row_lines import Key

NONE: Entry = ()
"""The entry of a row with None in an indexed field."""
Column = list[Any]
"""The values of one field, of every row: comparable with each other."""


class OrderedIndex:
    """Rows by a range, in order: an ordered index over one or several fields."""

    def __init__(self, schema: IndexSchema, table: TableSchema) -> None:
        """Begin without rows."""
        self.schema = schema
        self.name = schema.name
        self.names = schema.names
        self.kind = schema.kind
        self.key_of: Callable[[BaseModel], Key] = attrgetter(table.key)
        self.sort_keys = [value_types.sort_key(table.columns[name].annotation) for name in schema.names]
        self._optional = any(value_types.is_optional(table.columns[name].annotation) for name in schema.names)
        self.entry_of = _entry_function(schema.names, table.key, self.sort_keys)
        # A time's microseconds fit into 64 bits; other numbers need not.
        self.sorted = SortedEntries(self.entry_of, begins_small=self.sort_keys[0] is value_types.microseconds)
        self.nulls: dict[Key, BaseModel] = {}

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, row: BaseModel) -> None:
        """Enter a row; O(log n)."""
        entry = self.entry_of(row)
        if entry is NONE:
            self.nulls[self.key_of(row)] = row
        else:
            self.sorted.add(entry, row)

    def remove(self, row: BaseModel) -> None:
        """Remove a row's entry; O(log n)."""
        entry = self.entry_of(row)
        if entry is NONE:
            del self.nulls[self.key_of(row)]
        else:
            self.sorted.remove(entry)

    def swap(self, before: BaseModel, after: BaseModel) -> None:
        """Put a row in the place of another with the same key; O(log n)."""
        old, new = self.entry_of(before), self.entry_of(after)
        if old == new and old is not NONE:
            self.sorted.replace(new, after)
        else:
            self.remove(before)
            self.add(after)

    def load(self, rows: Sequence[BaseModel]) -> None:
        """Hold exactly the rows given; O(n log n), one sort."""
        self.nulls = {}
        columns: list[Column] = [list(map(attrgetter(name), rows)) for name in self.names]
        if self._optional and any(None in column for column in columns):
            whole = [None not in values for values in zip(*columns, strict=True)]
            self.nulls = {self.key_of(row): row for row, is_whole in zip(rows, whole, strict=True) if not is_whole}
            rows = list(compress(rows, whole))
            columns = [list(compress(column, whole)) for column in columns]
        sortable = list(map(_sortable, columns, self.sort_keys))
        if _has_equal_rows(sortable):
            sortable = list(map(partial(_sortable, exactly=True), columns, self.sort_keys))
            sortable.append(list(map(self.key_of, rows)))
        order = _order(sortable, range(len(rows)))
        self.sorted.load(list(map(rows.__getitem__, order)))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def bound(self, values: Sequence[object], *, head: Entry = ()) -> Entry:
        """Return the bound just below every entry that begins with these field values.

        Args:
            values: of the first fields, or of those behind `head`.
            head: the beginning of the bound, if it is known.
        """
        sort_keys = self.sort_keys[len(head) :] if head else self.sort_keys
        # zip stops at the last value: a bound is the beginning of an entry.
        keys = [
            value if sort_key is None else sort_key(value) for value, sort_key in zip(values, sort_keys, strict=False)
        ]
        return (*head, *keys)

    def lookup(self, value: object) -> list[BaseModel]:
        """Return the rows whose first field has a value; O(log n + rows)."""
        if value is None:
            return [row for row in self.nulls.values() if getattr(row, self.names[0]) is None]
        low = self.bound((value,))
        return [row for rows in self.sorted.slices(low, (*low, AFTER_ALL)) for row in rows]

    def problems(self, rows: Mapping[Key, BaseModel]) -> Iterator[str]:
        """Yield every difference from what a full scan of the rows would index; O(n log n)."""
        yield from (f"index {self.name}: {problem}" for problem in self.sorted.problems())
        expected = {key: self.entry_of(row) for key, row in rows.items()}
        scanned = sorted(entry for entry in expected.values() if entry is not NONE)
        indexed = list(self.sorted.entries())
        if [entry for entry, _ in indexed] != scanned:
            yield f"index {self.name} of {len(indexed)} entries disagrees with a scan that finds {len(scanned)}"
        indexed_rows = [*(row for _, row in indexed), *self.nulls.values()]
        if any(rows.get(self.key_of(row)) is not row for row in indexed_rows):
            yield f"index {self.name} holds a row that the table doesn't"
        if self.nulls.keys() != {key for key, entry in expected.items() if entry is NONE}:
            yield f"index {self.name} disagrees with a scan about the rows with None"


def _sortable(values: Column, sort_key: value_types.SortKey | None, *, exactly: bool = False) -> Column:
    """Return values that sort as these do in an index, at the least cost; O(n).

    Times become seconds, which sort twice as fast and lie closer together in memory. More than 272 years from 1970 two
    times may become the same number; `exactly` tells them apart.
    """
    if sort_key is not value_types.microseconds:
        return values if sort_key is None else list(map(sort_key, values))
    for epoch in (value_types.EPOCH, value_types.NAIVE_EPOCH):
        with suppress(TypeError):  # aware and naive times have no difference
            since = map(sub, values, repeat(epoch))
            return list(since if exactly else map(timedelta.total_seconds, since))
    return list(map(sort_key, values))


def _order(columns: Sequence[Column], order: Iterable[int]) -> list[int]:
    """Return the positions of rows in the order of columns: sorted stably by the last column first; O(n log n)."""
    for column in reversed(columns):
        order = sorted(order, key=column.__getitem__)
    return list(order)


def _has_equal_rows(columns: Sequence[Column]) -> bool:
    """Return whether two rows are equal in all columns; O(n)."""
    values = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    return len(set(values)) < len(values)


def _entry_function(
    names: tuple[str, ...], key: str, sort_keys: list[value_types.SortKey | None]
) -> Callable[[BaseModel], Entry]:
    """Return the function from a row to its entry `(field …, primary key)`, NONE if a field is None."""
    values_of = attrgetter(*names, key)
    if not any(sort_keys):

        def plain(row: BaseModel) -> Entry:
            """Return the entry of values that sort as they are."""
            entry: Entry = values_of(row)
            return NONE if None in entry else entry

        return plain

    if len(names) == 1:
        (sort_key,) = sort_keys
        assert sort_key is not None

        def keyed_alone(row: BaseModel) -> Entry:
            """Return the entry of one value with a sort key."""
            value, primary = values_of(row)
            return NONE if value is None else (sort_key(value), primary)

        return keyed_alone

    def keyed(row: BaseModel) -> Entry:
        """Return the entry of several values, of which some have sort keys."""
        entry: Entry = values_of(row)
        if None in entry:
            return NONE
        # zip stops before the primary key, which is compared as it is.
        head = [value if fn is None else fn(value) for value, fn in zip(entry, sort_keys, strict=False)]
        return (*head, entry[-1])

    return keyed
