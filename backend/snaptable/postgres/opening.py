"""Opening: the tables are made, or compared with the models; then the engine answers.

1. Connect, and read what is there.
2. If it is not what the models say: alone, in one transaction, make it so.
3. Begin to hand out connections.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from uuid import uuid4

from psycopg import Error
from psycopg.errors import DeadlockDetected

from snaptable.changes.retention import USUAL, Retention
from snaptable.codec import Codec
from snaptable.contract import WRITER_TIMEOUT
from snaptable.errors import OpenError, ReadOnlyStore, SchemaMismatch, UnsupportedFormat
from snaptable.postgres.commits import CommitTable
from snaptable.postgres.engine import PostgresCore
from snaptable.postgres.layout import catalog
from snaptable.postgres.layout.catalog import FORMAT, Catalog, MadeTable, State
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.ddl import TableDdl, create_own_tables, create_references
from snaptable.postgres.layout.migrating import Migrating
from snaptable.postgres.layout.names import REVISIONS, STATE, name_of
from snaptable.postgres.options import PostgresOptions
from snaptable.postgres.past import RecordedCommits
from snaptable.postgres.revisions import Revisions
from snaptable.postgres.rows import TableRows
from snaptable.postgres.server.connections import Connections, Session, Threads
from snaptable.postgres.server.dialect import DIALECTS, Dialect
from snaptable.postgres.server.failures import as_own, is_lost
from snaptable.schema.tables import TableSchema
from snaptable.storage.migration import SchemaChanges

_LOCK = 0x736E6170
"""The number of the lock under which tables are made: one opening at a time."""
MOST_ATTEMPTS = 10


@dataclass(frozen=True)
class Opened:
    """A database that was opened."""

    core: PostgresCore
    past: RecordedCommits


@dataclass(frozen=True)
class Opener:
    """How a database is opened."""

    url: str
    schemas: Mapping[str, TableSchema]
    options: PostgresOptions
    read_only: bool = False
    history: bool = True
    fsync: bool = True
    writer_timeout: float = WRITER_TIMEOUT
    changes: SchemaChanges | None = None
    retention: Retention = USUAL
    shown: str = "the database"
    codecs: dict[str, Codec] = field(default_factory=dict)

    @property
    def dialect(self) -> Dialect:
        """What the server can do."""
        return DIALECTS[self.options.server]

    def open(self) -> Opened:
        """Open the database.

        Raises:
            OpenError: it can't be opened; the subclasses say why.
        """
        connections = self._connections("any" if self.read_only else "read-write")
        try:
            # 1. What is there.
            session = connections.connect()
        except Error as error:
            raise OpenError(f"PostgreSQL can't be reached: {_reason(error)}") from None
        try:
            self.codecs.update({name: schema.derive(Codec) for name, schema in self.schemas.items()})
            present = catalog.read_catalog(session.ask)
            # 2. Make it what the models say.
            if not self._fits(present):
                present = self._make(session)
            if self.options.revisions is not None and REVISIONS not in present.tables and not self.read_only:
                present = self._make_revisions(session, self.options.revisions)
            state = present.state
            assert state is not None
            rows = {name: self._rows(name, present) for name in self.schemas}
            revisions = Revisions.of(session, rows) if REVISIONS in present.tables else None
        except Error as error:
            raise OpenError(f"the database can't be opened: {as_own(error)}") from None
        finally:
            session.close()
        # 3. Answer.
        return self._wire(connections, state.store, rows, revisions)

    def _wire(
        self, connections: Connections, store: str, rows: dict[str, TableRows], revisions: Revisions | None
    ) -> Opened:
        """Open the pools, and return what answers by them."""
        connections.open()
        standby = self._connections("prefer-standby") if connections.has_several_hosts else None
        if standby is not None:
            standby.open()
        threads = Threads(self.options.pool_size)
        refusal = ReadOnlyStore("the database was opened with read_only=True") if self.read_only else None
        commits = CommitTable(self.dialect) if self.history else None
        core = PostgresCore(connections, threads, rows, commits, self.dialect, refusal, standby, self.writer_timeout)
        core.revisions = revisions
        past = RecordedCommits(store, core.fetch, core.last_commit, self.dialect.json)
        if self.history and not self.read_only:
            core.prune = lambda ask: past.prune(ask, self.retention)
        return Opened(core, past)

    def _connections(self, target: str) -> Connections:
        settings = self._settings(reads_only=self.read_only or target == "prefer-standby")
        options = self.options
        return Connections(
            self.url, options.pool_size, settings, prepare=options.prepare, wait=self.writer_timeout, target=target
        )

    def _settings(self, *, reads_only: bool) -> dict[str, str]:
        settings = {
            "timezone": "UTC",
            # A standby has no serializable transactions.
            "default_transaction_isolation": "repeatable\\ read" if reads_only else "serializable",
            "lock_timeout": f"{int(self.writer_timeout * 1000)}",
        }
        if self.options.statement_timeout is not None:
            settings["statement_timeout"] = f"{int(self.options.statement_timeout * 1000)}"
        if reads_only:
            settings["default_transaction_read_only"] = "on"
        if not self.fsync:
            settings["synchronous_commit"] = "off"
        return settings

    # ── what there is, and what there should be ─────────────────────────────────────────────────────────────────────

    def _columns(self, name: str, present: Catalog) -> StoredColumns:
        return StoredColumns(self.codecs[name], self.dialect, present.types(name_of(name)))

    def _ddl(self, present: Catalog) -> dict[str, TableDdl]:
        return {
            name: TableDdl(schema, self._columns(name, present), self.dialect) for name, schema in self.schemas.items()
        }

    def _rows(self, name: str, present: Catalog) -> TableRows:
        columns = self._columns(name, present)
        ddl = TableDdl(self.schemas[name], columns, self.dialect)
        return TableRows(self.codecs[name], columns, ddl, advisory_locks=self.dialect.advisory_locks)

    def _fits(self, present: Catalog) -> bool:
        """Return whether nothing is to be made.

        Raises:
            OpenError: what is there is of another format, or of a newer version of the program.
        """
        if present.state is None:
            return False
        if present.state.format > FORMAT:
            raise UnsupportedFormat(
                f"the database was written by a newer version (format {present.state.format}; this one reads {FORMAT})"
            )
        if self.changes is not None and self.changes.pending(present.state.migrations, self.shown):
            return False
        tables = self._ddl(present)
        wanted = {name: _made(table) for name, table in tables.items()}
        is_there = all(name_of(name) in present.tables for name in tables)
        return is_there and wanted == present.state.made and not any(map(partial(_differs, present), tables.values()))

    # ── making ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _make(self, session: Session) -> Catalog:
        """Make what is missing, alone, in one transaction; return what is there then.

        It is begun again where transactions of other processes, and it, wait for each other's tables.
        """
        if self.read_only:
            raise OpenError("there is no such database yet, and read_only=True makes none")
        for _ in range(MOST_ATTEMPTS - 1):
            with suppress(DeadlockDetected):
                return self._make_once(session)
            session.tell("rollback")
        return self._make_once(session)

    def _make_once(self, session: Session) -> Catalog:
        session.tell("begin isolation level read committed")
        if self.dialect.advisory_locks:
            session.tell(f"select pg_advisory_xact_lock({_LOCK})")
        present = catalog.read_catalog(session.ask)
        if not self._fits(present):
            self._change(session, present)
            present = catalog.read_catalog(session.ask)
        session.tell("commit")
        return present

    def _make_revisions(self, session: Session, field: str) -> Catalog:
        """Make the table of revisions, alone; return what is there then."""
        session.tell("begin isolation level read committed")
        if self.dialect.advisory_locks:
            session.tell(f"select pg_advisory_xact_lock({_LOCK})")
        Revisions.make(session, field)
        session.tell("commit")
        return catalog.read_catalog(session.ask)

    def _change(self, session: Session, present: Catalog) -> None:
        """Make the database what the models say, inside the opening's transaction."""
        tables = self._ddl(present)
        differing = {
            name
            for name, table in tables.items()
            if name_of(name) in present.tables
            and (_differs(present, table) or (present.state is not None and _lost_columns(present.state, name, table)))
        }
        if present.state is None and differing:
            raise SchemaMismatch(f"{self.shown}: there are tables {', '.join(sorted(differing))} of other makers")
        record = None
        if present.state is not None:
            migrating = Migrating(session, present, tables, self.codecs, self.changes, self.dialect, self.shown)
            if differing or migrating.pending:
                record = migrating.run(differing)
                present = catalog.read_catalog(session.ask)
            migrating.refuse_left_tables(present)
        # A cursor without binary results takes many statements at once.
        session.execute(";\n".join(self._statements(present, tables)))
        if REVISIONS in present.tables:
            Revisions.renew_all(session)  # rows may be others now, by code that this is not told of
        if record is not None and self.history:
            CommitTable(self.dialect).add_record(session, record)

    def _statements(self, present: Catalog, tables: dict[str, TableDdl]) -> Iterator[str]:
        """Yield what makes the tables and indexes that are missing, and takes note of it."""
        yield from create_own_tables(self.dialect)
        missing = {name: None for name in tables if name_of(name) not in present.tables}
        for name in missing:
            yield from tables[name].create()
        yield from create_references(tables, missing)
        made = present.state.made if present.state is not None else {}
        for name, table in tables.items():
            if name not in missing:
                known = set(made[name].indexes) if name in made else set()
                yield from _changed_indexes(table, known, present)
        text = _literal(json.dumps(made_of(tables)))
        names = _literal(json.dumps(list(self.changes.names if self.changes is not None else ())))
        if present.state is None:
            yield (
                f"insert into {STATE} (store, format, migrations, made, erased) values "
                f"('{uuid4()}', {FORMAT}, {names}, {text}, '{{}}') on conflict do nothing"
            )
        else:
            yield f"update {STATE} set made = {text}, migrations = {names}"


