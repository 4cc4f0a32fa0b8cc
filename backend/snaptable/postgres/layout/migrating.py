"""Tables brought into the shape of today's models: migrations, and fields that the models have and the tables not.

The rows of the tables that there are become JSON objects, as a store's files have them, and go through the same steps.
What the steps leave is validated by the models. A table whose columns change is made anew, with its rows in their
places; of others the rows that differ are written. All in the transaction of the opening, with a commit that says so:
an opening that fails leaves everything as it was. O(rows) of every table if a migration is pending, else of those that
change.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from psycopg import IntegrityError
from pydantic import BaseModel
from pydantic_core import to_json

from snaptable.changes.attribution import Attribution
from snaptable.changes.records import ChangeRecord, CommitRecord, FillIn
from snaptable.codec import Codec
from snaptable.errors import InvalidRow, MigrationFailed, OpenError, SchemaMismatch, listed
from snaptable.postgres.layout.catalog import Catalog
from snaptable.postgres.layout.column import Unstorable
from snaptable.postgres.layout.ddl import TableDdl
from snaptable.postgres.layout.names import EXACT, PLACE, name_of, quoted
from snaptable.postgres.layout.packing import Packer, blocks
from snaptable.postgres.server.connections import Session
from snaptable.postgres.server.dialect import Dialect
from snaptable.storage import fill_ins
from snaptable.storage.migration import NoSchemaChanges, SchemaChanges
from snaptable.storage.raw_rows import RawRow, RawTables, UnwritableRow, changes_of, encoded

MOST_PROBLEMS = 10
"""Rows that a message lists."""
VIA = Attribution(via="migration")
_TWIN = "_aware$"


@dataclass
class Table:
    """One table on its way into today's shape.

    Attributes:
        raw: the rows as they were, by the text of their keys.
        places: their places.
        number: the last number that it gave out.
        rows: the rows as the models have them, with their JSON.
    """

    raw: dict[str, RawRow] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    number: int = 0
    rows: dict[str, tuple[BaseModel, bytes]] = field(default_factory=dict)


class Migrating:
    """One opening that changes tables that there are."""

    def __init__(
        self,
        session: Session,
        present: Catalog,
        ddl: Mapping[str, TableDdl],
        codecs: Mapping[str, Codec],
        changes: SchemaChanges | None,
        dialect: Dialect,
        shown: str,
    ) -> None:
        """Take the connection, inside the opening's transaction, and what is there and what should be."""
        self._session, self._present, self._ddl, self._codecs = session, present, ddl, codecs
        self._dialect = dialect
        self._changes: SchemaChanges = changes or NoSchemaChanges()
        self._shown = shown
        assert present.state is not None
        self._state = present.state
        self.pending = self._changes.pending(self._state.migrations, shown)

    def run(self, differing: set[str]) -> CommitRecord | None:
        """Bring tables into shape; return the commit that says so, None if no row is another.

        Args:
            differing: the tables that there are whose columns are not what the models say.

        Raises:
            MigrationNeeded, MigrationFailed, SchemaMismatch: nothing may be, or could be, done.
        """
        # 1. What is there, and stays so.
        self._changes.refuse_unless_open(self.pending, self._shown, read_only=False)
        names = (
            {each for each in self._state.made if name_of(each) in self._present.tables} if self.pending else differing
        )
        self._lock(names)
        tables = {name: self._read(name) for name in sorted(names)}
        # 2. The steps, and into the models.
        self._migrate(tables)
        filled = list(self._filled_in(tables)) if not self.pending else []
        self._refuse_unsafe(filled)
        # 3. Into the tables.
        gone = [name for name in tables if name not in self._ddl]
        changed = [
            name
            for name in tables
            if name in self._ddl and (name in differing or self._has_changed(name, tables[name]))
        ]
        added = [name for name in self._ddl if name not in self._present.tables]
        try:
            self._rebuild(list(dict.fromkeys([*changed, *added])), gone, tables)
        except (IntegrityError, InvalidRow) as error:
            raise self._refusal([_violated(error)]) from None
        # 4. The commit.
        made = tuple(change for name in tables for change in self._changes_of(name, tables[name]))
        automatic = fill_ins.names_of(filled)
        if not made and not self.pending:
            return None
        return CommitRecord(0, made, {}, VIA, (), (*self.pending, *automatic))

    def refuse_left_tables(self, present: Catalog) -> None:
        """Raise SchemaMismatch for tables with rows that the engine made, and that the models don't have any more."""
        names = [name for name in self._state.made if name not in self._ddl and name_of(name) in present.tables]
        left = [name for name in names if self._session.ask(f"select 1 from {quoted(name_of(name))} limit 1")]
        if left:
            lines = [f'drop_table("{name}")' for name in left]
            raise SchemaMismatch(
                "\n  ".join([f"{self._shown} holds rows of {', '.join(left)}, which the models don't have:", *lines])
            )

    # ── what is there ───────────────────────────────────────────────────────────────────────────────────────────────

    def _lock(self, names: set[str]) -> None:
        """Keep other processes out of tables until the end: what they commit behind the reading would be dropped."""
        schema = quoted(self._present.schema)
        if names and self._dialect.barrier == "lock":
            self._session.tell(f"lock table {', '.join(f'{schema}.{quoted(name_of(name))}' for name in sorted(names))}")

    def _read(self, name: str) -> Table:
        """Return the rows of a table as JSON objects, whatever models made them; O(n)."""
        columns = self._present.tables[name_of(name)]
        listed_columns = ", ".join(map(quoted, columns))
        table = Table()
        key = self._key_of(name)
        for record in self._session.ask(
            f"select {listed_columns} from {quoted(name_of(name))} order by {quoted(PLACE)}"
        ):
            row = raw_row(dict(zip(columns, record, strict=True)), self._state.made[name].columns)
            table.raw[str(row[key])] = row
            table.places[str(row[key])] = record[list(columns).index(PLACE)]
        numbers = name_of(name, "numbers")
        if self._session.ask(
            "select 1 from pg_class where oid = to_regclass(%(name)b::text)",
            {"name": f"{quoted(self._present.schema)}.{quoted(numbers)}"},
        ):
            ((table.number,),) = self._session.ask(f"select last_value - (not is_called)::int from {quoted(numbers)}")
        return table

    def _key_of(self, name: str) -> str:
        records = self._session.ask(
            "select a.attname::text from pg_index i join pg_attribute a on a.attrelid = i.indrelid and "
            "a.attnum = any(i.indkey) where i.indrelid = to_regclass(%(name)b::text) and i.indisprimary",
            {"name": f"{quoted(self._present.schema)}.{quoted(name_of(name))}"},
        )
        return str(records[0][0])

    def _migrate(self, tables: dict[str, Table]) -> None:
        """Take the rows through the pending steps; raises OpenError unless the models take what these leave."""
        raw: dict[str, dict[str, RawRow]] = {
            name: {key: cast("RawRow", json.loads(json.dumps(row))) for key, row in each.raw.items()}
            for name, each in tables.items()
        }
        numbered = {name: each.number for name, each in tables.items() if each.number}
        self._changes.apply(cast("RawTables", raw), self.pending, numbered)
        self._validate(raw, tables)
        for name, number in numbered.items():
            if name in tables:
                tables[name].number = max(tables[name].number, number)

    # ── into the models ─────────────────────────────────────────────────────────────────────────────────────────────

    def _validate(self, raw: Mapping[str, dict[str, RawRow]], tables: dict[str, Table]) -> None:
        problems: list[str] = []
        first: tuple[str, str] | tuple[()] = ()
        left = [name for name, rows in raw.items() if name not in self._ddl and rows]
        if left:
            problems.append(f"there are rows of {', '.join(left)}, which the database doesn't have")
        for name in self._ddl.keys() & raw.keys():
            codec, table = self._codecs[name], tables.setdefault(name, Table())
            for key, row in raw[name].items():
                try:
                    text = encoded(name, key, row, tuple(codec.schema.columns))
                    table.rows[key] = codec.complete(text, key)
                except (InvalidRow, UnwritableRow) as error:
                    problems.append(str(error))
                    first = first or (name, key)
        if not problems:
            return
        advice = self._changes.advice(cast("RawTables", dict(raw)), problems)
        raise self._refusal([*listed(problems, MOST_PROBLEMS), *advice], *first)

    def _refusal(self, lines: list[str], table: str | None = None, key: str | None = None) -> OpenError:
        """Return the error of rows that the models, or the constraints, don't take."""
        if not self.pending:
            return SchemaMismatch("\n  ".join([f"{self._shown}: the rows don't fit the models:", *lines]))
        names = ", ".join(map(repr, self.pending))
        first = f"{self._shown}: what the migrations {names} leave can't be stored; nothing was changed:"
        return MigrationFailed("\n  ".join([first, *lines]), migration=self.pending[-1], table=table, key=key)

    def _filled_in(self, tables: Mapping[str, Table]) -> Iterator[FillIn]:
        for name, table in tables.items():
            for key, (_, text) in table.rows.items():
                before, after = table.raw[key], json.loads(text)
                added = tuple(each for each in after if each not in before)
                changed = tuple(self._differing(name, before, after))
                if added or changed:
                    yield FillIn(name, key, text, to_json({each: before[each] for each in changed}), added, changed, ())

    def _differing(self, name: str, before: RawRow, after: RawRow) -> Iterator[str]:
        """Yield the fields that say something else in another row."""
        codec = self._codecs[name]
        for each in before.keys() & after.keys():
            one, other = before[each], after[each]
            if json.dumps(one) != json.dumps(other) and not codec.is_written_alike(each, one, other):
                yield each

    def _refuse_unsafe(self, filled: list[FillIn]) -> None:
        rewritten = fill_ins.rewritten(filled)
        if rewritten:
            lines = [f'{table}: retype("{table}.{name}", using=…)' for table, name in rewritten]
            fields = ", ".join(f"{table}.{name}" for table, name in rewritten)
            raise SchemaMismatch(
                "\n  ".join([f"{self._shown}: the models write {fields} otherwise; nothing was changed:", *lines])
            )
        self._changes.refuse_unless_open(fill_ins.names_of(filled), self._shown, read_only=False)

    def _has_changed(self, name: str, table: Table) -> bool:
        if table.raw.keys() != table.rows.keys():
            return True
        rows = ((table.raw[key], json.loads(text)) for key, (_, text) in table.rows.items())
        return any(old.keys() != new.keys() or any(self._differing(name, old, new)) for old, new in rows)

    # ── into the tables ─────────────────────────────────────────────────────────────────────────────────────────────

    def _rebuild(self, names: list[str], gone: list[str], tables: Mapping[str, Table]) -> None:
        """Make tables anew, with their rows and constraints, and drop those that are gone."""
        schema = quoted(self._present.schema)
        for name in [*names, *gone]:
            if name in tables and name_of(name) in self._present.tables:
                # By its schema: another one in the search path may have tables of the same names.
                self._session.tell(f"drop table {schema}.{quoted(name_of(name))} cascade")
                self._session.tell(f"drop sequence if exists {schema}.{quoted(name_of(name, 'numbers'))}")
        for name in names:
            ddl = self._ddl[name]
            self._tell_all(ddl.create_table())
            self._fill(name, ddl, tables.get(name, Table()))
            self._tell_all(ddl.create_indexes())
        made_anew = set(names)
        for name, ddl in self._ddl.items():
            for reference in ddl.schema.references:
                if name in made_anew or reference.target in made_anew:
                    self._session.tell(ddl.create_reference(reference, self._ddl[reference.target]))

    def _tell_all(self, statements: Iterator[str]) -> None:
        for statement in statements:
            self._session.tell(statement)

    def _fill(self, name: str, ddl: TableDdl, table: Table) -> None:
        free = max(table.places.values(), default=0)
        packer, packed = Packer(ddl.columns), list[bytes]()
        for key, (row, _) in table.rows.items():
            place = table.places.get(key)
            if place is None:
                free += 1
                place = free
            packed.append(_packed(name, packer, row, key, place))
        # Frozen: a reader that waited for the table has a snapshot from before, and would find a new row invisible.
        frozen = ", freeze" if self._dialect.barrier == "lock" else ""
        sql = f"copy {ddl.table} ({packer.names}) from stdin (format binary{frozen})"
        with self._session.cursor().copy(sql.encode()) as copy:
            for data in blocks(packed):
                copy.write(data)
        if free:
            self._session.tell(f"select setval(pg_get_serial_sequence('{ddl.table}', '{PLACE}'), {free})")
        if ddl.schema.numbered:
            keys = [key for key in (getattr(row, ddl.schema.key) for row, _ in table.rows.values()) if key > 0]
            last = max([table.number, *keys])
            if last:
                self._session.tell(f"select setval('{ddl.numbers}', {last})")

    # ── the commit ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _changes_of(self, name: str, table: Table) -> Iterator[ChangeRecord]:
        schema = self._codecs[name].schema if name in self._codecs else None
        if schema is not None and schema.transient:
            return
        before = {key: to_json(row) for key, row in table.raw.items()}
        yield from changes_of(name, before, {key: text for key, (_, text) in table.rows.items()})


