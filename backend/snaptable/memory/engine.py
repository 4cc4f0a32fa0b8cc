"""The engine in memory: one writer at a time, any number of readers, commits handed to a log in order.

The way of a commit: check → sequence → veils pass to the batch → turn given on → the log makes it durable → veils lift.
The latch guards the structures for the length of one change or one query; the turn guards the whole transaction.
"""

import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from types import CoroutineType, TracebackType
from typing import Any, TypeVar

from snaptable.changes import Commit
from snaptable.errors import DatabaseClosed, TransactionError
from snaptable.memory import constraints
from snaptable.memory.commit_log import AnyCommitLog, CommitBatch
from snaptable.memory.rows import TableRows
from snaptable.memory.transaction import Transaction
from snaptable.memory.writer_lock import WriterLock
from snaptable.schema import TableSchema

T = TypeVar("T")


class MemoryEngine:
    """Hold the tables, give out transactions, and commit them."""

    def __init__(self, schemas: Mapping[str, TableSchema]) -> None:
        self.tables = {name: TableRows(schema) for name, schema in schemas.items()}
        self.latch = threading.RLock()
        self.sequence = 0
        """The last commit that was applied; it may not be durable yet."""
        self.log: AnyCommitLog | None = None
        self.open_transaction: Transaction | None = None
        self._turns = WriterLock(self._abandon)

    # ── the writer ──────────────────────────────────────────────────────────────────────────────────────────────────

    def in_transaction(self) -> bool:
        """Return whether the caller is inside a transaction of its own."""
        return self.open_transaction is not None and self._turns.mine()

    def writable(self) -> AnyCommitLog:
        """Return the log, where writes are allowed.

        Raises:
            DatabaseClosed: the database is not open.
            ReadOnlyStore: it was opened so, or refuses writes after a failure.
        """
        log = self._log()
        if log.refusal is not None:
            log.try_resume()
        if log.refusal is not None:
            raise log.refusal
        return log

    def _log(self) -> AnyCommitLog:
        if self.log is None:
            raise DatabaseClosed("the database is not open")
        return self.log

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run one operation: within the caller's transaction as a savepoint, or as a transaction of its own."""
        if self.in_transaction():
            return self._write_within(work)
        transaction = self.begin()
        try:
            self.writable()
            result = work(transaction)
        except BaseException:
            self.roll_back(transaction)
            raise
        self.commit(transaction)
        return result

    def _write_within(self, work: Callable[[Transaction], T]) -> T:
        transaction = self.open_transaction
        assert transaction is not None
        mark = transaction.mark()
        try:
            self.writable()
            return work(transaction)
        except BaseException:
            transaction.roll_back_to(mark)
            raise

    async def run(self, call: Callable[[], T]) -> T:
        """Run a function as one transaction and return when it is durable, without holding the event loop."""
        if self.in_transaction():
            with TransactionContext(self):
                return _no_awaitable(call())
        log = self._log()
        await self._turns.take_async()
        transaction = self._begin()
        holder = self._turns.holder
        assert holder is not None
        try:
            holder.sole = True
            result = _no_awaitable(call())
            holder.sole = False
            batch = self._commit(transaction)
        except BaseException:
            self.roll_back(transaction)
            raise
        if batch is not None:
            await log.wait_async(batch)
        return result

    def transaction(self) -> "TransactionContext":
        """Return the context of `with db.transaction()`."""
        return TransactionContext(self)

    def begin(self) -> Transaction:
        """Take the turn to write and open a transaction."""
        self._log()
        self._turns.take()
        return self._begin()

    def _begin(self) -> Transaction:
        if self.log is None:
            self._turns.give()
            self._log()
        holder = self._turns.holder
        assert holder is not None
        holder.begun = True
        self.open_transaction = Transaction(self.latch)
        return self.open_transaction

    def commit(self, transaction: Transaction) -> None:
        """Commit, and return when it is durable.

        Raises:
            ConstraintError: it would break a constraint; it was rolled back.
            WriteFailed: it could not be made durable; it was rolled back.
        """
        log = self._log()
        try:
            batch = self._commit(transaction)
        except BaseException:
            self.roll_back(transaction)
            raise
        if batch is not None:
            log.wait(batch)

    def _commit(self, transaction: Transaction) -> CommitBatch | None:
        """Check, number and hand over a transaction; return the batch it waits for, None where there is none."""
        log = self._log()
        with self.latch:
            # 1. Still the open one? A failed sync, or a holder thought dead, may have rolled it back.
            self._check_open(transaction)
            # 2. What really changed.
            net = transaction.net()
            if not net:
                # What was read may not be durable yet: it is waited for as well.
                pending: CommitBatch | None = log.last_pending()
                self.roll_back(transaction)
                return pending
            # 3. Constraints.
            constraints.check(self.tables, net)
            # 4. The next sequence.
            changes = tuple(transaction.as_change(*change) for change in net)
            numbered = {table.name: table.last_number for table, *_ in net if table.schema.numbered}
            commit = Commit(self.sequence + 1, changes, numbered)
            # 5. To the log; the veils stay until it says durable.
            batch: CommitBatch = log.enqueue(commit, transaction.join)
            self.sequence = commit.sequence
            # 6. The next writer.
            self.open_transaction = None
        self._turns.give()
        return batch

    def _check_open(self, transaction: Transaction) -> None:
        if transaction.failure is not None:
            raise transaction.failure
        if self.open_transaction is not transaction:
            raise TransactionError("the transaction was rolled back: the thread or task that began it had ended")

    def roll_back(self, transaction: Transaction) -> None:
        """Undo a transaction and give the turn on; does nothing where that was done already."""
        with self.latch:
            if self.open_transaction is not transaction:
                return
            transaction.roll_back()
            self.open_transaction = None
        self._turns.give()

    def _abandon(self) -> None:
        """Roll back what a thread or task that is gone left open; the caller hands the turn on."""
        with self.latch:
            if self.open_transaction is not None:
                self.open_transaction.roll_back()
                self.open_transaction = None

    def close_writer(self) -> None:
        """Let the open transaction end, then refuse everything: for closing."""
        if self.in_transaction():
            raise TransactionError("the database can't be closed inside a transaction")
        self._turns.take()
        self.log = None
        self._turns.give()

    # ── what the log reports ────────────────────────────────────────────────────────────────────────────────────────

    def became_durable(self, batch: CommitBatch) -> None:
        """Show a batch's commits to everybody."""
        with self.latch:
            for table, veil in batch.undo.items():
                table.lift(veil)

    def failed(self, batches: Iterable[CommitBatch], sequence: int, error: Exception) -> None:
        """Take back batches that could not be made durable, newest first, and the transaction that stands on them."""
        with self.latch:
            if self.open_transaction is not None:
                self.open_transaction.roll_back()
                self.open_transaction.failure = error
            for batch in batches:
                for table, veil in batch.undo.items():
                    table.put_back(veil)
            self.sequence = sequence

    def problems(self) -> list[str]:
        """Return what is wrong with indexes and constraints; empty when all is well. O(n log n)."""
        with self.latch:
            found = [problem for table in self.tables.values() for problem in table.problems()]
            return found + list(constraints.problems(self.tables))


def _no_awaitable(result: T) -> T:
    kind: Any = type(result)
    if _is_awaitable(kind):
        if isinstance(result, CoroutineType):
            result.close()
        raise TypeError("db.run takes a plain function; this one returned an awaitable, and was rolled back")
    return result


@lru_cache(maxsize=512)
def _is_awaitable(kind: type) -> bool:
    return issubclass(kind, Awaitable)


class TransactionContext:
    """Be `with db.transaction()`: a transaction of its own, or a savepoint inside the caller's."""

    __slots__ = ("_engine", "_mark", "_outer", "_transaction")

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    def __enter__(self) -> Transaction:
        """Begin, or mark the point to come back to."""
        engine = self._engine
        self._outer = not engine.in_transaction()
        transaction = engine.begin() if self._outer else engine.open_transaction
        assert transaction is not None
        self._transaction = transaction
        self._mark = transaction.mark()
        return transaction

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back to where it began."""
        if kind is None and self._outer:
            self._engine.commit(self._transaction)
        elif kind is not None and self._outer:
            self._engine.roll_back(self._transaction)
        elif kind is not None:
            self._transaction.roll_back_to(self._mark)
