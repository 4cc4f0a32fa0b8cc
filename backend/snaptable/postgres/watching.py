"""Up to which commit readers may read, and who is told when there are more.

Numbers are taken before commits end, so a reader who simply asks for those above the last would lose what ends later
under a smaller number. Whoever reads waits at a barrier for those that have a number: an instant, for that is the last
thing a transaction takes. What comes after it has greater numbers.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg import Error

from snaptable.errors import SnaptableError
from snaptable.postgres.commits import LAST
from snaptable.postgres.layout.names import BARRIER, COMMITS
from snaptable.postgres.server.connections import Connections, Fetch, Session, on_event_loop
from snaptable.postgres.server.dialect import Dialect
from snaptable.postgres.server.failures import as_own
from snaptable.postgres.server.retry import Circuit, retried
from snaptable.runtime.listeners import Listeners

logger = logging.getLogger("snaptable")
EVERY = 1.0
"""Seconds between two looks for commits of other processes."""
PAUSE = 0.02
"""Seconds between two looks at least: each holds commits up for a moment."""
PATIENCE = "5s"
"""How long the barrier waits for a transaction that has a number and doesn't end."""


def pass_barrier(session: Session, dialect: Dialect) -> None:
    """Wait, in a transaction of its own, for every commit that has a number; holds further ones up until it ends.

    Raises:
        Error: psycopg's: one of them doesn't end.
    """
    session.tell(f"set local lock_timeout = '{PATIENCE}'")
    if dialect.barrier == "lock":
        session.tell(f"lock table {COMMITS} in share mode")
    else:
        session.tell(f"select 1 from {BARRIER} for update")


@contextmanager
def state_behind_barrier(connections: Connections, dialect: Dialect) -> Iterator[Fetch]:
    """Return the context of a connection that sees exactly the commits up to the last one there is."""
    with connections.session() as session:
        barrier = connections.connect()
        try:
            barrier.tell("begin isolation level read committed")
            pass_barrier(barrier, dialect)
            session.tell("begin isolation level repeatable read read only")
            session.ask("select 1 from pg_class limit 1")  # the state is that of the first statement
            barrier.close()
            try:
                yield session.ask
            finally:
                session.tell("rollback")
        finally:
            barrier.close()


class Watch:
    """What knows the last commit that readers may read.

    `_seen` is the last that anybody's look found, `_told` the last that listeners were told of: what a reader's look
    finds first is news to them all the same.
    """

    def __init__(self, connections: Connections, circuit: Circuit, dialect: Dialect) -> None:
        self._connections, self._circuit, self._dialect = connections, circuit, dialect
        self._seen = self._told = 0
        self._news = threading.Event()
        self._ends = False
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        self._listeners = Listeners(self._mutex)

    def last(self) -> int:
        """Return the last commit that may be read; on an event loop, as of the last look."""
        if on_event_loop():
            return self._seen
        return retried(self._look, self._circuit)

    def _look(self) -> int:
        with self._connections.session() as session:
            session.tell("begin isolation level read committed")
            try:
                pass_barrier(session, self._dialect)
                ((last,),) = session.ask(LAST)
                session.tell("rollback")
            except Error:
                session.tell("rollback")
                raise
        self._seen = max(self._seen, int(last))
        return self._seen

    # ── listeners ───────────────────────────────────────────────────────────────────────────────────────────────────

    def listen(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when there are more commits, of any process; return what ends that.

        It may be called once for commits that were there already.
        """
        end = self._listeners.add(call)
        with self._mutex:
            if self._thread is None and not self._ends:
                self._thread = threading.Thread(target=self._run, name="snaptable-watch", daemon=True)
                self._thread.start()
        if on_event_loop():
            self._news.set()  # what was committed while nobody listened is looked for at once, by the thread
        else:
            self.last()
        return end

    def committed(self) -> None:
        """Take note that this process committed."""
        if self._thread is not None:
            self._news.set()

    def _run(self) -> None:
        while not self._ends:
            self._news.wait(EVERY)
            self._news.clear()
            if self._ends:
                return
            if self._listeners:
                self._tell()
            time.sleep(PAUSE)

    def _tell(self) -> None:
        try:
            last = self._look()
        except (SnaptableError, Error) as error:
            own = as_own(error) if isinstance(error, Error) else error
            logger.warning("The commits could not be looked at; this is tried again: %s", own)
            return
        if last > self._told:
            self._told = last
            self._listeners.tell()

    def close(self) -> None:
        """End the thread, and tell the listeners that it ended."""
        self._ends = True
        self._news.set()
        self._listeners.tell()
