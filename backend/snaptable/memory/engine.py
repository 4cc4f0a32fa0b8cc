"""The engine in memory: one writer at a time, any number of readers, commits handed to a log in order.

A commit: check → sequence → undo records pass to the batch → writer lock released → the log makes it durable → undo
records released. The writer lock is held for a transaction; the latch, which guards the structures, for one change or
one query.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import RLock, get_ident
from typing import TypeVar
from weakref import ref

from snaptable.changes.attribution import Attribution
from snaptable.changes.records import CommitRecord
from snaptable.codec import Codec
from snaptable.contract import WRITER_TIMEOUT
from snaptable.errors import DatabaseClosed, TransactionError
from snaptable.memory import constraints
from snaptable.memory.commit_log import AnyCommitLog, CommitBatch
from snaptable.memory.owner import Owner, Place
from snaptable.memory.rows import TableRows
from snaptable.memory.transaction import Transaction
from snaptable.memory.transaction_blocks import TransactionBlock, UserTransaction, WriteBlock, was_left
from snaptable.memory.writer_lock import WriterLock
from snaptable.runtime.callers import left_elsewhere, not_awaitable
from snaptable.runtime.listeners import Listeners
from snaptable.schema.tables import TableSchema
from snaptable.values.row_lines import Key

T = TypeVar("T")


class MemoryEngine:
    """The tables of a database, its transactions, and their commits."""

    def __init__(
        self,
        schemas: Mapping[str, TableSchema],
        writer_timeout: float = WRITER_TIMEOUT,
        codecs: Mapping[str, Codec] | None = None,
    ) -> None:
        """Begin with empty tables; there is nothing to write to until `log` is set.

        Args:
            schemas: the tables, in declared order.
            writer_timeout: seconds after which a wait for the writer lock ends in a TransactionError.
            codecs: those of another engine of the same tables; None to make them.
        """
        self.latch = RLock()
        codecs = codecs or {name: schema.derive(Codec) for name, schema in schemas.items()}
        self.tables = {name: TableRows(codec, self.latch, self.in_transaction) for name, codec in codecs.items()}
        self.sequence = 0
        """The last commit that was applied; it may not be durable yet."""
        self.durable_sequence = 0
        """The last commit that every reader sees."""
        self.log: AnyCommitLog | None = None
        self.open_transaction: Transaction | None = None
        self.taking_back: tuple[Sequence[CommitBatch], int, Exception] | None = None
        """What `failed` is doing; not None for long, unless it was interrupted."""
        self._listeners = Listeners(self.latch)
        self.writer_timeout = writer_timeout
        self.writer_lock = WriterLock(self._reap_dead_owner, writer_timeout)

    def begin_at(self, sequence: int) -> None:
        """Begin behind a commit: the rows that were loaded hold it."""
        self.sequence = self.durable_sequence = sequence

    # ── the writer ──────────────────────────────────────────────────────────────────────────────────────────────────

    def in_transaction(self) -> bool:
        """Return whether the caller is inside a transaction of its own; O(1).

        An interruption may come in the very instant in which a block is entered or left, and the traceback then keeps
        the block alive: its transaction is rolled back here, so that nothing that follows joins it.
        """
        transaction = self.open_transaction
        if transaction is None or transaction.ending:
            return False
        if transaction.calling_thread == get_ident():
            return True
        if not self.writer_lock.held_by_me():
            return False
        if was_left(transaction):
            self.roll_back(transaction)
            return False
        return True

    def write(self) -> TransactionBlock:
        """Return the context of one write: a transaction of its own, or a savepoint inside the caller's.

        Raises:
            DatabaseClosed: on entering; the database is not open.
            ReadOnlyStore: on entering; it was opened so, or refuses writes after a failure.
        """
        return WriteBlock(self)

    def transaction(self, attribution: Attribution | None = None) -> UserTransaction:
        """Return the context of `with db.transaction()`."""
        return UserTransaction(self, attribution)

    def joined(self) -> Transaction | None:
        """Return the caller's open transaction, which a single write joins; None outside of any. O(1).

        Raises:
            ReadOnlyStore: writes are refused.
        """
        transaction = self.open_transaction
        if transaction is None or (transaction.calling_thread != get_ident() and not self.in_transaction()):
            return None
        if self.log is None or self.log.refusal is not None:
            self.check_writable()
        return transaction

    def savepoint(self) -> TransactionBlock:
        """Return the context of a part of the caller's transaction that is rolled back by itself."""
        return TransactionBlock(self)

    def check_writable(self) -> None:
        """Raise DatabaseClosed or ReadOnlyStore unless writes are accepted; tries to resume after a full disk."""
        log = self.opened_log()
        if log.refusal is not None:
            log.try_resume()
        if log.refusal is not None:
            raise log.refusal

    def opened_log(self) -> AnyCommitLog:
        """Return the log; raises DatabaseClosed if the database is not open."""
        if self.log is None:
            raise DatabaseClosed("the database is not open")
        return self.log

    async def run(self, call: Callable[[], T]) -> T:
        """Call a function as one transaction and return when it is durable, without blocking the event loop.

        Raises:
            TypeError: the function returned an awaitable; it was rolled back. Otherwise as `commit`.
        """
        if self.open_transaction is not None and self.in_transaction():
            with self.savepoint():
                return not_awaitable(call())
        log = self.opened_log()
        owner = self.writer_lock.try_acquire() or await self.writer_lock.acquire_async()
        transaction = Transaction(self.latch)
        try:
            self._open(transaction)
            # While it runs, no other task of this thread does: whatever asks in this thread is inside.
            owner.in_sync_call, transaction.calling_thread = True, get_ident()
            try:
                result = not_awaitable(call())
            finally:
                owner.in_sync_call, transaction.calling_thread = False, None
            batch = self._commit(transaction, log)
        except BaseException:
            self.end_failed(transaction)
            raise
        if batch is not None:
            durable = log.wait_async(batch, owner.loop)
            if durable is not None:
                await durable
                batch.result()
        return result

    def begin(self, transaction: Transaction, place: Place | None = None) -> None:
        """Acquire the writer lock and open a transaction; blocks while another one is open.

        Args:
            transaction: a new one, which the caller ends, whatever interrupts it.
            place: where the program began it, if the program decides when it ends.

        Raises:
            TransactionError: waiting for the open transaction would not end, or took too long.
        """
        owner: Owner | None = None
        try:
            owner = self.writer_lock.acquire()
            if place is not None:
                owner.place = place
            self._open(transaction)
        except BaseException:
            if self.open_transaction is not transaction:
                self.writer_lock.release_from(owner)
            raise

    def _open(self, transaction: Transaction) -> None:
        log = self.opened_log()
        if log.failure is not None:
            log.finish_failure()
        if self.open_transaction is not None or self.taking_back is not None:
            self._finish_interrupted()
        self.open_transaction = transaction

    def check_left_by_owner(self, transaction: Transaction) -> None:
        """Roll a transaction back if the caller is not the thread or task that began it.

        Raises:
            TransactionError: it is not; the transaction was rolled back, and the next writer can go on.
        """
        if self.open_transaction is transaction and not self.writer_lock.held_by_me():
            self.roll_back(transaction)
            raise TransactionError(left_elsewhere("thread or task"))

    def commit(self, transaction: Transaction) -> None:
        """Commit, and return when it is durable.

        Raises:
            ConstraintError: it would break a constraint; it was rolled back.
            WriteFailed: it could not be made durable; it was rolled back.
        """
        try:
            log = self.opened_log()
            batch = self._commit(transaction, log)
        except BaseException:
            self.end_failed(transaction)
            raise
        if batch is not None:
            log.wait(batch)

    def _commit(self, transaction: Transaction, log: AnyCommitLog) -> CommitBatch | None:
        """Check, number and hand over a transaction; return the batch it waits for, None if there is none."""
        with self.latch:
            # 1. Still the open one? A failed sync, or a search for dead owners, may have rolled it back.
            if transaction.failure is not None or self.open_transaction is not transaction:
                raise _ended_outside(transaction)
            # 2. What really changed.
            net = transaction.net_changes()
            if not net and transaction.erased is None:
                # What the transaction read may not be durable yet: its caller waits for that as well.
                pending: CommitBatch | None = log.last_pending()
                self.roll_back(transaction)
                return pending
            # 3. Constraints.
            constraints.check(self.tables, net)
            # 4. The next sequence.
            commit = transaction.as_commit(self.sequence + 1, net)
            # 5. To the log; the undo records stay attached until the log reports it durable.
            batch: CommitBatch = log.enqueue(commit, transaction.pass_undo_to)
            self.sequence = transaction.sequence = commit.sequence
            # 6. The next writer.
            self.open_transaction = transaction.block = None
        self.writer_lock.release()
        return batch

    def end_failed(self, transaction: Transaction) -> None:
        """End a transaction that an error keeps from its end: rolled back, or committed if the log has it already."""
        self.roll_back(transaction)
        if self.writer_lock.held_by_me():
            self.writer_lock.release()  # it was committed, and interrupted before this

    def roll_back(self, transaction: Transaction) -> None:
        """Undo a transaction and release the writer lock; does nothing if that was done already.

        It stays committed if the log has it, which an interruption may have kept from being noted. If the rollback is
        interrupted, the rest of it is done before the next transaction begins, and readers are answered from the undo
        records until then.
        """
        is_open = False
        try:
            with self.latch:
                is_open = self.open_transaction is transaction
                if is_open:
                    transaction.ending = True
                    self.end(transaction)
        finally:
            # Without the latch, which is taken behind the lock's own mutex elsewhere.
            if is_open:
                self.writer_lock.release()

    def end(self, transaction: Transaction) -> None:
        """End the open transaction, under the latch; can be done again if interrupted."""
        if transaction.record is not None and self._has_logged(transaction, transaction.record):
            self.sequence = transaction.sequence = max(self.sequence, transaction.record.sequence)
        else:
            transaction.roll_back()
        self.open_transaction = transaction.block = None

    def _has_logged(self, transaction: Transaction, record: CommitRecord) -> bool:
        """Return whether the log took a commit, and then see to it that the undo records are where they belong."""
        if record.sequence <= self.durable_sequence:
            # Nobody else can have used that number: the transaction is still the open one.
            transaction.release_undo()
            return True
        return self.opened_log().resume_enqueue(record, transaction.pass_undo_to) is not None

    def roll_back_abandoned(self, block: ref[object]) -> None:
        """Roll back what an interruption, in the instant before `__exit__` or behind `__enter__`, left open."""
        transaction = self.open_transaction
        if transaction is not None and transaction.block is block:
            self.roll_back(transaction)

    def _reap_dead_owner(self) -> None:
        """End what a thread or task that ended, or was interrupted, left open; the writer lock passes itself on."""
        with self.latch:
            if self.open_transaction is not None:
                self.end(self.open_transaction)

    def close_writer(self) -> None:
        """Let the open transaction end, then refuse every further one: for closing.

        Raises:
            TransactionError: the caller is inside a transaction.
        """
        if self.in_transaction():
            raise TransactionError("the database can't be closed inside a transaction")
        owner = self.writer_lock.acquire()
        try:
            self.log = None
        finally:
            self.writer_lock.release_from(owner)

    def show(self, transaction: Transaction, batch: CommitBatch) -> None:
        """End a transaction whose changes are durable elsewhere: every reader sees them, as those of a batch."""
        try:
            self._hand_over(transaction, batch)
        except BaseException:
            self._hand_over(transaction, batch)  # it was interrupted; each step can be done twice
            raise
        finally:
            self.writer_lock.release()

    def _hand_over(self, transaction: Transaction, batch: CommitBatch) -> None:
        with self.latch:
            transaction.pass_undo_to(batch)
            self.sequence, self.open_transaction = batch.last_sequence, None
            self.became_durable(batch)

    # ── what the log reports ────────────────────────────────────────────────────────────────────────────────────────

    def became_durable(self, batch: CommitBatch) -> None:
        """Show a batch's commits to every reader."""
        with self.latch:
            try:
                self._show(batch)
            except BaseException:
                self._show(batch)  # it was interrupted; nobody may see the half of it
                raise
            self._listeners.tell()

    def _show(self, batch: CommitBatch) -> None:
        for table, images in batch.undo.items():
            table.release_undo(images)
        self.durable_sequence = batch.last_sequence

    def on_durable(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called, under the latch, after each batch became durable; return what ends that."""
        return self._listeners.add(call)

    def failed(self, batches: Iterable[CommitBatch], sequence: int, error: Exception) -> None:
        """Undo batches that could not be made durable, newest first, and the open transaction, which is built on them.

        If it is interrupted, the rest is done before the next transaction begins.

        Args:
            batches: newest first.
            sequence: the last durable commit.
            error: what the owner of the open transaction is told.
        """
        with self.latch:
            self.taking_back = list(batches), sequence, error
            self._take_back(*self.taking_back)

    def _take_back(self, batches: Sequence[CommitBatch], sequence: int, error: Exception) -> None:
        if self.open_transaction is not None:
            self.open_transaction.fail(error)
        for batch in batches:
            for table, images in batch.undo.items():
                table.undo(images)
        self.sequence = sequence
        self.taking_back = None

    def _finish_interrupted(self) -> None:
        """Do what interruptions left undone of a rollback."""
        with self.latch:
            if self.taking_back is not None:
                self._take_back(*self.taking_back)
            if self.open_transaction is not None:
                self.end(self.open_transaction)

    def durable_rows(self) -> Iterator[tuple[str, Key, bytes]]:
        """Yield table, key and JSON of every row that every reader sees; O(n)."""
        with self.latch:
            tables = [(table, table.durable_rows()) for table in self.tables.values()]
        for table, rows in tables:
            for key, row in rows.items():
                yield table.name, key, table.codec.dump(row)

    def problems(self) -> list[str]:
        """Return what is wrong with indexes and constraints; empty if all is well. O(n log n)."""
        with self.latch:
            if self.taking_back is not None or (self.open_transaction is not None and self.open_transaction.ending):
                self._finish_interrupted()
            problems = [problem for table in self.tables.values() for problem in table.problems()]
            return problems + list(constraints.problems(self.tables))


def _ended_outside(transaction: Transaction) -> Exception:
    """Return why a transaction is not the open one any more, though nothing inside of it ended it."""
    return transaction.failure or TransactionError(
        "the transaction was rolled back: the thread or task that began it had ended"
    )
