"""The engine on PostgreSQL as the contract has it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar, cast

from pydantic import BaseModel

from snaptable.attribution import Attribution
from snaptable.captures import Capture
from snaptable.changes import CommitRecord, ErasedKeys, Key
from snaptable.contract import CommitNumber, CommitSource, Engine, RowState, Status, TableEngine
from snaptable.engines.options import EngineOptions
from snaptable.errors import ConstraintError, HistoryError, OpenError
from snaptable.postgres import constraints
from snaptable.postgres.engine import PostgresCore, UserTransaction
from snaptable.postgres.opening import Opened, Opener
from snaptable.postgres.table import PostgresTable
from snaptable.retention import FoundText

T = TypeVar("T")


class PostgresEngine:
    """A database on a PostgreSQL server."""

    directory: Path | None = None

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.core: PostgresCore = opened.core
        self._tables = {name: PostgresTable(self.core, rows) for name, rows in self.core.rows.items()}

    @classmethod
    def open(cls, options: EngineOptions) -> "PostgresEngine":
        """Open the database that a URL names.

        Raises:
            OpenError: it can't be opened; the subclasses say why.
        """
        names = () if options.schema_changes is None else options.schema_changes.names
        opener = Opener(
            options.url, options.schemas, options.postgres, options.read_only, options.history, options.fsync,
            options.writer_timeout, names,
        )  # fmt: skip
        return cls(opener.open())

    @property
    def tables(self) -> Mapping[str, TableEngine[BaseModel]]:
        """The operations of each table, by name."""
        return cast("Mapping[str, TableEngine[BaseModel]]", self._tables)

    # ── transactions ────────────────────────────────────────────────────────────────────────────────────────────────

    def transaction(self, attribution: Attribution | None = None) -> AbstractContextManager[None]:
        """Return the context of a transaction, or of a savepoint."""
        return UserTransaction(self.core, attribution)

    async def run(self, call: Callable[[], T]) -> T:
        """Call a function as one transaction in a thread, again if it loses against another."""
        return await self.core.run(call)

    async def read(self, call: Callable[[], T], *, stale: bool = False) -> T:  # noqa: ARG002 - until there are standbys
        """Call a function that only reads in a thread."""
        return await self.core.read(call)

    def in_transaction(self) -> bool:
        """Return whether the calling thread is inside a transaction of its own."""
        return self.core.in_transaction()

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def commits(self) -> CommitSource:
        """The commits that the server keeps."""
        raise HistoryError("history on PostgreSQL is not there yet")

    def row_json(self, table: str, key: Key) -> bytes | None:
        """Return the JSON of a row as the caller sees it, None if there is none."""
        rows = self.core.rows[table]
        row = rows.get(self.core.fetch, key)
        return None if row is None else rows.codec.dump(row)

    def rows_json(self, table: str) -> Mapping[Key, bytes]:
        """Return the JSON of every row of a table; O(n)."""
        return self.core.rows[table].images(self.core.fetch)

    @contextmanager
    def writing(self, note: str | None, undoes: tuple[int, ...]) -> Iterator[CommitNumber]:  # noqa: ARG002
        """Return the context of a transaction, or of a part of the caller's, that says what it is for."""
        raise HistoryError("history on PostgreSQL is not there yet")
        yield CommitNumber()

    def put(self, states: Iterable[RowState]) -> list[ConstraintError]:  # noqa: ARG002
        """Put rows into states, inside `writing`."""
        self._no_history()

    def at(self, sequence: int, states: Callable[[int], Iterable[RowState]], *, writable: bool) -> Engine:  # noqa: ARG002
        """Return an engine in memory with the rows of an earlier commit."""
        self._no_history()

    @property
    def erased(self) -> ErasedKeys:
        """The keys whose content was erased from the commits."""
        return {}

    def take_note_of_erased(self, erased: ErasedKeys) -> None:  # noqa: ARG002
        """Say in the commit of the open transaction which keys' content was erased."""
        self._no_history()

    def forget(self, moment: int) -> None:  # noqa: ARG002
        """Forget the commits up to a moment."""
        self._no_history()

    def rewrite_commits(self, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:  # noqa: ARG002
        """Keep of the commits up to one only what a function returns of each."""
        self._no_history()

    def find_texts(self, texts: Collection[bytes]) -> list[FoundText]:  # noqa: ARG002
        """Return where texts stand in files: there are none here."""
        return []

    def on_durable(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each commit; return what ends that."""
        return self.core.on_commit(call)

    def _no_history(self) -> NoReturn:
        raise HistoryError("history on PostgreSQL is not there yet")

    # ── looking after it ────────────────────────────────────────────────────────────────────────────────────────────

    def persist(self) -> None:
        """Do nothing: every commit is on the server's disk."""
        self.core.check_usable()

    def capture(self, folders: Sequence[str], migrations: Sequence[str]) -> Capture:  # noqa: ARG002
        """Refuse: a server's data is backed up by its own tools."""
        raise OpenError("a database on PostgreSQL is backed up by pg_dump, or by the server's own archive")

    def refresh(self) -> int:
        """Return the last commit: every read sees what others committed."""
        return self._sequence()

    def check(self) -> list[str]:
        """Return which rows are not what the models say, a line each; O(n)."""
        return self.core.as_of_one_state(lambda: list(constraints.problems(self.core.rows, self.core.fetch)))

    def _sequence(self) -> int:
        return 0 if self.core.commits is None else self.core.commits.last(self.core.fetch)

    def status(self) -> Status:
        """Return how the database is doing; O(tables), and the rows of small ones."""
        refusal = self.core.refusal
        return Status(
            engine="postgresql",
            sequence=self._sequence(),
            writable=refusal is None,
            reason=None if refusal is None else str(refusal),
            rows={name: rows.count(self.core.fetch) for name, rows in self.core.rows.items()},
        )

    def stop(self) -> None:
        """Refuse further transactions, and wait for those that are open."""
        self.core.stop()

    def close(self) -> None:
        """Close the connections."""
        self.core.close()

    def leave_to_parent(self, reason: str) -> None:
        """Refuse every access: this is a fork."""
        self.core.leave_to_parent(reason)

    def can_close_at_exit(self) -> bool:
        """Return whether closing would not wait for a transaction."""
        return not self.core.has_open_transactions
