"""The engine on PostgreSQL as the contract has it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel

from snaptable.changes.attribution import Attribution
from snaptable.changes.captures import Capture
from snaptable.changes.records import CommitRecord, ErasedKeys, Key
from snaptable.changes.retention import FoundText
from snaptable.contract import WRITER_TIMEOUT, CommitNumber, CommitSource, Engine, RowState, Status, TableEngine
from snaptable.engines.options import EngineOptions
from snaptable.engines.volatile import copy_of
from snaptable.errors import BackupError, ConstraintError, HistoryError
from snaptable.postgres import constraints
from snaptable.postgres.opening import Opened, Opener
from snaptable.postgres.putting import put
from snaptable.postgres.server.retry import retried
from snaptable.postgres.table import PostgresTable
from snaptable.postgres.transaction import Transaction
from snaptable.postgres.transaction_blocks import UserTransaction

T = TypeVar("T")


class PostgresEngine:
    """A database on a PostgreSQL server."""

    directory: Path | None = None

    def __init__(self, opened: Opened) -> None:
        self.core, self._past = opened.core, opened.past
        self._tables = {name: PostgresTable(self.core, rows) for name, rows in self.core.rows.items()}

    @classmethod
    def open(cls, options: EngineOptions) -> "PostgresEngine":
        """Open the database that a URL names.

        Raises:
            OpenError: it can't be opened; the subclasses say why.
        """
        opener = Opener(
            options.url, options.schemas, options.postgres, options.read_only, options.history, options.fsync,
            options.writer_timeout, options.schema_changes, options.retention,
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

    async def read(self, call: Callable[[], T], *, stale: bool = False, one_state: bool = True) -> T:
        """Call a function that only reads in a thread; on a standby, if a little older will do and there is one."""
        return await self.core.read(call, stale=stale, one_state=one_state)

    def in_transaction(self) -> bool:
        """Return whether the calling thread is inside a transaction of its own."""
        return self.core.in_transaction()

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def commits(self) -> CommitSource:
        """The commits that are kept in the database."""
        if self.core.commits is None:
            raise HistoryError("the database was opened with history=False: it keeps no commits")
        return self._past

    def row_json(self, table: str, key: Key) -> bytes | None:
        """Return the JSON of a row as the caller sees it, None if there is none."""
        rows = self.core.rows[table]
        row = rows.get(self.core.fetch, key)
        return None if row is None else rows.codec.dump(row)

    def rows_json(self, table: str) -> Mapping[Key, bytes]:
        """Return the JSON of every row of a table; O(n)."""
        return self.core.rows[table].images(self.core.fetch)

    @contextmanager
    def writing(self, note: str | None, undoes: tuple[int, ...]) -> Iterator[CommitNumber]:
        """Return the context of a transaction, or of a part of the caller's, that says what it is for."""
        number, outer = CommitNumber(), self.core.current
        self.core.check_writable()
        with self.transaction():
            transaction = self._open_transaction()
            yield number
            transaction.take_note(note, undoes)
        if outer is None:
            number.sequence = None if transaction.mark is None else transaction.mark.sequence

    def _open_transaction(self) -> Transaction:
        transaction = self.core.current
        assert transaction is not None
        return transaction

    def put(self, states: Iterable[RowState]) -> list[ConstraintError]:
        """Put rows into states, inside `writing`; return every constraint that doesn't hold then."""
        return put(self.core.rows, self._open_transaction(), states)

    def at(self, sequence: int, states: Callable[[int], Iterable[RowState]], *, writable: bool) -> Engine:
        """Return an engine in memory with the rows of an earlier commit; O(n)."""
        present, tables = retried(self._rows_of_last_commit, self.core.circuit)
        codecs = {name: rows.codec for name, rows in self.core.rows.items()}
        return copy_of(codecs, tables, states(present), sequence, writable=writable, timeout=WRITER_TIMEOUT)

    def _rows_of_last_commit(self) -> tuple[int, dict[str, tuple[dict[Key, BaseModel], int]]]:
        """Return the last commit, and each table's rows as of it, with the greatest number among their keys; O(n)."""
        tables: dict[str, tuple[dict[Key, BaseModel], int]] = {}
        with self.core.state_behind_barrier() as fetch:
            present = 0 if self.core.commits is None else self.core.commits.last(fetch)
            for name, rows in self.core.rows.items():
                there = {} if rows.schema.transient else rows.all(fetch)
                numbers = [key for key in there if isinstance(key, int)] if rows.schema.numbered else []
                tables[name] = (there, max(numbers, default=0))
        return present, tables

    @property
    def erased(self) -> ErasedKeys:
        """The keys whose content was erased from the commits."""
        return self._past.erased

    def take_note_of_erased(self, erased: ErasedKeys) -> None:
        """Say in the commit of the open transaction, inside `writing`, which keys' content was erased."""
        transaction = self._open_transaction()
        transaction.erased = erased
        self._past.note_erased(transaction.ask, erased)

    def forget(self, moment: int) -> None:
        """Forget the commits up to a moment."""
        self.core.write(lambda transaction: self._past.forget(transaction.ask, moment))

    def rewrite_commits(self, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:
        """Keep of the commits up to one only what a function returns of each, in one transaction."""
        return self.core.write(lambda transaction: self._past.rewrite(transaction.ask, until, rewritten))

    def find_texts(self, texts: Collection[bytes]) -> list[FoundText]:  # noqa: ARG002 - the server's files are its own
        """Return none: what else the server keeps, such as its write-ahead log and backups, can't be searched here."""
        return []

    def on_durable(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when there are more commits, of any process; return what ends that."""
        return self.core.watch.listen(call)

    # ── looking after it ────────────────────────────────────────────────────────────────────────────────────────────

    def persist(self) -> None:
        """Do nothing: every commit is on the server's disk."""
        self.core.check_usable()

    def capture(self, folders: Sequence[str], migrations: Sequence[str]) -> Capture:  # noqa: ARG002
        """Refuse: a server's data is backed up by its own tools."""
        raise BackupError("a database on PostgreSQL is backed up by pg_dump, or by the server's own archive")

    def refresh(self) -> int:
        """Return the last commit: every read sees what others committed."""
        return self.core.last_commit()

    def check(self) -> list[str]:
        """Return which rows are not what the models say, a line each; O(n)."""
        return self.core.as_of_one_state(lambda: list(constraints.problems(self.core.rows, self.core.fetch)))

    def status(self, *, details: bool = True) -> Status:
        """Return how the database is doing; O(tables), and the rows of small ones; without details one question."""
        refusal = self.core.refusal
        plain = Status(
            engine="postgresql",
            sequence=self.core.last_commit(),
            writable=refusal is None,
            reason=None if refusal is None else str(refusal),
        )
        if not details:
            return plain
        return replace(
            plain,
            history=None if self.core.commits is None else self._past.status(),
            rows={name: rows.count(self.core.fetch) for name, rows in self.core.rows.items()},
            server=self.core.server_status(),
        )

    def revision(self, value: str) -> str | None:
        """Return what names the state of the rows of a value of the field that has revisions, as the caller sees it.

        None if `PostgresOptions(revisions=…)` was never said of the database.
        """
        revisions = self.core.revisions
        return None if revisions is None else revisions.read(self.core.fetch, value)

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
