"""Writing: what a durable change costs, against the disk itself and against those who store the same rows."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

from tests.benchmarks.bench import Bench, Finding, finding
from tests.benchmarks.measure import Counted, Measured, Side, Work, each
from tests.benchmarks.peers.ours import Ours
from tests.benchmarks.peers.peer import Peer
from tests.benchmarks.rows import Annotation, Library, Rows

ROWS = "100k"


# ── the disk itself ─────────────────────────────────────────────────────────────────────────────────────────────────


def replace_file(directory: Path, content: bytes) -> None:
    """Write a file in the place of another, so that a power cut leaves one of the two."""
    descriptor = os.open(directory / "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(directory / "new", directory / "file")  # noqa: PTH104 - as little Python as there can be
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RawLog:
    """Append so many bytes and wait until they are on the disk: a commit without anything around it."""

    def __init__(self, directory: Path, size: int) -> None:
        self._content = b"x" * (size - 1) + b"\n"
        self._file = os.open(directory / "raw.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, _: object) -> None:
        """Append once."""
        os.write(self._file, self._content)
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


# ── one change, and the file that shows it ──────────────────────────────────────────────────────────────────────────


def mutation_1k(bench: Bench) -> Iterator[Finding]:
    """Change one row of 1k and wait for the snapshot."""
    yield from _mutation(bench, "1k", ("stop-gap", "TinyDB"))


def mutation_10k(bench: Bench) -> Iterator[Finding]:
    """Change one row of 10k and wait for the snapshot."""
    yield from _mutation(bench, "10k", ("stop-gap", "TinyDB"))


def mutation_100k(bench: Bench) -> Iterator[Finding]:
    """Change one row of 100k and wait for the snapshot."""
    yield from _mutation(bench, "100k", ("stop-gap",))


def _mutation(bench: Bench, size: str, names: tuple[str, ...]) -> Iterator[Finding]:
    """Change a field of random rows: our snapshot, the same bytes written raw, and everybody who rewrites a file."""
    with ExitStack() as opened:
        ours = opened.enter_context(bench.filled("snaptable", size, snapshot="always"))
        content, raw = (ours.directory / "db_snapshot.json").read_bytes(), bench.directory()
        rows = bench.rows(size)
        sides = [changes(ours, rows), Side("raw", each(lambda _: replace_file(raw, content), range))]
        for name in names:
            if not bench.installed(name):
                yield bench.missing(f"mutation {size} {name}")
                continue
            sides.append(changes(opened.enter_context(bench.filled(name, size)), rows))
        measured = bench.interleave(sides)
        for side in measured[1:]:
            yield finding(f"mutation {size} {side.name}", (measured[0], side))


def changes(peer: Peer, rows: Rows) -> Side:
    """Set the page of random annotations, each time another one."""
    page = 0

    def change(key: str) -> object:
        nonlocal page
        page += 1
        return peer.set_page(key, page)

    return Side(peer.name, each(change, rows.keys), peer.settle)


# ── commits ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def journal(bench: Bench) -> Iterator[Finding]:
    """Commit from one caller, from 64 threads and from 64 tasks, against one append and sync after the other."""
    rows = bench.rows("1k")
    with bench.filled("snaptable", "1k") as ours, ThreadPoolExecutor(64) as pool:
        raw = RawLog(bench.directory(), _frame_bytes(ours, rows))
        alone = Side("one by one", each(raw.append, range))
        yield finding("journal", bench.interleave([Side("one", each(ours.insert, rows.more), ours.settle), alone]))
        for key, callers in (
            ("threads 64", _threads(ours, rows, pool, 64)),
            ("asyncio 64", _tasks(ours, rows, 64)),
        ):
            yield finding(key, bench.interleave([Side(key, callers, ours.settle), alone]))
            processor = Measured("processor", callers.processor_seconds[1:])  # but for the round that warms up
            yield finding(f"{key} CPU", (processor, Measured("aim", [CPU_AIMS[key]] * len(processor.rounds))))
        raw.close()


CPU_AIMS = {"threads 64": 35e-6, "asyncio 64": 18e-6}
"""Seconds of processor time a commit."""


def _frame_bytes(ours: Ours, rows: Rows) -> int:
    """Return how many bytes the journal grows by with one commit, on average."""

    def size() -> int:
        return sum(path.stat().st_size for path in (ours.directory / "db_journal").iterdir())

    before = size()
    for row in rows.more(100):
        ours.insert(row)
    return (size() - before) // 100


class Callers:
    """Hand rows to many callers until the time is up, and count what they had done by then.

    A fixed number of rows would be timed until the last caller is through, and sqlite lets a thread that found the
    database locked sleep up to 0.1 s: it would be judged by its slowest caller.
    """

    MOST = 50_000
    """Rows that are made ready for each second; who needs more is timed until they are used up."""

    def __init__(self, rows: Rows, seconds: float) -> None:
        self._rows = iter(rows.more(int(seconds * self.MOST)))
        self._seconds = seconds
        self._done: list[float] = []

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.perf_counter()
        self._until = self._began + self._seconds

    def each(self) -> Iterator[Annotation]:
        """Give one caller its rows, one after the other; what it did with a row counts when it asks for the next."""
        for row in self._rows:
            yield row
            self._done.append(time.perf_counter())
            if self._done[-1] > self._until:
                return

    @property
    def count(self) -> int:
        """How many rows are done."""
        return len(self._done)

    def seconds_each(self) -> float:
        """Return what one row took, all callers together."""
        last = max(self._done)
        if last < self._until:  # there were no rows left
            return (last - self._began) / len(self._done)
        return self._seconds / max(1, sum(when <= self._until for when in self._done))


class Run:
    """Many callers at once, round by round.

    Attributes:
        processor_seconds: of each round, what a row took of all threads' processor time.
    """

    def __init__(self, rows: Rows, insert_all: Callable[[Callers], object]) -> None:
        """Take the rows, and what has callers insert those that they are given."""
        self._rows, self._insert_all = rows, insert_all
        self.processor_seconds: list[float] = []

    def __call__(self, seconds: float) -> float:
        """Return what a row took, for about so many seconds."""
        given = Callers(self._rows, seconds)
        began = time.process_time()
        self._insert_all(given)
        self.processor_seconds.append((time.process_time() - began) / given.count)
        return given.seconds_each()


def _threads(peer: Peer, rows: Rows, pool: ThreadPoolExecutor, callers: int) -> Run:
    """Insert from so many threads at once; they live on from round to round, and so do their connections."""

    def insert_all(given: Callers) -> None:
        start = Barrier(callers, given.begin)

        def call(_: int) -> None:
            start.wait()
            for row in given.each():
                peer.insert(row)

        list(pool.map(call, range(callers)))

    return Run(rows, insert_all)


def _tasks(ours: Ours, rows: Rows, callers: int) -> Run:
    """Insert from so many tasks of one event loop, each awaiting a commit of its own."""

    def insert(db: Library, row: Annotation) -> Annotation:
        return db.annotations.insert(row)

    def insert_all(given: Callers) -> None:
        async def call() -> None:
            for row in given.each():
                await ours.db.run(insert, row)

        async def all_of_them() -> None:
            given.begin()
            await asyncio.gather(*(call() for _ in range(callers)))

        asyncio.run(all_of_them())

    return Run(rows, insert_all)


# ── durable inserts ─────────────────────────────────────────────────────────────────────────────────────────────────


def insert(bench: Bench) -> Iterator[Finding]:
    """Insert durably into 100k rows, from 1, 8 and 64 callers, against sqlite with a connection for each thread."""
    with bench.filled("snaptable", ROWS) as ours, bench.filled("sqlite, WAL FULL", ROWS) as sqlite:
        rows = bench.rows(ROWS)
        for callers in (1, 8, 64):
            with ThreadPoolExecutor(callers) as pool:
                sides = [Side(peer.name, _threads(peer, rows, pool, callers), peer.settle) for peer in (ours, sqlite)]
                if callers == 64:
                    sides.append(Side("asyncio", _tasks(ours, rows, 64), ours.settle))
                measured = bench.interleave(sides)
            yield finding(f"insert {callers}", measured[:2])
            for tasks in measured[2:]:
                yield finding("asyncio insert 64", (tasks, measured[1]))


def peers(bench: Bench) -> Iterator[Finding]:
    """Insert durably, and get typed, from one caller, against those that are as durable."""
    yield from _peers(bench, ("SQLModel, WAL FULL", "LMDB", "ZODB"))


def peers_as_they_come(bench: Bench) -> Iterator[Finding]:
    """Do the same against those that nobody has configured, and against one in a process of its own."""
    yield from _peers(bench, ("sqlite, default", "SQLModel, default", "Redis, always"))


def _peers(bench: Bench, names: tuple[str, ...]) -> Iterator[Finding]:
    size = "10k" if bench.quick else ROWS
    rows = bench.rows(size)
    with bench.filled("snaptable", size) as ours:
        for name in names:
            if not bench.installed(name):
                yield from (bench.missing(f"insert {name}"), bench.missing(f"get {name}"))
                continue
            with bench.filled(name, size) as peer:
                inserts = [Side(side.name, each(side.insert, rows.more), side.settle) for side in (ours, peer)]
                yield finding(f"insert {name}", bench.interleave(inserts))
                gets = [Side(side.name, each(side.get, rows.keys)) for side in (ours, peer)]
                yield finding(f"get {name}", bench.interleave(gets))


def bulk(bench: Bench) -> Iterator[Finding]:
    """Insert many rows in one transaction."""
    rows = bench.rows("1k")

    def filling(peer: Peer) -> Counted:
        def prepare(count: int) -> Work:
            given = {"annotations": rows.more(count)}
            return lambda: peer.fill(given)

        return Counted(prepare)

    with bench.filled("snaptable", "1k") as ours, bench.filled("sqlite, WAL FULL", "1k") as sqlite:
        sides = [Side(peer.name, filling(peer), peer.settle) for peer in (ours, sqlite)]
        yield finding("bulk sqlite", bench.interleave(sides))
