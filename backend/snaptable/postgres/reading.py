"""The questions about one table: SQL where that has an exact answer, Python over the rows that are left where not."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar, cast

from pydantic import BaseModel

from snaptable.conditions.aggregates import Grouping
from snaptable.conditions.columns import INSERTED, Column
from snaptable.contract import Join, Page, Plan, Select, TableEngine
from snaptable.errors import InvalidQuery
from snaptable.evaluation.aggregation import GroupRow, aggregate_all, aggregate_groups, reader
from snaptable.evaluation.pages import Pages
from snaptable.postgres.layout.comparands import OnlyInPython
from snaptable.postgres.queries import aggregates, plans, times
from snaptable.postgres.queries.first_of_each import FirstOfEach
from snaptable.postgres.queries.question import Question
from snaptable.postgres.rows import TableRows
from snaptable.postgres.server.connections import Params, Records
from snaptable.postgres.transaction import Transaction

T = TypeVar("T")


class Core(Protocol):
    """What tables need of the engine; see `engine.PostgresCore`."""

    rows: Mapping[str, TableRows]

    def fetch(self, sql: str, params: Params = None) -> Records:
        """Return the records of a statement that reads."""

    def as_of_one_state(self, call: Callable[[], T]) -> T:
        """Return what a function gives that reads with several statements."""

    def write(self, work: Callable[[Transaction], T], *, parts: bool = False) -> T:
        """Return what a function gives that writes."""


class TableReader:
    """The operations of one table that change nothing."""

    def __init__(self, core: Core, rows: TableRows) -> None:
        """Take the engine and the rows of one of its tables."""
        self._core = core
        self._rows = rows
        self._fetch = core.fetch
        self._pages = Pages(rows.codec, lambda wanted: self.select(wanted))  # which `observe` may replace

    def get(self, key: object, /) -> BaseModel | None:
        """Return the row of a key, or None; one round trip."""
        row = self._rows.get(self._fetch, key)
        if row is None:
            self._rows.check_key(key)
        return row

    def select(self, wanted: Select) -> list[BaseModel]:
        """Return the rows of a query, as of one state."""
        times.check(self._fetch, self._rows, wanted)
        return self._select(wanted)

    def _select(self, wanted: Select) -> list[BaseModel]:
        if wanted.limit == 0:
            return []
        question = Question(self._rows, wanted)
        sql = question.select(self._rows.columns.select_list)
        return question.finished(list(map(self._rows.columns.row, self._fetch(sql, question.statement.params))))

    def count(self, wanted: Select) -> int:
        """Return how many rows a query gives; O(rows that match)."""
        times.check(self._fetch, self._rows, wanted)
        return self._count(wanted)

    def _count(self, wanted: Select) -> int:
        question = Question(self._rows, replace(wanted, order=()))
        if not question.is_cut:
            return len(self._select(wanted))
        ((total,),) = self._fetch(f"select count(*){question.sql}", question.statement.params)
        total = max(0, int(total) - wanted.offset)
        return total if wanted.limit is None else min(total, wanted.limit)

    def explain(self, wanted: Select) -> Plan:
        """Return how the server would answer a query."""
        question = Question(self._rows, wanted)
        sql = question.select(self._rows.columns.select_list)
        return plans.explain(self._fetch, self._rows, sql, question)

    # ── aggregates ──────────────────────────────────────────────────────────────────────────────────────────────────

    def aggregate(self, wanted: Select, grouping: Grouping) -> list[GroupRow]:
        """Return the groups of a query's rows, as of one state."""
        times.check(self._fetch, self._rows, wanted)
        if not grouping.columns and all(one.column is None for one in grouping.aggregates):
            return [(self._count(wanted),) * len(grouping.aggregates)]
        with suppress(OnlyInPython):
            return self._groups_by_sql(wanted, grouping).answer(self._fetch)
        try:
            question = Question(self._rows, wanted)
            read, count = aggregates.read_columns(self._fetch, self._rows.columns, question, grouping)
        except OnlyInPython:
            rows = self._select(wanted)
            read, count = reader(rows), len(rows)
        if grouping.columns:
            return aggregate_groups(grouping, read)
        return [aggregate_all(grouping.aggregates, read, count)]

    def _groups_by_sql(self, wanted: Select, grouping: Grouping) -> aggregates.GroupsBySql:
        unordered = wanted.limit is None and not wanted.offset
        question = Question(self._rows, replace(wanted, order=()) if unordered and wanted.after is None else wanted)
        return aggregates.GroupsBySql(self._rows.columns, question, grouping)

    def explain_aggregate(self, wanted: Select, grouping: Grouping) -> Plan:
        """Return how `aggregate` would be answered."""
        names = tuple(column.name for column in grouping.columns)
        try:
            groups = self._groups_by_sql(wanted, grouping)
        except OnlyInPython:
            plan = self.explain(wanted)
        else:
            plan = plans.explain(self._fetch, self._rows, groups.sql, groups.question)
        return replace(plan, sorts=False, groups=names)

    # ── joins ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def join(self, wanted: Select, other: "TableEngine[Any]", join: Join) -> list[tuple[BaseModel, object]]:
        """Return the rows of a query with what belongs to each in another table, as of one state."""
        theirs = cast("TableReader", other)
        if theirs._core is not self._core:
            raise InvalidQuery(f"{self._rows.name} and {theirs._rows.name} are tables of two databases")
        return self._core.as_of_one_state(lambda: self._join(wanted, theirs, join))

    def _join(self, wanted: Select, theirs: "TableReader", join: Join) -> list[tuple[BaseModel, object]]:
        rows = self.select(wanted)
        name = join.on.name if join.kind == "one" else self._rows.schema.key
        keys = [getattr(row, name) for row in rows]
        column = theirs._rows.schema.columns[theirs._rows.schema.key] if join.kind == "one" else join.on
        chosen = tuple(dict.fromkeys(key for key in keys if key is not None))
        groups: dict[object, list[BaseModel]] = {}
        for row in theirs._belonging(column, chosen, join) if chosen else ():
            groups.setdefault(getattr(row, column.name), []).append(row)
        belonging: list[object]
        if join.kind == "many":
            first = slice(join.limit)
            belonging = [list(map(theirs._rows.codec.share, groups.get(key, ())[first])) for key in keys]
        elif join.kind == "count":
            belonging = [len(groups.get(key, ())) for key in keys]
        else:
            belonging = [theirs._rows.codec.share(groups[key][0]) if key in groups else None for key in keys]
        return list(zip(rows, belonging, strict=True))

    def _belonging(self, column: Column, chosen: tuple[object, ...], join: Join) -> list[BaseModel]:
        """Return the rows with one of some values in a column, in the join's order, of each value the first at least.

        If only the first few are wanted of each, SQL cuts them, where it knows the order: the server sends no others.
        """
        asked = join.wanted
        order = asked.order or (INSERTED.orders[0],)
        if join.limit is not None:
            each = Select(asked.where, asked.values, order, join.limit, keep=asked.keep)
            with suppress(OnlyInPython):
                first = FirstOfEach(self._rows, self._rows.columns.by_name[column.name], chosen, each)
                times.check(self._fetch, self._rows, each)
                return list(map(self._rows.columns.row, self._fetch(first.sql, first.params)))
        where = (column.terms["in"], *asked.where)
        return self.select(Select(where, (chosen, *asked.values), order, keep=asked.keep))

    # ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def page(self, wanted: Select, limit: int, after: str | None) -> Page[BaseModel]:
        """Return a page of a query's rows in a total order."""
        return Page(*self._pages.rows(wanted, limit, after))

    def page_json(
        self, wanted: Select, limit: int, after: str | None, max_bytes: int | None = None
    ) -> tuple[bytes, str | None]:
        """Return the same page as a JSON array of its rows."""
        return self._pages.json(wanted, limit, after, max_bytes)
