"""The opening and closing of a database: it answers from an engine from the one to the other."""

import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from snaptable.contract import Engine, QueryObserver
from snaptable.database.openings import Opening, close_abandoned, forked_from
from snaptable.engines import EngineOptions, open_engine
from snaptable.engines.observers import report_open
from snaptable.errors import DatabaseClosed, OpenError
from snaptable.table import Table


class Attendant(Protocol):
    """What is there while a database is open, such as a server's socket."""

    def start(self) -> None:
        """Begin: the database is open."""

    def stop(self) -> None:
        """End, and return when it did: the lock is about to be released."""

    def leave_to_parent(self) -> None:
        """Let go of what the parent of this process, which is a fork, has; takes no lock."""


class Lifecycle:
    """What is open or closed: tables that answer from an engine, and who attends to them meanwhile."""

    def __init__(self, tables: dict[str, Table[Any]]) -> None:
        """Begin closed, with the tables of a database by their names."""
        self._tables = tables
        for each in tables.values():
            each._database = weakref.ref(self)
        self._engine: Engine | None = None
        self._opening: Opening | None = None
        self._directory: Path | None = None
        self._opened_by: int | None = None
        """In a fork, the process that has the database open; else None."""
        self._closing = threading.Lock()
        self._is_copy = False
        self._query_observer: QueryObserver | None = None
        self._attendants: list[Attendant] = []

    def _engine_options(self) -> EngineOptions:
        """Return how the engine is opened."""
        raise NotImplementedError

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self._engine is not None

    @property
    def directory(self) -> Path | None:
        """The store's directory, absolute; None for "memory:" and before the first opening."""
        return self._directory

    def open(self) -> Self:
        """Open the database, and return it: lock, load, verify, replay, index, check; O(n).

        Pending `migrations` are applied first. What the models have and the file does not is filled in by the fields'
        defaults, validated, saved as one commit before this returns, and logged. With read_only=True nothing is saved,
        so a field whose default factory would have to invent values is a SchemaMismatch.

        Raises:
            OpenError: it can't be opened; the subclasses say why. Its files are as they were, but for a torn end of
                the journal, which is kept in `quarantine/`.

        >>> db = Library("memory:").open()
        >>> db.is_open
        True
        >>> db.close()
        """
        if self._engine is not None:
            raise OpenError(f"{self!r} is open already")
        if self._is_copy:
            raise OpenError(f"{self!r} is a copy in memory, which is gone once it was closed; take another")
        close_abandoned()  # one of them may have this directory
        options = self._engine_options()
        try:
            self._attach(open_engine(options))
            report_open(self)
            for attendant in self._attendants:
                attendant.start()
        except BaseException:
            if self._opening is not None:
                self._detach()
            options.cleanup.close()
            raise
        return self

    def close(self) -> None:
        """Finish what is being written, save the last snapshot, release the lock; nothing if it is closed. O(n).

        Raises:
            TransactionError: called inside a transaction, which stays open.
            WriteFailed: the last snapshot could not be saved; the database is closed, and the journal holds every
                commit for the next start.

        >>> db.close()
        >>> db.is_open
        False
        """
        engine = self._engine
        if engine is None:
            return
        # 1. The open transaction ends, and no other begins.
        engine.stop()
        for attendant in self._attendants:
            attendant.stop()
        # 2. Reads end too: another process may write as soon as the store is released.
        with self._closing:
            if self._engine is not engine:
                return  # another thread was quicker
            self._detach()
        # 3. The last snapshot, and the mark of a clean close.
        engine.close()

    def _detach(self) -> None:
        """Answer from no engine any more."""
        for table in self._tables.values():
            table._bind(None)
        self._engine = None
        if self._opening is not None:
            self._opening.end()
            self._opening = None

    def _leave_to_parent(self) -> None:
        """Be closed in this process, a fork of the one that opened the database; it may be opened again here."""
        if self._opening is not None:
            self._opened_by = self._opening.pid
        self._engine = self._opening = None
        self._closing = threading.Lock()  # a thread of the parent may have held the other
        for attendant in self._attendants:
            attendant.leave_to_parent()

    def __enter__(self) -> Self:
        """Open the database; a past or a fork is open already."""
        if self._is_copy and self.is_open:
            return self
        try:
            return self.open()
        except KeyboardInterrupt:
            self.close()  # it came when all was open, and the block is never entered
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # ── the engine ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _opened(self) -> Engine:
        if self._engine is None:
            if self._opened_by is not None:
                raise DatabaseClosed(f"{self!r}: {forked_from(self._opened_by)}")
            raise DatabaseClosed(f"{self!r} is not open: use `with {type(self).__name__}(…) as db`, or db.open()")
        return self._engine

    def _attach(self, engine: Engine) -> None:
        """Answer from an open engine."""
        self._directory = engine.directory
        self._opened_by = None
        self._opening = Opening(engine, self)
        for name, table in self._tables.items():
            table._bind(engine.tables[name], self._opening)
        self._engine = engine
        if self._query_observer is not None:
            self._observe_queries(self._query_observer)

    def _observe_queries(self, observer: QueryObserver | None) -> None:
        """Tell an observer of slow queries, now and after later openings, or none."""
        self._query_observer = observer
        if self._engine is not None:
            for table in self._engine.tables.values():
                table.observe(observer)
