"""Transactions that would lose against each other, one after another, whichever processes they are of.

A serializable transaction sees the state of its first statement that needs one. `pg_advisory_xact_lock` is such a
statement: who waits for that lock has seen the state before the other's commit, and loses once it has the lock. `LOCK
TABLE` needs no state. So a transaction that is to wait locks a table first, which is there for nothing else; the lock
ends with the transaction, so that a pooler in between (PgBouncer) changes nothing.

A table for each thing that is written would be too many: a few serve all, by a hash. So that few wait for what is not
theirs, and none for nothing, only those wait that have lost a moment ago.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

WAITS_SECONDS = 10.0
"""For how long transactions wait after one has lost."""


class ContentionLock:
    """The lock that transactions which write one thing take while they are in each other's way.

    Attributes:
        statement: acquires it, until the end of the transaction.
    """

    def __init__(self, table: str) -> None:
        """Begin without contention; `table` is the name, in SQL, of the empty table that is locked."""
        # This mode keeps out itself, and is the strongest that costs other statements on other tables nothing.
        self.statement = f"lock table {table} in share update exclusive mode"
        self._until = 0.0

    @property
    def is_contended(self) -> bool:
        """Whether transactions acquire it: one of them has lost a moment ago."""
        return time.monotonic() < self._until

    def lost(self) -> None:
        """Take note that a transaction lost against another."""
        self._until = time.monotonic() + WAITS_SECONDS


_current: ContextVar[ContentionLock | None] = ContextVar("contention_lock", default=None)


def statement() -> str | None:
    """Return what acquires the lock of the caller's transactions; None for none, and while there is no contention."""
    lock = _current.get()
    return lock.statement if lock is not None and lock.is_contended else None


def lost() -> None:
    """Take note that one of the caller's transactions lost against another."""
    lock = _current.get()
    if lock is not None:
        lock.lost()


@contextmanager
def under(lock: ContentionLock) -> Iterator[None]:
    """Return the context of transactions that acquire a lock, as soon as one of them has lost."""
    token = _current.set(lock)
    try:
        yield
    finally:
        _current.reset(token)
