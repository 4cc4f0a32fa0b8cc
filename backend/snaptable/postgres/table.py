"""The operations of one table on PostgreSQL; `snaptable.table.Table` is what users see of it."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import BaseModel

from snaptable.codec import FieldValues
from snaptable.conditions.expressions import Expression
from snaptable.contract import Plan, QueryObserver, Select
from snaptable.errors import InvalidRow, RowNotFound
from snaptable.evaluation import slow_queries, violations
from snaptable.evaluation.expressions import evaluated
from snaptable.postgres import constraints
from snaptable.postgres.reading import TableReader
from snaptable.postgres.transaction import Transaction

T = TypeVar("T")


class PostgresTable(TableReader):
    """Reads and writes of one table: reads see the last committed state, or the caller's own transaction."""

    # ── adding ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, row: BaseModel) -> BaseModel:
        """Add a row."""
        values = self._rows.codec.values_of(row)

        def add(transaction: Transaction) -> BaseModel:
            """Add it."""
            return self._add(transaction, *self._stored(transaction, values))

        return self._share(self._core.write(add))

    def insert_values(self, values: FieldValues) -> BaseModel:
        """Add a row of these field values, which are validated once, when the row is made."""

        def add(transaction: Transaction) -> BaseModel:
            """Add it."""
            return self._add(transaction, *self._rows.codec.create(self._rows.numbered(transaction, values)))

        return self._share(self._core.write(add))

    def insert_many(self, rows: Iterable[BaseModel]) -> list[BaseModel]:
        """Add rows, all or none; they are taken before anything is written."""
        given = list(map(self._rows.codec.values_of, rows))

        def add(transaction: Transaction) -> list[BaseModel]:
            """Add them."""
            if 0 < sum(map(self._rows.needs_number, given)) < len(given):
                # Each number follows the keys before it.
                return [self._add(transaction, *self._stored(transaction, values)) for values in given]
            stored: list[tuple[BaseModel, bytes]] = []
            try:
                for values in given:
                    stored.append(self._stored(transaction, values))  # noqa: PERF401 - what came before an error stays
            except InvalidRow:
                self._rows.add_all(transaction, stored)  # one before it may be refused, or use a number
                raise
            self._rows.add_all(transaction, stored)
            return [row for row, _ in stored]

        return list(map(self._share, self._core.write(add, parts=True))) if given else self._nothing([])

    def _stored(self, transaction: Transaction, values: FieldValues) -> tuple[BaseModel, bytes]:
        """Return the row of these values as it is stored, with a number if it needs one, and its JSON."""
        return self._rows.codec.store(self._rows.numbered(transaction, values))

    def _add(self, transaction: Transaction, row: BaseModel, row_json: bytes) -> BaseModel:
        added = self._rows.add(transaction, row, row_json)
        self._use_numbers(transaction, [added])
        return added

    def _use_numbers(self, transaction: Transaction, rows: list[BaseModel]) -> None:
        if self._rows.schema.numbered:
            self._rows.use_number(transaction, list(map(self._rows.key_of, rows)))

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def update(self, key: object, changes: FieldValues) -> BaseModel:
        """Change fields of a row, validated whole."""
        return self._share(self._core.write(lambda transaction: self._update(transaction, key, changes)))

    def _update(self, transaction: Transaction, key: object, changes: FieldValues) -> BaseModel:
        return self._update_row(transaction, self._existing(transaction, key), changes)

    def _update_row(self, transaction: Transaction, before: BaseModel, changes: FieldValues) -> BaseModel:
        # The row's own key from here on: what was asked for may be equal and of another type (1.0, an enum's member).
        schema, key = self._rows.schema, self._rows.key_of(before)
        if Expression in map(type, changes.values()):
            changes = evaluated(changes, before)
        violations.check_key_unchanged(schema, key, changes)
        values = {**self._rows.codec.values_of(before), **changes, schema.key: key}
        return self._rows.replace_row(transaction, before, values, changes)

    def replace(self, row: BaseModel, expected: BaseModel | None = None) -> BaseModel:
        """Put a row in the place of the one with its key, if that is still the one expected."""
        values = self._rows.codec.values_of(row)

        def put(transaction: Transaction) -> BaseModel:
            """Put it there."""
            stored = self._existing(transaction, values.get(self._rows.schema.key))
            if expected is not None:
                violations.check_expected(self._rows.codec, stored, expected)
            return self._rows.replace_row(transaction, stored, values)

        return self._share(self._core.write(put))

    def upsert(self, row: BaseModel, by: str | None = None) -> BaseModel:
        """Put a row in the place of the one with its key, or with its value of a unique field, or add it."""
        codec, name = self._rows.codec, self._rows.schema.key
        values = codec.values_of(row)

        def put(transaction: Transaction) -> BaseModel:
            """Put it there, or add it."""
            if by is None:
                key = values.get(name)
                present = None if key is None else self._rows.get(transaction.ask, key)
                if present is not None:
                    return self._rows.replace_row(transaction, present, values)
                return self._add(transaction, *self._stored(transaction, values))
            present = self._present(transaction, values, by)
            if present is None:
                return self._add(transaction, *self._stored(transaction, values))
            return self._rows.replace_row(transaction, present, {**values, name: self._rows.key_of(present)})

        return self._share(self._core.write(put))

    def get_or_insert(self, row: BaseModel, by: str | None = None) -> BaseModel:
        """Return the row with its key, or with its value of a unique field; add it if there is none."""

        def get(transaction: Transaction) -> BaseModel:
            """Return it, or add it."""
            codec = self._rows.codec
            values = codec.values_of(row)
            present = self._present(transaction, values, by or self._rows.schema.key)
            if present is not None:
                return present
            return self._add(transaction, *self._stored(transaction, values))

        return self._share(self._core.write(get))

    def _present(self, transaction: Transaction, values: FieldValues, by: str) -> BaseModel | None:
        """Return the stored row with a row's value of a unique field; None if there is none.

        The row is validated as it would be stored, but no number is drawn for it yet: only a row that is added has one.
        """
        rows = self._rows
        if rows.needs_number(values):
            if by == rows.schema.key:
                return None
            values = {**values, rows.schema.key: rows.last_number(transaction)}
        row, row_json = rows.codec.store(values)
        rows.params(row, row_json)
        value = getattr(row, by)
        present = [] if value is None else rows.having(transaction.ask, (by,), (value,))
        return present[0] if present else None

    # ── removing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def delete(self, key: object) -> BaseModel:
        """Remove a row and what goes with it; return the row."""

        def remove(transaction: Transaction) -> BaseModel:
            """Remove it."""
            placed = self._looked_up(key, lambda: self._rows.placed(transaction.ask, key))
            constraints.delete(self._core.rows, transaction, self._rows, [placed])
            return placed[0]

        return self._share(self._core.write(remove, parts=bool(self._rows.schema.referenced_by)))

    # ── many ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def update_rows(self, wanted: Select, changes: FieldValues) -> int:
        """Change fields of every row of a query, all or none; return how many there were."""

        def update(transaction: Transaction) -> int:
            """Change them."""
            rows = self.select(wanted)
            for row in rows:
                self._update_row(transaction, row, changes)
            return len(rows)

        return self._core.write(update, parts=True)

    def delete_rows(self, wanted: Select) -> int:
        """Remove every row of a query and what goes with them, all or none; return how many of them there were."""

        def remove(transaction: Transaction) -> int:
            """Remove them."""
            rows = self.select(wanted)
            if rows:
                keys = list(map(self._rows.key_of, rows))
                placed = self._rows.referring(transaction, self._rows.schema.key, keys)
                constraints.delete(self._core.rows, transaction, self._rows, placed)
            return len(rows)

        return self._core.write(remove, parts=True)

    # ── shared ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _share(self, row: BaseModel) -> BaseModel:
        return self._rows.codec.share(row)

    def _nothing(self, answer: list[BaseModel]) -> list[BaseModel]:
        """Return the answer of a write that has nothing to do, after the checks of every write."""
        self._core.write(lambda _: None)
        return answer

    def _existing(self, transaction: Transaction, key: object) -> BaseModel:
        return self._looked_up(key, lambda: self._rows.get(transaction.ask, key))

    def _looked_up(self, key: object, look_up: Callable[[], T | None]) -> T:
        """Return what a look-up by key finds; raises RowNotFound, or InvalidKey for what can't be a key."""
        name = self._rows.name
        try:
            row = look_up()
        except TypeError:  # it can't be hashed
            self._rows.check_key(key)
            raise
        if row is None:
            self._rows.check_key(key)
            raise RowNotFound(f"{name} has no row {key!r}", table=name, key=key)
        return row

    # ── observing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def observe(self, observer: QueryObserver | None) -> None:
        """Tell an observer of slow queries from now on; None ends that."""
        explains: dict[str, Callable[..., Plan]] = {
            "select": self.explain,
            "count": self.explain,
            "aggregate": self.explain_aggregate,
        }
        slow_queries.observe(self, self._rows.name, observer, explains)
