"""The engine on PostgreSQL: sessions, transactions of threads, what is run again.

A commit: changes were written statement by statement → constraints are judged → the record of the commit is written,
which gives it its number → COMMIT. Every transaction is serializable; one that loses against another is run again.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from psycopg import Error

from snaptable.changes.attribution import Attribution
from snaptable.contract import WRITER_TIMEOUT, ServerStatus
from snaptable.errors import DatabaseClosed, ReadOnlyStore, SnaptableError, TransactionConflict, TransactionError
from snaptable.postgres import constraints, contention_lock, outcomes, watching
from snaptable.postgres.commits import CommitTable
from snaptable.postgres.layout.ddl import Constraint
from snaptable.postgres.revisions import Revisions
from snaptable.postgres.rows import TableRows
from snaptable.postgres.server.connections import Connections, Fetch, Params, Records, Threads, refuse_on_loop
from snaptable.postgres.server.dialect import Dialect
from snaptable.postgres.server.failures import ConnectionLost, as_own
from snaptable.postgres.server.retry import Circuit, retried
from snaptable.postgres.standby import Standby
from snaptable.postgres.transaction import ConstraintBroken, ThreadState, Transaction, reads_only
from snaptable.postgres.watching import Watch
from snaptable.runtime.callers import not_awaitable

T = TypeVar("T")
logger = logging.getLogger("snaptable")
PRUNED_EVERY = 1000
"""After how many commits of this process it is looked whether there are more than are to be kept."""


class PostgresCore:
    """The tables of a database, and the transactions on them.

    Attributes:
        rows: the rows of each table, by name.
        commits: the records of commits; None if none are kept.
        circuit: whether the server answers.
    """

    def __init__(
        self,
        connections: Connections,
        threads: Threads,
        rows: Mapping[str, TableRows],
        commits: CommitTable | None,
        dialect: Dialect,
        refusal: ReadOnlyStore | None,
        standby: Connections | None = None,
        writer_timeout: float = WRITER_TIMEOUT,
    ) -> None:
        self.rows, self.commits, self.dialect, self.refusal = rows, commits, dialect, refusal
        self.circuit = Circuit(conflict_seconds=writer_timeout)
        self._connections, self._threads = connections, threads
        self._standby = None if standby is None else Standby(standby)
        self._thread = ThreadState()
        self._constraints: dict[str, Constraint] = dict(
            each for table in rows.values() for each in table.ddl.constraints()
        )
        self.revisions: Revisions | None = None
        """What caches go by; None if nobody has asked for it."""
        self.prune: Callable[[Fetch], None] | None = None
        """Forgets the commits that are not to be kept."""
        self._until_pruned = PRUNED_EVERY
        self._closed: str | None = None
        """Why nothing is answered any more; None while it is."""
        self._stopped = False
        self._open_count = 0
        self._mutex = threading.Condition()
        self.watch = Watch(connections, self.circuit, dialect)

    # ── the caller's transaction ────────────────────────────────────────────────────────────────────────────────────

    @property
    def current(self) -> Transaction | None:
        """The calling thread's transaction; None once it is over, whichever thread ended it."""
        transaction = self._thread.transaction
        return None if transaction is None or transaction.is_over else transaction

    def in_transaction(self) -> bool:
        """Return whether the calling thread is inside a transaction of its own."""
        return self.current is not None

    def fetch(self, sql: str, params: Params = None) -> Records:
        """Return the records of a statement that reads: in the caller's transaction, or by itself.

        Raises:
            TransactionError: an event loop runs on this thread.
            Unavailable: the server can't be reached.
        """
        transaction = self.current
        if transaction is not None:
            return transaction.ask(sql, params)
        self._check_open()
        refuse_on_loop()
        return retried(lambda: self._fetch_once(sql, params), self.circuit)

    def _fetch_once(self, sql: str, params: Params = None) -> Records:
        with (self._thread.reads_from or self._connections).session() as session:
            return session.ask(sql, params)

    def as_of_one_state(self, call: Callable[[], T]) -> T:
        """Return what a function gives that reads with several statements, all of one state."""
        if self.current is not None:
            return call()
        self._check_open()
        refuse_on_loop()
        return retried(lambda: self._in_transaction(lambda _: call(), read_only=True), self.circuit)

    def server_status(self) -> ServerStatus:
        """Return how the server is reached, and how far behind a standby is; at most one round a while to that."""
        lag = None if self._standby is None else self._standby.lag_seconds()
        return ServerStatus(*self._connections.stats, has_standby=self._standby is not None, lag_seconds=lag)

    def last_commit(self) -> int:
        """Return the last commit that readers see: inside a transaction, that it sees."""
        if self.commits is None:
            return 0
        return self.watch.last() if self.current is None else self.commits.last(self.fetch)

    def state_behind_barrier(self) -> AbstractContextManager[Fetch]:
        """Return the context of a connection that sees exactly the commits up to the last one there is."""
        self._check_open()
        return watching.state_behind_barrier(self._connections, self.dialect)

    def aside(self, work: Callable[[Fetch], None]) -> None:
        """Call a function in a transaction that nothing else loses against: what it does concerns no rows of tables."""
        with self._connections.session() as session:
            session.tell("begin isolation level read committed")
            try:
                work(session.ask)
                session.tell("commit")
            except BaseException:
                session.tell("rollback")
                raise

    def write(self, work: Callable[[Transaction], T], *, parts: bool = False) -> T:
        """Return what a function gives that writes: as a transaction of its own, or a part of the caller's.

        Args:
            work: called again if the transaction loses against another.
            parts: whether it writes several rows, so that the first may have to be taken back for the second.
        """
        transaction = self.current
        if transaction is None:
            self.check_writable()
            refuse_on_loop()
            return retried(lambda: self._in_transaction(work), self.circuit)
        self.check_writable()
        transaction.check_writable()
        if not parts:
            return work(transaction)
        with self.part(transaction):
            return work(transaction)

    @contextmanager
    def part(self, transaction: Transaction) -> Iterator[None]:
        """Return the context of a part of a transaction that an exception rolls back by itself."""
        savepoint = transaction.savepoint()
        try:
            yield
        except BaseException:
            transaction.roll_back_to(savepoint)
            raise
        transaction.release()

    def check_usable(self) -> None:
        """Raise DatabaseClosed once it is closed."""
        self._check_open()

    def _check_open(self) -> None:
        if self._closed is not None:
            raise DatabaseClosed(self._closed)

    def check_writable(self) -> None:
        """Raise DatabaseClosed, or ReadOnlyStore where nothing may be written."""
        self._check_open()
        if self.refusal is not None:
            raise self.refusal

    # ── whole transactions ──────────────────────────────────────────────────────────────────────────────────────────

    def _in_transaction(self, work: Callable[[Transaction], T], *, read_only: bool = False, stale: bool = False) -> T:
        try:
            return self._in_one(work, read_only=read_only, stale=stale)
        except TransactionConflict:
            contention_lock.lost()
            raise

    def _in_one(self, work: Callable[[Transaction], T], *, read_only: bool, stale: bool) -> T:
        transaction = self.begin(read_only=read_only, stale=stale)
        try:
            result = work(transaction)
            self.commit(transaction)
        except BaseException:
            if transaction.is_over:
                raise
            failure = transaction.failure
            self.roll_back(transaction)
            if failure is not None:
                raise self.explained(transaction, failure) from None
            raise
        return result

    def begin(
        self, attribution: Attribution | None = None, *, read_only: bool = False, stale: bool = False
    ) -> Transaction:
        """Begin a transaction of the calling thread.

        Raises:
            ConnectionLost: it could not be begun; nothing was done.
            ReadOnlyStore: the thread may only read, and the transaction is to write.
        """
        if self._thread.reads_from is not None and not read_only:
            raise reads_only()
        with self._mutex:
            if self._stopped:
                raise DatabaseClosed("the database is not open")
            self._open_count += 1
        try:
            connections = self._thread.reads_from or self._read_connections(stale=stale)
            session = connections.take()
            transaction = Transaction(session, attribution, read_only=read_only)
            transaction.connections = connections
            try:
                waits = not read_only and self.dialect.barrier == "lock"
                transaction.begin(contention_lock.statement() if waits else None)
                self.circuit.answered()  # whatever becomes of it, the server was there
            except BaseException as error:
                connections.give_back(session)
                if isinstance(error, Error):
                    connections.lost()
                    raise as_own(error) from None
                raise
        except BaseException:
            self._ended()
            raise
        self._thread.transaction = transaction
        return transaction

    def _read_connections(self, *, stale: bool) -> Connections:
        return self._standby.connections if stale and self._standby is not None else self._connections

    def _ended(self) -> None:
        with self._mutex:
            self._open_count -= 1
            self._mutex.notify_all()

    def _let_go(self, transaction: Transaction) -> None:
        transaction.is_over = True
        if self._thread.transaction is transaction:
            self._thread.transaction = None
        connections = transaction.connections or self._connections
        if isinstance(transaction.failure, ConnectionLost):
            connections.lost()
        try:
            connections.give_back(transaction.session)
        finally:
            self._ended()

    def roll_back(self, transaction: Transaction) -> None:
        """Roll a transaction back, and give its connection back."""
        try:
            transaction.session.tell("rollback")
        except Error:
            transaction.session.close()  # whatever it was in the middle of is undone with it
        finally:
            self._let_go(transaction)

    def commit(self, transaction: Transaction) -> None:
        """Commit, and return when it is durable.

        Raises:
            ConstraintError: it would break a constraint; it was rolled back.
            TransactionConflict: it lost against another; it was rolled back.
            ConnectionLost: the connection ended before the server was told to commit.
            OutcomeUnknown: it ended after that, and what became of it could not be found out.
        """
        if transaction.failure is not None:
            failure = transaction.failure
            self.roll_back(transaction)
            raise self.explained(transaction, failure)
        try:
            net = transaction.net_changes()
            if self.revisions is not None:
                self.revisions.renew(transaction, net)
            if self.commits is not None:
                self.commits.add(transaction, net)
            transaction.end()
        except Error as error:
            failure = transaction.failed(error)
            self.roll_back(transaction)
            if transaction.is_committing and isinstance(failure, ConnectionLost):
                outcomes.find_out(self._connections, self.circuit, transaction.mark)
            else:
                raise self.explained(transaction, failure) from None
        except BaseException:
            self.roll_back(transaction)
            raise
        else:
            self._let_go(transaction)
        if transaction.mark is not None:
            self.watch.committed()
            self._count_commit()

    def _count_commit(self) -> None:
        """Have the commits pruned that are not to be kept, once in `PRUNED_EVERY` commits."""
        self._until_pruned -= 1
        if self._until_pruned < 0 and self.prune is not None:
            self._until_pruned = PRUNED_EVERY
            try:
                self.aside(self.prune)
            except SnaptableError as error:
                logger.warning("The history could not be pruned; this is tried again: %s", error)

    def explained(self, transaction: Transaction, failure: Exception) -> Exception:
        """Return the error of a transaction that was rolled back: with rows and fields, if a constraint was broken."""
        if not isinstance(failure, ConstraintBroken):
            return failure
        constraint = self._constraints.get(failure.name)
        return retried(
            lambda: constraints.violation(self.rows, self._fetch_once, transaction, failure.name, constraint),
            self.circuit,
        )

    # ── what users hold ─────────────────────────────────────────────────────────────────────────────────────────────

    def run_here(self, call: Callable[[], T], *, read_only: bool = False, stale: bool = False) -> T:
        """Return what a function gives, called as one transaction in this thread, again if it loses against another."""
        if not read_only:
            self.check_writable()
        return retried(
            lambda: self._in_transaction(lambda _: not_awaitable(call()), read_only=read_only, stale=stale),
            self.circuit,
        )

    async def run(self, call: Callable[[], T]) -> T:
        """Call a function as one transaction in a thread."""
        self._check_open()
        return await self._threads.run(lambda: self.run_here(call))

    async def read(self, call: Callable[[], T], *, stale: bool = False, one_state: bool = True) -> T:
        """Call a function that only reads in a thread, as of one state or not; of a standby's, if that will do."""
        self._check_open()
        if one_state:
            return await self._threads.run(lambda: self.run_here(call, read_only=True, stale=stale))
        return await self._threads.run(lambda: self._read_each(call, self._read_connections(stale=stale)))

    def _read_each(self, call: Callable[[], T], connections: Connections) -> T:
        """Return what a function gives of which every read is done by itself, again if its connection is lost."""
        self._thread.reads_from = connections
        try:
            return not_awaitable(call())
        finally:
            self._thread.reads_from = None

    # ── closing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """Refuse further transactions, and wait for those that are open.

        Raises:
            TransactionError: the caller is inside one.
        """
        if self.in_transaction():
            raise TransactionError("the database can't be closed inside a transaction")
        with self._mutex:
            self._stopped = True
            self._mutex.wait_for(lambda: self._open_count <= 0)

    @property
    def has_open_transactions(self) -> bool:
        """Whether `stop` would have to wait."""
        return self._open_count > 0

    def close(self) -> None:
        """Close connections and threads."""
        self._closed = "the database is not open"
        self.watch.close()
        self._threads.close()
        for connections in self._all_connections:
            connections.close()

    def leave_to_parent(self, reason: str) -> None:
        """Refuse every access: this is a fork."""
        self._closed = reason
        self._thread = ThreadState()
        for connections in self._all_connections:
            connections.abandon()

    @property
    def _all_connections(self) -> tuple[Connections, ...]:
        return (self._connections,) if self._standby is None else (self._connections, self._standby.connections)
