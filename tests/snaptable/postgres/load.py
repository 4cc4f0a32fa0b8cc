"""What writes to a server that is killed: threads, and what was acknowledged to them."""

import threading
import time
from collections.abc import Callable

from snaptable import Database, OutcomeUnknown, Row, SnaptableError, Table
from snaptable.engines.postgresql import PostgresEngine

PATIENCE = 90.0
"""Seconds that a test waits for writes: more than they wait for a server themselves."""


class Counter(Row):
    id: str
    value: int = 0


class Entry(Row):
    id: str
    text: str = ""


class Store(Database):
    counters: Table[Counter]
    entries: Table[Entry]


def engine_of(db: Database) -> PostgresEngine:
    """Return the engine of an open database."""
    engine = db._opened()
    assert isinstance(engine, PostgresEngine)
    return engine


def wait_for(db: Database, seconds: float) -> None:
    """Let the server be given up after so many seconds."""
    engine_of(db).core.circuit.patience = seconds


class Writers:
    """Threads that write entries under names of their own, and note what came of each."""

    def __init__(self, db: Store, count: int, write: Callable[[Store, str], object]) -> None:
        self.asked: set[str] = set()
        self.acknowledged: set[str] = set()
        self.unknown: set[str] = set()
        self.failed: list[tuple[str, Exception]] = []
        self.unreadable: list[Exception] = []
        self.answers: list[float] = []
        """When writes were acknowledged, in seconds of `time.monotonic`."""
        self._ends = threading.Event()
        self._db, self._write = db, write
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        turn = 0
        while not self._ends.is_set():
            turn += 1
            name = f"{number}-{turn}"
            self.asked.add(name)
            try:
                self._write(self._db, name)
                self.acknowledged.add(name)
                self.answers.append(time.monotonic())
            except OutcomeUnknown:
                self.unknown.add(name)
            except SnaptableError as error:
                self.failed.append((name, error))
            try:
                self._db.entries.get(name)
            except SnaptableError as error:
                self.unreadable.append(error)

    def go_on(self, count: int) -> None:
        """Wait until so many more writes are acknowledged."""
        enough, end = len(self.acknowledged) + count, time.monotonic() + PATIENCE
        while len(self.acknowledged) < enough:
            assert time.monotonic() < end, f"{len(self.acknowledged)} of {enough} writes were acknowledged"
            time.sleep(0.005)

    def end(self) -> None:
        """Let them end."""
        self._ends.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a write does not return"


def insert(db: Store, name: str) -> None:
    """Write an entry by itself."""
    db.entries.insert(Entry(id=name))
