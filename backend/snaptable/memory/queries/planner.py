"""The planner: chooses the access path that expects to look at the fewest rows, in the order wanted if it can.

In two steps, as prepared statements are. A `PreparedQuery` is worked out once for all queries that differ only in
their values and limits: the access paths there are, the residual filter of each, compiled, and whether its rows come in
the order wanted. The values then choose among the paths, if several are left, by counting in the indexes themselves,
which is exact up to very wide ranges.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from pydantic import BaseModel

from snaptable.conditions.columns import INSERTED
from snaptable.conditions.predicates import Order, PredicateTemplates, terms_of
from snaptable.contract import Plan, Select
from snaptable.evaluation.filters import ResidualFilter, Values, placed
from snaptable.evaluation.ordering import complete, rows_after, sort_rows
from snaptable.evaluation.time_kinds import TimeKinds, check_times, holds_times, kinds_of, other
from snaptable.memory.indexes.hash_index import HashIndex
from snaptable.memory.indexes.ordered_index import OrderedIndex
from snaptable.memory.point_lookup import BeforeImages
from snaptable.memory.queries.access_paths import (
    AccessPath,
    FullScan,
    IndexableTerms,
    IndexInLookup,
    IndexLookup,
    KeyInLookup,
    KeyLookup,
    Position,
    ReverseScan,
)
from snaptable.memory.queries.range_scan import RangeScan
from snaptable.memory.queries.top_k import top_rows
from snaptable.memory.rows import TableRows

RESIDUAL_GUESS = 8
"""Rows looked at for each row wanted, when a limit stops a filtered scan in order early."""
Paths = tuple[AccessPath, ...]


class PreparedQuery:
    """What all queries of a table with the same conditions, but for values, and the same order have in common."""

    def __init__(self, table: TableRows, where: PredicateTemplates, order: tuple[Order, ...]) -> None:
        """Work out the access paths of a query's shape."""
        self.table = table
        self.order = complete(order, table.schema.columns[table.schema.key]) if order else ()
        self.sorts_without_latch = all(item.column is not INSERTED for item in self.order)
        """Whether the order is one of values, which the rows hold, and not of the places that they have now."""
        self.conditions = placed(where)
        terms = IndexableTerms.of(self.conditions, ())
        self._compared, self._prefixes = terms.compared(), terms.prefixes()
        self._paths = self._access_paths(terms)
        self._indexes = [path.reads for path in self._paths if path.reads is not None]
        self._paths_without = lru_cache(maxsize=8)(self._make_paths_without)
        only = self._paths[0]
        self._only = only if len(self._paths) == 1 and not isinstance(only, RangeScan) else None
        """The path, if neither values nor rows could change it."""
        self._exact = next((path for path in self._paths if self._is_exact(path)), None)
        """A path that looks at no row but those wanted, in the order wanted: no other looks at fewer."""
        self._all = ResidualFilter(self.conditions) if self.conditions else None
        terms_in_order = enumerate(term for template in where for term in terms_of(template))
        self._times = [(position, term) for position, term in terms_in_order if holds_times(term.column)]
        """The terms of columns that may hold naive and aware times, each with the position of its value."""
        certain = self._only or (None if self._compared or self._prefixes else self._exact)
        is_entry = certain is not None and self._is_exact(certain) and not self._times
        self.entry = certain.rows_of if is_entry and isinstance(certain, (KeyLookup, IndexLookup)) else None
        """Gives the rows as a view, if they are what a hash table has at one place; None if it takes more than that."""

    # ── running ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, wanted: Select, before: BeforeImages | None = None) -> list[BaseModel]:
        """Return the rows: filtered, sorted, cut; stops early if the path is in order; `before` as in `find`."""
        return self.arrange(wanted, *self.find(wanted, before))

    def find(self, wanted: Select, before: BeforeImages | None = None) -> tuple[list[BaseModel], bool, bool]:
        """Return the rows before they are sorted and cut, whether they are to be sorted, and to be cut at the cursor.

        With `before`, the rows as they were before those changes. The changed rows may displace, of the rows that come
        first, no more than there are of them: that many more are read.
        """
        if not self.table.intact:
            self.table.build(self._indexes)
        values, limit, offset, after = wanted.values, wanted.limit, wanted.offset, wanted.after
        if self._times:
            self._check_times(values, before)
        path = self._only or self._choose(wanted, after)
        sorts = bool(self.order) and not path.ordered
        after_cursor = path.after_cursor
        if limit is not None and not sorts and (after is None or after_cursor):
            rows = path.first(values, offset + limit + (len(before) if before else 0))
        else:
            rows = path.matching(values)
        if before is not None:
            changed = set(map(id, self._matching(self.table.rows_of(before), values)))
            if changed:
                rows = [row for row in rows if id(row) not in changed]
            if old := self._matching(before.values(), values):
                rows += old
                sorts, after_cursor = bool(self.order), False
        return rows, sorts, after is not None and not after_cursor

    def mask(self, wanted: Select) -> list[bool] | None:
        """Return for each row, in the order of a scan of the table, whether it is wanted.

        None unless that is how to find them: no index would be used, and an earlier scan left the columns of the
        conditions in the cache.
        """
        if not self.table.intact:
            self.table.build(self._indexes)
        path = self._only or self._choose(wanted, None)
        if type(path) is not FullScan:
            return None
        if self._times:
            self._check_times(wanted.values, None)
        return path.mask(wanted.values)

    def arrange(self, wanted: Select, rows: list[BaseModel], sorts: bool, cuts: bool) -> list[BaseModel]:  # noqa: FBT001
        """Return the rows that `find` gave, sorted and cut; needs no latch unless the order is that of insertion."""
        limit, offset = wanted.limit, wanted.offset
        if cuts:
            assert wanted.after is not None
            rows = rows_after(rows, self.order, wanted.after)
        if sorts and limit is not None:
            rows = top_rows(rows, self.order, offset + limit, self.table.places)
        elif sorts:
            rows = sort_rows(rows, self.order, self.table.places)
        if limit is not None:
            return rows[offset : offset + limit]
        return rows[offset:] if offset else rows

    def count(self, wanted: Select, before: BeforeImages | None = None) -> int:
        """Return how many rows match, uncut; O(1) if a hash index covers all conditions, O(log n) if an ordered one."""
        if not self.table.intact:
            self.table.build(self._indexes)
        values = wanted.values
        if self._times:
            self._check_times(values, before)
        total = (self._only or self._choose(wanted, None)).count(values)
        if before is None:
            return total
        now = self._matching(self.table.rows_of(before), values)
        return total - len(now) + len(self._matching(before.values(), values))

    def is_in_order(self, wanted: Select) -> bool:
        """Return whether the path chosen gives the rows in the order wanted."""
        if not self.table.intact:
            self.table.build(self._indexes)
        return self._choose(wanted, None).ordered

    @property
    def is_whole_scan(self) -> bool:
        """Whether every row is wanted, in any order."""
        return self._all is None and not self.order

    def plan(self, wanted: Select) -> Plan:
        """Return the path chosen, for `explain()`."""
        if not self.table.intact:
            self.table.build(self._indexes)
        path = self._choose(wanted, wanted.after)
        sorts = bool(self.order) and not path.ordered
        return Plan(self.table.name, path.name, self._expected(path, wanted), sorts, path.residual_count)

    def _check_times(self, values: Values, before: BeforeImages | None) -> None:
        """Refuse a naive time among aware ones, or the reverse; O(terms), O(changed rows) with `before`."""
        for position, term in self._times:
            for kind in kinds_of(values[position]):
                column, table = term.column, self.table
                name, read = column.name, column.read
                if column.is_part:
                    counts = table.column_cache().time_kinds(column, table.scan())
                else:
                    counts = table.time_kinds(name)
                changed = None if before is None else TimeKinds(name, table.rows_of(before), read)
                earlier = None if before is None else TimeKinds(name, filter(None, before.values()), read)
                same, others = (counts.count(each, changed, earlier) for each in (kind, other(kind)))
                check_times(term, self.table.name, kind, same, others)

    def _matching(self, rows: Iterable[BaseModel | None], values: Values) -> list[BaseModel]:
        """Return of some rows (None: no row) those for which all conditions hold."""
        present = [row for row in rows if row is not None]
        return present if self._all is None else self._all.over_rows(values)(present)

    # ── choosing, by the values ─────────────────────────────────────────────────────────────────────────────────────

    def _choose(self, wanted: Select, after: Position | None) -> AccessPath:
        values = wanted.values
        paths = self._paths_for(values) if self._compared or self._prefixes else self._paths
        if len(paths) == 1:
            only = paths[0].bind(values, after)
            assert only is not None
            return only
        if self._exact is not None and paths is self._paths:
            exact = self._exact.bind(values, after)
            if exact is not None and self._is_exact(exact) and (after is None or exact.after_cursor):
                return exact
        bound = (path.bind(values, after) for path in paths)
        return min((path for path in bound if path is not None), key=lambda path: self._cost(path, wanted))

    def _is_exact(self, path: AccessPath) -> bool:
        return not path.residual_count and (path.ordered or not self.order)

    def _paths_for(self, values: Values) -> Paths:
        """Return the paths that values allow: no index answers a comparison with NaN, nor an empty prefix."""
        without: tuple[int, ...] = ()
        for at in self._compared:
            if values[at] != values[at]:
                without += (at,)
        for at in self._prefixes:
            if not values[at]:
                without += (at,)
        if not without:
            return self._paths
        if not self.table.intact:
            self.table.rebuild()  # other paths may read other indexes
        return self._paths_without(without)

    def _cost(self, path: AccessPath, wanted: Select) -> float:
        sort = 1.5 if self.order and not path.ordered else 1.0
        # At equal counts the path that covers more conditions wins, and any index over a scan.
        scan = 0.5 if path.name is None else 0.0
        return self._expected(path, wanted) * sort + 0.01 * path.residual_count + scan

    def _expected(self, path: AccessPath, wanted: Select) -> int:
        """Return how many rows a path is expected to look at, stopping early if it can."""
        rows = path.size(wanted.values)
        passes_cursor = wanted.after is not None and not path.after_cursor
        if wanted.limit is None or passes_cursor or (self.order and not path.ordered):
            return rows
        need = wanted.offset + wanted.limit
        return min(rows, need * RESIDUAL_GUESS if path.residual_count else need)

    # ── the paths, by the shape ─────────────────────────────────────────────────────────────────────────────────────

    def _make_paths_without(self, positions: tuple[int, ...]) -> Paths:
        return self._access_paths(IndexableTerms.of(self.conditions, positions))

    def _access_paths(self, terms: IndexableTerms) -> Paths:
        paths: list[AccessPath] = []
        for path, is_single_row in self._candidates(terms):
            if is_single_row:
                # No other path looks at fewer rows.
                return (path,)
            paths.append(path)
        if not any(path.covered_conditions or (isinstance(path, RangeScan) and path.is_certain) for path in paths):
            # Beside such a path a scan looks at no fewer rows, and covers and orders nothing.
            paths.append(self._scan())
        return tuple(paths)

    def _scan(self) -> FullScan:
        """Return the scan of the whole table, which may be wanted in its own order, in either direction."""
        by_place = bool(self.order) and self.order[0].column is INSERTED
        descending = by_place and self.order[0].descending
        scan = ReverseScan(self.table, self.conditions) if descending else FullScan(self.table, self.conditions)
        scan.ordered = by_place
        return scan

    def _candidates(self, terms: IndexableTerms) -> Iterator[tuple[AccessPath, bool]]:
        """Yield the paths but for the scan, and whether each finds one row at the most."""
        key = self.table.schema.key
        if key in terms.equal:
            yield KeyLookup(self.table, self.conditions, terms.equal[key]), True
        if key in terms.one_of:
            yield KeyInLookup(self.table, self.conditions, terms.one_of[key]), False
        for index in self.table.indexes:
            if isinstance(index, OrderedIndex):
                path = RangeScan(index, self.conditions, terms, self.order)
                if path.is_useful:
                    yield path, False
            else:
                yield from self._by_hash(index, terms)

    def _by_hash(self, index: HashIndex, terms: IndexableTerms) -> Iterator[tuple[AccessPath, bool]]:
        name, single = index.names[0], len(index.names) == 1
        if index.kind == "each":
            if name in terms.contains:
                yield IndexLookup(index, self.conditions, (terms.contains[name],)), False
        elif all(name in terms.equal for name in index.names):
            equal = tuple(terms.equal[name] for name in index.names)
            # None clashes with nothing, so a unique index may hold many rows with it.
            is_single_row = index.kind == "unique" and all(term.term.operator == "==" for term in equal)
            yield IndexLookup(index, self.conditions, equal), is_single_row
        elif single and name in terms.one_of:
            yield IndexInLookup(index, self.conditions, terms.one_of[name]), False
