"""Aggregates of a query's rows: by an index where that has the answer, else over the rows."""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from itertools import compress

from pydantic import BaseModel

from snaptable.conditions.aggregates import Aggregate, Grouping
from snaptable.conditions.columns import Column
from snaptable.conditions.predicates import Order, PredicateTemplates
from snaptable.contract import Plan, Select
from snaptable.evaluation.aggregation import (
    GroupRow,
    ReadColumn,
    Values,
    aggregate_all,
    aggregate_groups,
    reader,
)
from snaptable.memory.point_lookup import BeforeImages
from snaptable.memory.queries.planner import PreparedQuery
from snaptable.memory.rows import TableRows

Prepare = Callable[[PredicateTemplates, tuple[Order, ...]], PreparedQuery]


class AggregatedQuery:
    """One query whose rows are aggregated; used under the latch."""

    def __init__(self, table: TableRows, prepare: Prepare, wanted: Select, before: BeforeImages | None) -> None:
        """Take a query.

        Args:
            table: its table.
            prepare: returns the prepared query of a shape.
            wanted: which rows.
            before: the before-images that stand in place of rows for the caller.
        """
        self._table = table
        self._prepare = prepare
        self._is_cut = wanted.limit is not None or wanted.offset > 0
        # The order of rows matters only if some of them are cut off.
        order = wanted.order if self._is_cut else ()
        self._wanted = Select(wanted.where, wanted.values, order, wanted.limit, wanted.offset)
        self._before = before

    def run(self, grouping: Grouping) -> list[GroupRow]:
        """Return the groups; without columns, the one group of all rows."""
        if grouping.columns:
            return aggregate_groups(grouping, self._rows()[0])
        known = {place: quick for place, one in enumerate(grouping.aggregates) if (quick := self._first(one))}
        others = tuple(one for place, one in enumerate(grouping.aggregates) if place not in known)
        rest = iter(self._over_rows(others) if others else ())
        return [
            tuple(
                self._extreme(one, known[place]) if place in known else next(rest)
                for place, one in enumerate(grouping.aggregates)
            )
        ]

    def plan(self, grouping: Grouping) -> Plan:
        """Return how it would be answered."""
        firsts = [self._first(one) for one in grouping.aggregates]
        if not grouping.columns and firsts and firsts[0] is not None and None not in firsts:
            return self._prepare(firsts[0].where, firsts[0].order).plan(firsts[0])
        plan = self._prepare(self._wanted.where, self._wanted.order).plan(self._wanted)
        names = tuple(column.name for column in grouping.columns)
        return Plan(plan.table, plan.index, plan.rows, plan.sorts, plan.filters, names)

    # ── by an index ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _first(self, one: Aggregate[object]) -> Select | None:
        """Return the query whose first row has the value wanted, if an index has its order; else None."""
        if one.column is None or one.function not in ("min", "max") or self._is_cut:
            return None
        asked = self._wanted
        wanted = Select(asked.where, asked.values, (one.column.orders[one.function == "max"],), 1)
        return wanted if self._prepare(wanted.where, wanted.order).is_in_order(wanted) else None

    def _extreme(self, one: Aggregate[object], wanted: Select) -> object:
        """Return the column's value of a query's first row: None comes last, so it is None only if all are."""
        assert one.column is not None
        rows = self._prepare(wanted.where, wanted.order).run(wanted, self._before)
        return one.column.read(rows[0]) if rows else None

    # ── over the rows ───────────────────────────────────────────────────────────────────────────────────────────────

    def _over_rows(self, aggregates: Sequence[Aggregate[object]]) -> GroupRow:
        if not self._is_cut and all(one.column is None for one in aggregates):
            count = self._prepare(self._wanted.where, ()).count(self._wanted, self._before)
            return (count,) * len(aggregates)
        read, count = self._rows()
        return aggregate_all(aggregates, read, count)

    def _rows(self) -> tuple[ReadColumn, int]:
        """Return what reads columns off the rows, and how many rows there are."""
        prepared = self._prepare(self._wanted.where, self._wanted.order)
        if self._before is None and not self._is_cut and prepared.is_whole_scan:
            rows: Collection[BaseModel] = self._table.scan()
            return self._cached(rows), len(rows)
        if self._before is None and not self._is_cut and (mask := prepared.mask(self._wanted)) is not None:
            count = mask.count(True)
            return (self._cached(self._table.scan()) if count == len(mask) else self._picked(mask)), count
        found = prepared.run(self._wanted, self._before)
        return reader(found), len(found)

    def _picked(self, mask: list[bool]) -> ReadColumn:
        """Return what reads columns of some rows of a scan: out of the cache, where they are there."""
        rows, columns_of = self._table.scan(), self._table.column_cache().get_or_read
        picked: dict[str, Sequence[object]] = {}

        @cache
        def chosen() -> ReadColumn:
            """Return what reads columns out of the rows themselves; made for the first that the cache lacks."""
            return reader(list(compress(rows, mask)))

        def read(column: Column) -> Values:
            """Return the values of a column, each column once."""
            if column.name not in picked:
                columns = None if column.is_part else columns_of((column.name,), rows)
                picked[column.name] = chosen()(column) if columns is None else list(compress(columns[0], mask))
            return picked[column.name]

        return read

    def _cached(self, rows: Collection[BaseModel]) -> ReadColumn:
        """Return what reads columns of the whole table: out of the cache of scans, where they are there."""
        columns_of, read_off = self._table.column_cache().get_or_read, reader(rows)

        def read(column: Column) -> Values:
            """Return the values of a column."""
            columns = None if column.is_part else columns_of((column.name,), rows)
            return read_off(column) if columns is None else columns[0]

        return read


def aggregate_rows(rows: list[BaseModel], grouping: Grouping) -> list[GroupRow]:
    """Return the groups of rows that were found already."""
    if grouping.columns:
        return aggregate_groups(grouping, reader(rows))
    return [aggregate_all(grouping.aggregates, reader(rows), len(rows))]