def _differs(present: Catalog, table: TableDdl) -> bool:
    """Return whether a table's columns are not what its model says; more of them, of other makers, don't matter."""
    there = present.tables.get(name_of(table.schema.name), {})
    for column in table.columns.by_name.values():
        wanted = {column.stored_name: column.sql} | ({column.twin_name: "bool"} if column.twin else {})
        for stored, kind in wanted.items():
            known = there.get(stored)
            if known is None or known.type != kind or (known.is_required and column.nullable):
                return True
    return False


def _lost_columns(state: State, name: str, table: TableDdl) -> bool:
    """Return whether the engine made columns of a table, or filled them otherwise, that its model doesn't have so."""
    made = state.made.get(name)
    return made is not None and made.columns != _made(table).columns


def _made(table: TableDdl) -> MadeTable:
    columns = {column.stored_name: column.family for column in table.columns.by_name.values()}
    return MadeTable(dict(columns), sorted(table.indexed_names()))


def made_of(tables: Mapping[str, TableDdl]) -> dict[str, dict[str, object]]:
    """Return what the engine makes, as the database remembers it."""
    return {name: asdict(_made(table)) for name, table in tables.items()}


def _changed_indexes(table: TableDdl, made: set[str], present: Catalog) -> Iterator[str]:
    """Yield what makes the indexes that are missing, and drops those that the engine made for marks that are gone."""
    wanted, there = table.indexed_names(), present.indexes.get(name_of(table.schema.name), set())
    for name in sorted((made & there) - wanted.keys()):
        yield from table.drop_index(name, present.schema)
    for name, index in wanted.items():
        if name not in there:
            yield from table.create_index(index)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _reason(error: Error) -> str:
    """Return why a connection was refused: the server's own words, which hold no values."""
    if not is_lost(error):
        return str(as_own(error))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else "the connection was lost"
