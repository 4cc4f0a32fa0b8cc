"""Run a workload on a simulated disk, then open the store in every state that a crash may have left, and judge it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from snaptable import Database, ForeignKey, Index, Row, Table, Unique, table
from snaptable.storage import committer, journal
from snaptable.storage.files import Files
from snaptable.testing.crash import Model, states_after
from snaptable.testing.disk import Contents, SimulatedDisk


class Author(Row):
    id: int | None = None
    name: Annotated[str, Unique()]
    note: str = ""


class Book(Row):
    id: str
    author: Annotated[int, ForeignKey(Author, on_delete="cascade")]
    year: Annotated[int, Index(ordered=True)] = 2000
    tags: Annotated[list[str], Index(each=True)] = []


class Shelf(Database):
    authors: Table[Author]
    books: Table[Book] = table(Index("author", "year", ordered=True))

    _disk: SimulatedDisk

    def _files(self, directory: Path) -> Files:
        return self._disk


def shelf(disk: SimulatedDisk) -> Shelf:
    """Return a closed database on a simulated disk."""
    db = Shelf("/simulated")
    db._disk = disk
    return db


Rows = dict[str, list[dict[str, Any]]]


def rows_of(db: Shelf) -> Rows:
    """Return everything a database holds, in order."""
    return {name: [row.model_dump() for row in found] for name, found in db.tables.items()}


@dataclass
class Run:
    """Be a workload that ran: the disk's record, and what its client was told when.

    Attributes:
        disk: the simulated disk.
        states: the rows after each commit, from the empty store on.
        acknowledged: for each acknowledged commit, the number of operations done by then.
        started: for each commit, the number of operations done when it began.
    """

    disk: SimulatedDisk
    states: list[Rows] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    def commit(self, db: Shelf, work: Callable[[], object]) -> None:
        """Make one commit and note when it began and when it was acknowledged."""
        self.started.append(len(self.disk.operations))
        work()
        self.acknowledged.append(len(self.disk.operations))
        self.states.append(rows_of(db))

    def bounds(self, point: int) -> tuple[int, int]:
        """Return the fewest and the most commits that a store may show after a crash at a point."""
        return sum(at <= point for at in self.acknowledged), sum(at < point for at in self.started)


@dataclass
class Tally:
    """Count what was looked at, and keep what was wrong."""

    states: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


Workload = Callable[[Run, Shelf], None]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the store's log out of the way: it is opened thousands of times."""
    logger = logging.getLogger("snaptable")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def record(workload: Workload, contents: Contents | None = None) -> Run:
    """Run a workload on a fresh simulated disk."""
    run = Run(SimulatedDisk(contents) if contents is not None else SimulatedDisk())
    db = shelf(run.disk)
    db.open()
    run.states.append(rows_of(db))
    workload(run, db)
    if db.is_open:
        db.close()
    return run


def search(run: Run, model: Model, tally: Tally, *, seed: int, most: int, every: int = 1, nested: int = 0) -> None:
    """Open the store in every state after every operation of a run; `nested` of them are crashed again while opening."""
    for point in range(0, len(run.disk.operations) + 1, every):
        least, greatest = run.bounds(point)
        allowed = run.states[least : greatest + 1]
        for number, contents in enumerate(states_after(run.disk, point, model, seed, most)):
            tally.states[model] += 1
            where = f"{model}, after operation {point} ({operation_before(run, point)}), state {number}, seed {seed}"
            disk = judge(contents, allowed, tally, where)
            if disk is not None and number < nested:
                crash_again(disk, allowed, tally, where, model, seed, most)


def operation_before(run: Run, point: int) -> str:
    """Return what was done last before a point."""
    if point == 0:
        return "nothing"
    operation = run.disk.operations[point - 1]
    return f"{operation.kind} {operation.name or operation.inode}{' -> ' * bool(operation.target)}{operation.target}"


