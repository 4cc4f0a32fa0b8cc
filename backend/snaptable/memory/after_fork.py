"""What a fork does with an engine of its parent: it refuses every access at once.

Only the thread that called `fork` lives on in the child. What other threads held stays locked for ever there, and what
they were changing stays half changed. So whatever leads into the engine is put out of reach, without taking a lock,
and without a cost to the process that never forks. Blocks that were open are left quietly: a fork that ends with
`sys.exit` inside a transaction ends.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from types import TracebackType
from typing import Any, NoReturn

from snaptable.errors import DatabaseClosed
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.point_lookup import RowsByKey, VersionedRows
from snaptable.memory.table import MemoryTable


class Refusing:
    """What stands in the place of locks, of the log, and of what begins a write: each use raises DatabaseClosed."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse."""
        raise DatabaseClosed(self._reason)

    def __call__(self, *_: object) -> NoReturn:
        """Refuse."""
        raise DatabaseClosed(self._reason)

    def __enter__(self) -> NoReturn:
        """Refuse."""
        raise DatabaseClosed(self._reason)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: nothing was entered."""


def refuse(engine: MemoryEngine, tables: Iterable[MemoryTable], reason: str) -> None:
    """Have every read and write raise DatabaseClosed, those of whoever kept a table, a query or a `get` too."""
    refusing: Any = Refusing(reason)
    # 1. Reads. A lookup looks at the class of the rows each time: this one asks the latch.
    for table in tables:
        rows: RowsByKey = table._rows
        rows._latch, rows.version, rows.__class__ = refusing, None, VersionedRows
        table._latch = table._write = table._joined = table._commits_alone = table._commit_alone = refusing
    # 2. A transaction that the fork happened in: its block is left without a commit.
    transaction, engine.open_transaction = engine.open_transaction, None
    if transaction is not None:
        transaction.failure, transaction.latch = DatabaseClosed(reason), nullcontext()
    # 3. Writes. What ends a block finds nothing open, and nobody that it would wait for.
    engine.latch = nullcontext()  # type: ignore[assignment]
    engine.writer_lock = engine.log = refusing
