"""What an engine provides. `Database`, `Table` and `Query` are written against this page and nothing else.

Two engines answer it: `memory`, with `storage` behind it, and PostgreSQL in time. tests/snaptable/contract/ holds what
each sentence here means; it runs on every engine.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from snaptable.aggregates import Grouping
from snaptable.attribution import Attribution
from snaptable.captures import Capture
from snaptable.changes import CommitRecord, ErasedKeys, Key, TimedCommit
from snaptable.columns import Column
from snaptable.predicates import Order, PredicateTemplates
from snaptable.retention import FoundText, HistoryStatus

if TYPE_CHECKING:
    from pydantic import BaseModel

    from snaptable.errors import ConstraintError

M = TypeVar("M", bound="BaseModel")
T = TypeVar("T")

SnapshotPolicy = Literal["auto", "always", "background"]
"""When `db_snapshot.json` follows a write: see `Database`."""
WRITER_TIMEOUT = 30.0
"""Seconds that a write waits for another transaction at most, if the program says nothing else."""


# ── what is asked, and what is answered ─────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Select:
    """A query as engines are handed it. Never changed once made (`frozen` would double the cost of making one).

    `where` and `order` are the query's shape: an engine works out once for each shape how to answer it.
    """

    where: PredicateTemplates = ()
    """Conditions without their values; all must hold."""
    values: tuple[object, ...] = ()
    """The values of `where`, in the order of its terms."""
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    after: tuple[object, ...] | None = None
    """Values of the order's columns at the row before the first one wanted; `order` then ends in the primary key."""
    keep: "Callable[[Any], object] | None" = None
    """Called with each row that all conditions leave: only those for which it returns something true are wanted."""


EVERYTHING = Select()


@dataclass(slots=True)
class Join:
    """Which rows of another table belong to each row of a query."""

    kind: Literal["many", "one", "count"]
    """"many" and "count": those whose column `on` holds the row's key; "one": the one whose key the row has in `on`."""
    on: Column
    wanted: Select
    """Which of the other table's rows come into question, and in which order; without one in that of insertion."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine would answer a query; prints as a line of text."""

    table: str
    index: str | None
    """Name of the index, "primary key", or None for a scan."""
    rows: int
    """How many rows it expects to look at."""
    sorts: bool = False
    """Whether the rows are sorted afterwards, rather than read in order."""
    filters: int = 0
    """How many conditions are checked row by row."""
    groups: tuple[str, ...] = ()
    """The columns by which rows are grouped."""

    def __str__(self) -> str:
        access = f"scan of {self.table}" if self.index is None else f"{self.table} by index {self.index}"
        count = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        steps = [f"{access}, about {count} expected"]
        steps += [f"filter on {self.filters} condition{'s' * (self.filters > 1)}"] if self.filters else []
        steps += ["sort"] if self.sorts else []
        steps += [f"group by {', '.join(self.groups)}"] if self.groups else []
        return "; ".join(steps)


class QueryObserver(Protocol):
    """What is told of queries that take long, such as a monitor's list of them."""

    @property
    def slow_seconds(self) -> float:
        """How long a query takes at least to be told of."""

    def slow(self, table: str, wanted: Select, seconds: float, explain: Callable[[], Plan]) -> None:
        """Take note of a query that took so long; called on the thread that asked, and quick."""


@dataclass(frozen=True, slots=True, repr=False)
class Page(Generic[M]):
    """One page of rows, and the cursor of the next page (None at the end)."""

    items: list[M] = field(default_factory=list)
    next_cursor: str | None = None

    def __repr__(self) -> str:
        """Say how many rows there are, not what they hold."""
        count = len(self.items)
        what_follows = "the last page" if self.next_cursor is None else "more follow"
        return f"<Page: {count} row{'s' * (count != 1)}, {what_follows}>"


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


# ── one table ───────────────────────────────────────────────────────────────────────────────────────────────────────