def crash_again(
    disk: SimulatedDisk, allowed: list[Rows], tally: Tally, where: str, model: Model, seed: int, most: int
) -> None:
    """Crash at every operation of a recovery, of the commit after it, and of the close, and judge what is left."""
    allowed = [*allowed, *(with_mark(rows) for rows in allowed)]
    for point in range(len(disk.operations) + 1):
        for number, contents in enumerate(states_after(disk, point, model, seed, most)):
            tally.states[f"{model}, nested"] += 1
            judge(contents, allowed, tally, f"{where}; then again after {point}, state {number}")


MARK = Author(id=999_999, name="written after the crash")


def with_mark(rows: Rows) -> Rows:
    """Return rows with the one that `judge` writes."""
    return {**rows, "authors": [*rows["authors"], MARK.model_dump()]}


def judge(contents: Contents, allowed: list[Rows], tally: Tally, where: str) -> SimulatedDisk | None:
    """Open a store in some state and note what is wrong; return its disk, with what the opening did, where nothing is."""
    disk = SimulatedDisk(contents)
    try:
        problem = _problem(disk, allowed)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem is None:
        return disk
    tally.failures.append(f"{where}: {problem}")
    return None


def _problem(disk: SimulatedDisk, allowed: list[Rows]) -> str | None:
    # 1. It opens, shows the state after some allowed commit, and is sound.
    with shelf(disk) as db:
        found = rows_of(db)
        if found not in allowed:
            return f"holds {found}, which is after none of {len(allowed)} allowed commits"
        if db.check():
            return f"is unsound: {db.check()}"
    # 2. Opening again changes nothing.
    with shelf(disk) as db:
        if rows_of(db) != found:
            return "holds something else when opened again"
        # 3. A further commit works,
        if MARK.id not in db.authors:
            db.authors.insert(MARK)
            found = with_mark(found)
    # 4. and is there, whole, the next time.
    with shelf(disk) as db:
        if rows_of(db) != found:
            return "lost what was written after the recovery"
    return None


# ── workloads ───────────────────────────────────────────────────────────────────────────────────────────────────────


def small_commits(run: Run, db: Shelf) -> None:
    """Insert, update, delete and cascade, a commit each; then a clean close."""
    run.commit(db, lambda: db.authors.insert(Author(name="Ada")))
    run.commit(db, lambda: db.authors.insert(Author(name="Grace", note="x" * 700)))
    run.commit(db, lambda: db.books.insert(Book(id="b1", author=1, tags=["a", "b"])))
    run.commit(db, lambda: db.authors.update(1, note="y" * 300))
    run.commit(db, lambda: db.books.insert(Book(id="b2", author=2)))
    run.commit(db, lambda: db.authors.delete(1))
    db.close()


def transactions(run: Run, db: Shelf) -> None:
    """Change several tables in each commit."""

    def both(number: int) -> None:
        with db.transaction():
            author = db.authors.insert(Author(name=f"author {number}", note="z" * (number * 211 % 900)))
            assert author.id is not None
            db.books.insert_many(Book(id=f"b{number}-{part}", author=author.id, year=number) for part in range(3))
            if number % 3 == 2:
                db.authors.where(Author.id < author.id).limit(1).delete()

    for number in range(1, 8):
        run.commit(db, lambda number=number: both(number))  # type: ignore[misc]


def restarts(run: Run, db: Shelf) -> None:
    """Close and open between commits."""
    for number in range(1, 6):
        run.commit(db, lambda number=number: db.authors.insert(Author(name=f"author {number}")))  # type: ignore[misc]
        if number % 2:
            db.close()
            db.open()


def rolling(run: Run, db: Shelf) -> None:
    """Go on in a new journal file after nearly every commit."""
    for number in range(1, 7):
        run.commit(db, lambda number=number: db.authors.insert(Author(name=f"author {number}", note="n" * 400)))  # type: ignore[misc]


WORKLOADS: dict[str, Workload] = {
    "small commits": small_commits,
    "transactions": transactions,
    "restarts": restarts,
    "rolling": rolling,
}
SEGMENT_BYTES = {"rolling": 600}
__all__ = ["WORKLOADS", "Run", "Tally", "committer", "journal", "record", "search"]
