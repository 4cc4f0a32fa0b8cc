"""A whole database, as an engine provides it: transactions, commits, looking after it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from snaptable.changes.attribution import Attribution
from snaptable.changes.captures import Capture
from snaptable.changes.records import CommitRecord, ErasedKeys, Key
from snaptable.changes.retention import FoundText, HistoryStatus
from snaptable.changes.sync_status import SyncStatus
from snaptable.contract.commits import CommitNumber, CommitSource, RowState
from snaptable.contract.tables import TableEngine

if TYPE_CHECKING:
    from pydantic import BaseModel

    from snaptable.errors import ConstraintError

T = TypeVar("T")

SnapshotPolicy = Literal["auto", "always", "background"]
"""When `db_snapshot.json` follows a write: see `Database`."""
WRITER_TIMEOUT = 30.0
"""Seconds that a write waits for another transaction at most, if the program says nothing else."""


@dataclass(frozen=True)
class ServerStatus:
    """How an engine reaches its server: its pool of connections, and the standby that `stale=True` reads from."""

    connections: int
    """Open ones of this process."""
    idle: int
    """Open ones that nobody uses."""
    waiting: int
    """Calls that wait for one."""
    most: int
    has_standby: bool = False
    lag_seconds: float | None = None
    """How far the standby's state is behind; None if there is none, or it doesn't say."""


@dataclass(frozen=True)
class Status:
    """How a database is doing: what `/health` shows."""

    engine: str
    sequence: int
    """The last durable commit."""
    writable: bool
    reason: str | None = None
    """Why writes are refused; None while they are not."""
    snapshot_sequence: int | None = None
    snapshot_saved_at: datetime | None = None
    snapshot_bytes: int | None = None
    snapshot_error: str | None = None
    """Why the last snapshot could not be saved; None once one could."""
    rows: dict[str, int] = field(default_factory=dict)
    """Number of rows by table."""
    history: HistoryStatus | None = None
    server: ServerStatus | None = None
    """None for an engine without a server."""
    syncs: SyncStatus | None = None
    """None before the first commit, and for an engine that syncs nothing itself."""


class Engine(Protocol):
    """An open database.

    Transactions
        - The changes of a transaction happen together or not at all: in memory, on the disk, across a crash.
        - Transactions that commit give the same state as if they had run one after the other.
        - A transaction sees its own writes, and nothing of another that is not durable yet.
        - Unique and foreign keys are checked at the commit, over the transaction's net changes: a row may be inserted
          before the row it refers to. A tuple of values with a None in it clashes with nothing. Which of several
          violations is named is not promised. A violation rolls the whole transaction back.
        - A commit that changes something takes the next sequence number; one that changes nothing takes none. Later
          commits have greater numbers; an engine may leave numbers out.
        - A commit returns once it is durable. WriteFailed: it is not, and was rolled back.

    After `stop` every write raises DatabaseClosed.
    """

    @property
    def tables(self) -> Mapping[str, "TableEngine[BaseModel]"]:
        """The operations of each table, by name."""

    @property
    def directory(self) -> Path | None:
        """Where the engine keeps its files, absolute; None for an engine without files of its own."""

    def transaction(self, attribution: Attribution | None = None) -> AbstractContextManager[None]:
        """Return a context that begins a transaction, and commits it, or rolls it back for an exception.

        Inside a transaction of the caller's it is a savepoint: an exception rolls back to where it began.

        Args:
            attribution: who makes it, and why, before what holds around it.

        Raises:
            ValueError: on entering: an attribution of a savepoint.
            TransactionError: it was left by another thread or task than the one that began it, or waiting for the
                other transaction would hold the event loop for ever.
        """

    async def run(self, call: Callable[[], T]) -> T:
        """Call a function as one transaction; return its result once that is durable, without holding the event loop.

        An engine whose transactions can be refused for one another (PostgreSQL: serialization failures) rolls back
        and calls the function again; the engine in memory calls it once.

        Raises:
            TypeError: the function returned an awaitable; it was rolled back.
        """

    async def read(self, call: Callable[[], T], *, stale: bool = False, one_state: bool = True) -> T:
        """Call a function that only reads; return its result, without holding the event loop.

        In memory it is called at once. An engine that has to ask a server calls it in a thread, as a transaction that
        sees one state and in which every write raises ReadOnlyStore; it may call it again. Where that state is not
        asked for, each read may see a later one than the read before it.

        Args:
            call: the function.
            stale: whether a state that is a little older will do, such as that of a standby.
            one_state: whether all that the function reads is to be of one state.

        Raises:
            TypeError: the function returned an awaitable.
        """

    def in_transaction(self) -> bool:
        """Return whether the calling thread or task is inside a transaction of its own."""

    @property
    def commits(self) -> CommitSource:
        """What the engine remembers of its commits."""

    def row_json(self, table: str, key: Key) -> bytes | None:
        """Return the JSON of a row as the caller sees it, None if there is none; O(row)."""

    def rows_json(self, table: str) -> Mapping[Key, bytes]:
        """Return the JSON of every row of a table as of the last durable commit; O(n)."""

    def writing(self, note: str | None, undoes: tuple[int, ...]) -> AbstractContextManager[CommitNumber]:
        """Return the context of a transaction, or of a part of the caller's, that says in its commit what it is for.

        Leaving it sets the commit's number. Raises as `transaction`, and ReadOnlyStore on entering.
        """

    def put(self, states: Iterable[RowState]) -> "list[ConstraintError]":
        """Put rows into the states given, inside `writing`; return every constraint that doesn't hold then.

        Nothing is taken along, `on_delete` isn't followed, but for rows of transient tables that refer to what goes.
        """

    def at(self, sequence: int, states: Callable[[int], Iterable[RowState]], *, writable: bool) -> "Engine":
        """Return an engine with the rows of an earlier commit, which shares with this one those that are the same.

        Of transient tables it has none.

        Args:
            sequence: the commit that it holds.
            states: called with the last durable commit; gives the rows that were otherwise at `sequence`.
            writable: whether it may be changed; it keeps nothing beyond memory.
        """

    @property
    def erased(self) -> ErasedKeys:
        """The keys whose content was erased from the commits, by `key_digest` of the commits' `store`."""

    def take_note_of_erased(self, erased: ErasedKeys) -> None:
        """Say in the commit of the open transaction, inside `writing`, which keys' content was erased.

        That commit is made though it may change nothing.
        """

    def forget(self, moment: int) -> None:
        """Forget the commits up to a moment, as far as they can be forgotten without later ones: see `first`.

        Raises:
            WriteFailed: not all of it could be done; the cause is the OSError.
            ReadOnlyStore: writing is not allowed here.
        """

    def rewrite_commits(self, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:
        """Keep of the commits up to one only what a function returns of each; return how many frames that changed.

        None of them may be needed for the present rows: what is purged must be deleted before. O(commits).

        Raises:
            WriteFailed: not all of it could be done, and the same call does the rest; the cause is the OSError.
            CorruptJournal: a file of the journal is damaged.
            ReadOnlyStore: writing is not allowed here.
        """

    def find_texts(self, texts: Collection[bytes]) -> list[FoundText]:
        """Return where texts stand in the engine's files and those beside them, a bounded number; O(bytes).

        Args:
            texts: as JSON spells them, without quotes.
        """

    def on_durable(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each commit became durable; return what ends that.

        The function must be quick, and not raise.
        """

    def persist(self) -> None:
        """Save a snapshot now and return once it is durable; an engine without snapshots does nothing.

        Raises:
            TransactionError: called inside a transaction, of which a snapshot would hold half.
            WriteFailed: it could not be saved; the cause is the OSError.
            ReadOnlyStore: writing is not allowed here, or no longer safe.
        """

    def capture(self, folders: Sequence[str], migrations: Sequence[str]) -> Capture:
        """Return the last durable state as files, with the history behind it and what lies in folders beside it.

        Nothing is written, and commits go on; what the files hold does not change by them.

        Args:
            folders: their names, in the engine's directory.
            migrations: the names of those that the models know.

        Raises:
            TransactionError: called inside a transaction, of which it would hold nothing.
            OSError, UnsafeDirectory: the folders can't be read; also while the files are read.
        """

    def refresh(self) -> int:
        """Show what another process has committed meanwhile, all at once; return the last commit that readers see.

        Does nothing for an engine whose commits are all its own.

        Raises:
            OpenError: what was committed can't be read, or doesn't fit the models; nothing was changed.
            TransactionError: called inside a transaction, or waiting for one took too long.
        """

    def check(self) -> list[str]:
        """Return what is wrong with indexes and constraints, a line each; empty when sound."""

    def status(self, *, details: bool = True) -> Status:
        """Return how the engine is doing; at most O(tables).

        Args:
            details: False for who shows none: an engine leaves out rows, history and server if these cost a question.
        """

    def stop(self) -> None:
        """Wait for the open transaction, then refuse every other; the first half of closing.

        Raises:
            TransactionError: called inside a transaction; nothing was stopped.
        """

    def close(self) -> None:
        """Finish what is being written, and release what others wait for; once, after `stop`.

        Raises:
            WriteFailed: what was to be saved last could not be. The engine is closed all the same; every commit that
                returned is durable.
        """

    def leave_to_parent(self, reason: str) -> None:
        """Raise DatabaseClosed at every access from now on: this is a fork of the process that opened the engine.

        Takes no lock, and touches nothing that the parent uses: threads that this process lacks may hold anything.
        """

    def can_close_at_exit(self) -> bool:
        """Return whether closing would neither wait for a transaction nor touch what belongs to another process."""
