"""Hash indexes: rows by equal values, unique or not, of a field, of several fields, or of each item of a field.

Invariants, which `problems` compares with a full scan:
1. Every row of the table has exactly one entry; in an `each` index, one for each distinct item.
2. The entry of a value that one row has is that row. Of several rows it is a dict of them by key, or, since they were
   loaded and until one of them changes, a list of no more than `LISTED`. It is never empty, nor a dict or list of one.
3. In a unique index, a value that several rows have is in `clashes` (for a moment, while two are swapped).
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from snaptable.schema.tables import IndexSchema, TableSchema
from snaptable.values.row_lines import Key

Group = dict[Key, BaseModel]
SAMPLE = 1000
"""Rows that are looked at for repeated values before a hash index is built."""
LISTED = 64
"""Rows of a value that are left in a list: making a dict of them costs the first change some microseconds."""


class HashIndex:
    """Rows by equality: a unique, hash or `each` index."""

    def __init__(self, schema: IndexSchema, table: TableSchema) -> None:
        """Begin without rows."""
        self.schema = schema
        self.name = schema.name
        self.names = schema.names
        self.kind = schema.kind
        self.key_of: Callable[[BaseModel], Key] = attrgetter(table.key)
        self.value_of: Callable[[BaseModel], Any] = attrgetter(*schema.names)
        self.entries: dict[object, Any] = {}
        """A row, a `Group` or a list by value. Told apart by their exact class, which a type checker doesn't follow:
        `isinstance` takes two and a half times as long."""
        self.clashes: set[object] = set()
        self._each = schema.kind == "each"
        self._unique = schema.kind == "unique"

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, row: BaseModel) -> None:
        """Enter a row; O(1), O(items) for an `each` index."""
        if self._each:
            for value in self._values(row):
                self._add(value, row)
            return
        value = self.value_of(row)
        entry = self.entries.setdefault(value, row)
        if entry is row:
            return
        if type(entry) is dict and not self._unique:  # as `_join`, without its calls: most values are shared by several
            entry[self.key_of(row)] = row
        else:
            self._join(value, entry, row)

    def remove(self, row: BaseModel) -> None:
        """Remove a row's entries; O(1), O(items) for an `each` index."""
        for value in self._values(row):
            self._remove(value, row)

    def swap(self, before: BaseModel, after: BaseModel) -> None:
        """Put a row in the place of another with the same key; O(1), O(items) for an `each` index."""
        if self._each:
            self._swap_items(before, after)
            return
        old_value, new_value = self.value_of(before), self.value_of(after)
        if old_value == new_value:
            self._put(new_value, after)
        else:
            self._remove(old_value, before)
            self._add(new_value, after)

    def _swap_items(self, before: BaseModel, after: BaseModel) -> None:
        old, new = self._values(before), self._values(after)
        for value in old:
            if value not in new:
                self._remove(value, before)
        for value in new:
            if value in old:
                self._put(value, after)
            else:
                self._add(value, after)

    def load(self, rows: Sequence[BaseModel]) -> None:
        """Hold exactly the rows given; O(n), most of it in C."""
        self.entries, self.clashes = {}, set()
        if self._each:
            # deque(maxlen=0) drains an iterator without a Python loop.
            deque(map(self.add, rows), maxlen=0)
            return
        values = list(map(self.value_of, rows))
        if self._unique or len(set(values[:SAMPLE])) == len(values[:SAMPLE]):
            self.entries = dict(zip(values, rows, strict=True))
            if len(self.entries) == len(values):
                return
        groups: defaultdict[object, list[BaseModel]] = defaultdict(list)
        deque(map(list.append, map(groups.__getitem__, values), rows), maxlen=0)
        self.entries = {
            value: rows_of[0] if len(rows_of) == 1 else rows_of if len(rows_of) <= LISTED else self._group(rows_of)
            for value, rows_of in groups.items()
        }
        if self._unique:
            shared = (value for value, rows_of in groups.items() if len(rows_of) > 1)
            self.clashes = {value for value in shared if not self._has_none(value)}

    def _values(self, row: BaseModel) -> Collection[object]:
        """Return the values under which a row is entered, each once."""
        value = self.value_of(row)
        if self._each:
            return () if value is None else dict.fromkeys(value)
        return (value,)

    def _add(self, value: object, row: BaseModel) -> None:
        entry = self.entries.setdefault(value, row)
        if entry is not row:
            self._join(value, entry, row)

    def _join(self, value: object, entry: Any, row: BaseModel) -> None:
        """Enter a row beside what its value has already."""
        group = self._group_of(value, entry)
        if group is None:
            group = self.entries[value] = {self.key_of(entry): entry}
        group[self.key_of(row)] = row
        if self._unique and not self._has_none(value):
            self.clashes.add(value)

    def _put(self, value: object, row: BaseModel) -> None:
        group = self._group_of(value, self.entries[value])
        if group is not None:
            group[self.key_of(row)] = row
        else:
            # Assigning keeps the old key object, which may differ in type (1 and 1.0) though it is equal.
            self.entries[value] = row

    def _remove(self, value: object, row: BaseModel) -> None:
        group = self._group_of(value, self.entries[value])
        if group is None:
            del self.entries[value]
            return
        del group[self.key_of(row)]
        if len(group) == 1:
            (self.entries[value],) = group.values()
            self.clashes.discard(value)

    def _group_of(self, value: object, entry: Any) -> Group | None:
        """Return the rows of an entry by key, to be changed; None if it is a single row."""
        if type(entry) is list:
            entry = self.entries[value] = self._group(entry)
        return entry if type(entry) is dict else None

    def _group(self, rows: list[BaseModel]) -> Group:
        return dict(zip(map(self.key_of, rows), rows, strict=True))

    def _has_none(self, value: object) -> bool:
        return value is None or (isinstance(value, tuple) and len(self.names) > 1 and None in value)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def lookup(self, value: object) -> list[BaseModel]:
        """Return the rows of a value; O(rows)."""
        return list(self.rows_of(value))

    def rows_of(self, value: object) -> Collection[BaseModel]:
        """Return the rows of a value as a view that is good until the next change; O(1)."""
        entry = self.entries.get(value)
        if entry is None:
            return ()
        return entry.values() if type(entry) is dict else entry if type(entry) is list else (entry,)

    def size(self, value: object) -> int:
        """Return how many rows a value has; O(1)."""
        entry = self.entries.get(value)
        return 0 if entry is None else len(entry) if type(entry) in (dict, list) else 1

    def problems(self, rows: Mapping[Key, BaseModel]) -> Iterator[str]:
        """Yield every difference from what a full scan of the rows would index; O(n)."""
        expected: dict[object, Group] = {}
        for key, row in rows.items():
            for value in self._values(row):
                expected.setdefault(value, {})[key] = row
        for value in expected.keys() | self.entries.keys():
            indexed = self._group(self.lookup(value))
            scanned = expected.get(value, {})
            if indexed.keys() != scanned.keys() or any(indexed[key] is not scanned[key] for key in scanned):
                yield f"index {self.name} of {len(indexed)} rows disagrees with a scan that finds {len(scanned)}"
        if self.clashes:
            yield f"unique index {self.name} holds {len(self.clashes)} values twice"
