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


class Turn:
    """The turn of the transactions that write one thing.

    Attributes:
        statement: takes it.
    """

    def __init__(self, table: str) -> None:
        """Take the table that stands for it, in SQL."""
        # This mode keeps out itself, and is the strongest that costs other statements on other tables nothing.
        self.statement = f"lock table {table} in share update exclusive mode"
        self._until = 0.0

    @property
    def waits(self) -> bool:
        """Whether transactions wait for it: one has lost a moment ago."""
        return time.monotonic() < self._until

    def lost(self) -> None:
        """Take note that a transaction lost against another."""
        self._until = time.monotonic() + WAITS_SECONDS


_taken: ContextVar[Turn | None] = ContextVar("turn", default=None)


def current() -> Turn | None:
    """Return the turn that the caller's transactions take."""
    return _taken.get()


@contextmanager
def taking(turn: Turn) -> Iterator[None]:
    """Return the context of transactions that take a turn, as soon as one of them has lost."""
    token = _taken.set(turn)
    try:
        yield
    finally:
        _taken.reset(token)
