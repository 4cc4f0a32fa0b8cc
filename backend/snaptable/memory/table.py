"""The operations of one table on the engine in memory; `snaptable.table.Table` is what users see of it."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar, cast

from pydantic import BaseModel

from snaptable.aggregates import Grouping
from snaptable.column_expression import Expression
from snaptable.contract import Join, Page, Plan, QueryObserver, Select, TableEngine
from snaptable.errors import InvalidQuery, RowNotFound
from snaptable.evaluation import slow_queries, violations
from snaptable.evaluation.aggregation import GroupRow
from snaptable.evaluation.expressions import evaluated
from snaptable.evaluation.filters import Values
from snaptable.evaluation.pages import Pages
from snaptable.memory import constraints
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.point_lookup import Get, reader_get
from snaptable.memory.queries.access_paths import STEP
from snaptable.memory.queries.aggregated_query import AggregatedQuery, aggregate_rows
from snaptable.memory.queries.joins import related
from snaptable.memory.queries.planner import PreparedQuery
from snaptable.memory.rows import TableRows
from snaptable.memory.transaction import Transaction
from snaptable.predicates import Order, PredicateTemplates

P = ParamSpec("P")
T = TypeVar("T")

MAX_PREPARED_QUERIES = 512
FieldValues = dict[str, object]
"""Values by field name."""
Entry = Callable[[Values], Collection[BaseModel]]


class MemoryTable:
    """Reads and writes of one table: reads see the last durable state, or the caller's own transaction."""

    def __init__(self, engine: MemoryEngine, table: TableRows) -> None:
        """Take an engine and the rows of one of its tables."""
        self._write = engine.write
        self._commits_alone, self._commit_alone = engine.commits_alone, engine.commit_alone
        self._latch = engine.latch
        self._tables = engine.tables
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
        self._pages = Pages(table.codec, lambda wanted: self._select(wanted))  # which `observe` may replace

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def count(self, wanted: Select) -> int:
        """Return how many rows a query gives; O(1) for the whole table, else O(rows looked at)."""
        if wanted.keep is not None:
            return len(MemoryTable._select(self, wanted))
        entry = self._entries.get(wanted.where)
        rows = None if entry is None else self._without_latch(entry, wanted.values)
        total = self._count(wanted) if rows is None else len(rows)
        if wanted.offset:
            total = max(0, total - wanted.offset)
        return total if wanted.limit is None else min(total, wanted.limit)

    def _count(self, wanted: Select) -> int:
        with self._latch:
            before = self._rows.images_for_caller() if self._rows.undo_records else None
            if not wanted.where and before is None:
                return len(self._table)
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
            return aggregate_rows(MemoryTable._select(self, wanted), grouping)
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
        theirs = cast("MemoryTable", other)
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
        rows = MemoryTable._select(self, unfiltered(wanted)) if end != 0 else []
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

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, row: BaseModel) -> BaseModel:
        """Add a row; O(1), O(log n) for each ordered index."""
        if self._commits_alone():
            values = self._table.codec.values_of(row)
            if not self._needs_number(values):
                return self._add_alone(*self._table.codec.store(values))
        with self._write() as transaction:
            return self._share(self._insert(transaction, row))

    def insert_values(self, values: FieldValues) -> BaseModel:
        """Add a row of these field values, which are validated once, when the row is made; cost as `insert`."""
        if self._commits_alone() and not self._needs_number(values):
            return self._add_alone(*self._table.codec.create(values))
        with self._write() as transaction:
            return self._share(self._add(transaction, *self._table.codec.create(self._numbered(values))))

    def insert_many(self, rows: Iterable[BaseModel]) -> list[BaseModel]:
        """Add rows, all or none."""
        with self._write() as transaction:
            return [self._share(self._insert(transaction, row)) for row in rows]

    def update(self, key: object, changes: FieldValues) -> BaseModel:
        """Change fields of a row, validated whole."""
        if self._commits_alone():
            changed = self._change_alone(self._latest(key), lambda before: self._updated(before, changes))
            if changed is not None:
                return changed
        with self._write() as transaction:
            return self._share(self._update(transaction, key, changes))

    def replace(self, row: BaseModel, expected: BaseModel | None = None) -> BaseModel:
        """Put a row in the place of the one with its key, if that is still the one expected."""
        if expected is None and self._commits_alone():
            values = self._table.codec.values_of(row)
            changed = self._change_alone(self._latest(values.get(self._table.schema.key)), lambda _: values)
            if changed is not None:
                return changed
        with self._write() as transaction:
            if expected is not None:
                self._check_expected(row, expected)
            return self._share(self._replace(transaction, row, insert=False))

    def upsert(self, row: BaseModel, by: str | None = None) -> BaseModel:
        """Put a row in the place of the one with its key, or with its value of a unique field, or add it."""
        with self._write() as transaction:
            if by is None:
                return self._share(self._replace(transaction, row, insert=True))
            added, row_json, present = self._present(row, by)
            if present is None:
                return self._share(self._add(transaction, added, row_json))
            key, codec = self._table.schema.key, self._table.codec
            return self._share(
                self._change(transaction, present, {**codec.values_of(row), key: self._table.key_of(present)})
            )

    def get_or_insert(self, row: BaseModel, by: str | None = None) -> BaseModel:
        """Return the row with its key, or with its value of a unique field; add it if there is none."""
        with self._write() as transaction:
            added, row_json, present = self._present(row, by or self._table.schema.key)
            return self._share(self._add(transaction, added, row_json) if present is None else present)

    def delete(self, key: object) -> BaseModel:
        """Remove a row and what goes with it; return the row."""
        with self._write() as transaction:
            row = self._existing(key)
            constraints.delete(self._tables, transaction, self._table, row)
            return self._share(row)

    def update_rows(self, wanted: Select, changes: FieldValues) -> int:
        """Change fields of every row of a query, all or none; return how many there were."""
        with self._write() as transaction:
            rows = self._select(wanted)
            for row in rows:
                self._update(transaction, self._table.key_of(row), changes)
            return len(rows)

    def delete_rows(self, wanted: Select) -> int:
        """Remove every row of a query and what goes with them, all or none; return how many of them there were."""
        with self._write() as transaction:
            rows = self._select(wanted)
            for row in rows:
                constraints.delete(self._tables, transaction, self._table, row)
            return len(rows)

    def _add_alone(self, row: BaseModel, row_json: bytes) -> BaseModel:
        """Add a row that is ready to be stored, outside of any transaction."""
        if not self._commit_alone(self._table, None, row, row_json):
            with self._write() as transaction:
                self._add(transaction, row, row_json)
        return self._share(row)

    def _latest(self, key: object) -> BaseModel | None:
        """Return the row of a key as the next writer will see it, unless it changes meanwhile; None if in doubt."""
        try:
            return self._table.get(key)
        except TypeError:  # it can't be hashed
            return None

    def _change_alone(
        self, before: BaseModel | None, values_from: Callable[[BaseModel], FieldValues]
    ) -> BaseModel | None:
        """Put values in the place of a row, outside of any transaction; None if that is for a transaction to do."""
        codec = self._table.codec
        if before is None or codec.on_update:
            return None
        after, row_json = codec.store(values_from(before))
        if codec.is_same_row(before, after, row_json) or not self._commit_alone(self._table, before, after, row_json):
            return None
        return self._share(after)

    def _insert(self, transaction: Transaction, row: BaseModel) -> BaseModel:
        codec = self._table.codec
        return self._add(transaction, *codec.store(self._numbered(codec.values_of(row))))

    def _add(self, transaction: Transaction, row: BaseModel, row_json: bytes) -> BaseModel:
        """Add a row that is ready to be stored."""
        table = self._table
        key = table.key_of(row)
        other = table.get(key)
        if other is not None:
            raise violations.duplicate_key(table.schema, key, self._share(other))
        if table.schema.numbered and isinstance(key, int):
            table.use_number(key)
        transaction.change(table, key, None, row, row_json)
        return row

    def _numbered(self, values: FieldValues) -> FieldValues:
        """Return the values with a number for a key, if the table gives them out; none is ever given out twice."""
        if self._needs_number(values):
            return {**values, self._table.schema.key: self._table.next_number()}
        return values

    def _needs_number(self, values: FieldValues) -> bool:
        schema = self._table.schema
        return schema.numbered and values.get(schema.key) is None

    def _update(self, transaction: Transaction, key: object, changes: FieldValues) -> BaseModel:
        before = self._existing(key)
        return self._change(transaction, before, self._updated(before, changes), changes)

    def _updated(self, before: BaseModel, changes: FieldValues) -> FieldValues:
        """Return the field values of a row after changes, not validated yet."""
        # The row's own key: what was asked for may be equal and of another type (1.0, an enum's member).
        key, name = self._table.key_of(before), self._table.schema.key
        if Expression in map(type, changes.values()):
            changes = evaluated(changes, before)
        violations.check_key_unchanged(self._table.schema, key, changes)
        return {**self._table.codec.values_of(before), **changes, name: key}

    def _replace(self, transaction: Transaction, row: BaseModel, *, insert: bool) -> BaseModel:
        table = self._table
        values = table.codec.values_of(row)
        key = values.get(table.schema.key)
        if insert and (key is None or table.get(key) is None):
            return self._add(transaction, *table.codec.store(self._numbered(values)))
        return self._change(transaction, self._existing(key), values)

    def _present(self, row: BaseModel, by: str) -> tuple[BaseModel, bytes, BaseModel | None]:
        """Return a row as it would be stored, its JSON, and the stored row with its value of a unique field."""
        table = self._table
        added, row_json = table.codec.store(self._numbered(table.codec.values_of(row)))
        value = getattr(added, by)
        if by == table.schema.key:
            return added, row_json, table.get(value)
        index = next(index for index in table.unique if index.names == (by,))
        return added, row_json, None if value is None else next(iter(index.rows_of(value)), None)

    def _check_expected(self, row: BaseModel, expected: BaseModel) -> None:
        """Raise StaleRow unless the stored row of a row's key is equal to the one expected."""
        codec = self._table.codec
        stored = self._existing(codec.values_of(row).get(self._table.schema.key))
        violations.check_expected(codec, stored, expected)

    def _change(
        self, transaction: Transaction, before: BaseModel, values: FieldValues, given: Collection[str] = ()
    ) -> BaseModel:
        """Put values in the place of a row, if they differ; the fields that move with it move, but for those given."""
        if self._table.codec.on_update:
            return self._change_and_move(transaction, before, values, given)
        after, row_json = self._table.codec.store(values)
        if self._table.codec.is_same_row(before, after, row_json):
            return before
        transaction.change(self._table, self._table.key_of(before), before, after, row_json)
        return after

    def _change_and_move(
        self, transaction: Transaction, before: BaseModel, values: FieldValues, given: Collection[str]
    ) -> BaseModel:
        table, codec, key = self._table, self._table.codec, self._table.key_of(before)
        moved = codec.moved(given)
        after, row_json = codec.store({**values, **moved})
        if codec.is_moved_only(before, after, moved):
            return before
        original = transaction.before_image(table, key)
        if original is not None and codec.is_moved_only(original, after, moved):
            # Changed and changed back: after all the transaction leaves the row as it was.
            transaction.change(table, key, before, original)
            return original
        transaction.change(table, key, before, after, row_json)
        return after

    def _existing(self, key: object) -> BaseModel:
        name = self._table.name
        try:
            row = self._table.get(key)
        except TypeError:  # it can't be hashed
            self._table.check_key(key)
            raise
        if row is None:
            self._table.check_key(key)
            raise RowNotFound(f"{name} has no row {key!r}", table=name, key=key)
        return row


def _cut(rows: list[BaseModel], wanted: Select) -> list[BaseModel]:
    """Return those of the rows that a query's offset and limit leave."""
    return rows[wanted.offset :] if wanted.limit is None else rows[wanted.offset : wanted.offset + wanted.limit]


def unfiltered(wanted: Select) -> Select:
    """Return the query for all rows that are shown to its function."""
    return Select(wanted.where, wanted.values, wanted.order, None, 0, wanted.after)
