"""Connections: a pool of them, threads for what an event loop must not wait for, and how a session is begun.

A session is begun by start-up options alone, never by a `SET`, and whatever a transaction needs is said in its `BEGIN`:
so a pooler that gives each transaction another connection (PgBouncer) changes nothing.
"""

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

from psycopg import Connection, Cursor, DataError, Error
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from snaptable.errors import DatabaseClosed, OpenError, TransactionError, Unavailable
from snaptable.postgres.server import adapt
from snaptable.postgres.server.adapt import Record
from snaptable.postgres.server.failures import ConnectionLost, as_own

T = TypeVar("T")
Records = list[Record]
Params = Mapping[str, object] | None
"""Of a statement, by name."""


class Fetch(Protocol):
    """What returns the records of a statement: in a caller's transaction, or by itself."""

    def __call__(self, sql: str, params: Params = None, /) -> Records:
        """Return the records."""


APPLICATION = "snaptable"
CONNECT_TIMEOUT = 5
"""Seconds, for each host of the URL."""
_LOOK_EVERY = 0.5
"""Seconds that a call waits for the pool before it looks whether the server is there at all."""
PREPARED_AFTER = 2
"""How often a statement is sent before it is prepared."""


class Session(Connection[Record]):
    """A connection with the cursor that all its statements go through.

    Attributes:
        used_at: when it last was known to answer, in seconds of `time.monotonic`.
    """

    used_at: float = 0.0

    @cached_property
    def reader(self) -> Cursor[Record]:
        """The cursor, which has values in binary."""
        return self.new_reader()

    def new_reader(self) -> Cursor[Record]:
        """Return another such cursor, whose result stays while other statements are carried out; see `records_of`."""
        cursor = self.cursor(binary=True)
        adapt.register_quick(cursor.adapters)
        return cursor

    def ask(self, sql: str, params: Params = None) -> Records:
        """Return the records of a statement; raises psycopg's errors."""
        cursor = self.reader.execute(sql, params)
        return records_of(cursor) if has_records(cursor) else []

    def tell(self, sql: str) -> None:
        """Carry out a statement without parameters that is not worth preparing."""
        self.reader.execute(sql, prepare=False)


def has_records(cursor: Cursor[Record]) -> bool:
    """Return whether a cursor's statement was one that has records; O(1).

    `cursor.description` would tell, but makes an object of each column to do so, at every statement.
    """
    return cursor.pgresult is not None and cursor.pgresult.nfields > 0


def records_of(cursor: Cursor[Record]) -> Records:
    """Return the records of a reader's result, which has come already."""
    try:
        return cursor.fetchall()
    except DataError:  # a moment in a year that Python has not
        return adapt.reread(cursor)


def parts_of(cursor: Cursor[Record], size: int) -> Iterator[Records]:
    """Yield the same records, `size` at a time: of a large result no more are made than are looked at."""
    done = 0
    try:
        while records := cursor.fetchmany(size):
            yield records
            done += len(records)
    except DataError:
        records = adapt.reread(cursor)
        yield from (records[place : place + size] for place in range(done, len(records), size))


class PoolStats(NamedTuple):
    """Connections that are open, of these idle ones, calls that wait for one, and how many may be open."""

    open: int
    idle: int
    waiting: int
    most: int


