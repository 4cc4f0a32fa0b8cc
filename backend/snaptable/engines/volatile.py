"""The engine in memory as the contract has it, and the one that keeps nothing: "memory:"."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from snaptable.contract import EVERYTHING, Status, TableEngine
from snaptable.engines.options import EngineOptions
from snaptable.errors import ReadOnlyStore, TransactionError
from snaptable.memory.commit_log import VolatileLog
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.table import MemoryTable

T = TypeVar("T")


class InMemory:
    """What both engines in memory share: tables, transactions, checks."""

    def __init__(self, options: EngineOptions) -> None:
        self.memory = MemoryEngine(options.schemas, options.writer_timeout)
        self._tables = {name: MemoryTable(self.memory, rows) for name, rows in self.memory.tables.items()}

    @property
    def tables(self) -> Mapping[str, TableEngine[BaseModel]]:
        """The operations of each table, by name."""
        return self._tables

    def transaction(self) -> AbstractContextManager[None]:
        """Return the context of a transaction, or of a savepoint."""
        return self.memory.transaction()

    def run(self, call: Callable[[], T]) -> Coroutine[Any, Any, T]:
        """Call a function, once, as one transaction."""
        return self.memory.run(call)

    def in_transaction(self) -> bool:
        """Return whether the caller is inside a transaction of its own."""
        return self.memory.in_transaction()

    def stop(self) -> None:
        """Wait for the open transaction, then refuse every other."""
        self.memory.close_writer()

    def check(self) -> list[str]:
        """Return what is wrong with indexes and constraints; O(n log n)."""
        return self.memory.problems()

    def keep_nothing(self, refusal: ReadOnlyStore | None) -> None:
        """Let commits be durable at once; with a refusal, let there be none."""
        self.memory.log = VolatileLog(self.memory.became_durable, refusal=refusal)

    def refuse_in_transaction(self) -> None:
        """Raise TransactionError inside a transaction: a snapshot would hold half of it."""
        if self.in_transaction():
            raise TransactionError(
                "persist() inside a transaction would save half of it; call it after the transaction"
            )

    def status(self) -> Status:
        """Return how the tables are doing; O(tables)."""
        log = self.memory.log
        refusal = None if log is None else log.refusal
        return Status(
            engine="memory",
            sequence=self.memory.sequence,
            writable=refusal is None,
            reason=None if refusal is None else str(refusal),
            rows={name: table.count(EVERYTHING) for name, table in self._tables.items()},
        )


class VolatileEngine(InMemory):
    """The engine of "memory:": every commit is as durable as it will ever be."""

    directory: Path | None = None

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        refusal = ReadOnlyStore("the database was opened with read_only=True") if options.read_only else None
        self.keep_nothing(refusal)

    def persist(self) -> None:
        """Do nothing: there is nowhere to save to."""
        self.refuse_in_transaction()

    def close(self) -> None:
        """Do nothing: what there was is gone."""

    def can_close_at_exit(self) -> bool:
        """Return whether no transaction is open."""
        return self.memory.open_transaction is None
