"""The short path of a single write: a commit of one row, without a `with` block and without the writer lock.

It takes the steps of `MemoryEngine._commit` for one row. The gate of the writer lock is held meanwhile, so that no
transaction can begin. Whatever is not plain is left to a transaction.
"""

from pydantic import BaseModel

from snaptable.memory import constraints
from snaptable.memory.commit_log import AnyCommitLog, CommitBatch
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.rows import TableRows
from snaptable.memory.transaction import Transaction


class SingleCommits:
    """The commits of single rows of one table."""

    __slots__ = ("_engine", "_table")

    def __init__(self, engine: MemoryEngine, table: TableRows) -> None:
        self._engine, self._table = engine, table

    def may_begin(self) -> bool:
        """Return whether a single write may take the short path, as far as can be told without a lock; O(1)."""
        engine = self._engine
        log = engine.log
        return engine.open_transaction is None and log is not None and log.refusal is None

    def commit(self, before: BaseModel | None, row: BaseModel, row_json: bytes) -> bool:
        """Commit one row, which is ready to be stored, and return when it is durable.

        Args:
            before: the row that has its key; None if there must be none.
            row: the new row.
            row_json: its JSON.

        Returns:
            False if nothing was done: a transaction is open, writes are refused, or the present row is not `before`.

        Raises:
            ConstraintError, WriteFailed: as `MemoryEngine.commit`.
        """
        engine = self._engine
        log = engine.opened_log()
        with engine.writer_lock.gate:
            if engine.writer_lock.owner is not None or engine.open_transaction is not None or engine.log is not log:
                return False
            with engine.latch:
                batch = self._enqueue(log, before, row, row_json)
        if batch is not None:
            log.wait(batch)
        return batch is not None

    def _enqueue(
        self, log: AnyCommitLog, before: BaseModel | None, row: BaseModel, row_json: bytes
    ) -> CommitBatch | None:
        """Check, number and hand over the commit, with the gate and the latch held; None if it is not plain."""
        engine, table = self._engine, self._table
        key = table.key_of(row)
        interrupted = log.refusal is not None or log.failure is not None or engine.taking_back is not None
        if interrupted or not table.intact or table.tombstones or table.get(key) is not before:
            return None
        transaction = Transaction(engine.latch)
        try:
            engine.open_transaction = transaction
            if table.schema.numbered and isinstance(key, int):
                table.use_number(key)
            transaction.change_only(table, key, before, row)
            constraints.check(engine.tables, ((table, key, before, row),))
            commit = transaction.as_only_commit(engine.sequence + 1, table, key, before, row, row_json)
            batch: CommitBatch = log.enqueue(commit, transaction.pass_undo_to)
            engine.sequence, engine.open_transaction = commit.sequence, None
        except BaseException:
            transaction.ending = True
            engine.end(transaction)
            raise
        return batch