def raw_row(values: Mapping[str, Any], families: Mapping[str, str]) -> RawRow:
    """Return a record as the JSON object that a file would have: by the families of the engine's columns alone."""
    exact = values[EXACT]
    kept = json.loads(exact) if exact is not None else {}
    fields = [name for name in values if name in families]
    if kept and all(name in kept for name in fields):
        return cast("RawRow", kept)  # the row itself: its model has code of its own
    row: RawRow = {}
    for name in fields:
        value = values[name]
        if f"{name}{_TWIN}" in values and values[f"{name}{_TWIN}"] is False:
            value = value.replace(tzinfo=None)
        if name in kept:
            row[name] = json.loads(kept[name])
        elif families[name] == "json":
            row[name] = None if value is None else json.loads(value)
        else:
            row[name] = json.loads(to_json(value, bytes_mode="base64"))
    return row


def _violated(error: Exception) -> str:
    if not isinstance(error, IntegrityError):
        return str(error)
    return f"{error.diag.table_name}: the constraint {error.diag.constraint_name} doesn't hold"


def _packed(name: str, packer: Packer, row: BaseModel, key: str, place: int) -> bytes:
    try:
        return packer.pack(row, place)
    except Unstorable as error:
        raise InvalidRow(
            f"{name}[{key!r}].{error.args[1]}: {error.args[0]}", table=name, key=key, fields=(str(error.args[1]),)
        ) from None
