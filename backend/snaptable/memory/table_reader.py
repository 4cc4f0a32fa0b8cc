"""The questions to one table on the engine in memory: its rows as the caller may see them."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any, cast

from pydantic import BaseModel

from snaptable.conditions.aggregates import Grouping
from snaptable.conditions.predicates import Order, PredicateTemplates
from snaptable.contract import Join, Page, Plan, QueryObserver, Select, TableEngine
from snaptable.errors import InvalidQuery
from snaptable.evaluation import slow_queries
from snaptable.evaluation.aggregation import GroupRow
from snaptable.evaluation.filters import Values
from snaptable.evaluation.pages import Pages
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.point_lookup import Get, reader_get
from snaptable.memory.queries.access_paths import STEP
from snaptable.memory.queries.aggregated_query import AggregatedQuery, aggregate_rows
from snaptable.memory.queries.joins import related
from snaptable.memory.queries.planner import PreparedQuery
from snaptable.memory.rows import TableRows

MAX_PREPARED_QUERIES = 512
Entry = Callable[[Values], Collection[BaseModel]]


class TableReader:
    """Reads of one table: they see the last durable state, or the caller's own transaction."""

    def __init__(self, engine: MemoryEngine, table: TableRows) -> None:
        """Take an engine and the rows of one of its tables."""
        self._latch = engine.latch
        self._table = table
        self._rows = table.rows
        self._share = table.codec.share
        self._is_mutable = bool(table.codec.mutable)
        self.get: Get = reader_get(table.rows, table.schema.key_type, self._share if self._is_mutable else None)
        """Returns the row of a key, or None; O(1), and in C while nothing changes (see `point_lookup`)."""
        # Programs ask few shapes of questions. A prepared query holds compiled filters, so their number is limited.
        self._prepared = lru_cache(maxsize=MAX_PREPARED_QUERIES)(self._prepare)
        self._entries: dict[PredicateTemplates, Entry] = {}
        """What gives the rows, by the conditions of the queries that are answered by one look into a hash table."""
        # `_select` is looked up each time, as `observe` may replace it.
        self._pages = Pages(table.codec, lambda wanted: self._select(wanted), keeps_texts=True)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def count(self, wanted: Select) -> int:
        """Return how many rows a query gives; O(1) of the whole table or an index's value, else O(rows looked at)."""
        if wanted.keep is not None:
            return len(TableReader._select(self, wanted))
        entry = self._entries.get(wanted.where)
        number = None if entry is None else self._number_without_latch(entry, wanted.values)
        total = self._count(wanted) if number is None else number
        if wanted.offset:
            total = max(0, total - wanted.offset)
        return total if wanted.limit is None else min(total, wanted.limit)

    def _number_without_latch(self, entry: Entry, values: Values) -> int | None:
        """Return how many rows a hash table has at one place; None if only the latch tells, as in `_without_latch`."""
        version = self._rows.version
        if version is None or not self._table.intact:
            return None
        number = len(entry(values))
        return number if self._rows.version is version else None

    def _count(self, wanted: Select) -> int:
        with self._latch:
            before = self._rows.images_for_caller() if self._rows.undo_records else None
            if before is None:
                if not wanted.where:
                    return len(self._table)
                entry = self._entries.get(wanted.where)
                if entry is not None and self._table.intact:
                    return len(entry(wanted.values))
            return self._prepared(wanted.where, ()).count(wanted, before)

    def select(self, wanted: Select) -> list[BaseModel]:
        """Return the rows of a query, as of one state."""
        rows = self._select(wanted)
        return list(map(self._share, rows)) if self._is_mutable else rows

    def _shared(self, rows: list[BaseModel]) -> list[BaseModel]:
        return list(map(self._share, rows)) if self._is_mutable else rows

    def explain(self, wanted: Select) -> Plan:
        """Return how a query would be answered."""
        with self._latch:
            if wanted.keep is None:
                return self._prepared(wanted.where, wanted.order).plan(wanted)
            plan = self._prepared(wanted.where, wanted.order).plan(unfiltered(wanted))
        return replace(plan, filters=plan.filters + 1)

    def aggregate(self, wanted: Select, grouping: Grouping) -> list[GroupRow]:
        """Return the groups of a query's rows, as of one state; O(rows looked at) for each aggregate."""
        if wanted.keep is not None:
            return aggregate_rows(TableReader._select(self, wanted), grouping)
        with self._latch:
            before = self._rows.images_for_caller() if self._rows.undo_records else None
            return AggregatedQuery(self._table, self._prepared, wanted, before).run(grouping)

    def explain_aggregate(self, wanted: Select, grouping: Grouping) -> Plan:
        """Return how `aggregate` would be answered."""
        if wanted.keep is not None:
            names = tuple(column.name for column in grouping.columns)
            return replace(self.explain(wanted), sorts=False, groups=names)
        with self._latch:
            return AggregatedQuery(self._table, self._prepared, wanted, None).plan(grouping)

    def join(self, wanted: Select, other: "TableEngine[Any]", join: Join) -> list[tuple[BaseModel, object]]:
        """Return the rows of a query with what belongs to each in another table, as of one state."""
        theirs = cast("TableReader", other)
        if theirs._latch is not self._latch:
            raise InvalidQuery(f"{self._table.name} and {theirs._table.name} are tables of two databases")
        with self._latch:
            rows = self._select(wanted)
            images = theirs._rows.images_for_caller()
            key_of = attrgetter(join.on.name if join.kind == "one" else self._table.schema.key)
            keys = list(map(key_of, rows))
            found = related(theirs._table, theirs._prepared, theirs._select, images, join, keys)
        if join.kind == "many":
            found = [theirs._shared(each) for each in found]
        elif join.kind == "one":
            found = [row if row is None else theirs._share(row) for row in found]
        return list(zip(self._shared(rows), found, strict=True))

    def page(self, wanted: Select, limit: int, after: str | None) -> Page[BaseModel]:
        """Return a page of a query's rows in a total order."""
        rows, next_cursor = self._pages.rows(wanted, limit, after)
        return Page(self._shared(rows), next_cursor)

    def page_json(
        self, wanted: Select, limit: int, after: str | None, max_bytes: int | None = None
    ) -> tuple[bytes, str | None]:
        """Return the same page as a JSON array of its rows: no copies, for bytes can't change the store."""
        return self._pages.json(wanted, limit, after, max_bytes)

    def _select(self, wanted: Select) -> list[BaseModel]:
        if wanted.keep is not None:
            return self._filtered(wanted, wanted.keep)
        entry = None if wanted.order else self._entries.get(wanted.where)
        if entry is not None:
            rows = self._without_latch(entry, wanted.values, wanted.limit)
            if rows is not None:
                return rows if wanted.limit is None and not wanted.offset else _cut(rows, wanted)
        with self._latch:
            before = self._rows.images_for_caller() if self._rows.undo_records else None
            prepared = self._prepared(wanted.where, wanted.order)
            found = prepared.find(wanted, before)
            if not prepared.sorts_without_latch:
                return prepared.arrange(wanted, *found)
        # Without the latch: a thread that sorts many rows keeps no writer waiting.
        return prepared.arrange(wanted, *found)

    def _prepare(self, where: PredicateTemplates, order: tuple[Order, ...]) -> PreparedQuery:
        """Prepare the queries of a shape; called with the latch held, as the indexes may have to be made."""
        prepared = PreparedQuery(self._table, where, order)
        if prepared.entry is not None:
            if len(self._entries) >= MAX_PREPARED_QUERIES:
                self._entries.clear()
            self._entries[where] = prepared.entry
        return prepared

    def _without_latch(self, entry: Entry, values: Values, limit: int | None = None) -> list[BaseModel] | None:
        """Return the rows that a hash table has at one place; None if only the latch tells, as for most of many rows.

        Everybody sees all rows while no undo record is attached, and `version` is another object after each time: the
        same before and after, nothing changed in between (see `point_lookup`, invariant 4).
        """
        version = self._rows.version
        if version is None or not self._table.intact:
            return None
        view = entry(values)
        if limit is not None and len(view) > STEP:
            return None
        try:
            rows = list(view)
        except RuntimeError:  # changed while it was copied: a finalizer let another thread run
            return None
        return rows if self._rows.version is version else None

    def _filtered(self, wanted: Select, keep: Callable[[BaseModel], object]) -> list[BaseModel]:
        """Return the rows that a function keeps: called without the latch, as it may take its time."""
        end = None if wanted.limit is None else wanted.offset + wanted.limit
        rows = TableReader._select(self, unfiltered(wanted)) if end != 0 else []
        kept = (row for row in rows if keep(self._share(row)))
        return list(islice(kept, wanted.offset, end))

    # ── observing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def observe(self, observer: QueryObserver | None) -> None:
        """Tell an observer of slow queries from now on; None ends that."""
        explains: dict[str, Callable[..., Plan]] = {
            "_select": self.explain,
            "count": self.explain,
            "aggregate": self.explain_aggregate,
        }
        slow_queries.observe(self, self._table.name, observer, explains)


def _cut(rows: list[BaseModel], wanted: Select) -> list[BaseModel]:
    """Return those of the rows that a query's offset and limit leave."""
    return rows[wanted.offset :] if wanted.limit is None else rows[wanted.offset : wanted.offset + wanted.limit]


def unfiltered(wanted: Select) -> Select:
    """Return the query for all rows that are shown to its function."""
    return Select(wanted.where, wanted.values, wanted.order, None, 0, wanted.after)
