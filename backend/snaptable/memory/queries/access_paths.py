"""The ways to a query's rows, worked out for a shape and walked with values: by key, by an index, by a scan.

A way settles some of the query's conditions by where it looks; the others, its residue, it checks row by row.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from snaptable.conditions import Term
from snaptable.memory.column_cache import ColumnCache
from snaptable.memory.indexes.hash_index import HashIndex
from snaptable.memory.queries.filters import ResidualFilter, Values
from snaptable.memory.rows import TableRows

Position = tuple[Any, ...] | None
STEP = 64
"""Rows filtered at a time, where a few are wanted: a limit of one must not filter hundreds."""


class IndexableTerm(NamedTuple):
    """Be a term that an index could help with: which of the query's forms it is, and the place of its value."""

    number: int
    place: int
    term: Term


@dataclass
class IndexableTerms:
    """Hold the terms that an index could help with, the first of each kind, by column."""

    equal: dict[str, IndexableTerm] = field(default_factory=dict)
    low: dict[str, IndexableTerm] = field(default_factory=dict)
    high: dict[str, IndexableTerm] = field(default_factory=dict)
    one_of: dict[str, IndexableTerm] = field(default_factory=dict)
    contains: dict[str, IndexableTerm] = field(default_factory=dict)
    starts: dict[str, IndexableTerm] = field(default_factory=dict)

    def of(self, term: Term) -> dict[str, IndexableTerm] | None:
        """Return where a term belongs."""
        match term.verb:
            case "==" | "is":
                return self.equal
            case ">" | ">=" if term.seeks:
                return self.low
            case "<" | "<=" if term.seeks:
                return self.high
            case "starts with" if term.seeks:
                return self.starts
            case "in":
                return self.one_of
            case "contains":
                return self.contains
        return None


class AccessPath:
    """Be one way to the rows. `size` and what follows take the values of the query, once `bind` was given them."""

    name: str | None
    """The index's, "primary key", or None for a scan."""
    settled: frozenset[int]
    """Which of the forms it answers by itself."""
    residue: ResidualFilter | None = None
    left = 0
    """How many forms are in the residue."""
    ordered = False
    """Whether its rows come in the order wanted."""
    sought = False
    """Whether it starts behind the cursor by itself."""

    def bind(self, values: Values, after: Position) -> "AccessPath | None":  # noqa: ARG002 - only ranges depend on them
        """Return the way with its bounds worked out; None where these values, or the rows there are, rule it out."""
        return self

    def size(self, values: Values) -> int:
        """Return how many rows it looks at; estimated where counting would cost."""
        raise NotImplementedError

    def count(self, values: Values) -> int:
        """Return how many rows match."""
        return len(self.matching(values))

    def batches(self, values: Values, most: int) -> Iterable[list[Any]]:
        """Yield the rows it looks at, at most so many at a time."""
        raise NotImplementedError

    def matching(self, values: Values) -> list[Any]:
        """Return every row that matches."""
        raise NotImplementedError

    def first(self, values: Values, count: int) -> list[Any]:
        """Return the first rows that match, as many as that or some more; stops once it has them."""
        found: list[Any] = []
        if count == 0:
            return found
        keep = None if self.residue is None else self.residue.over_rows(values)
        for part in self.batches(values, count if keep is None else max(STEP, count)):
            found += part if keep is None else keep(part)
            if len(found) >= count:
                break
        return found


class Lookup(AccessPath):
    """Be a way whose rows lie together."""

    def __init__(self, name: str, settled: Iterable[IndexableTerm]) -> None:
        self.name = name
        self.settled = frozenset(found.number for found in settled)

    def held(self, values: Values) -> Collection[Any]:
        """Return the rows it looks at, good until the next change only."""
        raise NotImplementedError

    def size(self, values: Values) -> int:
        """Return how many rows it looks at."""
        return len(self.held(values))

    def count(self, values: Values) -> int:
        """Return how many rows match; O(1) where the index settles all."""
        return len(self.held(values)) if self.residue is None else len(self.matching(values))

    def batches(self, values: Values, most: int) -> Iterator[list[Any]]:
        """Yield the rows it looks at, at most so many at a time."""
        return cut(self.held(values), most)

    def matching(self, values: Values) -> list[Any]:
        """Return every row that matches."""
        rows = self.held(values)
        return list(rows) if self.residue is None else self.residue.over_rows(values)(rows)

    def first(self, values: Values, count: int) -> list[Any]:
        """Return the first rows that match, as many as that or some more."""
        return self.matching(values) if len(self.held(values)) <= STEP else super().first(values, count)


