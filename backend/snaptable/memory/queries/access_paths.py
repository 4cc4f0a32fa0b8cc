"""Access paths: by the primary key, by an index, or by a full scan. Prepared for a query's shape, run with its values.

A path covers some of the query's conditions by where it looks. The others are its residual filter: they are checked row
by row.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from pydantic import BaseModel

from snaptable.conditions.predicates import Term
from snaptable.evaluation.filters import Conditions, ResidualFilter, Values
from snaptable.memory.indexes import AnyIndex
from snaptable.memory.indexes.hash_index import HashIndex
from snaptable.memory.rows import TableRows
from snaptable.values.value_types import NUMBERS

Position = tuple[object, ...]
"""Where a cursor stands: values of the order's columns."""
STEP = 64
"""Rows filtered at a time if few are wanted: a limit of one must not filter hundreds."""


# ── what an index can answer ────────────────────────────────────────────────────────────────────────────────────────


class IndexableTerm(NamedTuple):
    """A predicate that an index can answer."""

    condition: int
    """Its position among the query's conditions."""
    position: int
    """The position of its value among the query's values."""
    term: Term


@dataclass
class IndexableTerms:
    """The predicates of a query that an index can answer, the first of each kind, by column."""

    equal: dict[str, IndexableTerm] = field(default_factory=dict)
    low: dict[str, IndexableTerm] = field(default_factory=dict)
    high: dict[str, IndexableTerm] = field(default_factory=dict)
    one_of: dict[str, IndexableTerm] = field(default_factory=dict)
    contains: dict[str, IndexableTerm] = field(default_factory=dict)
    prefix: dict[str, IndexableTerm] = field(default_factory=dict)

    @classmethod
    def of(cls, conditions: Conditions, without: Collection[int]) -> "IndexableTerms":
        """Return those among the conditions, but for the terms whose values stand at the positions `without`."""
        terms = cls()
        by_operator = {
            "==": terms.equal, "is": terms.equal, ">": terms.low, ">=": terms.low, "<": terms.high, "<=": terms.high,
            "in": terms.one_of, "contains": terms.contains, "starts with": terms.prefix,
        }  # fmt: skip
        for number, (template, position) in enumerate(conditions):
            if isinstance(template, Term) and template.operator in by_operator and position not in without:
                term = IndexableTerm(number, position, template)
                by_operator[template.operator].setdefault(template.column.name, term)
        return terms

    def compared(self) -> tuple[int, ...]:
        """Return the positions of the values that must have a place in their column's order; NaN has none."""
        compared = [*self.low.values(), *self.high.values(), *filter(_may_be_nan, self.equal.values())]
        return tuple(term.position for term in compared)

    def prefixes(self) -> tuple[int, ...]:
        """Return the positions of the texts that must not be empty: every text begins with an empty one."""
        return tuple(term.position for term in self.prefix.values())


def _may_be_nan(term: IndexableTerm) -> bool:
    """Return whether a column takes numbers, so that it may be compared with one that has no place among them."""
    return any(issubclass(kind, NUMBERS) for kind in term.term.column.types or NUMBERS)


# ── the paths ───────────────────────────────────────────────────────────────────────────────────────────────────────


