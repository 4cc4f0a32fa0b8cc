"""The PostgreSQL database that a move fills: the same tables as the engine makes, but their indexes after the rows."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import TracebackType

from psycopg import Error

from snaptable.codec import Codec
from snaptable.database.database import Database
from snaptable.errors import OpenError
from snaptable.maintenance.moving.source import Source
from snaptable.maintenance.moving.steps import MoveRefused
from snaptable.postgres.layout import catalog
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.ddl import TableDdl, create_own_tables, create_references
from snaptable.postgres.layout.names import COMMITS, PLACE, REVISIONS, SOURCE, STATE, name_of, quoted
from snaptable.postgres.layout.packing import Packer
from snaptable.postgres.opening import made_of
from snaptable.postgres.revisions import Revisions
from snaptable.postgres.server.connections import Connections, Records, Session, parts_of
from snaptable.postgres.server.dialect import DIALECTS
from snaptable.postgres.server.failures import as_own

WAIT = 30.0
"""Seconds that it waits for locks."""


class Target:
    """The database of a URL, by a connection of its own."""

    def __init__(self, url: str, models: type[Database]) -> None:
        """Name it; entering connects."""
        self._dialect = DIALECTS["postgresql"]
        settings = {
            "timezone": "UTC",
            "lock_timeout": str(int(WAIT * 1000)),
            "default_transaction_isolation": "read\\ committed",  # what is locked is looked at as it is then
        }
        self._connections = Connections(url, 1, settings, prepare=True, wait=WAIT)
        schemas = models.__schemas__
        self.codecs = {name: schema.derive(Codec) for name, schema in schemas.items()}
        self.columns = {name: StoredColumns(codec, self._dialect, {}) for name, codec in self.codecs.items()}
        self._tables = {name: TableDdl(schema, self.columns[name], self._dialect) for name, schema in schemas.items()}
        self._session: Session | None = None

    def __enter__(self) -> "Target":
        """Connect.

        Raises:
            OpenError: the server can't be reached.
        """
        try:
            self._session = self._connections.connect()
        except Error as error:
            raise OpenError(f"PostgreSQL can't be reached: {as_own(error)}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; what was not committed is undone."""
        self.session.close()

    @property
    def session(self) -> Session:
        """The connection."""
        assert self._session is not None
        return self._session

    @staticmethod
    def own(error: Error) -> Exception:
        """Return the library's error in the place of psycopg's."""
        return as_own(error)

    # ── empty ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def check_empty(self) -> None:
        """Check that nothing would be in the way.

        Raises:
            MoveRefused: there are rows, commits, or tables of other programs under the same names.
        """
        try:
            self._look_for_rows()
        except Error as error:
            raise as_own(error) from None

    def _look_for_rows(self) -> None:
        ask = self.session.ask
        present = catalog.read_catalog(ask)
        there = [name for name in self._tables if name_of(name) in present.tables]
        if there and present.state is None:
            raise MoveRefused(f"the database has a table {there[0]} of another program; take an empty schema")
        for name in there:
            ((has_rows,),) = ask(f"select exists (select 1 from {self._tables[name].table})")
            if has_rows:
                raise MoveRefused(f"the database is not empty: there are {name} in it")
        if present.state is not None:
            ((has_commits,),) = ask(f"select exists (select 1 from {COMMITS})")
            if has_commits or SOURCE in present.tables:
                raise MoveRefused("the database is not empty: it has been written to, or moved to")

    def lock_empty(self) -> None:
        """Within the transaction: look again, and take away what an opening made while there was nothing in it.

        Locked before that: what another process writes meanwhile is seen, or waits, and is never dropped.
        """
        tables = catalog.read_catalog(self.session.ask).tables
        there = [quoted(name_of(name)) for name in self._tables if name_of(name) in tables]
        there += [name for name in (STATE, COMMITS) if name in tables]
        if there:
            self.session.tell(f"lock table {', '.join(there)}")
        self._look_for_rows()
        if there:
            self.session.tell(f"drop table {', '.join(there)}")
        for table in self._tables.values():
            self.session.tell(f"drop sequence if exists {table.numbers}")

    # ── filling ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give the connection within one transaction."""
        with self.session.transaction():
            yield self.session

    def packer(self, name: str) -> Packer:
        """Return what packs the rows of a table."""
        return Packer(self.columns[name])

    def copy_statement(self, name: str) -> str:
        """Return the statement that takes packed rows."""
        return f"copy {self._tables[name].table} ({self.packer(name).names}) from stdin (format binary)"

    def make_tables(self) -> None:
        """Make the tables, without indexes and foreign keys."""
        for statement in create_own_tables(self._dialect):
            self.session.tell(statement)
        self.session.tell(
            f"create table {SOURCE} (only_one bool primary key default true check (only_one), store text not null, "
            f"sequence int8 not null, digest text not null, at timestamptz not null default clock_timestamp())"
        )
        for table in self._tables.values():
            for statement in table.create_table():
                self.session.tell(statement)

    def make_orders(self) -> None:
        """Make the indexes by which rows are read in order."""
        for table in self._tables.values():
            self.session.tell(table.create_order())

    def other_indexes(self) -> Iterator[str]:
        """Yield the statements that make the other indexes, and the foreign keys."""
        for table in self._tables.values():
            for index in table.schema.indexes:
                yield from table.create_index(index)
        yield from create_references(self._tables, self._tables)

    def statistics(self) -> Iterator[str]:
        """Yield the statements that gather statistics, so that the first queries are planned well."""
        for table in self._tables.values():
            yield f"analyze {table.table}"

    def set_numbers(self, last: Mapping[str, int], counts: Mapping[str, int]) -> None:
        """Let tables go on with the numbers and the places behind the last ones."""
        for name, table in self._tables.items():
            if table.schema.numbered and last[name] > 0:
                self.session.tell(f"select setval('{table.numbers}', {last[name]})")
            if counts[name]:
                place = f"pg_get_serial_sequence('{table.table}', '{PLACE}')"
                self.session.tell(f"select setval({place}, {counts[name]})")

    def write_state(self, source: Source) -> None:
        """Write what the engine knows of itself, and where in the source this is."""
        self.session.execute(
            f"insert into {STATE} (store, format, migrations, made, first, erased) "
            f"values (%s, {catalog.FORMAT}, %s, %s, %s, %s)".encode(),
            [
                source.store,
                json.dumps(source.migrations),
                json.dumps(made_of(self._tables)),
                source.sequence,
                json.dumps({table: dict(keys) for table, keys in source.erased.items()}),
            ],
        )
        self.renew_revisions()
        self.set_commits(source.sequence)
        self.session.execute(
            f"insert into {SOURCE} (store, sequence, digest) values (%s, %s, %s)".encode(),
            [source.store, source.sequence, source.head_digest],
        )

    def set_commits(self, sequence: int) -> None:
        """Let the numbers of commits go on behind one."""
        if sequence:
            self.session.tell(f"select setval(pg_get_serial_sequence('{COMMITS}', 'sequence'), {sequence})")

    def renew_revisions(self) -> None:
        """Tell caches that rows are others now, if there are any that ask."""
        if self.session.ask(f"select 1 where to_regclass('{REVISIONS}') is not null"):
            Revisions.renew_all(self.session)

    # ── proving ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def pages(
        self, session: Session, name: str, rows: int, size: int, part: int
    ) -> Iterator[Callable[[], Iterator[Records]]]:
        """Yield the records of a table in order, `size` at a time: functions that yield `part` of them at a time.

        A page has come when its function is yielded: the connection is free while that is called.

        Args:
            session: the connection.
            name: the table.
            rows: how many it should have; more would be on the last page.
            size: of a page.
            part: of a page, that is made to values at once.
        """
        columns, table, place = self.columns[name], self._tables[name].table, quoted(PLACE)
        for first in range(0, max(rows, 1), size):
            end = f" and {place} <= {first + size}" if first + size < rows else ""
            cursor = session.new_reader()
            sql = f"select {columns.select_list} from {table} where {place} > {first}{end} order by {place}"
            cursor.execute(sql.encode(), prepare=False)
            yield partial(parts_of, cursor, part)
