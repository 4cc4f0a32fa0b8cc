"""Hash and ordered indexes over the rows of one table. They hold rows, so that a lookup is no second lookup.

Invariants, which `check` compares with a full scan:
1. Every row of the table has exactly one entry in each index, but for `each` indexes: one for each distinct item.
2. A hash entry that one row has is that row; of several, a dict of them by key, or, since they were loaded and until
   one of them changes, a list of no more than `LISTED`. Never an empty dict or list, nor one of one row.
3. In a unique index, an entry of several rows is in `clashes` (a swap within a transaction makes them for a moment).
4. A row with None in an ordered index is beside the sorted entries, in `nulls`: None sorts last both ways.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC
from itertools import compress, islice, repeat
from operator import attrgetter, eq, sub
from typing import Any

from snaptable import fields
from snaptable.memory.sorted import TOP, SortedEntries
from snaptable.schema import IndexSchema, TableSchema

Getter = Callable[[Any], Any]
NONE: tuple[Any, ...] = ()
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


class OrderedIndex:
    """Find rows by a range, in order: ordered indexes over one or several fields."""

    def __init__(self, schema: IndexSchema, table: TableSchema) -> None:
        self.schema = schema
        self.name = schema.name
        self.names = schema.names
        self.kind = schema.kind
        self.key_of: Getter = attrgetter(table.key)
        self.sort_keys = [fields.sort_key(table.columns[name].annotation) for name in schema.names]
        self._optional = any(fields.is_optional(table.columns[name].annotation) for name in schema.names)
        self.entry_of = _entry_function(schema.names, table.key, self.sort_keys)
        self.sorted = SortedEntries(self.entry_of)
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

    def load(self, rows: Mapping[Any, Any]) -> None:
        """Enter every row of a table into the empty index; O(n log n), one sort."""
        held = list(rows.values())
        columns = [list(map(attrgetter(name), held)) for name in self.names]
        if self._optional and any(None in column for column in columns):
            whole = [None not in values for values in zip(*columns, strict=True)]
            self.nulls = {key: row for (key, row), is_whole in zip(rows.items(), whole, strict=True) if not is_whole}
            held, *columns = (list(compress(column, whole)) for column in (held, *columns))
        places = [_places(values, sort_key) for values, sort_key in zip(columns, self.sort_keys, strict=True)]
        order = _order(places, range(len(held)))
        if _has_twins(places, order):
            order = _order([*places, list(map(self.key_of, held))], range(len(held)))
        self.sorted.load(list(map(held.__getitem__, order)))

    def bound(self, values: tuple[Any, ...], *, above: bool = False) -> tuple[Any, ...]:
        """Return the bound just below (or above) every entry that begins with these field values."""
        keys = [
            value if sort_key is None else sort_key(value)
            for value, sort_key in zip(values, self.sort_keys, strict=False)
        ]
        return (*keys, TOP) if above else tuple(keys)

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


def _places(values: list[Any], sort_key: fields.SortKey | None) -> list[Any]:
    """Return something that sorts as values do in an index, at the least cost; O(n)."""
    if sort_key is not fields.microseconds:
        return values if sort_key is None else list(map(sort_key, values))
    if set(map(id, map(attrgetter("tzinfo"), values))) in ({id(UTC)}, {id(None)}):
        return values  # all in one zone that never shifts: they compare as they are
    try:
        return list(map(sub, values, repeat(fields.EPOCH)))
    except TypeError:  # one of them is naive
        return list(map(sort_key, values))


def _order(columns: list[list[Any]], order: Iterable[int]) -> list[int]:
    """Return the order of rows by columns, each as a list: sorted stably by the last one first; O(n log n)."""
    for column in reversed(columns):
        order = sorted(order, key=column.__getitem__)
    return list(order)


def _has_twins(columns: list[list[Any]], order: list[int]) -> bool:
    """Return whether two rows that follow each other are equal in all columns."""
    ordered = [list(map(column.__getitem__, order)) for column in columns]
    same = [map(eq, column, islice(column, 1, None)) for column in ordered]
    return any(same[0] if len(same) == 1 else map(all, zip(*same, strict=True)))


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