class TableEngine(Protocol[M]):
    """The operations on one table; `Table` and `Query` document them for users.

    Rows
        - A row that is handed out is equal to the one a restart would give, of the same types throughout.
        - Nothing that a caller does to a row, given or handed out, changes the store.
        - A row keeps its place in the order of insertion through updates and replacements. A deleted key that is
          inserted again goes to the end.
        - A numbered key is greater than every key the table had before. A number is never given to a second row, not
          even after the first was deleted; numbers of transactions that were rolled back may be left out.

    Conditions
        - Conditions are two-valued, as in Python: for None, `==` and `!=` answer like any value, `<`, `<=`, `>`, `>=`
          and the rest do not hold, and `~condition` holds exactly if the condition doesn't.
        - Values compare as in Python: text by code point, 1 equals 1.0 and True, a moment equals the same moment
          with another offset.
        - A column may be a part of a field's values: the field of a nested model, the value of a dict's key, the item
          at a position. What isn't there is None. Where types don't say whether values compare, those that don't are
          neither less nor greater.
        - A naive time and an aware one don't compare. `<`, `<=`, `>`, `>=` with a time of one kind while rows hold the
          other, and `==`, `!=` and the rest with a kind that no row has while rows hold the other, raise InvalidQuery:
          by every way of answering, whatever the limit, None aside.

    Order
        - None comes last in both directions. Text sorts by code point, whatever the locale; naive times before aware.
        - After the query's own order, ties are broken by the primary key, in the direction of the last order.
        - A query without an order or conditions gives the rows in the order of insertion. With conditions and without
          an order, any order may be given.

    Reading and writing
        - A read sees the last durable state or, inside a transaction, that transaction's. One read sees one state.
        - A write outside a transaction is a transaction of its own and returns once it is durable.
        - A write that raises inside a transaction leaves nothing of itself; the transaction goes on.
        - Types are checked at the write (InvalidRow), a key that is there already too (DuplicateKey); unique and
          foreign keys at the commit.
        - `delete` follows `on_delete` at once: rows with "cascade" go, fields with "set null" become None. A row that
          "restrict" protects is judged at the commit: rows that go in the same transaction do not count.
    """

    def get(self, key: object, /) -> M | None:
        """Return the row of a key; None for a key that no row has.

        Raises:
            InvalidKey: no row has it, and it is of another type than the table's keys. (None is no key: no row has it.)
        """

    def select(self, wanted: Select) -> list[M]:
        """Return the rows of a query."""

    def count(self, wanted: Select) -> int:
        """Return how many rows `select` would give."""

    def explain(self, wanted: Select) -> Plan:
        """Return how `select` would be answered."""

    def aggregate(self, wanted: Select, grouping: Grouping) -> list[tuple[object, ...]]:
        """Return the groups of the rows that `select` would give: the values of their columns, then the aggregates.

        Equal values are one key, None too. None is left out of aggregates; of no values a sum is the zero of the
        column's type, a count is 0, the others are None. Sums of ints and timedeltas are exact, those of Decimals up
        to 1,000 digits, of floats correct to the last digit but one; means of Decimals have 16 digits at least.
        """

    def join(self, wanted: Select, other: "TableEngine[Any]", join: Join) -> list[tuple[M, Any]]:
        """Return the rows of a query, each with what belongs to it: a list of rows, a row or None, or their number.

        All of one state. The other table is one of the same database.

        Raises:
            InvalidQuery: it is not.
        """

    def explain_aggregate(self, wanted: Select, grouping: Grouping) -> Plan:
        """Return how `aggregate` would be answered."""

    def observe(self, observer: QueryObserver | None) -> None:
        """Tell an observer, in the place of an earlier one, of every slow query from now on; None tells nobody."""

    def page(self, wanted: Select, limit: int, after: str | None) -> Page[M]:
        """Return up to `limit` rows of a query after a cursor, in the query's order, then by the primary key.

        Raises:
            InvalidCursor: the cursor is damaged, or was given out for another query.
        """

    def page_json(
        self, wanted: Select, limit: int, after: str | None, max_bytes: int | None = None
    ) -> tuple[bytes, str | None]:
        """Return the rows of `page` as a JSON array, as Pydantic writes the models, and the next cursor.

        A page ends, with a cursor, before the row that would take its JSON beyond `max_bytes`; not before its first.
        """

    def insert(self, row: M) -> M:
        """Add a row, numbering its key if the table does and it is None; return it as stored."""

    def insert_values(self, values: dict[str, object]) -> M:
        """Add the row that field values make, validated once; return it as stored."""

    def insert_many(self, rows: Iterable[M]) -> list[M]:
        """Add rows, all or none; return them as stored."""

    def update(self, key: object, changes: dict[str, object]) -> M:
        """Change fields of a row, validated whole; return the new row. RowNotFound if no row has the key.

        An `Expression` among the changes is worked out of the row as it is, exactly; None stays None.
        """

    def replace(self, row: M, expected: M | None = None) -> M:
        """Put a row in the place of the one with its key; return it as stored. RowNotFound if no row has the key.

        With `expected`, StaleRow unless the stored row is equal to it.
        """

    def upsert(self, row: M, by: str | None = None) -> M:
        """Put a row in the place of the one with its key, or add it; return it as stored.

        With `by`, a unique field, in the place of the row with its value there, which keeps its key; None is no value.
        """

    def get_or_insert(self, row: M, by: str | None = None) -> M:
        """Return the stored row that `upsert` would replace; without one, add this row and return it as stored."""

    def delete(self, key: object) -> M:
        """Remove a row and what `on_delete` says; return it. RowNotFound if no row has the key."""

    def update_rows(self, wanted: Select, changes: dict[str, object]) -> int:
        """Change fields of every row of a query, all or none; return how many rows the query gave."""

    def delete_rows(self, wanted: Select) -> int:
        """Remove every row of a query, all or none; return how many rows the query gave."""


# ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────────


class CommitSource(Protocol):
    """The durable commits that an engine remembers."""

    @property
    def store(self) -> str:
        """An id of what they are the commits of."""

    @property
    def sequence(self) -> int:
        """The last durable commit that readers see."""

    @property
    def first(self) -> int:
        """The earliest moment that can be reached; 0 while every commit is kept."""

    @property
    def leaves_numbers_out(self) -> bool:
        """Whether numbers may be missing between commits: then only `first` says which are gone."""

    def status(self) -> HistoryStatus:
        """Return how far back the past can be seen; O(files)."""

    def newest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:
        """Yield the commits with after < sequence <= until, newest first; ends early where older ones are gone.

        With a `key`, those that changed no row of such a key may be left out.
        """

    def oldest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:
        """Yield the same commits in order; begins later where older ones are gone."""

    def last_until(self, at: str) -> int | None:
        """Return the last commit that was not made later than a time, as files spell it; None if none is known."""


@dataclass(frozen=True)
class RowState:
    """A row as it is to be.

    Attributes:
        table, key: the row.
        row: its JSON; None for no row.
    """

    table: str
    key: Key
    row: bytes | None


@dataclass
class CommitNumber:
    """The number of a commit: None until it was made, if it is the caller's to make, and if nothing changed."""

    sequence: int | None = None


# ── the database ────────────────────────────────────────────────────────────────────────────────────────────────────


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

    async def read(self, call: Callable[[], T], *, stale: bool = False) -> T:
        """Call a function that only reads; return its result, without holding the event loop.

        In memory it is called at once. An engine that has to ask a server calls it in a thread, as a transaction that
        sees one state and in which every write raises ReadOnlyStore; it may call it again.

        Args:
            call: the function.
            stale: whether a state that is a little older will do, such as that of a standby.

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

    def status(self) -> Status:
        """Return how the engine is doing; at most O(tables)."""

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