class AccessPath:
    """One way to the rows. `bind(values, after)` comes first; the other methods take the same values."""

    ordered = False
    """Whether its rows come in the order wanted."""
    after_cursor = False
    """Whether it begins behind the cursor by itself."""
    reads: AnyIndex | None = None
    """The index that it reads; None for the rows themselves."""

    def __init__(self, name: str | None, conditions: Conditions, covered: Iterable[IndexableTerm] = ()) -> None:
        """Make a path.

        Args:
            name: the index's, "primary key", or None for a scan.
            conditions: all of the query's.
            covered: the predicates that the path answers by where it looks.
        """
        self.name = name
        self.covered_conditions = frozenset(term.condition for term in covered)
        residual = [one for number, one in enumerate(conditions) if number not in self.covered_conditions]
        self.residual_filter = ResidualFilter(residual) if residual else None
        self.residual_count = len(residual)

    def bind(self, values: Values, after: Position | None) -> "AccessPath | None":  # noqa: ARG002 - only ranges depend on them
        """Return the path with its bounds worked out; None if these values, or the rows there are, rule it out."""
        return self

    def size(self, values: Values) -> int:
        """Return how many rows it looks at; estimated if counting would cost much."""
        raise NotImplementedError

    def count(self, values: Values) -> int:
        """Return how many rows match; O(rows looked at), less without a residual filter."""
        return len(self.matching(values))

    def batches(self, values: Values, most: int) -> Iterable[list[BaseModel]]:
        """Yield the rows it looks at, in lists of at most `most`."""
        raise NotImplementedError

    def matching(self, values: Values) -> list[BaseModel]:
        """Return every row that matches; O(rows looked at)."""
        raise NotImplementedError

    def first(self, values: Values, count: int) -> list[BaseModel]:
        """Return the first `count` rows that match, or some more; stops once it has them."""
        rows: list[BaseModel] = []
        if count == 0:
            return rows
        keep = None if self.residual_filter is None else self.residual_filter.over_rows(values)
        for batch in self.batches(values, count if keep is None else max(STEP, count)):
            rows += batch if keep is None else keep(batch)
            if len(rows) >= count:
                break
        return rows


class Lookup(AccessPath):
    """A path whose rows lie together."""

    def rows_of(self, values: Values) -> Collection[BaseModel]:
        """Return the rows it looks at, as a view that is good until the next change."""
        raise NotImplementedError

    def size(self, values: Values) -> int:
        """Return how many rows it looks at."""
        return len(self.rows_of(values))

    def count(self, values: Values) -> int:
        """Return how many rows match; O(1) without a residual filter."""
        return len(self.rows_of(values)) if self.residual_filter is None else len(self.matching(values))

    def batches(self, values: Values, most: int) -> Iterator[list[BaseModel]]:
        """Yield the rows it looks at, in lists of at most `most`."""
        return batched(self.rows_of(values), most)

    def matching(self, values: Values) -> list[BaseModel]:
        """Return every row that matches."""
        rows = self.rows_of(values)
        return list(rows) if self.residual_filter is None else self.residual_filter.over_rows(values)(rows)

    def first(self, values: Values, count: int) -> list[BaseModel]:
        """Return the first `count` rows that match, or some more."""
        return self.matching(values) if len(self.rows_of(values)) <= STEP else super().first(values, count)


class KeyLookup(Lookup):
    """The row of a primary key."""

    ordered = True

    def __init__(self, table: TableRows, conditions: Conditions, key: IndexableTerm) -> None:
        """Make a path by the predicate `key`."""
        super().__init__("primary key", conditions, (key,))
        self._get = table.get
        self._position = key.position

    def size(self, values: Values) -> int:  # noqa: ARG002 - whichever the key
        """Return 1: finding out whether there is a row costs as much as getting it."""
        return 1

    def rows_of(self, values: Values) -> Collection[BaseModel]:
        """Return the row, if there is one."""
        row = self._get(values[self._position])
        return () if row is None else (row,)


class KeyInLookup(Lookup):
    """The rows of several primary keys."""

    def __init__(self, table: TableRows, conditions: Conditions, keys: IndexableTerm) -> None:
        """Make a path by the predicate `keys`, whose value is a tuple of keys."""
        super().__init__("primary key", conditions, (keys,))
        self._table = table
        self._distinct = distinct_values(keys)

    def size(self, values: Values) -> int:
        """Return how many keys there are."""
        return len(self._distinct(values))

    def rows_of(self, values: Values) -> Collection[BaseModel]:
        """Return the rows there are."""
        return self._table.rows_of(self._distinct(values))


class IndexLookup(Lookup):
    """The rows of a value in a hash index: of each of its fields, or of an item."""

    def __init__(self, index: HashIndex, conditions: Conditions, terms: tuple[IndexableTerm, ...]) -> None:
        """Make a path by predicates that give the value, one for each field of the index."""
        super().__init__(index.name, conditions, terms)
        self.reads = index
        self._rows_of = index.rows_of
        self._value: Callable[[Values], object] = itemgetter(*(term.position for term in terms))

    def rows_of(self, values: Values) -> Collection[BaseModel]:
        """Return the rows of the value."""
        return self._rows_of(self._value(values))


