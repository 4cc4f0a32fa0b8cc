"""The operations of one table on the engine in memory; `snaptable.table.Table` is what users see of it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from snaptable import cursor
from snaptable.errors import DuplicateKey, InvalidRow, RowNotFound
from snaptable.memory import constraints
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.filters import compile_filter
from snaptable.memory.ordering import complete
from snaptable.memory.planner import Planned
from snaptable.memory.rows import TableRows
from snaptable.memory.transaction import Transaction
from snaptable.query import Page, Plan, Select


class MemoryTable:
    """Read and change one table: reads see the last durable state, or the caller's own transaction."""

    def __init__(self, engine: MemoryEngine, table: TableRows) -> None:
        self._engine = engine
        self._table = table
        self._share = table.codec.share
        self.get = self._make_get()

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
            return self._table.get(key) if self._engine.mine() else self._table.veiled_get(key)

    def count(self, wanted: Select) -> int:
        """Return how many rows a query gives; O(1) for the whole table, else O(rows looked at)."""
        with self._engine.latch:
            if not wanted.where and not self._hidden():
                total = len(self._table)
            else:
                total = len(self._matching(replace(wanted, order=(), limit=None, offset=0)))
        total = max(0, total - wanted.offset)
        return total if wanted.limit is None else min(total, wanted.limit)

    def select(self, wanted: Select) -> list[Any]:
        """Return the rows of a query, as of one state."""
        rows = self._select(wanted)
        return list(map(self._share, rows)) if self._table.codec.mutable else rows

    def explain(self, wanted: Select) -> Plan:
        """Return how a query would be answered."""
        with self._engine.latch:
            return Planned(self._table, wanted).plan()

    def page(self, wanted: Select, limit: int, after: str | None) -> Page[Any]:
        """Return a page of a query's rows in a total order."""
        schema = self._table.schema
        order = complete(wanted.order, schema.columns[schema.key])
        position = None if after is None else cursor.decode(schema.name, wanted.where, order, after)
        rows = self._select(replace(wanted, order=order, limit=limit + 1, after=position))
        more = cursor.encode(schema.name, wanted.where, order, rows[limit - 1]) if len(rows) > limit else None
        return Page([self._share(row) for row in rows[:limit]], more)

    def _hidden(self) -> bool:
        """Return whether there are changes that the caller may not see."""
        return bool(self._table.veils) and not self._engine.mine()

    def _select(self, wanted: Select) -> list[Any]:
        with self._engine.latch:
            planned = Planned(self._table, wanted)
            if not self._hidden():
                return planned.run()
            return planned.finish(self._matching(wanted))

    def _matching(self, wanted: Select) -> list[Any]:
        """Return every matching row, unsorted: what the planner finds, but for veiled rows, which are as they were."""
        rows = Planned(self._table, wanted if not self._hidden() else replace(wanted, after=None)).matching()
        if not self._hidden():
            return rows
        before = self._table.before()
        key_of = self._table.key_of
        old = [row for row in before.values() if row is not None]
        keep = compile_filter(wanted.where)
        return [row for row in rows if key_of(row) not in before] + (keep(old) if keep else old)

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, row: Any) -> Any:
        """Add a row; O(1), O(log n) for each ordered index."""
        return self._engine.write(lambda transaction: self._share(self._insert(transaction, row)))

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
