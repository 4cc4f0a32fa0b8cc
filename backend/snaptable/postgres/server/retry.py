"""What is done again: transactions that lost against another, and what a lost connection left undone.

A transaction that was refused for another (40001, 40P01) is run again after a pause that grows and is drawn at random:
drawn, two that clash do not clash again for ever. Those of one process that lose several times are run one at a time.
What a connection failed to do is done again while nothing can have come of it, until the server has been away for
`patience` seconds. That counts from the first failure, not from the beginning of the call: a long call that loses its
connection late had a server until then.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from snaptable.errors import TransactionConflict, Unavailable
from snaptable.postgres.server.failures import ConnectionLost

T = TypeVar("T")
SERIALIZED_AFTER = 3
"""How often a transaction loses before it runs with no other of this process that lost as often beside it."""
_LOCK_SECONDS = 0.5
"""How long it waits for that at most: what holds the lock may be waiting for this very thread."""
PATIENCE = 15.0
"""Seconds that a server may be away before calls fail."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
_FIRST_WAIT, _LONGEST_WAIT = 0.02, 0.5
_LOOKS_AGAIN = 1.0
"""Seconds after which one call tries a server that was given up."""


class Circuit:
    """Whether the server answers: open, calls fail at once; it closes by itself once one call gets through."""

    def __init__(self, patience: float = PATIENCE, conflict_seconds: float = 30.0) -> None:
        """Begin, closed.

        Args:
            patience: seconds that the server may be away before calls fail.
            conflict_seconds: seconds for which a transaction is run again that loses against others.
        """
        self.patience, self.conflict_seconds = patience, conflict_seconds
        self.losers = threading.RLock()
        """Held by a transaction that lost several times, while it runs."""
        self._mutex = threading.Lock()
        self._away_since: float | None = None
        self._next_look = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the server has been away for so long that calls fail at once."""
        since = self._away_since
        return since is not None and time.monotonic() - since >= self.patience

    def check(self) -> None:
        """Raise Unavailable while the circuit is open, but for one call a second, which finds out."""
        if not self.is_open:
            return
        with self._mutex:
            now = time.monotonic()
            if now < self._next_look:
                raise Unavailable(AWAY, retry_after=max(1.0, self._next_look - now), circuit="open")
            self._next_look = now + _LOOKS_AGAIN

    def answered(self) -> None:
        """Take note that the server answered."""
        if self._away_since is not None:
            with self._mutex:
                self._away_since = None

    def failed(self) -> float:
        """Take note that it didn't; return for how many seconds it has been away."""
        with self._mutex:
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
            return now - self._away_since


AWAY = "PostgreSQL can't be reached; it is tried again every second"


def retried(attempt: Callable[[], T], circuit: Circuit, *, conflicts: bool = True) -> T:
    """Return what an attempt gives, made again while it may be.

    Args:
        attempt: does it all, from its beginning; raises ConnectionLost only if nothing can have come of it.
        circuit: knows whether the server answers.
        conflicts: whether what lost against another transaction is done again.

    Raises:
        TransactionConflict: it lost against others each time.
        Unavailable: the server has been away for too long, or the call has lost its connection for as long.
    """
    begun, conflicted, lost, first_lost = time.monotonic(), 0, 0, 0.0
    while True:
        circuit.check()
        try:
            result = attempt() if conflicted < SERIALIZED_AFTER else _serialized(attempt, circuit)
        except TransactionConflict:
            conflicted += 1
            if not conflicts or time.monotonic() - begun > circuit.conflict_seconds:
                raise
            time.sleep(random.random() * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**conflicted))  # noqa: S311 - no secret
        except ConnectionLost as error:
            lost += 1
            away, first_lost = circuit.failed(), first_lost or time.monotonic()
            if away >= circuit.patience or time.monotonic() - first_lost >= circuit.patience:
                raise Unavailable(
                    AWAY, retry_after=_LOOKS_AGAIN, circuit="open" if circuit.is_open else "closed"
                ) from error
            time.sleep(random.uniform(0.5, 1.0) * min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (lost - 1)))  # noqa: S311
        else:
            circuit.answered()
            return result


def _serialized(attempt: Callable[[], T], circuit: Circuit) -> T:
    """Return what an attempt gives, made while no other of this process is that lost as often."""
    is_alone = circuit.losers.acquire(timeout=_LOCK_SECONDS)
    try:
        return attempt()
    finally:
        if is_alone:
            circuit.losers.release()
