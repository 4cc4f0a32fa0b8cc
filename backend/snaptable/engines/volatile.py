"""The engine in memory as the contract has it, and the one that keeps nothing: "memory:"."""

from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast
from uuid import uuid4

from pydantic import BaseModel

from snaptable.changes.attribution import Attribution
from snaptable.changes.captures import Capture
from snaptable.changes.records import CommitRecord, ErasedKeys
from snaptable.changes.retention import USUAL, FoundText, Retention
from snaptable.codec import Codec
from snaptable.contract import EVERYTHING, CommitNumber, CommitSource, RowState, Status, TableEngine
from snaptable.engines.captured_rows import captured_rows
from snaptable.errors import ConstraintError, HistoryError, InvalidRow, ReadOnlyStore, TransactionError, listed
from snaptable.memory import after_fork, constraints
from snaptable.memory.commit_log import RememberedCommits, VolatileLog
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.rows import TableRows
from snaptable.memory.table import MemoryTable
from snaptable.memory.transaction import Transaction
from snaptable.runtime.callers import not_awaitable
from snaptable.values.row_lines import Key

T = TypeVar("T")
MOST_UNFIT = 10
"""Rows that a message lists."""


class InMemory:
    """What both engines in memory share: tables, transactions, checks."""

    def __init__(self, memory: MemoryEngine) -> None:
        self.memory = memory
        self._tables = {name: MemoryTable(self.memory, rows) for name, rows in self.memory.tables.items()}

    @property
    def tables(self) -> Mapping[str, TableEngine[BaseModel]]:
        """The operations of each table, by name."""
        return self._tables

    def transaction(self, attribution: Attribution | None = None) -> AbstractContextManager[None]:
        """Return the context of a transaction, or of a savepoint."""
        return self.memory.transaction(attribution)

    def run(self, call: Callable[[], T]) -> Coroutine[Any, Any, T]:
        """Call a function, once, as one transaction."""
        return self.memory.run(call)

    async def read(
        self,
        call: Callable[[], T],
        *,
        stale: bool = False,  # noqa: ARG002 - nothing here is stale
        one_state: bool = True,  # noqa: ARG002 - what is called at once sees one
    ) -> T:
        """Call a function at once: no read waits for anything."""
        return not_awaitable(call())

    def in_transaction(self) -> bool:
        """Return whether the caller is inside a transaction of its own."""
        return self.memory.in_transaction()

    def stop(self) -> None:
        """Wait for the open transaction, then refuse every other."""
        self.memory.close_writer()

    def leave_to_parent(self, reason: str) -> None:
        """Refuse every access: this is a fork."""
        after_fork.refuse(self.memory, self._tables.values(), reason)

    def check(self) -> list[str]:
        """Return what is wrong with indexes and constraints; O(n log n)."""
        return self.memory.problems()

    def refuse_writes(self, refusal: ReadOnlyStore) -> None:
        """Let there be no commits."""
        remembered = RememberedCommits(self.last_visible, self.memory.sequence)
        self.memory.log = VolatileLog(self.memory.became_durable, remembered, refusal=refusal)

    def last_visible(self) -> int:
        """Return the last commit that every reader sees."""
        return self.memory.durable_sequence

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────

    def take_note_of_erased(self, erased: ErasedKeys) -> None:
        """Say in the commit of the open transaction, inside `writing`, which keys' content was erased."""
        transaction = self.memory.open_transaction
        assert transaction is not None
        transaction.erased = erased

    def on_durable(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each commit becomes durable; return what ends that."""
        return self.memory.on_durable(call)

    def row_json(self, table: str, key: Key) -> bytes | None:
        """Return the JSON of a row as the caller sees it, None if there is none."""
        rows = self.memory.tables[table]
        row = rows.rows.get(key)
        return None if row is None else rows.codec.dump(row)

    def rows_json(self, table: str) -> Mapping[Key, bytes]:
        """Return the JSON of every row of a table as of the last durable commit; O(n)."""
        rows = self.memory.tables[table]
        with self.memory.latch:
            durable = rows.durable_rows()
        return {key: rows.codec.dump(row) for key, row in durable.items()}

    @contextmanager
    def writing(self, note: str | None, undoes: tuple[int, ...]) -> Iterator[CommitNumber]:
        """Return the context of a transaction, or of a part of the caller's, that says what it is for."""
        number, joined = CommitNumber(), self.memory.in_transaction()
        with self.memory.write() as transaction:
            yield number
            transaction.take_note(note, undoes)
        if not joined:
            number.sequence = transaction.sequence

    def put(self, states: Iterable[RowState]) -> list[ConstraintError]:
        """Put rows into states, inside `writing`; return every constraint that doesn't hold then. O(rows).

        Of what refers to rows that go, only rows of transient tables go with them.
        """
        transaction = self.memory.open_transaction
        assert transaction is not None
        tables = self.memory.tables
        given = list(states)
        for state in given:
            _put(tables[state.table], transaction, state)
        for state in given:
            if state.row is None:
                constraints.release_transient(tables, transaction, tables[state.table], state.key)
        return list(constraints.violations(self.memory.tables, transaction.net_changes()))

    def at(self, sequence: int, states: Callable[[int], Iterable[RowState]], *, writable: bool) -> "CopyEngine":
        """Return an engine with the rows of an earlier commit, which shares with this one those that are the same."""
        memory = self.memory
        # The present rows: sharing them costs a copy of the dictionary, in C.
        with memory.latch:
            present = memory.durable_sequence
            tables = {
                name: ({} if rows.schema.transient else rows.durable_rows(), rows.last_number)
                for name, rows in memory.tables.items()
            }
        codecs = {name: rows.codec for name, rows in memory.tables.items()}
        return copy_of(codecs, tables, states(present), sequence, writable=writable, timeout=memory.writer_timeout)

    def capture(self, folders: Sequence[str], migrations: Sequence[str]) -> Capture:  # noqa: ARG002 - no directory
        """Return the rows as files of a store of its own: what there is has none."""
        self.refuse_in_transaction("backup()", "hold nothing of it")
        return captured_rows(self.memory, migrations, None, str(uuid4()))

    def refresh(self) -> int:
        """Return the last commit that readers see: only this process commits here."""
        return self.last_visible()

    def refuse_in_transaction(self, call: str = "persist()", does: str = "save half of it") -> None:
        """Raise TransactionError inside a transaction: a snapshot would hold half of it."""
        if self.in_transaction():
            raise TransactionError(f"{call} inside a transaction would {does}; call it after the transaction")

    def status(self, *, details: bool = True) -> Status:  # noqa: ARG002 - all of it is at hand
        """Return how the tables are doing; O(tables)."""
        log = self.memory.log
        refusal = None if log is None else log.refusal
        return Status(
            engine="memory",
            sequence=self.memory.sequence,
            writable=refusal is None,
            reason=None if refusal is None else str(refusal),
            rows={name: table.count(EVERYTHING) for name, table in self._tables.items()},
        )


def _put(rows: TableRows, transaction: Transaction, state: RowState) -> None:
    """Put a row into a state."""
    before, after, row_json = rows.get(state.key), None, None
    if state.row is not None:
        after, row_json = rows.codec.store(rows.codec.values_of(rows.codec.decode(state.row, state.key)))
        if rows.schema.numbered and isinstance(state.key, int):
            rows.use_number(state.key)
    if before is not None or after is not None:
        transaction.change(rows, state.key, before, after, row_json)


class VolatileEngine(InMemory):
    """The engine of "memory:": every commit is as durable as it will ever be."""

    directory: Path | None = None

    def __init__(
        self, memory: MemoryEngine, refusal: ReadOnlyStore | None = None, retention: Retention = USUAL
    ) -> None:
        super().__init__(memory)
        self._purged = 0
        """The last commit from which something was purged."""
        self._remembered = RememberedCommits(self.last_visible, memory.sequence, retention)
        memory.log = VolatileLog(memory.became_durable, self._remembered, refusal=refusal)

    @property
    def commits(self) -> CommitSource:
        """The commits since it was opened."""
        return self._remembered

    def status(self, *, details: bool = True) -> Status:
        """Return how the tables are doing; O(tables)."""
        return replace(super().status(details=details), history=replace(self._remembered.status(), purged=self._purged))

    @property
    def erased(self) -> ErasedKeys:
        """The keys whose content was erased, as far as the commits are kept that say so."""
        commits = self._remembered.oldest_first(self._remembered.first, self._remembered.sequence)
        erased: dict[str, dict[str, int]] = {}
        for timed in commits:
            for table, keys in (timed.record.erased or {}).items():
                erased.setdefault(table, {}).update(keys)
        return erased

    def forget(self, moment: int) -> None:
        """Forget the commits up to a moment."""
        self._check_writable()
        with self.memory.latch:
            self._remembered.forget(moment)

    def rewrite_commits(self, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:
        """Keep of the commits up to one what a function returns; return how many changed."""
        self._check_writable()
        with self.memory.latch:
            count = self._remembered.rewrite(until, rewritten)
        self._purged = max(self._purged, until if count else 0)
        return count

    def find_texts(self, texts: Collection[bytes]) -> list[FoundText]:  # noqa: ARG002 - there are no files
        """Return nothing: there are no files."""
        return []

    def _check_writable(self) -> None:
        log = self.memory.log
        if log is not None and log.refusal is not None:
            raise log.refusal

    def persist(self) -> None:
        """Do nothing: there is nowhere to save to."""
        self.refuse_in_transaction()

    def close(self) -> None:
        """Do nothing: what there was is gone."""

    def can_close_at_exit(self) -> bool:
        """Return whether no transaction is open."""
        return self.memory.open_transaction is None


class CopyEngine(VolatileEngine):
    """The rows of another engine at a commit: a past, which refuses writes, or a fork, which keeps them in memory."""

    def __init__(self, memory: MemoryEngine, *, writable: bool, unfit: Mapping[str, list[str]]) -> None:
        """Begin with the rows of `memory`.

        Args:
            memory: the rows.
            writable: whether it may be changed.
            unfit: which rows don't fit today's models, by table.

        Raises:
            HistoryError: some don't, and it is to be changed.
        """
        refusal = None if writable else ReadOnlyStore(f"this is the past, as of commit {memory.sequence}")
        super().__init__(memory, refusal)
        refusals = {name: _unfit(name, memory.sequence, problems) for name, problems in unfit.items()}
        if writable and refusals:
            raise HistoryError("; ".join(refusals.values()))
        self._readable: dict[str, TableEngine[BaseModel]] = {
            name: cast("TableEngine[BaseModel]", _UnreadableTable(refusals[name])) if name in refusals else table
            for name, table in super().tables.items()
        }

    @property
    def tables(self) -> Mapping[str, TableEngine[BaseModel]]:
        """The operations of each table, by name; those of a table with rows that don't fit say so."""
        return self._readable


def copy_of(
    codecs: Mapping[str, Codec],
    tables: Mapping[str, tuple[dict[Key, BaseModel], int]],
    states: Iterable[RowState],
    sequence: int,
    *,
    writable: bool,
    timeout: float,
) -> CopyEngine:
    """Return an engine in memory with present rows, but for those that were otherwise at a commit.

    Args:
        codecs: of each table.
        tables: the present rows of each table, to be changed, and the last number that it gave out.
        states: the rows that were otherwise.
        sequence: the commit.
        writable: whether it may be changed.
        timeout: seconds that a write waits for another at most.
    """
    copy = MemoryEngine({name: codec.schema for name, codec in codecs.items()}, timeout, codecs)
    # 1. The rows that were otherwise, each decoded once.
    unfit: dict[str, list[str]] = {}
    for state in states:
        rows = tables[state.table][0]
        if state.row is None:
            rows.pop(state.key, None)
            continue
        try:
            rows[state.key] = codecs[state.table].decode(state.row, state.key)
        except InvalidRow as error:
            unfit.setdefault(state.table, []).append(str(error))
    # 2. The indexes are built when they are first asked for.
    for name, (rows, last_number) in tables.items():
        copy.tables[name].adopt(rows, last_number)
    copy.begin_at(sequence)
    return CopyEngine(copy, writable=writable, unfit=unfit)


class _UnreadableTable:
    """A table of the past with rows that don't fit today's models: whatever is asked of it says which."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        return self._refuse

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise HistoryError(self._reason)


def _unfit(table: str, sequence: int, problems: Sequence[str]) -> str:
    rows = "a row that doesn't fit" if len(problems) == 1 else f"{len(problems):,} rows that don't fit"
    return (
        f"{table} as of commit {sequence} has {rows} today's models; raw({table!r}) gives them as they "
        f"were: {'; '.join(listed(problems, MOST_UNFIT))}"
    )
