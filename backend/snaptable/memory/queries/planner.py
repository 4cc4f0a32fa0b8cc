"""Choose the way to a query's rows: the index that expects to look at the fewest, in the order wanted where it can.

In two steps, as prepared statements are. A `PreparedQuery` is worked out once for all queries that differ only in
their values and limits: the access paths there are, what each leaves to be checked row by row, compiled, and whether
its rows come in the order wanted. The values then choose among the paths, where several are left, by counting in the
indexes themselves, which is exact up to very wide ranges.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from snaptable.conditions import Order, PredicateTemplate, PredicateTemplates, Term, terms_of
from snaptable.contract import Plan, Select
from snaptable.memory.indexes.hash_index import HashIndex
from snaptable.memory.indexes.ordered_index import OrderedIndex
from snaptable.memory.queries.access_paths import (
    AccessPath,
    FullScan,
    IndexableTerm,
    IndexableTerms,
    IndexInLookup,
    IndexLookup,
    KeyInLookup,
    KeyLookup,
    Position,
)
from snaptable.memory.queries.filters import ResidualFilter, Values
from snaptable.memory.queries.ordering import complete, rows_after, sort_rows
from snaptable.memory.queries.range_scan import Range
from snaptable.memory.rows import BeforeImages, TableRows

RESIDUAL_GUESS = 8
"""Rows looked at for each row wanted, when a limit stops a filtered walk early."""


class PreparedQuery:
    """Be what all queries of a table with the same forms and order have in common."""

    def __init__(self, table: TableRows, where: PredicateTemplates, order: tuple[Order, ...]) -> None:
        self.table = table
        self.order = complete(order, table.schema.columns[table.schema.key]) if order else ()
        self._sorted = bool(order)
        self.forms: list[tuple[PredicateTemplate, int]] = []
        """The conditions, each with the place of its first value."""
        place = 0
        for form in where:
            self.forms.append((form, place))
            place += sum(1 for _ in terms_of(form))
        self.ways = self._ways()
        for way in self.ways:
            rest = [form for number, form in enumerate(self.forms) if number not in way.settled]
            way.residue = ResidualFilter(rest) if rest else None
            way.left = len(rest)
        self._only = self.ways[0] if len(self.ways) == 1 and not isinstance(self.ways[0], Range) else None
        """The way, where neither values nor rows could change it."""
        self._all = ResidualFilter(self.forms) if self.forms else None

    # ── running ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, wanted: Select, before: BeforeImages | None = None) -> list[Any]:
        """Return the rows: filtered, sorted, cut; stops early where the way is in order.

        With `before`, the rows as they were before those changes. They can have displaced, of the rows that come
        first, no more than there are of them: so many more are read.
        """
        values, limit, offset, after = wanted.values, wanted.limit, wanted.offset, wanted.after
        way = self._only or self._choose(wanted, after)
        sorts = self._sorted and not way.ordered
        if limit is not None and not sorts and (after is None or way.sought):
            rows = way.first(values, offset + limit + (len(before) if before else 0))
        else:
            rows = way.matching(values)
        sought = way.sought
        if before is not None:
            hidden = set(map(id, self._holding(self.table.pick(before), values)))
            if hidden:
                rows = [row for row in rows if id(row) not in hidden]
            if old := self._holding(before.values(), values):
                rows += old
                sorts, sought = self._sorted, False
        if after is not None and not sought:
            rows = rows_after(rows, self.order, after)
        if sorts:
            rows = sort_rows(rows, self.order)
        if limit is not None:
            return rows[offset : offset + limit]
        return rows[offset:] if offset else rows

    def count(self, wanted: Select, before: BeforeImages | None = None) -> int:
        """Return how many rows match, uncut; O(1) by a hash index that settles all, O(log n) by an ordered one."""
        total = (self._only or self._choose(wanted, None)).count(wanted.values)
        if before is None:
            return total
        now = self._holding(self.table.pick(before), wanted.values)
        return total - len(now) + len(self._holding(before.values(), wanted.values))

    def plan(self, wanted: Select) -> Plan:
        """Return the way chosen, for `explain()`."""
        way = self._choose(wanted, wanted.after)
        sorts = self._sorted and not way.ordered
        return Plan(self.table.name, way.name, self._expected(way, wanted), sorts, way.left)

    def _holding(self, rows: Iterable[Any], values: Values) -> list[Any]:
        """Return of some rows (None: no row) those for which all conditions hold."""
        present = [row for row in rows if row is not None]
        return present if self._all is None else self._all.over_rows(values)(present)

    # ── choosing, by the values ─────────────────────────────────────────────────────────────────────────────────────

    def _choose(self, wanted: Select, after: Position) -> AccessPath:
        ways = self.ways
        if len(ways) == 1:
            only = ways[0].bind(wanted.values, after)
            assert only is not None
            return only
        bound = (way.bind(wanted.values, after) for way in ways)
        return min((way for way in bound if way is not None), key=lambda way: self._cost(way, wanted))

    def _cost(self, way: AccessPath, wanted: Select) -> float:
        sort = 1.5 if self._sorted and not way.ordered else 1.0
        # At equal counts the way that settles more by itself wins, and any index over a scan.
        return self._expected(way, wanted) * sort + 0.01 * way.left + (0.5 if way.name is None else 0.0)

    def _expected(self, way: AccessPath, wanted: Select) -> int:
        rows = way.size(wanted.values)
        behind = wanted.after is not None and not way.sought
        if wanted.limit is None or behind or (self._sorted and not way.ordered):
            return rows
        need = wanted.offset + wanted.limit
        return min(rows, need * RESIDUAL_GUESS if way.left else need)

    # ── the ways, by the shape ──────────────────────────────────────────────────────────────────────────────────────

    def _ways(self) -> list[AccessPath]:
        terms = IndexableTerms()
        for number, (form, place) in enumerate(self.forms):
            kind = terms.of(form) if isinstance(form, Term) else None
            if kind is not None and isinstance(form, Term):
                kind.setdefault(form.column.name, IndexableTerm(number, place, form))
        ways: list[AccessPath] = []
        for way, certain in self._candidates(terms):
            if certain:
                # One row at the most: no other way looks at fewer.
                return [way]
            ways.append(way)
        if not any(way.settled or (isinstance(way, Range) and way.sure) for way in ways):
            # Otherwise the scan looks at no fewer rows than that way does, and settles and orders nothing.
            ways.append(FullScan(self.table))
        return ways

    def _candidates(self, terms: IndexableTerms) -> Iterator[tuple[AccessPath, bool]]:
        """Yield the ways but for the scan, and whether it finds one row at the most."""
        key = self.table.schema.key
        if key in terms.equal:
            yield KeyLookup(self.table, terms.equal[key]), True
        if key in terms.one_of:
            yield KeyInLookup(self.table, terms.one_of[key]), False
        for index in self.table.indexes:
            if isinstance(index, OrderedIndex):
                way = Range(index, terms, self.order)
                if way.useful:
                    yield way, False
            else:
                yield from self._by_hash(index, terms)

    def _by_hash(self, index: HashIndex, terms: IndexableTerms) -> Iterator[tuple[AccessPath, bool]]:
        name, single = index.names[0], len(index.names) == 1
        if index.kind == "each":
            if name in terms.contains:
                yield IndexLookup(index, (terms.contains[name],)), False
        elif all(name in terms.equal for name in index.names):
            found = tuple(terms.equal[name] for name in index.names)
            # None clashes with nothing, so a unique index may hold many rows with it.
            yield IndexLookup(index, found), index.kind == "unique" and all(one.term.verb == "==" for one in found)
        elif single and name in terms.one_of:
            yield IndexInLookup(index, terms.one_of[name]), False
