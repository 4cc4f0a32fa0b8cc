"""The fault search: a store runs on a simulated disk, each operation failing in each way."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from tests.snaptable.crash.search import Author, Book, Shelf, background, mark

from snaptable import OpenError, ReadOnlyStore, WriteFailed
from snaptable.runtime.silenced_log import silenced_log
from snaptable.testing.crash import states_after
from snaptable.testing.disk import Contents, Operation, SimulatedDisk
from snaptable.testing.faults import How
from snaptable.testing.recording import Rows, rows_of

Lasting = Literal["once", "until healed", "for good"]
LASTING: tuple[Lasting, ...] = ("once", "until healed", "for good")
FAILURES: dict[str, tuple[str, int | type[BaseException], How]] = {
    "EIO": ("any", errno.EIO, "before"),
    "ENOSPC": ("change", errno.ENOSPC, "before"),
    "short write": ("write", errno.ENOSPC, "short"),
    "done, yet EIO": ("change", errno.EIO, "after"),
    "exception": ("any", RuntimeError, "before"),
    "interrupt": ("any", KeyboardInterrupt, "before"),
}
"""By name: which operations, the error, and how much of the operation takes place."""


class BrokenPromise(Exception):
    """A promise that was not kept."""


@dataclass
class FaultReport:
    """How many runs there were, how many of their faults were met, and what was wrong."""

    runs: int = 0
    triggered: int = 0
    states: int = 0
    failures: list[str] = field(default_factory=list)


# ── the life ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _pair(number: int) -> Callable[[Shelf], object]:
    def work(db: Shelf) -> None:
        with db.transaction():
            author = db.authors.insert(Author(id=100 + number, name=f"pair {number}", note="p" * (number * 211 % 700)))
            assert author.id is not None
            db.books.insert_many(Book(id=f"{number}-{part}", author=author.id, year=number) for part in range(2))

    return work


STEPS: tuple[Callable[[Shelf], object] | Literal["persist"], ...] = (
    _pair(1),
    lambda db: db.authors.update(1, note="changed"),
    "persist",
    lambda db: db.authors.delete(1),
    _pair(2),
    _pair(3),
)


@cache
def template() -> Contents:
    """Return a disk as a kill left it: a snapshot, newer commits in the journal alone, and a torn end."""
    disk = SimulatedDisk()
    with silenced_log():
        db = background(disk.root, filesystem=disk.mount).open()
        db.authors.insert(Author(id=1, name="first"))
        db.persist()
        db.authors.insert(Author(id=2, name="second"))
        killed = disk.contents.copy()
        db.close()
    inode = killed.names["db_journal/1.jsonl"]
    killed.inodes[inode] += b'{"frame":[3,3],"at":"'
    return killed


class StoreRun:
    """A run of one store on one disk with one fault; raises `BrokenPromise` if a promise is broken."""

    def __init__(self, disk: SimulatedDisk, error: int | type[BaseException], lasting: Lasting, policy: bool) -> None:
        self.disk, self.lasting = disk, lasting
        self.full = error == errno.ENOSPC
        self.foreign: tuple[type[BaseException], ...] = () if isinstance(error, int) else (error,)
        self.at_open: tuple[type[BaseException], ...] = (OpenError, *self.foreign)
        self.at_work: tuple[type[BaseException], ...] = (WriteFailed, ReadOnlyStore, *self.foreign)
        self.causes: tuple[type[BaseException], ...] = (OSError, ReadOnlyStore, *self.foreign)
        self.make = background if policy else Shelf
        self.twin = Shelf("memory:").open()
        self.twin.authors.insert_many([Author(id=1, name="first"), Author(id=2, name="second")])
        self.doubtful: list[Rows] = []

    def run(self, report: FaultReport) -> None:
        """Open, work, crash in thought, heal, close, open again."""
        db = self._open()
        for step in STEPS:
            self._step(db, step)
        self._crash(report)
        healed = self.lasting != "for good"
        if healed:
            self.disk.faults.heal()
            self._recover(db)
        self._end(db, healed=healed)

    def _open(self) -> Shelf:
        try:
            return self._closed(self.disk).open()
        except self.at_open:
            self.disk.faults.heal()
        return self._closed(self.disk).open()

    def _closed(self, disk: SimulatedDisk) -> Shelf:
        return self.make(disk.root, filesystem=disk.mount)

    def _step(self, db: Shelf, step: Callable[[Shelf], object] | Literal["persist"]) -> None:
        work = (lambda db: db.persist()) if step == "persist" else step
        try:
            work(db)
        except self.at_work as error:
            if isinstance(error, WriteFailed) and not isinstance(error.__cause__, self.causes):
                raise BrokenPromise(f"WriteFailed was caused by {error.__cause__!r}") from error
            if step != "persist":
                after = self._after(work)
                if self.foreign and rows_of(db) == after:
                    work(self.twin)  # it was durable by the time it was interrupted: what is read says so
                else:
                    self.doubtful.append(after)
        else:
            if step != "persist":
                work(self.twin)
                self.doubtful = []
        self._compare(rows_of(db), "memory", exactly=True)
        if db.check():
            raise BrokenPromise(f"memory is unsound: {db.check()}")

    def _after(self, work: Callable[[Shelf], object]) -> Rows:
        """Return the rows as they would be after a write that raised."""

        class Enough(Exception):
            pass

        try:
            with self.twin.transaction():
                work(self.twin)
                rows = rows_of(self.twin)
                raise Enough
        except Enough:
            return rows

    def _compare(self, rows: Rows, where: str, *, exactly: bool) -> None:
        expected = rows_of(self.twin)
        if rows != expected and (exactly or rows not in self.doubtful):
            raise BrokenPromise(f"{where} holds {rows}, acknowledged were {expected}")

    def _crash(self, report: FaultReport) -> None:
        """Open what a kill, and what a power cut, would leave now."""
        for model, most in (("kill", 1), ("weak", 4)):
            for contents in states_after(self.disk, len(self.disk.operations), model, max_states=most):  # type: ignore[arg-type]
                report.states += 1
                with closing(self._closed(SimulatedDisk(contents)).open()) as db:
                    self._compare(rows_of(db), f"a disk after a crash ({model})", exactly=False)

    def _recover(self, db: Shelf) -> None:
        """Write again, as the design says: at once after a full disk or an interruption, after persist() else."""
        try:
            if not (self.full or self.foreign):
                db.persist()
            mark(db)
        except ReadOnlyStore as error:
            raise BrokenPromise(f"the disk works again, and writes are refused: {error}") from error
        else:
            mark(self.twin)
            self.doubtful = []

    def _end(self, db: Shelf, *, healed: bool) -> None:
        clean = True
        try:
            db.close()
        except self.at_work as error:
            if healed and not self.foreign:
                raise BrokenPromise(f"the disk works again, and close() failed: {error}") from error
            clean = False
        self.disk.faults.heal()
        for _ in range(2):
            with closing(self._closed(self.disk).open()) as again:
                rows = rows_of(again)
                self._compare(rows, "the store, opened again,", exactly=clean and not self.foreign)
                if again.check():
                    raise BrokenPromise(f"it is unsound when opened again: {again.check()}")


# ── the search ──────────────────────────────────────────────────────────────────────────────────────────────────────


def count(operation: str, *, policy: bool) -> int:
    """Return how often an operation happens in an undisturbed run."""
    disk = SimulatedDisk(template())
    never = disk.faults.fail(operation, after=1_000_000)
    with silenced_log():
        StoreRun(disk, errno.EIO, "once", policy).run(FaultReport())
    return 1_000_000 - never.after


def plans(every: int = 1, names: Iterable[str] = tuple(FAILURES)) -> Iterator[tuple[str, Lasting, bool, int]]:
    """Yield each fault to inject, or one in `every`: name, how long it lasts, journal only or not, which operation."""
    number = 0
    for policy in (False, True):
        for name in names:
            total = count(FAILURES[name][0], policy=policy)
            for lasting in LASTING:
                for index in range(total):
                    number += 1
                    if number % every == 0:
                        yield name, lasting, policy, index


def inject(report: FaultReport, name: str, lasting: Lasting, policy: bool, index: int) -> None:
    """Run a store with one fault, and report what was wrong."""
    operation, error, how = FAILURES[name]
    disk = SimulatedDisk(template())
    exception: int | BaseException = error if isinstance(error, int) else error("injected")
    fault = disk.faults.fail(operation, exception, after=index, times=1 if lasting == "once" else None, how=how)
    met: list[Operation] = []
    disk.before = met.append
    try:
        with silenced_log():
            StoreRun(disk, error, lasting, policy).run(report)
    except BaseException as problem:
        where = f"{name}, {lasting}, {'journal only' if policy else 'auto'}, operation {index}"
        report.failures.append(f"{where}: {type(problem).__name__}: {problem}")
    report.runs += 1
    report.triggered += fault.trigger_count
