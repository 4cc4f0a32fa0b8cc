"""The standby that `stale=True` reads from: its connections, and how old its state is."""

import threading
import time

from snaptable.errors import SnaptableError
from snaptable.postgres.server.connections import Connections

KEPT_SECONDS = 2.0
"""How long its lag is told again without being asked for: a monitor may look as often as it likes."""
_LAG = """
    select case when not pg_is_in_recovery() or pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0.0
    else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 end
"""
"""A standby that has applied all that it received is not behind, however long nothing was written."""


class Standby:
    """A server that may be a little behind.

    Attributes:
        connections: those to it; to the primary, if it has no standby.
    """

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self._mutex = threading.Lock()
        self._known: tuple[float, float | None] | None = None
        """When it was asked last, and its answer."""

    def lag_seconds(self) -> float | None:
        """Return how many seconds the state of stale reads is old; 0 for a primary's, None if that isn't known.

        It is asked once in `KEPT_SECONDS`, by one thread: others wait for its answer.
        """
        with self._mutex:
            known, now = self._known, time.monotonic()
            if known is None or now - known[0] >= KEPT_SECONDS:
                known = self._known = now, self._asked()
            return known[1]

    def _asked(self) -> float | None:
        try:
            with self.connections.session() as session:
                ((lag,),) = session.ask(_LAG)
        except SnaptableError:
            return None
        return None if lag is None else max(0.0, float(lag))
