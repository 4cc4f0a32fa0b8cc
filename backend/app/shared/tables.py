"""The tables that processes share, and how statements on them are carried out: plain SQL, for what no row is.

What is counted or claimed is committed at once, by statements that lock the record they change: whichever process comes
second sees what the first has done. Times are those of the server, which all processes have in common.
"""

import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from app.shared import user_locks
from snaptable import Database

if TYPE_CHECKING:
    from snaptable.engines.postgresql import PostgresEngine
    from snaptable.postgres.engine import PostgresCore

T = TypeVar("T")
Records = list[tuple[Any, ...]]
Ask = Callable[[str, "Mapping[str, object] | None"], Records]
"""Carries out a statement with its parameters by name, and returns the records it gives."""

_LOCK = 0x736E6170
"""Held while the tables are made: `create table if not exists` fails where two do it at once."""
_TABLES = (
    "create table if not exists backend_usages (user_id text primary key, documents int8 not null, marks int8 not null,"
    " document_bytes int8 not null, row_bytes int8 not null)",
    "create table if not exists backend_counts (id text primary key, number int8 not null, ends timestamptz not null)",
    "create index if not exists backend_counts_ends on backend_counts (ends)",
    "create table if not exists backend_blobs (sha256 text primary key, pins int8 not null default 0,"
    " pinned_until timestamptz, kept_since timestamptz, size int8)",
    "create table if not exists backend_leases (name text primary key, holder text not null,"
    " ends timestamptz not null)",
    "create table if not exists backend_admin_sessions (digest text primary key, name text not null,"
    " began timestamptz not null, used timestamptz not null)",
    "create table if not exists backend_uploads (token text primary key, owner text not null, name text not null,"
    " form text, data bytea not null, at timestamptz not null)",
    "create table if not exists backend_secrets (name text primary key, secret text not null)",
    *(f"create table if not exists {name} ()" for name in user_locks.NAMES),
)
_IS_THERE = f"select to_regclass('{user_locks.NAMES[-1]}') is not null"


class SharedTables:
    """The tables beside those of a database on a server."""

    def __init__(self, db: Database) -> None:
        """Take the database, which may be opened later."""
        self._db = db
        self.user_locks = user_locks.UserLocks()

    @property
    def _core(self) -> "PostgresCore":
        engine = self._db._opened()
        if TYPE_CHECKING:
            assert isinstance(engine, PostgresEngine)
        return engine.core

    def make(self) -> None:
        """Make the tables that are missing."""

        def work(ask: Ask) -> None:
            if ask(_IS_THERE, None) != [(True,)]:
                if self._core.dialect.advisory_locks:
                    ask(f"select pg_advisory_xact_lock({_LOCK})", None)
                for statement in _TABLES:
                    ask(statement, None)

        self.aside(work)

    def ask(self, sql: str, params: Mapping[str, object] | None = None) -> Records:
        """Return the records of a statement: in the caller's transaction, or else committed by itself.

        Raises:
            Unavailable: the server can't be reached.
        """
        transaction = self._core.current
        if transaction is not None:
            return transaction.ask(sql, params)
        return self.aside(lambda ask: ask(sql, params))

    def aside(self, work: Callable[[Ask], T]) -> T:
        """Return what a function gives that is handed `ask`: a transaction of its own, rolled back if it raises.

        It is called again if the connection is lost, or another transaction was in its way. This blocks: call it in a
        thread, beside the event loop.

        Raises:
            Unavailable: the server can't be reached.
        """
        from snaptable.postgres.server.retry import retried  # only where there is a server

        core = self._core
        results: list[T] = []
        retried(lambda: core.aside(lambda ask: results.append(work(ask))), core.circuit)
        return results[-1]

    def ask_once(self, sql: str, params: Mapping[str, object]) -> None:
        """Carry out a statement that must not be done twice, committed by itself: never again, whatever becomes of it.

        Raises:
            Unavailable: the server can't be reached, or went away: it may be done, or not.
        """

        def work(ask: Ask) -> None:
            ask(sql, params)

        self._core.aside(work)

    def secret(self, name: str) -> bytes:
        """Return random bytes that are the same for all processes, made by the first that asks."""
        self.ask(
            "insert into backend_secrets (name, secret) values (%(name)s, %(secret)s) on conflict (name) do nothing",
            {"name": name, "secret": secrets.token_hex(16)},
        )
        ((secret,),) = self.ask("select secret from backend_secrets where name = %(name)s", {"name": name})
        return bytes.fromhex(str(secret))
