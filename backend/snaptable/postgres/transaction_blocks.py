"""The `with` block of a transaction on PostgreSQL."""

import threading
from types import TracebackType

from snaptable.changes.attribution import Attribution
from snaptable.errors import TransactionError
from snaptable.postgres.engine import PostgresCore
from snaptable.postgres.server.connections import refuse_on_loop
from snaptable.postgres.server.retry import retried
from snaptable.postgres.transaction import Transaction
from snaptable.runtime.callers import left_elsewhere


class UserTransaction:
    """What `with db.transaction()` enters: left by the thread that began it, or rolled back."""

    def __init__(self, core: PostgresCore, attribution: Attribution | None) -> None:
        self._core, self._attribution = core, attribution
        self._transaction: Transaction | None = None
        self._savepoint: int | None = None

    def __enter__(self) -> None:
        """Begin, or note the point to come back to."""
        core = self._core
        core.check_usable()
        current = core.current
        if current is None:
            refuse_on_loop()
            try:
                self._transaction = retried(lambda: core.begin(self._attribution), core.circuit)
            except BaseException:
                if core.current is not None:  # it was begun, and interrupted behind that
                    core.roll_back(core.current)
                raise
            return
        if self._attribution is not None:
            raise ValueError("an actor or a note belongs to the whole transaction, not to a part of it")
        self._transaction, self._savepoint = current, current.savepoint()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back to where the block began."""
        core, transaction = self._core, self._transaction
        assert transaction is not None
        if transaction.thread != threading.get_ident():
            transaction.failure = TransactionError(left_elsewhere("thread"))
            core.roll_back(transaction)
            raise transaction.failure
        if self._savepoint is not None:
            if kind is None:
                transaction.release()
            else:
                transaction.roll_back_to(self._savepoint)
        elif kind is None:
            try:
                core.commit(transaction)
            finally:
                if not transaction.is_over:  # it was interrupted before it could end it
                    core.roll_back(transaction)
        else:
            failure = transaction.failure
            core.roll_back(transaction)
            if failure is not None and error is failure:
                explained = core.explained(transaction, failure)
                if explained is not failure:
                    raise explained from None
