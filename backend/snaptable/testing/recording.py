"""A workload that ran on a simulated disk: what was done to the disk, and which commits were acknowledged by when."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Generic
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from typing_extensions import TypeVar

from snaptable.changes.records import CommitRecord
from snaptable.database.database import Database
from snaptable.engines import Filesystem, engine_of, observe_opens
from snaptable.errors import SnaptableError
from snaptable.memory.commit_log import CommitLog, UndoRecords
from snaptable.memory.engine import MemoryEngine
from snaptable.storage.commit_batch import CommitBatch
from snaptable.testing.disk import EMPTY, Contents, Operation, SimulatedDisk

if TYPE_CHECKING:
    import asyncio

D = TypeVar("D", bound=Database, default=Database)
Batch = CommitBatch[UndoRecords]
Rows = dict[str, list[BaseModel]]
"""Every row by its table, in order."""

_disks: "WeakKeyDictionary[Database, SimulatedDisk]" = WeakKeyDictionary()


def rows_of(db: Database) -> Rows:
    """Return every row of a database. O(n)."""
    return {name: table.where().all() for name, table in db.tables.items()}


def sibling(db: D, directory: Path, filesystem: Filesystem | None = None) -> D:
    """Return a closed database like another, with the same attributes, in another directory.

    The class's own constructor is not called: it may take any arguments. Options of the database are the defaults.
    """
    copy = object.__new__(type(db))
    vars(copy).update(vars(db))
    Database.__init__(copy, directory, filesystem=filesystem)
    return copy


def disk_of(db: Database) -> SimulatedDisk:
    """Return the simulated disk on which a recorded workload runs, for example to make it fail.

    Raises:
        KeyError: the database is not that of a recording.
    """
    return _disks[db]


def on_disk_of(db: Database, other: D) -> D:
    """Let another closed database, such as a newer program's, run on the disk of a recorded one; return it."""
    _disks[other] = _disks[db]
    return other


@dataclass
class Candidate:
    """Rows that a crash may leave: those after some commit.

    Attributes:
        rows: the rows.
        since: operations after which a crash may leave them.
        until: operations after which it no longer may.
    """

    rows: Rows
    since: int
    until: float = inf


@dataclass
class Recording(Generic[D]):
    """A workload that ran, or is running, with every operation of its disk. It observes the openings of its databases.

    Attributes:
        make: returns a closed database of the tested class for a directory; the class itself does.
        disk: the simulated disk with its record.
        first_operation: operations of the disk that belong to what came before.
        base_sequence: the sequence at the beginning.
        states: by sequence, the rows after that commit; several if a commit was rolled back and another one followed.
        acknowledged: by sequence, how many operations were done when a client, or a reader, knew of the commit.
    """

    make: Callable[[Path], D]
    disk: SimulatedDisk
    first_operation: int = 0
    base_sequence: int = 0
    states: dict[int, list[Candidate]] = field(default_factory=dict)
    acknowledged: dict[int, int] = field(default_factory=dict)

    @property
    def operation_count(self) -> int:
        """How many operations were done so far."""
        return len(self.disk.operations)

    # ── openings ────────────────────────────────────────────────────────────────────────────────────────────────────

    def new_database(self) -> D:
        """Return a closed database that finds the disk when it is opened, if this recording observes that."""
        db = self.make(self.disk.root)
        _disks[db] = self.disk
        return db

    def open_database(self) -> D:
        """Return a new database, open on the disk."""
        with observe_opens(self):
            return self.new_database().open()

    def filesystem(self, database: Database, directory: Path) -> Filesystem | None:  # noqa: ARG002 - by the database
        """Return the disk for a database of this recording."""
        return self.disk.mount if _disks.get(database) is self.disk else None

    def opened(self, database: Database) -> None:
        """Watch a database of this recording.

        Raises:
            RuntimeError: it is not one in a directory.
        """
        if _disks.get(database) is self.disk:
            if database.directory is None:
                raise RuntimeError(f"{database!r} is not in a directory: a crash leaves nothing of it")
            self.watch(database)

    def watch(self, db: Database) -> None:
        """Record the commits of a database that was just opened on the disk."""
        engine = engine_of(db)
        if engine.sequence not in self.states:
            self.states[engine.sequence] = [Candidate(rows_of(db), -1)]
        # The state that an opening shows is known from then on, and later states that it does not show are lost.
        self.record_acknowledged(engine.sequence)
        for sequence in filter(lambda sequence: sequence > engine.sequence, self.states):
            for lost in self.states[sequence]:
                lost.until = min(lost.until, self.operation_count)
        assert engine.log is not None
        engine.log = RecordingLog(engine.log, engine, self)
        self.disk.before = lambda operation: self._record_visible(engine, db, operation)

    # ── commits ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def record_enqueued(self, sequence: int, rows: Rows) -> None:
        """Record a commit that was handed to the log: from now on a crash may leave it."""
        self.states.setdefault(sequence, []).append(Candidate(rows, self.operation_count))

    def record_acknowledged(self, sequence: int) -> None:
        """Record that a client knows of a commit: from now on no crash may undo it."""
        self.acknowledged.setdefault(sequence, self.operation_count)
        for rolled_back in self.states.get(sequence, [])[:-1]:
            rolled_back.until = min(rolled_back.until, self.operation_count)

    def _record_visible(self, engine: MemoryEngine, db: Database, operation: Operation) -> None:
        """Count a commit that readers see before it was acknowledged as acknowledged."""
        newest = max(self.states)
        if operation.kind in ("sync", "rename") and newest not in self.acknowledged and engine.open_transaction is None:
            with suppress(SnaptableError):
                visible = rows_of(db)
                if visible == self.states[newest][-1].rows != self.states[newest - 1][-1].rows:
                    self.record_acknowledged(newest)

    # ── what a crash may leave ──────────────────────────────────────────────────────────────────────────────────────

    def allowed_sequences(self, point: int) -> tuple[int, int]:
        """Return the first and the last sequence that a store may have after a crash behind `point` operations."""
        acknowledged = (sequence for sequence, at in self.acknowledged.items() if at <= point)
        enqueued = (sequence for sequence, rows in self.states.items() if any(one.since < point for one in rows))
        least = max(acknowledged, default=self.base_sequence)
        return least, max(enqueued, default=least)

    def violation(self, point: int, sequence: int, rows: Rows) -> str | None:
        """Return why a store may not have these rows after a crash behind `point` operations; None if it may."""
        least, greatest = self.allowed_sequences(point)
        if not least <= sequence <= greatest:
            what = "acknowledged" if sequence < least else "begun"
            return f"holds the state after commit {sequence}; {what} were {least if sequence < least else greatest}"
        candidates = self.allowed_states(point, sequence)
        if any(candidate.rows == rows for candidate in candidates):
            return None
        return f"says it holds the state after commit {sequence}, but has {_difference(candidates, rows)}"

    def allowed_states(self, point: int, sequence: int) -> list[Candidate]:
        """Return the rows that a store with this sequence may have after a crash behind `point` operations."""
        allowed = (candidate for candidate in self.states.get(sequence, ()) if point <= candidate.until)
        return [Candidate(candidate.rows, -1) for candidate in allowed]


