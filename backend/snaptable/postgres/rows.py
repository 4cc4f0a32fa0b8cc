"""The rows of one table: single statements on them, each by key, and what a transaction notes of them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from snaptable.changes.records import Key
from snaptable.codec import Codec, FieldValues
from snaptable.errors import DuplicateKey, InvalidRow
from snaptable.evaluation import violations
from snaptable.postgres.layout import comparands
from snaptable.postgres.layout.column import StoredColumn, Unstorable
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.ddl import TableDdl
from snaptable.postgres.layout.names import PLACE, quoted
from snaptable.postgres.server.adapt import Record
from snaptable.postgres.server.connections import Fetch
from snaptable.postgres.transaction import ConstraintBroken, Transaction
from snaptable.schema.keys import check_key

_PLACE = quoted(PLACE)
MOST_COUNTED = 100_000
"""Rows of a table that are counted for its status; of larger ones the server's estimate is shown."""


class TableRows:
    """The rows of one table as SQL.

    Attributes:
        schema, codec, columns: what they are.
        name, sql: the table's name, and how SQL has it.
        key_of: the function from a row to its key.
    """

    def __init__(self, codec: Codec, columns: StoredColumns, ddl: TableDdl, *, advisory_locks: bool) -> None:
        self.codec, self.schema, self.columns, self.ddl = codec, codec.schema, columns, ddl
        self.name, self.sql = codec.table, ddl.table
        self.key_of: Callable[[BaseModel], Key] = attrgetter(codec.key)
        self._advisory_locks = advisory_locks
        self._key = columns.key
        marks = ", ".join(f"%({_param(place)})b::{sql}" for place, (_, sql) in enumerate(columns.targets))
        conflict = f"on conflict ({self._key.quoted}) do nothing returning {self._key.quoted}"
        self._get = f"select {columns.select_list} from {self.sql} where {self._key.quoted} = %(key)b::{self._key.sql}"
        self._get_placed = self._get.replace(" from ", f", {_PLACE} from ", 1)
        self._insert = f"insert into {self.sql} ({columns.select_list}) values ({marks}) {conflict}"
        self._insert_placed = (
            f"insert into {self.sql} ({columns.select_list}, {_PLACE}) values ({marks}, %(place)b::int8) {conflict}"
        )

    # ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def own_key(self, key: object) -> object:
        """Return the parameter of the key that equals what was given; None if no row's key can.

        Raises:
            TypeError: it can't be hashed, as the key of a dict must be.
        """
        hash(key)
        return comparands.equal(self._key, key)

    def check_key(self, key: object) -> None:
        """Raise InvalidKey for what can't be a key of the table."""
        check_key(self.name, self.schema.key, self.schema.key_type, key)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, fetch: Fetch, key: object) -> BaseModel | None:
        """Return the row of a key, or None."""
        own = self.own_key(key)
        records = [] if own is None else fetch(self._get, {"key": own})
        return self.columns.row(records[0]) if records else None

    def placed(self, fetch: Fetch, key: object) -> tuple[BaseModel, int] | None:
        """Return the row of a key with its place, or None."""
        own = self.own_key(key)
        records = [] if own is None else fetch(self._get_placed, {"key": own})
        return self._placed(records[0]) if records else None

    def _placed(self, record: Record) -> tuple[BaseModel, int]:
        return self.columns.row(record[:-1]), record[-1]

    def all(self, fetch: Fetch) -> dict[Key, BaseModel]:
        """Return every row by its key, in the order of insertion; O(n)."""
        records = fetch(f"select {self.columns.select_list} from {self.sql} order by {_PLACE}")
        return {self.key_of(row): row for row in map(self.columns.row, records)}

    def images(self, fetch: Fetch) -> dict[Key, bytes]:
        """Return the JSON of every row, in the order of insertion; O(n)."""
        return {key: self.codec.dump(row) for key, row in self.all(fetch).items()}

    def count(self, fetch: Fetch) -> int:
        """Return the number of rows; of a large table, the server's estimate."""
        table = self.sql.replace("'", "''")
        ((estimate,),) = fetch(f"select reltuples::int8 from pg_class where oid = '{table}'::regclass")
        if estimate > MOST_COUNTED:
            return int(estimate)
        ((count,),) = fetch(f"select count(*) from {self.sql}")
        return int(count)

    def referring(self, transaction: Transaction, field: str, keys: list[Key]) -> list[tuple[BaseModel, int]]:
        """Return the rows whose field holds one of some keys, each with its place, in the order of insertion."""
        column = self.columns.by_name[field]
        records = transaction.ask(
            f"select {self.columns.select_list}, {_PLACE} from {self.sql} "
            f"where {column.quoted} = any(%(keys)b::{column.sql}[]) order by {_PLACE}",
            {"keys": [column.dump(key) for key in keys]},
        )
        return list(map(self._placed, records))

    def having(self, fetch: Fetch, fields: tuple[str, ...], values: tuple[Any, ...]) -> list[BaseModel]:
        """Return the rows with these values of these fields, in the order of insertion."""
        tests, params = [], {}
        for place, (field, value) in enumerate(zip(fields, values, strict=True)):
            column = self.columns.by_name[field]
            tests.append(f"{column.quoted} = %({_param(place)})b::{column.sql}")
            params[_param(place)] = column.dump(value)
            if column.twin:
                tests.append(f"{column.twin} = {'true' if value.tzinfo is not None else 'false'}")
        sql = f"select {self.columns.select_list} from {self.sql} where {' and '.join(tests)} order by {_PLACE}"
        return [self.columns.row(record) for record in fetch(sql, params)]

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def params(self, row: BaseModel, row_json: bytes) -> dict[str, object]:
        """Return the parameters of a row.

        Raises:
            InvalidRow: PostgreSQL has no place for one of its values.
        """
        try:
            return {_param(place): value for place, value in enumerate(self.columns.params(row, row_json))}
        except Unstorable as error:
            key, field = self.key_of(row), str(error.args[1])
            raise InvalidRow(
                f"{self.name}[{key!r}].{field}: {error.args[0]}; it was not written",
                table=self.name,
                key=key,
                fields=(field,),
            ) from None

    def add(self, transaction: Transaction, row: BaseModel, row_json: bytes) -> BaseModel:
        """Insert a row that is ready to be stored, in its former place if this transaction deleted it.

        Raises:
            DuplicateKey: a row has its key.
        """
        key, params = self.key_of(row), self.params(row, row_json)
        place = transaction.places.get((self.name, key))
        sql = self._insert if place is None else self._insert_placed
        try:
            added = transaction.ask(sql, params if place is None else {**params, "place": place})
        except ConstraintBroken:
            transaction.change(self.codec, key, None, row, row_json)  # the message is about it
            raise
        if not added:
            self._refuse_duplicate(transaction, key)
        transaction.change(self.codec, key, None, row, row_json)
        return row

    def add_all(self, transaction: Transaction, rows: list[tuple[BaseModel, bytes]]) -> None:
        """Insert rows that are ready to be stored, all in one go; raises as `add`.

        Keys that are numbers are used, as one by one: those before a row that is refused, too.
        """
        keys = [self.key_of(row) for row, _ in rows]
        try:
            if any((self.name, key) in transaction.places for key in keys):
                added = self._add_each(transaction, rows)
            else:
                added = self._add_together(transaction, rows, keys)
        except ConstraintBroken:
            for key, (row, row_json) in zip(keys, rows, strict=True):
                transaction.change(self.codec, key, None, row, row_json)  # the message is about one of them
            raise
        self.use_number(transaction, keys[:added])
        if added < len(rows):
            key = keys[added]
            there = rows[keys.index(key)][0] if key in keys[:added] else self.get(transaction.ask, key)
            assert there is not None
            raise violations.duplicate_key(self.schema, key, self.codec.share(there))

    def _add_each(self, transaction: Transaction, rows: list[tuple[BaseModel, bytes]]) -> int:
        """Insert rows one by one, each in its former place; return how many were before one whose key is taken."""
        for number, (row, row_json) in enumerate(rows):
            try:
                self.add(transaction, row, row_json)
            except DuplicateKey:
                return number
        return len(rows)

    def _add_together(self, transaction: Transaction, rows: list[tuple[BaseModel, bytes]], keys: list[Key]) -> int:
        """Insert rows by one statement; return how many were before one whose key is taken: the caller rolls back."""
        added = transaction.ask_many(self._insert, [self.params(row, row_json) for row, row_json in rows])
        if len(added) < len(rows):
            inserted = [self._key.loaded(key) for (key,) in added]
            return next(number for number, key in enumerate(keys) if inserted[number : number + 1] != [key])
        for key, (row, row_json) in zip(keys, rows, strict=True):
            transaction.change(self.codec, key, None, row, row_json)
        return len(rows)

    def _refuse_duplicate(self, transaction: Transaction, key: Key) -> None:
        other = self.get(transaction.ask, key)
        assert other is not None
        raise violations.duplicate_key(self.schema, key, other)

    def put(self, transaction: Transaction, before: BaseModel, after: BaseModel, row_json: bytes) -> None:
        """Put a row that is ready to be stored in the place of another of the same key."""
        old, new = self.params(before, self.codec.dump(before)), self.params(after, row_json)
        targets = self.columns.targets
        last = _param(len(targets) - 1)
        changed = [
            place
            for place in range(len(targets))
            if (name := _param(place)) == last or _is_changed(old[name], new[name])
        ]
        sets = ", ".join(f"{targets[place][0]} = %({_param(place)})b::{targets[place][1]}" for place in changed)
        params = {_param(place): new[_param(place)] for place in changed}
        key = self.key_of(after)
        params["key"] = self._key.dump(key)
        transaction.change(self.codec, key, before, after, row_json)
        transaction.ask(f"update {self.sql} set {sets} where {self._key.quoted} = %(key)b::{self._key.sql}", params)

    def replace_row(
        self, transaction: Transaction, before: BaseModel, values: FieldValues, given: Collection[str] = ()
    ) -> BaseModel:
        """Put values in the place of a row, if they differ; the fields that move with it move, but for those given."""
        codec = self.codec
        if codec.on_update:
            return self._replace_and_move(transaction, before, values, given)
        after, row_json = codec.store(values)
        if codec.is_same_row(before, after, row_json):
            return before
        self.put(transaction, before, after, row_json)
        return after

    def _replace_and_move(
        self, transaction: Transaction, before: BaseModel, values: FieldValues, given: Collection[str]
    ) -> BaseModel:
        codec, key = self.codec, self.key_of(before)
        moved = codec.moved(given)
        after, row_json = codec.store({**values, **moved})
        if codec.is_moved_only(before, after, moved):
            return before
        original = transaction.before_image(self.name, key)
        if original is not None and codec.is_moved_only(original, after, moved):
            # Changed and changed back: after all the transaction leaves the row as it was.
            after, row_json = original, codec.dump(original)
        self.put(transaction, before, after, row_json)
        return after

    def release(self, transaction: Transaction, row: BaseModel, fields: list[str]) -> None:
        """Set references of a row to None."""
        codec = self.codec
        values = {**codec.values_of(row), **dict.fromkeys(fields), **codec.moved()}
        self.put(transaction, row, *codec.store(values))

    def remove(self, transaction: Transaction, rows: Mapping[Key, tuple[BaseModel, int]]) -> None:
        """Delete rows by key."""
        if not rows:
            return
        for key, (row, place) in rows.items():
            transaction.change(self.codec, key, row, None, place=place)
        transaction.ask(
            f"delete from {self.sql} where {self._key.quoted} = any(%(keys)b::{self._key.sql}[])",
            {"keys": [self._key.dump(key) for key in rows]},
        )

    # ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def numbered(self, transaction: Transaction, values: FieldValues) -> FieldValues:
        """Return the values with a number for a key, if the table gives them out; none is ever given out twice."""
        if self.needs_number(values):
            ((number,),) = transaction.ask(f"select nextval('{self.ddl.numbers}')")
            return {**values, self.schema.key: number}
        return values

    def needs_number(self, values: FieldValues) -> bool:
        """Return whether the table gives a row of these values its key."""
        return self.schema.numbered and values.get(self.schema.key) is None

    def last_number(self, transaction: Transaction) -> int:
        """Return the last number that the table gave out; of one that gave out none, the first it will."""
        ((number,),) = transaction.ask(f"select last_value from {self.ddl.numbers}")
        return int(number)

    def use_number(self, transaction: Transaction, keys: list[Key]) -> None:
        """Let the table give out no numbers up to the greatest of some that rows were given by the program."""
        if not self.schema.numbered or not keys:
            return
        numbers = self.ddl.numbers
        greatest = {"number": self._key.dump(max(keys))}
        is_above = "last_value < %(number)b::int8 or (not is_called and last_value <= %(number)b::int8)"
        if not transaction.ask(f"select 1 from {numbers} where {is_above}", greatest):
            return
        if self._advisory_locks:
            # Two that move it at once might move it back; other transactions that take numbers don't wait.
            transaction.ask(f"select pg_advisory_xact_lock('{numbers}'::regclass::int8)")
        transaction.ask(f"select setval('{numbers}', %(number)b::int8) from {numbers} where {is_above}", greatest)

    # ── check ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def problems(self, fetch: Fetch) -> Iterator[str]:
        """Yield which rows don't validate, or say other than their columns; O(n)."""
        for record in fetch(f"select {self.columns.select_list} from {self.sql} order by {_PLACE}"):
            yield from self._problems_of(record)

    def _problems_of(self, record: Record) -> Iterator[str]:
        place = list(self.columns.by_name).index(self.schema.key)
        shown = f"{self.name}[{record[place]!r}]"
        try:
            row = self.columns.row(record)
            values = self.codec.values_of(row)
            again, row_json = self.codec.store(dict(values))
        except InvalidRow as error:
            yield str(error)
            return
        except (ValueError, KeyError, TypeError):
            yield f"{shown}: a column holds what its field can't"
            return
        if not self.codec.is_same_row(row, again, row_json):
            yield f"{shown}: a column holds what its field would write otherwise"
        if self.columns.keeps_image:
            yield from self._differing_columns(shown, record, row, row_json)

    def _differing_columns(self, shown: str, record: Record, row: BaseModel, row_json: bytes) -> Iterator[str]:
        """Yield which columns were changed beside the row's image, from which it is read."""
        params = self.columns.params(row, row_json)
        for place, (name, column) in enumerate(self.columns.by_name.items()):
            if not _is_alike(column, record[place], params[place]):
                yield f"{shown}.{name}: the column was changed by itself; the row is read from {quoted('_exact')}"


def _is_alike(column: StoredColumn, stored: Any, param: Any) -> bool:
    if column.family == "json":
        return (stored is None) == (param is None) and (stored is None or bytes(stored) == bytes(param))
    if column.family == "array" and stored is not None and param is not None:
        return bool(column.collection(stored) == column.collection(param))
    return bool(stored == param)


def _is_changed(old: object, new: object) -> bool:
    """Return whether a parameter is another: 0.0 and -0.0, and 1.1 and 1.10, are equal and not the same."""
    return old != new or (type(old) in (float, Decimal) and repr(old) != repr(new))


def _param(place: int) -> str:
    return f"p{place}"