class Connections:
    """The pool of connections to one database."""

    def __init__(
        self, url: str, size: int, options: Mapping[str, str], *, prepare: bool, wait: float, target: str = "any"
    ) -> None:
        """Take how they are made; none is yet.

        Args:
            url: as libpq reads it.
            size: how many there are at most.
            options: settings of each session.
            prepare: whether statements are prepared on the server.
            wait: seconds that a call waits at most while all connections are in use.
            target: which of several hosts is meant, unless the URL says so: "read-write", "prefer-standby" or "any".

        Raises:
            OpenError: the URL is none.
        """
        try:
            given = conninfo_to_dict(url)
        except Error:
            raise OpenError("the URL of the database is not one that PostgreSQL's libraries read") from None
        settings = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._kwargs: dict[str, Any] = {
            "autocommit": True,
            "prepare_threshold": PREPARED_AFTER if prepare else None,
            "options": f"{settings} {given.get('options') or ''}".strip(),
            "application_name": given.get("application_name") or APPLICATION,
            "connect_timeout": given.get("connect_timeout") or CONNECT_TIMEOUT,
        }
        self.has_several_hosts = "," in str(given.get("host") or given.get("hostaddr") or "")
        if self.has_several_hosts and (target == "prefer-standby" or "target_session_attrs" not in given):
            self._kwargs["target_session_attrs"] = target
        self._url, self._size, self._wait = url, size, wait
        self._pool: ConnectionPool[Session] | None = None
        self._lost_at = 0.0

    def connect(self) -> Session:
        """Return a connection beside the pool.

        Raises:
            Error: psycopg's, of every kind.
        """
        session = Session.connect(self._url, **self._kwargs)
        adapt.register(session.adapters)
        return session

    def open(self) -> None:
        """Begin to hand out connections."""
        self._pool = ConnectionPool(
            self._url, connection_class=Session, kwargs=self._kwargs, min_size=0, max_size=self._size, open=True,
            configure=_configure, reconnect_timeout=_LOOK_EVERY, num_workers=2, name=APPLICATION,
        )  # fmt: skip

    @property
    def stats(self) -> PoolStats:
        """How many connections there are, and calls that wait for one; O(1)."""
        stats = {} if self._pool is None else self._pool.get_stats()
        open_, idle, waiting = (stats.get(name, 0) for name in ("pool_size", "pool_available", "requests_waiting"))
        return PoolStats(open_, idle, waiting, self._size)

    def take(self) -> Session:
        """Return a connection, which is given back by `give_back`.

        Raises:
            ConnectionLost: the server accepts none.
            Unavailable: all are in use.
            DatabaseClosed: after `close`.
        """
        begun = time.monotonic()
        while True:
            pool = self._pool
            if pool is None:
                raise DatabaseClosed("the database is not open")
            try:
                session = pool.getconn(timeout=_LOOK_EVERY)
            except PoolTimeout:
                if pool.get_stats().get("pool_size", 0) < self._size:
                    raise ConnectionLost("PostgreSQL accepts no connection") from None
                if time.monotonic() - begun >= self._wait:
                    raise Unavailable(f"all {self._size} connections were in use for {self._wait:g} s") from None
            except PoolClosed:
                raise DatabaseClosed("the database is not open") from None
            else:
                if self._is_well(session):
                    return session
                self.give_back(session)

    def _is_well(self, session: Session) -> bool:
        """Return whether a connection still answers; asked only of those from before one was lost."""
        if session.used_at < self._lost_at:
            try:
                session.tell("select 1")
            except Error:
                session.close()
                return False
        session.used_at = time.monotonic()
        return True

    def lost(self) -> None:
        """Take note that a connection was lost: others may be, and are looked at before they are used."""
        self._lost_at = time.monotonic()

    def give_back(self, session: Session) -> None:
        """Take a connection back; one that is broken, or within a transaction, is put right or replaced."""
        if self._pool is not None:
            self._pool.putconn(session)
        else:
            session.close()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Return the context of a connection for single statements, whose errors are the library's own."""
        session = self.take()
        try:
            yield session
        except Error as error:
            own = as_own(error)
            if isinstance(own, ConnectionLost):
                self.lost()
            raise own from None
        finally:
            self.give_back(session)

    def close(self) -> None:
        """Close every connection that is not in use; the others when they are given back."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def abandon(self) -> None:
        """Forget every connection and touch none: this process is a fork of theirs."""
        self._pool = None


def _configure(session: Session) -> None:
    adapt.register(session.adapters)


# ── the event loop ──────────────────────────────────────────────────────────────────────────────────────────────────


def on_event_loop() -> bool:
    """Return whether an event loop runs on this thread."""
    return asyncio._get_running_loop() is not None


def refuse_on_loop() -> None:
    """Raise TransactionError on a thread that runs an event loop, which every answer of a server would hold."""
    if on_event_loop():
        raise TransactionError(
            "an event loop runs on this thread, and waiting for PostgreSQL would hold it: write `await db.read(fn, …)` "
            "for what reads, `await db.run(fn, …)` for what writes"
        )


class Threads:
    """The threads in which functions run that an event loop waits for."""

    def __init__(self, size: int) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=APPLICATION)

    async def run(self, call: Callable[[], T]) -> T:
        """Call a function in a thread, in the caller's context, and return its result."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._executor, context.run, call)

    def close(self) -> None:
        """End the threads once they are idle."""
        self._executor.shutdown(wait=False)
