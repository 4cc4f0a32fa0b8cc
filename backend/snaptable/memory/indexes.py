"""Hash and ordered indexes over the rows of one table. They hold rows, so that a lookup is no second lookup.

Invariants, which `check` compares with a full scan:
1. Every row of the table has exactly one entry in each index, but for `each` indexes: one for each distinct item.
2. A hash entry that one row has is that row; of several, a dict of them by key. Never an empty or one-row dict.
3. In a unique index, an entry of several rows is in `clashes` (a swap within a transaction makes them for a moment).
4. A row with None in an ordered index is beside the sorted entries, in `nulls`: None sorts last both ways.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from snaptable import fields
from snaptable.memory.sorted import TOP, SortedEntries
from snaptable.schema import IndexSchema, TableSchema

Getter = Callable[[Any], Any]
NONE: tuple[Any, ...] = ()


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

    def load(self, rows: Iterable[Any]) -> None:
        """Enter every row of an empty table."""
        add = self.add
        # deque(maxlen=0) drains an iterator without a Python loop.
        deque(map(add, rows), maxlen=0)

    def _values(self, row: Any) -> Iterable[Any]:
        value = self.value_of(row)
        if self._each:
            return () if value is None else dict.fromkeys(value)
        return (value,)

    def _add(self, value: Any, row: Any) -> None:
        entry = self.entries.setdefault(value, row)
        if entry is row:
            return
        if type(entry) is dict:
            entry[self.key_of(row)] = row
        else:
            self.entries[value] = {self.key_of(entry): entry, self.key_of(row): row}
        if self._unique and not self._has_none(value):
            self.clashes.add(value)

    def _put(self, value: Any, row: Any) -> None:
        entry = self.entries[value]
        if type(entry) is dict:
            entry[self.key_of(row)] = row
        else:
            # Assigning keeps the old key object, which may differ in kind (1 and 1.0) though it is equal.
            self.entries[value] = row

    def _remove(self, value: Any, row: Any) -> None:
        entry = self.entries[value]
        if type(entry) is not dict:
            del self.entries[value]
            return
        del entry[self.key_of(row)]
        if len(entry) == 1:
            (self.entries[value],) = entry.values()
            self.clashes.discard(value)

    def _has_none(self, value: Any) -> bool:
        return value is None or (len(self.names) > 1 and None in value)

    def find(self, value: Any) -> list[Any]:
        """Return the rows of a value; O(rows)."""
        entry = self.entries.get(value)
        if entry is None:
            return []
        return list(entry.values()) if type(entry) is dict else [entry]

    def size(self, value: Any) -> int:
        """Return how many rows a value has; O(1)."""
        entry = self.entries.get(value)
        return 0 if entry is None else len(entry) if type(entry) is dict else 1

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


class OrderedIndex:
    """Find rows by a range, in order: ordered indexes over one or several fields."""

    def __init__(self, schema: IndexSchema, table: TableSchema) -> None:
        self.schema = schema
        self.name = schema.name
        self.names = schema.names
        self.kind = schema.kind
        self.key_of: Getter = attrgetter(table.key)
        self.sort_keys = [fields.sort_key(table.columns[name].annotation) for name in schema.names]
        self.entry_of = _entry_function(schema.names, table.key, self.sort_keys)
        self.sorted = SortedEntries()
        self.nulls: dict[Any, Any] = {}

    def add(self, row: Any) -> None:
        """Enter a row; O(log n)."""
        entry = self.entry_of(row)
        if entry is NONE:
            self.nulls[self.key_of(row)] = row
        else:
            self.sorted.add(entry, row)

    def remove(self, row: Any) -> None:
        """Take a row's entry out; O(log n)."""
        entry = self.entry_of(row)
        if entry is NONE:
            del self.nulls[self.key_of(row)]
        else:
            self.sorted.remove(entry)

    def swap(self, before: Any, after: Any) -> None:
        """Put a row in the place of another with the same key; O(log n)."""
        old, new = self.entry_of(before), self.entry_of(after)
        if old == new and old is not NONE:
            self.sorted.replace(new, after)
        else:
            self.remove(before)
            self.add(after)

    def load(self, rows: Iterable[Any]) -> None:
        """Enter every row of an empty table; O(n log n), one sort."""
        entries = []
        for row in rows:
            entry = self.entry_of(row)
            if entry is NONE:
                self.nulls[self.key_of(row)] = row
            else:
                entries.append((entry, row))
        self.sorted.load(entries)

    def bound(self, values: tuple[Any, ...], *, above: bool = False) -> tuple[Any, ...]:
        """Return the bound just below (or above) every entry that begins with these field values."""
        keys = tuple(
            value if sort_key is None else sort_key(value)
            for value, sort_key in zip(values, self.sort_keys, strict=False)
        )
        return (*keys, TOP) if above else keys

    def find(self, value: Any) -> list[Any]:
        """Return the rows whose first field has a value; O(log n + rows)."""
        if value is None:
            return [row for row in self.nulls.values() if getattr(row, self.names[0]) is None]
        bounds = self.bound((value,)), self.bound((value,), above=True)
        return [row for rows in self.sorted.slices(*bounds) for row in rows]

    def problems(self, rows: Mapping[Any, Any]) -> Iterator[str]:
        """Yield every difference from what a full scan of the rows would index; O(n log n)."""
        yield from (f"index {self.name}: {problem}" for problem in self.sorted.problems())
        expected = {key: self.entry_of(row) for key, row in rows.items()}
        wanted = sorted(entry for entry in expected.values() if entry is not NONE)
        found = list(self.sorted.entries())
        if [entry for entry, _ in found] != wanted:
            yield f"index {self.name} of {len(found)} entries disagrees with a scan that finds {len(wanted)}"
        held = [*(row for _, row in found), *self.nulls.values()]
        if any(rows.get(self.key_of(row)) is not row for row in held):
            yield f"index {self.name} holds a row that the table doesn't"
        if self.nulls.keys() != {key for key, entry in expected.items() if entry is NONE}:
            yield f"index {self.name} disagrees with a scan about the rows with None"


AnyIndex = HashIndex | OrderedIndex


def make_index(schema: IndexSchema, table: TableSchema) -> AnyIndex:
    """Return an empty index of the kind the schema names."""
    return OrderedIndex(schema, table) if schema.kind == "ordered" else HashIndex(schema, table)


def _entry_function(names: tuple[str, ...], key: str, sort_keys: list[fields.SortKey | None]) -> Getter:
    """Return the function from a row to its entry `(field …, primary key)`, NONE where a field is None."""
    values_of = attrgetter(*names, key)
    if not any(sort_keys):

        def plain(row: Any) -> Any:
            entry = values_of(row)
            return NONE if None in entry else entry

        return plain

    if len(names) == 1:
        (sort_key,) = sort_keys
        assert sort_key is not None

        def keyed_alone(row: Any) -> Any:
            value, primary = values_of(row)
            return NONE if value is None else (sort_key(value), primary)

        return keyed_alone

    def keyed(row: Any) -> Any:
        entry = values_of(row)
        if None in entry:
            return NONE
        # zip stops before the primary key, which is compared as it is.
        head = [value if fn is None else fn(value) for value, fn in zip(entry, sort_keys, strict=False)]
        return (*head, entry[-1])

    return keyed
