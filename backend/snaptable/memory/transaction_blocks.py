"""The `with` blocks of transactions: what enters and leaves one, also when an interruption comes right then.

An interruption (Ctrl-C) may come in the instant in which a block is entered or left, before or behind the code in it
that would deal with it. If nothing refers to the block any more, a weak reference tells the engine, which rolls its
transaction back. A traceback may keep it alive for as long as the interruption is handled: `was_left` looks for that.
"""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol
from weakref import ref

from snaptable.changes.attribution import Attribution, merged
from snaptable.memory.owner import Place, place_of_caller
from snaptable.memory.transaction import Transaction


class TransactionEngine(Protocol):
    """What a block needs of its engine; see `MemoryEngine`."""

    open_transaction: Transaction | None

    @property
    def latch(self) -> AbstractContextManager[object]:
        """What guards the structures."""

    def in_transaction(self) -> bool:
        """Return whether the caller is inside a transaction of its own."""

    def check_writable(self) -> None:
        """Raise unless writes are accepted."""

    def begin(self, transaction: Transaction, place: Place | None = None) -> None:
        """Acquire the writer lock and open a transaction."""

    def check_left_by_owner(self, transaction: Transaction) -> None:
        """Roll a transaction back and raise, if the caller is not who began it."""

    def commit(self, transaction: Transaction) -> None:
        """Commit, and return when it is durable."""

    def roll_back(self, transaction: Transaction) -> None:
        """Undo a transaction and release the writer lock."""

    def roll_back_abandoned(self, block: ref[object]) -> None:
        """Roll back the transaction of a block that nothing refers to any more."""


class TransactionBlock:
    """A transaction of its own for the length of a `with` block, or a savepoint inside the caller's transaction.

    Leaving the block commits, and returns when that is durable; an exception rolls back to where the block began.
    """

    __slots__ = ("__weakref__", "_engine", "_savepoint", "transaction")

    def __init__(self, engine: TransactionEngine) -> None:
        self._engine = engine
        self._savepoint: int | None = None
        self.transaction: Transaction | None = None

    def begin(self, place: Place | None = None) -> Transaction:
        """Begin a transaction; `place` is where in the program, if the program decides when it ends."""
        transaction = self.transaction = Transaction(self._engine.latch)
        transaction.block = ref(self, self._engine.roll_back_abandoned)
        self._engine.begin(transaction, place)
        return transaction

    def __enter__(self) -> Transaction:
        """Begin, or note the point to come back to."""
        engine = self._engine
        if not engine.in_transaction():
            return self.begin()
        transaction = engine.open_transaction
        assert transaction is not None
        self._savepoint = transaction.savepoint()
        self.transaction = transaction
        return transaction

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back to where the block began."""
        transaction = self.transaction
        assert transaction is not None
        if self._savepoint is None:
            self._engine.commit(transaction) if kind is None else self._engine.roll_back(transaction)
        elif kind is not None:
            transaction.roll_back_to(self._savepoint)


class UserTransaction:
    """What `with db.transaction()` enters: left by the thread and task that began it, or rolled back."""

    __slots__ = ("_attribution", "_block", "_engine")

    def __init__(self, engine: TransactionEngine, attribution: Attribution | None) -> None:
        self._engine, self._attribution = engine, attribution
        self._block = TransactionBlock(engine)

    def __enter__(self) -> None:
        """Begin, and note where in the program that was."""
        if not self._engine.in_transaction():
            transaction = self._block.begin(place_of_caller(sys._getframe(1)))
            if self._attribution is not None:
                transaction.attribution = merged(transaction.attribution, self._attribution)
        elif self._attribution is None:
            self._block.__enter__()
        else:
            raise ValueError("an actor or a note belongs to the whole transaction, not to a part of it")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back to where the block began."""
        transaction = self._block.transaction
        assert transaction is not None
        self._engine.check_left_by_owner(transaction)
        self._block.__exit__(kind, error, trace)


class WriteBlock(TransactionBlock):
    """The same for a single write, which is refused before it begins while no writes are accepted."""

    __slots__ = ()

    def __enter__(self) -> Transaction:
        """Begin, unless writes are refused."""
        transaction = super().__enter__()
        try:
            self._engine.check_writable()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return transaction


def was_left(transaction: Transaction) -> bool:
    """Return whether the block of a transaction is over: an exception came out of entering or leaving it.

    O(frames of the tracebacks of the exceptions that are being handled).
    """
    if transaction.block is None:
        return False
    block, error = transaction.block(), sys.exc_info()[1]
    while error is not None and block is not None:
        trace = error.__traceback__
        while trace is not None:
            frame, trace = trace.tb_frame, trace.tb_next
            if frame.f_code in _BLOCK_CODES and _block_of(frame.f_locals["self"]) is block:
                return True
        error = error.__context__
    return block is None


def _block_of(block: "TransactionBlock | UserTransaction") -> "TransactionBlock":
    return block if isinstance(block, TransactionBlock) else block._block


_BLOCK_CODES = {
    function.__code__
    for kind in (TransactionBlock, UserTransaction, WriteBlock)
    for function in (kind.__enter__, kind.__exit__)
}