def _difference(candidates: list[Candidate], rows: Rows) -> str:
    if not candidates:
        return str(rows)
    expected = candidates[-1].rows
    wrong = {name: actual for name, actual in rows.items() if expected.get(name) != actual}
    return "; ".join(f"{name}: {actual} instead of {expected.get(name)}" for name, actual in wrong.items())


class RecordingLog:
    """A log between an engine and its own, which records what is enqueued and what is acknowledged."""

    def __init__(self, log: CommitLog[Batch], engine: MemoryEngine, recording: Recording[D]) -> None:
        self._log, self._engine, self._recording = log, engine, recording
        self._mutex = threading.Lock()

    @property
    def failure(self) -> object | None:
        """What is being taken back."""
        return self._log.failure

    def finish_failure(self) -> None:
        """Do what an interruption left undone."""
        self._log.finish_failure()

    @property
    def refusal(self) -> Exception | None:
        """Why writes are refused."""
        return self._log.refusal

    def enqueue(self, commit: CommitRecord, join: Callable[[Batch], None]) -> Batch:
        """Record the commit and the rows after it, and enqueue it."""
        rows: Rows = {name: table.live() for name, table in self._engine.tables.items()}
        with self._mutex:
            self._recording.record_enqueued(commit.sequence, rows)
        return self._log.enqueue(commit, join)

    def resume_enqueue(self, commit: CommitRecord, join: Callable[[Batch], None]) -> Batch | None:
        """Finish an enqueue that was interrupted."""
        return self._log.resume_enqueue(commit, join)

    def last_pending(self) -> Batch | None:
        """Return the last batch that is not durable."""
        return self._log.last_pending()

    def wait(self, batch: Batch) -> None:
        """Wait for a batch, and record its commits as acknowledged."""
        self._log.wait(batch)
        self._record_acknowledged(batch)

    async def wait_async(self, batch: Batch, loop: "asyncio.AbstractEventLoop | None") -> None:
        """Wait for a batch, and record its commits as acknowledged."""
        durable = self._log.wait_async(batch, loop)
        if durable is not None:
            await durable
            batch.result()
        self._record_acknowledged(batch)

    def try_resume(self) -> None:
        """Let the log try to accept writes again."""
        self._log.try_resume()

    def _record_acknowledged(self, batch: Batch) -> None:
        with self._mutex:
            for commit in batch.commits:
                self._recording.record_acknowledged(commit.sequence)


def record(make: Callable[[Path], D], workload: Callable[[D], object], contents: Contents = EMPTY) -> Recording[D]:
    """Run a workload on a simulated disk.

    Args:
        make: returns a closed database for a directory.
        workload: called with the open database; it may close and open it. The database is closed afterwards.
        contents: what is on the disk at first.

    Raises:
        RuntimeError: the database is not one in a directory.
    """
    recording = Recording(make, SimulatedDisk(contents))
    with observe_opens(recording), recording.new_database() as db:
        workload(db)
    return recording
