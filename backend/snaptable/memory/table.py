"""The operations of one table on the engine in memory; `snaptable.table.Table` is what users see of it."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any
from uuid import UUID

from snaptable.conditions import Order, PredicateTemplates
from snaptable.contract import Page, Plan, Select
from snaptable.cursor import Cursors
from snaptable.errors import DuplicateKey, InvalidRow, RowNotFound
from snaptable.memory import constraints
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.queries.ordering import complete
from snaptable.memory.queries.planner import PreparedQuery
from snaptable.memory.rows import BeforeImages, TableRows
from snaptable.memory.transaction import Transaction

MAX_PREPARED_QUERIES = 512


class MemoryTable:
    """Read and change one table: reads see the last durable state, or the caller's own transaction."""

    def __init__(self, engine: MemoryEngine, table: TableRows) -> None:
        self._engine = engine
        self._latch = engine.latch
        self._table = table
        self._share = table.codec.share
        self._mutable = table.codec.mutable
        self.get = self._make_get()
        # Programs ask few shapes of questions; a shape holds the code of its filters, so only so many are kept.
        self._shape = lru_cache(maxsize=MAX_PREPARED_QUERIES)(partial(PreparedQuery, table))
        self._cursors = lru_cache(maxsize=MAX_PREPARED_QUERIES)(self._make_cursors)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _make_get(self) -> Callable[[Any], Any]:
        """Return the hottest function there is: the row of a key, or None; O(1), no lock, C while nothing changes."""
        rows, share = self._table.rows, self._share
        rows.guard = self._guarded_get
        # The proxy looks `get` up on the rows at each call, so it is that of the class they are of at that moment.
        get = self._calm_get() if self._table.schema.key_type is UUID else MappingProxyType(rows).get

        def get_copy(key: Any, /) -> Any:
            row = get(key)
            return row if row is None else share(row)

        return get_copy if self._table.codec.mutable else get

    def _calm_get(self) -> Callable[[Any], Any]:
        """Return the same for keys whose hash and comparison are Python: a change may come while they run."""
        table, find, guarded = self._table, self._table.get, self._guarded_get

        def get(key: Any, /) -> Any:
            calm = table.calm
            row = find(key)
            if table.calm is calm is not None:
                return row
            return guarded(key)

        return get

    def _guarded_get(self, key: Any) -> Any:
        with self._engine.latch:
            return self._table.get(key) if self._engine.in_transaction() else self._table.veiled_get(key)

    def count(self, wanted: Select) -> int:
        """Return how many rows a query gives; O(1) for the whole table, else O(rows looked at)."""
        with self._latch:
            before = self._hidden() if self._table.veils else None
            if not wanted.where and before is None:
                total = len(self._table)
            else:
                total = self._shape(wanted.where, ()).count(wanted, before)
        if wanted.offset:
            total = max(0, total - wanted.offset)
        return total if wanted.limit is None else min(total, wanted.limit)

    def select(self, wanted: Select) -> list[Any]:
        """Return the rows of a query, as of one state."""
        return self._shared(self._select(wanted))

    def _shared(self, rows: list[Any]) -> list[Any]:
        return list(map(self._share, rows)) if self._mutable else rows

    def explain(self, wanted: Select) -> Plan:
        """Return how a query would be answered."""
        with self._latch:
            return self._shape(wanted.where, wanted.order).plan(wanted)

    def page(self, wanted: Select, limit: int, after: str | None) -> Page[Any]:
        """Return a page of a query's rows in a total order."""
        rows, more = self._page(wanted, limit, after)
        return Page(self._shared(rows), more)

    def page_json(self, wanted: Select, limit: int, after: str | None) -> tuple[bytes, str | None]:
        """Return the same page as a JSON array of its rows: no copies, for bytes can't change the store."""
        rows, more = self._page(wanted, limit, after)
        return self._table.codec.array_json(rows), more

    def _page(self, wanted: Select, limit: int, after: str | None) -> tuple[list[Any], str | None]:
        cursors = self._cursors(wanted.where, wanted.order)
        position = None if after is None else cursors.decode(wanted.values, after)
        rows = self._select(Select(wanted.where, wanted.values, cursors.order, limit + 1, 0, position))
        more = None
        if len(rows) > limit:
            del rows[limit:]
            more = cursors.encode(wanted.values, rows[-1])
        return rows, more

    def _make_cursors(self, where: PredicateTemplates, order: tuple[Order, ...]) -> Cursors:
        schema = self._table.schema
        return Cursors(schema.name, where, complete(order, schema.columns[schema.key]))

    def _hidden(self) -> BeforeImages | None:
        """Return what was before the changes that the caller may not see; None where he may see them all."""
        return None if self._engine.in_transaction() else self._table.before()

    def _select(self, wanted: Select) -> list[Any]:
        with self._latch:
            before = self._hidden() if self._table.veils else None
            return self._shape(wanted.where, wanted.order).run(wanted, before)

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, row: Any) -> Any:
        """Add a row; O(1), O(log n) for each ordered index."""
        return self._engine.write(lambda transaction: self._share(self._insert(transaction, row)))

    def insert_values(self, values: Mapping[str, Any]) -> Any:
        """Add the row that field values make, validated once."""
        return self._engine.write(lambda transaction: self._share(self._add(transaction, dict(values))))

    def insert_many(self, rows: Iterable[Any]) -> list[Any]:
        """Add rows, all or none."""
        return self._engine.write(lambda transaction: [self._share(self._insert(transaction, row)) for row in rows])

    def update(self, key: Any, changes: dict[str, Any]) -> Any:
        """Change fields of a row, validated whole."""
        return self._engine.write(lambda transaction: self._share(self._update(transaction, key, changes)))

    def replace(self, row: Any) -> Any:
        """Put a row in the place of the one with its key."""
        return self._engine.write(lambda transaction: self._share(self._replace(transaction, row, insert=False)))

    def upsert(self, row: Any) -> Any:
        """Put a row in the place of the one with its key, or add it."""
        return self._engine.write(lambda transaction: self._share(self._replace(transaction, row, insert=True)))

    def delete(self, key: Any) -> Any:
        """Remove a row and what goes with it; return the row."""

        def work(transaction: Transaction) -> Any:
            found = self._table.key_of(self._existing(key))
            return self._share(constraints.delete(self._engine.tables, transaction, self._table, found))

        return self._engine.write(work)

    def update_rows(self, wanted: Select, changes: dict[str, Any]) -> int:
        """Change fields of every row of a query, all or none."""

        def work(transaction: Transaction) -> int:
            rows = self._select(wanted)
            for row in rows:
                self._update(transaction, self._table.key_of(row), changes)
            return len(rows)

        return self._engine.write(work)

    def delete_rows(self, wanted: Select) -> int:
        """Remove every row of a query and what goes with them, all or none."""

        def work(transaction: Transaction) -> int:
            rows = self._select(wanted)
            for row in rows:
                constraints.delete(self._engine.tables, transaction, self._table, self._table.key_of(row))
            return len(rows)

        return self._engine.write(work)

    def _insert(self, transaction: Transaction, given: Any) -> Any:
        return self._add(transaction, self._table.codec.values_of(given))

    def _add(self, transaction: Transaction, values: dict[str, Any]) -> Any:
        table = self._table
        row, image = table.codec.store(self._numbered(values))
        key = table.key_of(row)
        if table.get(key) is not None:
            raise DuplicateKey(f"{table.name} has a row {key!r} already; nothing was written")
        if table.schema.numbered:
            table.last_number = max(table.last_number, key)
        transaction.change(table, key, None, row, image)
        return row

    def _numbered(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values with a number for a key, where the table gives them out; none is ever given out twice."""
        schema = self._table.schema
        if schema.numbered and values.get(schema.key) is None:
            return {**values, schema.key: self._table.last_number + 1}
        return values

    def _update(self, transaction: Transaction, key: Any, changes: dict[str, Any]) -> Any:
        before = self._existing(key)
        # The row's own key from here on: what was asked for may be equal and of another type (1.0, an enum's member).
        key, name = self._table.key_of(before), self._table.schema.key
        if name in changes and changes[name] != key:
            raise InvalidRow(
                f"{self._table.name}[{key!r}].{name}: a key can't be changed; insert a new row and delete this one"
            )
        values = {**self._table.codec.values_of(before), **changes, name: key}
        return self._change(transaction, before, *self._table.codec.store(values))

    def _replace(self, transaction: Transaction, given: Any, *, insert: bool) -> Any:
        table = self._table
        values = table.codec.values_of(given)
        key = values.get(table.schema.key)
        if insert and (key is None or table.get(key) is None):
            return self._add(transaction, values)
        return self._change(transaction, self._existing(key), *table.codec.store(values))

    def _change(self, transaction: Transaction, before: Any, after: Any, image: bytes) -> Any:
        # Equal is not enough: the same instant can be written with another offset, and that is a change.
        if before == after and image == self._table.codec.encode(before):
            return before
        transaction.change(self._table, self._table.key_of(before), before, after, image)
        return after

    def _existing(self, key: Any) -> Any:
        row = self._table.get(key)
        if row is None:
            raise RowNotFound(f"{self._table.name} has no row {key!r}")
        return row