class IndexInLookup(Lookup):
    """The rows of several values in a hash index of one field."""

    def __init__(self, index: HashIndex, conditions: Conditions, term: IndexableTerm) -> None:
        """Make a path by the predicate `term`, whose value is a tuple of values."""
        super().__init__(index.name, conditions, (term,))
        self.reads = self._index = index
        self._distinct = distinct_values(term)

    def size(self, values: Values) -> int:
        """Return how many rows it looks at."""
        return sum(map(self._index.size, self._distinct(values)))

    def rows_of(self, values: Values) -> Collection[BaseModel]:
        """Return the rows of all the values."""
        return [row for value in self._distinct(values) for row in self._index.rows_of(value)]


class FullScan(AccessPath):
    """Every row, or the columns that earlier scans left in the cache."""

    def __init__(self, table: TableRows, conditions: Conditions) -> None:
        """Make a path that covers no condition."""
        super().__init__(None, conditions)
        self._table = table

    def size(self, values: Values) -> int:  # noqa: ARG002 - whatever is asked
        """Return how many rows there are."""
        return len(self._table)

    def count(self, values: Values) -> int:
        """Return how many rows match; O(1) without conditions."""
        return len(self._table) if self.residual_filter is None else len(self.matching(values))

    def batches(self, values: Values, most: int) -> Iterator[list[BaseModel]]:  # noqa: ARG002 - whatever is asked
        """Yield all rows, in lists of at most `most`."""
        return batched(self._table.scan(), most)

    def matching(self, values: Values) -> list[BaseModel]:
        """Return every row that matches."""
        if self.residual_filter is None:
            return self._table.live()
        rows, columns = self._table.scan(), None
        if self.residual_filter.is_over_fields:
            columns = self._table.column_cache().get_or_read(self.residual_filter.names, rows)
        if columns is None:
            return self.residual_filter.over_rows(values)(rows)
        return self.residual_filter.over_columns(values)(rows, *columns)

    def mask(self, values: Values) -> list[bool] | None:
        """Return for each row, in the order of the scan, whether it matches; None unless its columns are cached."""
        residual = self.residual_filter
        if residual is None or not residual.is_over_fields:
            return None
        columns = self._table.column_cache().get(residual.names)
        return None if columns is None else residual.mask(values)(*columns)

    def first(self, values: Values, count: int) -> list[BaseModel]:
        """Return the first `count` rows that match, or some more."""
        residual = self.residual_filter
        if residual is None or count == 0 or not residual.is_over_fields:
            return super().first(values, count)
        cache = self._table.column_cache()
        columns = cache.get(residual.names)
        keep = residual.over_rows(values) if columns is None else residual.over_columns(values)
        rows: list[BaseModel] = []
        remaining, start, step = iter(self._table.scan()), 0, max(STEP, count)
        while batch := list(islice(remaining, step)):
            rows += keep(batch, *(column[start : start + step] for column in columns or ()))
            if len(rows) >= count:
                return rows
            start, step = start + step, step * 2
        # It was a whole scan after all: the next one may find the columns in the cache.
        cache.get_or_read(residual.names, self._table.scan())
        return rows


class ReverseScan(FullScan):
    """Every row, the last inserted first."""

    def batches(self, values: Values, most: int) -> Iterator[list[BaseModel]]:  # noqa: ARG002 - whatever is asked
        """Yield all rows, in lists of at most `most`."""
        return batched(self._table.scan_backwards(), most)

    def matching(self, values: Values) -> list[BaseModel]:
        """Return every row that matches."""
        return super().matching(values)[::-1]

    def first(self, values: Values, count: int) -> list[BaseModel]:
        """Return the first `count` rows that match, or some more."""
        return AccessPath.first(self, values, count)


def distinct_values(term: IndexableTerm) -> Callable[[Values], Collection[object]]:
    """Return the function that gives the values of a "one of" term, each once."""

    def distinct(values: Values) -> Collection[object]:
        """Return the values of the term among a query's."""
        chosen = values[term.position]
        assert isinstance(chosen, tuple)
        return dict.fromkeys(chosen)

    return distinct


def batched(rows: Iterable[BaseModel], most: int) -> Iterator[list[BaseModel]]:
    """Yield rows in lists of at most `most`."""
    remaining = iter(rows)
    while batch := list(islice(remaining, most)):
        yield batch
