"""Hash indexes: rows by equal values, unique or not, of a field, of several fields, or of each item of a field.

Invariants, which `problems` compares with a full scan:
1. Every row of the table has exactly one entry; in an `each` index, one for each distinct item.
2. The entry of a value that one row has is that row. Of several rows it is a dict of them by key, or, since they were
   loaded and until one of them changes, a list of no more than `LISTED`. It is never empty, nor a dict or list of one.
3. In a unique index, a value that several rows have is in `clashes` (for a moment, while two are swapped).
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from snaptable.schema import IndexSchema, TableSchema

Getter = Callable[[Any], Any]
SAMPLE = 1000
"""Rows that are asked whether values of a hash index repeat, before it is built."""
LISTED = 64
"""Rows of a value that are left in a list: making a dict of them costs the first change some microseconds."""


class HashIndex:
    """Find rows by equality: unique, hash and `each` indexes."""

    def __init__(self, schema: IndexSchema, table: TableSchema) -> None:
        self.schema = schema
        self.name = schema.name
        self.names = schema.names
        self.kind = schema.kind
        self.key_of: Getter = attrgetter(table.key)
        self.value_of: Getter = attrgetter(*schema.names)
        self.entries: dict[Any, Any] = {}
        self.clashes: set[Any] = set()
        self._each = schema.kind == "each"
        self._unique = schema.kind == "unique"

    def add(self, row: Any) -> None:
        """Enter a row; O(1), O(items) for an `each` index."""
        if not self._each:
            self._add(self.value_of(row), row)
            return
        for value in self._values(row):
            self._add(value, row)

    def remove(self, row: Any) -> None:
        """Take a row's entries out; O(1)."""
        for value in self._values(row):
            self._remove(value, row)

    def swap(self, before: Any, after: Any) -> None:
        """Put a row in the place of another with the same key; O(1)."""
        if self._each:
            old, new = self._values(before), self._values(after)
            for value in old:
                if value not in new:
                    self._remove(value, before)
            for value in new:
                self._put(value, after) if value in old else self._add(value, after)
            return
        old_value, new_value = self.value_of(before), self.value_of(after)
        if old_value == new_value:
            self._put(new_value, after)
        else:
            self._remove(old_value, before)
            self._add(new_value, after)

    def load(self, rows: Mapping[Any, Any]) -> None:
        """Enter every row of a table into the empty index; O(n), most of it in C."""
        if self._each:
            # deque(maxlen=0) drains an iterator without a Python loop.
            deque(map(self.add, rows.values()), maxlen=0)
            return
        values = list(map(self.value_of, rows.values()))
        if self._unique or len(set(values[:SAMPLE])) == len(values[:SAMPLE]):
            self.entries = dict(zip(values, rows.values(), strict=True))
            if len(self.entries) == len(values):
                return
        groups: defaultdict[Any, list[Any]] = defaultdict(list)
        deque(map(list.append, map(groups.__getitem__, values), rows.values()), maxlen=0)
        self.entries = {
            value: group[0] if len(group) == 1 else group if len(group) <= LISTED else self._by_key(group)
            for value, group in groups.items()
        }
        if self._unique:
            shared = (value for value, group in groups.items() if len(group) > 1)
            self.clashes = {value for value in shared if not self._has_none(value)}

    def _values(self, row: Any) -> Iterable[Any]:
        value = self.value_of(row)
        if self._each:
            return () if value is None else dict.fromkeys(value)
        return (value,)

    def _add(self, value: Any, row: Any) -> None:
        entry = self.entries.setdefault(value, row)
        if entry is row:
            return
        group = self._group(value, entry)
        if group is None:
            group = self.entries[value] = {self.key_of(entry): entry}
        group[self.key_of(row)] = row
        if self._unique and not self._has_none(value):
            self.clashes.add(value)

    def _put(self, value: Any, row: Any) -> None:
        group = self._group(value, self.entries[value])
        if group is not None:
            group[self.key_of(row)] = row
        else:
            # Assigning keeps the old key object, which may differ in kind (1 and 1.0) though it is equal.
            self.entries[value] = row

    def _remove(self, value: Any, row: Any) -> None:
        group = self._group(value, self.entries[value])
        if group is None:
            del self.entries[value]
            return
        del group[self.key_of(row)]
        if len(group) == 1:
            (self.entries[value],) = group.values()
            self.clashes.discard(value)

    def _group(self, value: Any, entry: Any) -> dict[Any, Any] | None:
        """Return the rows of an entry by key, to be changed; None where it is a single row's."""
        if type(entry) is list:
            entry = self.entries[value] = self._by_key(entry)
        return entry if type(entry) is dict else None

    def _by_key(self, rows: list[Any]) -> dict[Any, Any]:
        return dict(zip(map(self.key_of, rows), rows, strict=True))

    def _has_none(self, value: Any) -> bool:
        return value is None or (len(self.names) > 1 and None in value)

    def find(self, value: Any) -> list[Any]:
        """Return the rows of a value; O(rows)."""
        return list(self.held(value))

    def held(self, value: Any) -> Collection[Any]:
        """Return the rows of a value as they lie here, good until the next change only; O(1)."""
        entry = self.entries.get(value)
        if entry is None:
            return ()
        return entry.values() if type(entry) is dict else entry if type(entry) is list else (entry,)

    def size(self, value: Any) -> int:
        """Return how many rows a value has; O(1)."""
        entry = self.entries.get(value)
        return 0 if entry is None else len(entry) if type(entry) in (dict, list) else 1

    def problems(self, rows: Mapping[Any, Any]) -> Iterator[str]:
        """Yield every difference from what a full scan of the rows would index; O(n)."""
        expected: dict[Any, dict[Any, Any]] = {}
        for key, row in rows.items():
            for value in self._values(row):
                expected.setdefault(value, {})[key] = row
        for value in expected.keys() | self.entries.keys():
            found = {self.key_of(row): row for row in self.find(value)}
            wanted = expected.get(value, {})
            if found.keys() != wanted.keys() or any(found[key] is not wanted[key] for key in wanted):
                yield f"index {self.name} of {len(found)} rows disagrees with a scan that finds {len(wanted)}"
        if self.clashes:
            yield f"unique index {self.name} holds {len(self.clashes)} values twice"
