"""A workload that ran on a simulated disk: what was done to the disk, and what its client had been told by when."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Generic, TypeVar

from snaptable.changes import Commit
from snaptable.database import Database
from snaptable.errors import SnaptableError
from snaptable.memory.commit_log import CommitLog
from snaptable.memory.engine import MemoryEngine
from snaptable.storage.commit_batch import CommitBatch
from snaptable.testing.disk import EMPTY, Contents, Operation, SimulatedDisk

D = TypeVar("D", bound=Database)
Rows = dict[str, list[Any]]
"""Every row by its table, in order."""


def rows_of(db: Database) -> Rows:
    """Return everything a database shows."""
    return {name: found.where().all() for name, found in db.tables.items()}


def on_disk(db: D, disk: SimulatedDisk) -> D:
    """Let a database live on a simulated disk from its next opening on; return it."""
    disk.fsync = db._fsync
    db._files = lambda _: disk  # type: ignore[assignment,method-assign]  # the seam, of this one
    return db


@dataclass
class Candidate:
    """Be the rows after some commit, and between which operations a crash may leave them."""

    rows: Rows
    since: int
    until: float = inf


@dataclass
class Recording(Generic[D]):
    """Be a workload that ran, or is running.

    Attributes:
        make: gives a closed database, of the class that is tested, for a directory; the class itself does.
        disk: the simulated disk with its record.
        begun: how many operations belong to what came before.
        base: the sequence at the beginning.
        states: by sequence, the rows after that commit; several where a commit was rolled back and another came.
        acknowledged: by sequence, how many operations were done when a client, or a reader, knew of it.
    """

    make: Callable[[Path], D]
    disk: SimulatedDisk
    begun: int = 0
    base: int = 0
    states: dict[int, list[Candidate]] = field(default_factory=dict)
    acknowledged: dict[int, int] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """How many operations were done."""
        return len(self.disk.operations)

    def new(self) -> D:
        """Return a closed database on the disk."""
        return on_disk(self.make(self.disk.root), self.disk)

    def open(self, db: D) -> D:
        """Open a database on the disk and watch it from then on."""
        type(db).open(db)
        self.watch(db)
        return db

    def watch(self, db: D) -> None:
        """Watch a database that was just opened on the disk."""
        engine = db._engine
        assert engine is not None
        if engine.sequence not in self.states:
            self.states[engine.sequence] = [Candidate(rows_of(db), -1)]
        # What an opening shows is known from then on, and what it doesn't show is gone for good.
        self.acknowledge(engine.sequence)
        for sequence in filter(lambda sequence: sequence > engine.sequence, self.states):
            for gone in self.states[sequence]:
                gone.until = min(gone.until, self.now)
        assert engine.log is not None
        engine.log = RecordingLog(engine.log, engine, self)
        self.disk.before = lambda operation: self._look(engine, db, operation)

    def hand_over(self, sequence: int, rows: Rows) -> None:
        """Take note of a commit that was handed to the log: from now on a crash may leave it."""
        self.states.setdefault(sequence, []).append(Candidate(rows, self.now))

    def acknowledge(self, sequence: int) -> None:
        """Take note of a commit that somebody knows of: no crash may take it back."""
        self.acknowledged.setdefault(sequence, self.now)
        for rolled_back in self.states.get(sequence, [])[:-1]:
            rolled_back.until = min(rolled_back.until, self.now)

    def _look(self, engine: MemoryEngine, db: D, operation: Operation) -> None:
        """Count a commit that readers are shown before it was acknowledged as acknowledged."""
        newest = max(self.states)
        if operation.kind in ("sync", "rename") and newest not in self.acknowledged and engine.open_transaction is None:
            with suppress(SnaptableError):
                shown = rows_of(db)
                if shown == self.states[newest][-1].rows != self.states[newest - 1][-1].rows:
                    self.acknowledge(newest)

    def bounds(self, point: int) -> tuple[int, int]:
        """Return the first and the last commit that a store may end with after a crash at a point."""
        known = (sequence for sequence, at in self.acknowledged.items() if at <= point)
        begun = (sequence for sequence, found in self.states.items() if any(one.since < point for one in found))
        least = max(known, default=self.base)
        return least, max(begun, default=least)

    def allows(self, point: int, sequence: int, rows: Rows) -> str | None:
        """Return why a store may not hold these rows after a crash at a point; None where it may."""
        least, greatest = self.bounds(point)
        if not least <= sequence <= greatest:
            what = "acknowledged" if sequence < least else "begun"
            return f"holds the state after commit {sequence}; {what} were {least if sequence < least else greatest}"
        candidates = self.allowed(point, sequence)
        if any(one.rows == rows for one in candidates):
            return None
        return f"says it holds the state after commit {sequence}, but has {_difference(candidates, rows)}"

    def allowed(self, point: int, sequence: int) -> list[Candidate]:
        """Return the rows that a store may hold which ends with a commit, after a crash at a point."""
        found = (one for one in self.states.get(sequence, ()) if point <= one.until)
        return [Candidate(one.rows, -1) for one in found]


def _difference(candidates: list[Candidate], rows: Rows) -> str:
    if not candidates:
        return str(rows)
    expected = candidates[-1].rows
    wrong = {name: (expected.get(name), found) for name, found in rows.items() if expected.get(name) != found}
    return "; ".join(f"{name}: {found} instead of {right}" for name, (right, found) in wrong.items())


class RecordingLog:
    """Stand between an engine and its log, and note what is handed over and what is acknowledged."""

    def __init__(self, log: CommitLog[CommitBatch], engine: MemoryEngine, run: "Recording[Any]") -> None:
        self._log, self._engine, self._run = log, engine, run
        self._gate = threading.Lock()

    @property
    def refusal(self) -> Exception | None:
        """Why writes are refused."""
        return self._log.refusal

    def enqueue(self, commit: Commit, join: Callable[[CommitBatch], None]) -> CommitBatch:
        """Note the commit and the rows after it."""
        rows = {name: table.live() for name, table in self._engine.tables.items()}
        with self._gate:
            self._run.hand_over(commit.sequence, rows)
        return self._log.enqueue(commit, join)

    def last_pending(self) -> CommitBatch | None:
        """Return the last batch that isn't durable."""
        return self._log.last_pending()

    def wait(self, batch: CommitBatch) -> None:
        """Wait, and note what that acknowledges."""
        self._log.wait(batch)
        self._acknowledge(batch)

    async def wait_async(self, batch: CommitBatch) -> None:
        """Wait, and note what that acknowledges."""
        await self._log.wait_async(batch)
        self._acknowledge(batch)

    def try_resume(self) -> None:
        """Let the log try to accept writes again."""
        self._log.try_resume()

    def _acknowledge(self, batch: CommitBatch) -> None:
        with self._gate:
            for commit in batch.commits:
                self._run.acknowledge(commit.sequence)


def record(make: Callable[[Path], D], workload: Callable[[D], object], contents: Contents = EMPTY) -> Recording[D]:
    """Run a workload on a simulated disk; return the record.

    Args:
        make: gives a closed database for a directory.
        workload: handed the database, open; it may close and open it. It is closed in the end where it is open.
        contents: what is on the disk at first.
    """
    run = Recording(make, SimulatedDisk(contents))
    db = run.new()
    db.open = lambda: run.open(db)  # type: ignore[method-assign]  # a workload that opens it again is watched, too
    with db:
        workload(db)
    return run
