"""One transaction on the server, and what it changed: for the commit's record, and for messages about violations.

open → rolled back to a savepoint → … → committed or rolled back
"""

import threading
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import Error
from psycopg.pq import TransactionStatus
from pydantic import BaseModel

from snaptable.changes.attribution import Attribution, current_attribution, merged
from snaptable.changes.records import ErasedKeys, Key
from snaptable.codec import Codec
from snaptable.errors import ReadOnlyStore, TransactionError
from snaptable.postgres.server.connections import Connections, Params, Records, Session, has_records
from snaptable.postgres.server.failures import as_own, is_violation

_INTERRUPTED = "a statement of this transaction was interrupted; it was rolled back"
RowId = tuple[str, Key]
"""Table and key."""


@dataclass(slots=True)
class RowChange:
    """A row that a transaction changed: as it was before that, and as it is; None for no row."""

    codec: Codec
    before: BaseModel | None
    after: BaseModel | None
    row_json: bytes | None


class ConstraintBroken(Exception):
    """A constraint that doesn't hold, by its name in the database; the transaction is rolled back."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class CommitMark(NamedTuple):
    """What tells one commit from any other, its server's crash included.

    A server that crashed gives numbers again, of commits and of transactions, that it had not written to its disk yet.
    The time of the record is not given again.
    """

    sequence: int
    microseconds: int
    xid: str


class Transaction:
    """A transaction of one thread.

    Attributes:
        read_only: whether it may change nothing.
        attribution: who makes the commit, and why.
        undoes: the commits that it takes back.
        erased: what it says was erased from the commits before it.
        mark: what its commit is known by; None before it is about to commit, and if nothing changed.
        failure: why the server has given it up; None while it goes on.
        thread: the thread that began it.
        changes: the rows that it changed, in order of first change.
        places: the places of rows that it deleted, which they get back if they are inserted again.
        is_committing: whether the server was told to commit.
        is_over: whether it has ended, and its connection may be another's.
        connections: where its connection goes back to.
        going: rows that history deletes, once nothing refers to them.
    """

    def __init__(self, session: Session, attribution: Attribution | None = None, *, read_only: bool = False) -> None:
        self.session, self.read_only = session, read_only
        current = current_attribution()
        self.attribution = current if attribution is None else merged(current, attribution)
        self.undoes: tuple[int, ...] = ()
        self.migrations: tuple[str, ...] = ()
        self.erased: ErasedKeys | None = None
        self.mark: CommitMark | None = None
        self.failure: Exception | None = None
        self.thread = threading.get_ident()
        self.changes: dict[RowId, RowChange] = {}
        self.places: dict[RowId, int] = {}
        self.is_committing = self.is_over = False
        self.going: dict[RowId, None] = {}
        self.connections: Connections | None = None
        self._undo: list[tuple[RowId, RowChange | None, int | None]] = []
        """What each change put something in the place of: the row's change before it, and its place."""
        self._depth = 0

    # ── statements ──────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, first: str | None = None) -> None:
        """Begin it on the server, with a statement before it sees any state; raises psycopg's errors."""
        level = "repeatable read read only" if self.read_only else "serializable"
        self.session.tell(f"begin isolation level {level}")
        if first is not None:
            self.session.tell(first)

    def ask(self, sql: str, params: Params = None) -> Records:
        """Return the records of a statement.

        Raises:
            ConstraintBroken: at servers that judge constraints at the statement.
            TransactionConflict, Unavailable, …: the transaction can only be rolled back.
        """
        if self.failure is not None:
            raise self.failure
        try:
            return self.session.ask(sql, params)
        except Error as error:
            raise self.failed(error) from None

    def ask_many(self, sql: str, params: list[dict[str, object]]) -> Records:
        """Return the records of a statement that is carried out once for each of many parameters; raises as `ask`."""
        if self.failure is not None:
            raise self.failure
        if not params:
            return []
        cursor = self.session.reader
        try:
            cursor.executemany(sql, params, returning=True)
            records: Records = []
            while True:
                records += cursor.fetchall() if has_records(cursor) else []
                if not cursor.nextset():
                    return records
        except Error as error:
            raise self.failed(error) from None

    def end(self) -> None:
        """Commit on the server; raises psycopg's errors.

        Raises:
            TransactionError: a statement was interrupted, and its answer wasn't waited for, or the server had given the
                transaction up.
        """
        if self.session.info.transaction_status == TransactionStatus.ACTIVE:
            raise TransactionError(_INTERRUPTED)
        self.is_committing = bool(self.changes) or self.mark is not None
        self.session.tell("commit")
        if self.session.reader.statusmessage == "ROLLBACK":  # its answer to COMMIT then, and no error
            raise TransactionError(_INTERRUPTED)

    def failed(self, error: Error) -> Exception:
        """Take note that a statement failed, which ends the transaction on the server; return why."""
        name = error.diag.constraint_name
        self.failure = ConstraintBroken(name) if is_violation(error) and name else as_own(error)
        return self.failure

    # ── savepoints ──────────────────────────────────────────────────────────────────────────────────────────────────

    def savepoint(self) -> int:
        """Begin a part that can be rolled back by itself; return what that takes."""
        self._depth += 1
        self.ask(f"savepoint s{self._depth}")
        return len(self._undo)

    def release(self) -> None:
        """End the innermost part; what it did stays."""
        if self.failure is None:
            self.ask(f"release savepoint s{self._depth}")
        self._depth -= 1

    def roll_back_to(self, savepoint: int) -> None:
        """Take back the innermost part; O(changes)."""
        if self.failure is None:
            self.ask(f"rollback to savepoint s{self._depth}")
            self.ask(f"release savepoint s{self._depth}")
        self._depth -= 1
        while len(self._undo) > savepoint:
            row_id, change, place = self._undo.pop()
            if change is None:
                self.changes.pop(row_id, None)
            else:
                self.changes[row_id] = change
            if place is None:
                self.places.pop(row_id, None)
            else:
                self.places[row_id] = place

    # ── what changed ────────────────────────────────────────────────────────────────────────────────────────────────

    def check_writable(self) -> None:
        """Raise ReadOnlyStore in a transaction that may change nothing."""
        if self.read_only:
            raise reads_only()

    def change(
        self,
        codec: Codec,
        key: Key,
        before: BaseModel | None,
        after: BaseModel | None,
        row_json: bytes | None = None,
        place: int | None = None,
    ) -> None:
        """Take note of a row that was changed; `place` is that of a row that was deleted."""
        row_id = (codec.table, key)
        known = self.changes.get(row_id)
        self._undo.append((row_id, known, self.places.get(row_id)))
        first = before if known is None else known.before
        self.changes[row_id] = RowChange(codec, first, after, row_json)
        if place is not None:
            self.places[row_id] = place

    def before_image(self, table: str, key: Key) -> BaseModel | None:
        """Return the row that a key had before the transaction, if that changed it; else None."""
        change = self.changes.get((table, key))
        return None if change is None else change.before

    def net_changes(self) -> list[tuple[RowId, RowChange]]:
        """Return every row that differs from what it was, in order of first change; O(changes)."""
        return [(row_id, change) for row_id, change in self.changes.items() if _differs(change)]

    def take_note(self, note: str | None, undoes: tuple[int, ...]) -> None:
        """Say in the commit why it was made, if there is a note, and which commits it takes back."""
        self.undoes = (*self.undoes, *undoes)
        if note is not None:
            self.attribution = merged(self.attribution, Attribution(note=note))


class ThreadState(threading.local):
    """What a thread is in the middle of.

    Attributes:
        transaction: the one that it began.
        reads_from: where its reads go, while it may do nothing else and each sees a state of its own; else None.
    """

    transaction: Transaction | None = None
    reads_from: Connections | None = None


def reads_only() -> ReadOnlyStore:
    """Return the error of a write where only reads were announced."""
    return ReadOnlyStore("db.read runs a function that reads only; write `await db.run(fn, …)`")


def row_json(change: RowChange) -> bytes:
    """Return the JSON of the row that a change left."""
    assert change.after is not None
    if change.row_json is None:
        change.row_json = change.codec.encode(change.after)
    return change.row_json


def _differs(change: RowChange) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return before is not after
    return not change.codec.is_same_row(before, after, row_json(change))
