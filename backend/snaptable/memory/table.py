"""The operations of one table on the engine in memory; `snaptable.table.Table` is what users see of it.

A single write goes one of three ways: it joins the caller's open transaction (`MemoryEngine.joined`), is a commit of
its own by the short path (`single_commit`), or a transaction of its own, where that path is not plain.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Concatenate, ParamSpec

from pydantic import BaseModel

from snaptable.conditions.expressions import Expression
from snaptable.contract import Select
from snaptable.errors import RowNotFound
from snaptable.evaluation import violations
from snaptable.evaluation.expressions import evaluated
from snaptable.memory import constraints
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.rows import TableRows
from snaptable.memory.single_commit import SingleCommits
from snaptable.memory.table_reader import TableReader
from snaptable.memory.transaction import Transaction

P = ParamSpec("P")
FieldValues = dict[str, object]
"""Values by field name."""


class MemoryTable(TableReader):
    """Reads and writes of one table."""

    def __init__(self, engine: MemoryEngine, table: TableRows) -> None:
        """Take an engine and the rows of one of its tables."""
        super().__init__(engine, table)
        self._write, self._joined, self._tables = engine.write, engine.joined, engine.tables
        self._is_numbered = table.schema.numbered
        alone = SingleCommits(engine, table)
        self._commits_alone, self._commit_alone = alone.may_begin, alone.commit

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def insert(self, row: BaseModel) -> BaseModel:
        """Add a row; O(1), O(log n) for each ordered index."""
        if self._commits_alone():
            codec = self._table.codec
            values = codec.values_of(row)
            if not (self._is_numbered and self._needs_number(values)):
                return self._add_alone(*codec.store(values))
        return self._write_one(self._insert, row)

    def insert_values(self, values: FieldValues) -> BaseModel:
        """Add a row of these field values, which are validated once, when the row is made; cost as `insert`."""
        if self._commits_alone() and not self._needs_number(values):
            return self._add_alone(*self._table.codec.create(values))
        return self._write_one(self._insert_values, values)

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
        return self._write_one(self._update, key, changes)

    def replace(self, row: BaseModel, expected: BaseModel | None = None) -> BaseModel:
        """Put a row in the place of the one with its key, if that is still the one expected."""
        if expected is None and self._commits_alone():
            values = self._table.codec.values_of(row)
            changed = self._change_alone(self._latest(values.get(self._table.schema.key)), lambda _: values)
            if changed is not None:
                return changed
        return self._write_one(self._replace_expected, row, expected)

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

    def _write_one(
        self,
        change: Callable[Concatenate[Transaction, P], BaseModel],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> BaseModel:
        """Return the row that a change of one row gives, in the caller's transaction or in one of its own."""
        transaction = self._joined()
        if transaction is None:
            with self._write() as transaction:
                return self._share(change(transaction, *args, **kwargs))
        # A savepoint, without the block of one: it is nearly all that many transactions do.
        savepoint = transaction.savepoint()
        try:
            row = change(transaction, *args, **kwargs)
            return self._share(row) if self._is_mutable else row
        except BaseException:
            transaction.roll_back_to(savepoint)
            raise

    def _add_alone(self, row: BaseModel, row_json: bytes) -> BaseModel:
        """Add a row that is ready to be stored, outside of any transaction."""
        if not self._commit_alone(None, row, row_json):
            with self._write() as transaction:
                self._add(transaction, row, row_json)
        return self._share(row) if self._is_mutable else row

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
        if codec.is_same_row(before, after, row_json) or not self._commit_alone(before, after, row_json):
            return None
        return self._share(after)

    def _insert(self, transaction: Transaction, row: BaseModel) -> BaseModel:
        codec = self._table.codec
        values = codec.values_of(row)
        return self._add(transaction, *codec.store(self._numbered(values) if self._is_numbered else values))

    def _insert_values(self, transaction: Transaction, values: FieldValues) -> BaseModel:
        return self._add(transaction, *self._table.codec.create(self._numbered(values)))

    def _add(self, transaction: Transaction, row: BaseModel, row_json: bytes) -> BaseModel:
        """Add a row that is ready to be stored."""
        table = self._table
        key = table.key_of(row)
        other = table.get(key)
        if other is not None:
            raise violations.duplicate_key(table.schema, key, self._share(other))
        if self._is_numbered and isinstance(key, int):
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

    def _replace_expected(self, transaction: Transaction, row: BaseModel, expected: BaseModel | None) -> BaseModel:
        if expected is not None:
            self._check_expected(row, expected)
        return self._replace(transaction, row, insert=False)

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
