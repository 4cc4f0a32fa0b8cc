"""Statements that a server carries out while this process works on what it has from it already."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from types import TracebackType

from psycopg import Error

from snaptable.postgres.server.connections import Session

CANCEL_SECONDS = 5.0


class Beside:
    """Statements of a transaction, carried out by a thread one after another, whenever its connection is free.

    Attributes:
        session: the connection; nothing else may use it inside `going_on`.
    """

    def __init__(self, session: Session, statements: Iterator[str]) -> None:
        self.session = session
        self._statements = statements
        self._pauses = Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snaptable-move")

    def __enter__(self) -> "Beside":
        """Begin with none."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread, which carries nothing out any more."""
        self._thread.shutdown()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Carry statements out while the block runs; return once the last one that was begun is done.

        Raises:
            Error: psycopg's: one of them failed.
        """
        self._pauses.clear()
        done = self._thread.submit(self._carry_out)
        try:
            yield
        except BaseException:
            self._pauses.set()
            with suppress(Error):
                self.session.cancel_safe(timeout=CANCEL_SECONDS)
            with suppress(Error):
                done.result()
            raise
        self._pauses.set()
        done.result()

    def finish(self) -> None:
        """Carry out those that are left."""
        self._pauses.clear()
        self._carry_out()

    def _carry_out(self) -> None:
        while not self._pauses.is_set():
            statement = next(self._statements, None)
            if statement is None:
                return
            self.session.tell(statement)