class KeyLookup(Lookup):
    """Look a row up by the primary key."""

    ordered = True

    def __init__(self, table: TableRows, key: IndexableTerm) -> None:
        super().__init__("primary key", (key,))
        self._table = table
        self._place = key.place

    def size(self, values: Values) -> int:  # noqa: ARG002 - whatever the key
        """Return 1: to know whether there is one is to have it."""
        return 1

    def held(self, values: Values) -> Collection[Any]:
        """Return the row, if there is one."""
        row = self._table.get(values[self._place])
        return () if row is None else (row,)


class KeyInLookup(Lookup):
    """Look rows up by several primary keys."""

    def __init__(self, table: TableRows, keys: IndexableTerm) -> None:
        super().__init__("primary key", (keys,))
        self._table = table
        self._place = keys.place

    def size(self, values: Values) -> int:
        """Return how many keys there are."""
        return len(dict.fromkeys(values[self._place]))

    def held(self, values: Values) -> Collection[Any]:
        """Return the rows there are."""
        return self._table.pick(dict.fromkeys(values[self._place]))


class IndexLookup(Lookup):
    """Look rows up in a hash index, by a value of each of its fields, or by an item."""

    def __init__(self, index: HashIndex, found: tuple[IndexableTerm, ...]) -> None:
        super().__init__(index.name, found)
        self._held = index.held
        self._value: Callable[[Values], Any] = itemgetter(*(one.place for one in found))

    def held(self, values: Values) -> Collection[Any]:
        """Return the rows of the value."""
        return self._held(self._value(values))


class IndexInLookup(Lookup):
    """Look rows up in a hash index by several values of its one field."""

    def __init__(self, index: HashIndex, found: IndexableTerm) -> None:
        super().__init__(index.name, (found,))
        self._index = index
        self._place = found.place

    def size(self, values: Values) -> int:
        """Return how many rows it looks at."""
        return sum(map(self._index.size, dict.fromkeys(values[self._place])))

    def held(self, values: Values) -> Collection[Any]:
        """Return the rows of all the values."""
        return [row for value in dict.fromkeys(values[self._place]) for row in self._index.held(value)]


class FullScan(AccessPath):
    """Look at every row, or at the columns that earlier scans left."""

    name = None
    settled = frozenset()

    def __init__(self, table: TableRows) -> None:
        self._table = table

    def size(self, values: Values) -> int:  # noqa: ARG002 - whatever is asked
        """Return how many rows there are."""
        return len(self._table)

    def count(self, values: Values) -> int:
        """Return how many rows match; O(1) where all do."""
        return len(self._table) if self.residue is None else len(self.matching(values))

    def _rows(self) -> Collection[Any]:
        return self._table.live() if self._table.graves else self._table.rows.values()

    def _scans(self) -> ColumnCache:
        if self._table.scans is None:
            self._table.scans = ColumnCache()
        return self._table.scans

    def batches(self, values: Values, most: int) -> Iterator[list[Any]]:  # noqa: ARG002 - whatever is asked
        """Yield all rows, at most so many at a time."""
        return cut(self._rows(), most)

    def matching(self, values: Values) -> list[Any]:
        """Return every row that matches."""
        if self.residue is None:
            return self._table.live()
        rows = self._rows()
        columns = self._scans().take(self.residue.names, rows)
        if columns is None:
            return self.residue.over_rows(values)(rows)
        return self.residue.over_columns(values)(rows, *columns)

    def first(self, values: Values, count: int) -> list[Any]:
        """Return the first rows that match, as many as that or some more."""
        residue = self.residue
        if residue is None or count == 0:
            return super().first(values, count)
        columns = self._scans().held(residue.names)
        keep = residue.over_rows(values) if columns is None else residue.over_columns(values)
        found: list[Any] = []
        remaining, start, step = iter(self._rows()), 0, max(STEP, count)
        while part := list(islice(remaining, step)):
            found += keep(part, *(column[start : start + step] for column in columns or ()))
            if len(found) >= count:
                return found
            start, step = start + step, step * 2
        # It was a whole scan after all: let the next one find the columns.
        self._scans().take(residue.names, self._rows())
        return found


def cut(rows: Collection[Any], most: int) -> Iterator[list[Any]]:
    """Yield the rows at most so many at a time."""
    remaining = iter(rows)
    while part := list(islice(remaining, most)):
        yield part
