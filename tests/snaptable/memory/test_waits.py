"""No wait for the writer is without an end: each is told, and ends in an error that names the one who is waited for."""

import asyncio
import logging
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from tests.snaptable.support import start

from snaptable import Database, Row, Table, TransactionError, numbered
from snaptable.memory import stalls
from snaptable.memory.owner import Owner

PATIENCE = 30.0
"""Seconds after which what should have ended counts as hanging."""


class Note(Row):
    id: int = numbered()
    text: str = ""


class Notes(Database):
    notes: Table[Note]


@pytest.fixture(name="db")
def open_notes() -> Iterator[Notes]:
    """Give an open database whose writers wait longer than a test does."""
    with Notes("memory:", writer_timeout=2 * PATIENCE) as db:
        yield db


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let owners that can't go on be given up after a third of a second; the log be told after as much."""
    monkeypatch.setattr(stalls, "STALL_PATIENCE", 0.3)
    monkeypatch.setattr(stalls, "LOG_AFTER", 0.3)


@contextmanager
def held_elsewhere(db: Notes) -> Iterator[None]:
    """Let another thread, busy with its own work, hold a transaction for the length of a block."""
    begun, done = threading.Event(), list[bool]()

    def hold_the_transaction() -> None:
        with db.transaction():
            begun.set()
            while not done:  # no event: a thread within a method of one looks as if it waited for another
                time.sleep(0.01)

    thread = start(hold_the_transaction)
    assert begun.wait(PATIENCE)
    try:
        yield
    finally:
        done.append(True)
        thread.result(PATIENCE)


def insert(db: Notes, text: str = "") -> Note:
    """Insert a note: the function that db.run is given."""
    return db.notes.insert(Note(text=text))


def test_a_wait_is_told_once_and_ends_after_the_timeout(caplog: pytest.LogCaptureFixture) -> None:
    """The log names thread, function and line of the transaction; the error too, and how long was waited."""
    with Notes("memory:", writer_timeout=0.8) as db, caplog.at_level(logging.WARNING, "snaptable"):
        with held_elsewhere(db), pytest.raises(TransactionError) as raised:
            insert(db)
        assert insert(db).id == 1
    told = [record.getMessage() for record in caplog.records if "has been waiting" in record.getMessage()]
    assert len(told) == 1
    for message in (told[0], str(raised.value)):
        assert "hold_the_transaction (test_waits.py:" in message
        assert "thread 'Thread-" in message
    assert "writer_timeout=0.8" in str(raised.value)


def test_a_short_wait_is_silent(db: Notes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that ends soon is waited for, without a word."""
    monkeypatch.setattr(stalls, "LOG_AFTER", PATIENCE)
    monkeypatch.setattr(stalls, "STALL_PATIENCE", PATIENCE)
    with caplog.at_level(logging.WARNING, "snaptable"), ThreadPoolExecutor(1) as pool:
        with db.transaction():
            later = pool.submit(insert, db)
            time.sleep(0.05)
        assert later.result(PATIENCE).id == 1
    assert caplog.records == []


def test_time_in_which_the_process_stood_still_does_not_count(db: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer of a container that was stopped for an hour waits on: the one it waits for stood still as well."""
    looks: list[float] = []
    look, monotonic, stopped = stalls.Observation.look, time.monotonic, [0.0]

    def counted(self: stalls.Observation, owner: Owner, waited: float, timeout: float) -> str | None:
        looks.append(waited)
        return look(self, owner, waited, timeout)

    def wait_for_a_look() -> None:
        before, until = len(looks), monotonic() + PATIENCE
        while len(looks) < before + 2:
            assert monotonic() < until
            time.sleep(0.01)

    monkeypatch.setattr(stalls.Observation, "look", counted)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + stopped[0])
    with held_elsewhere(db):
        waiting = start(lambda: insert(db))
        wait_for_a_look()
        stopped[0] = 3600.0
        wait_for_a_look()
        assert not waiting.done()
    assert waiting.result(PATIENCE).id == 1
    assert max(looks) < 2 * PATIENCE


def test_a_thread_that_waits_for_its_workers_is_not_waited_for(db: Notes) -> None:
    """Workers that would wait for the thread that waits for them end with an error that names it."""
    blocked = pytest.raises(TransactionError, match="waiting for another thread since")
    with ThreadPoolExecutor(4) as pool, blocked, db.transaction():
        insert(db, "of the transaction")
        list(pool.map(lambda number: insert(db, str(number)), range(4)))
    # The first error ends the transaction; workers that look later find the lock free.
    assert not db.notes.where(text="of the transaction").exists()
    assert insert(db, "later").text == "later"


def test_a_transaction_held_across_a_yield_is_not_waited_for(db: Notes) -> None:
    """A generator that was suspended inside its transaction can't be continued by those who wait for it."""

    def dependency() -> Generator[None]:
        with db.transaction():
            yield

    generator = dependency()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(next, generator).result()
        with pytest.raises(TransactionError, match=r"dependency \(test_waits.py:\d+\).*suspended at a `yield`"):
            insert(db)
        with pytest.raises(TransactionError, match="left by another thread"):
            generator.close()
        assert insert(db).id == 1


def test_a_transaction_is_left_by_the_thread_that_began_it(db: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left by another thread it raises at once, is rolled back, and the next writer goes on."""
    monkeypatch.setattr(stalls, "STALL_PATIENCE", 2 * PATIENCE)  # if it waited, it would not end in time
    stack = ExitStack()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: (stack.enter_context(db.transaction()), insert(db, "lost"))).result()
        with pytest.raises(TransactionError, match="left by another thread"):
            start(stack.close).result(PATIENCE)
    assert len(db.notes) == 0
    insert(db)


def test_a_savepoint_is_left_by_the_thread_that_began_it(db: Notes) -> None:
    """A nested block that is left elsewhere takes the transaction with it, and says so."""
    stack = ExitStack()

    def begin() -> None:
        stack.enter_context(db.transaction())
        stack.enter_context(db.transaction())
        insert(db, "lost")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(begin).result()
        with pytest.raises(TransactionError):
            stack.close()
    assert len(db.notes) == 0
    insert(db)


def test_an_event_loop_does_not_wait_for_a_thread(db: Notes) -> None:
    """A plain write on the loop gives up soon: `db.run` waits without blocking it."""

    async def write() -> None:
        with pytest.raises(TransactionError, match=r"await db\.run\(fn"):
            insert(db)
        running = asyncio.create_task(db.run(insert, "run"))
        await asyncio.sleep(0.05)
        assert not running.done()
        released.set()
        assert (await running).text == "run"

    released = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(held_elsewhere(db))
        thread = start(lambda: stack.close() if released.wait(PATIENCE) else None)
        asyncio.run(write())
        thread.result(PATIENCE)


def test_db_run_gives_up_too() -> None:
    """A task that waits for a transaction of a thread ends after the timeout, and the loop was never blocked."""

    async def write(db: Notes) -> int:
        running = asyncio.create_task(db.run(insert))
        ticks = 0
        while not running.done():
            await asyncio.sleep(0.01)
            ticks += 1
        with pytest.raises(TransactionError, match="gave up after"):
            await running
        return ticks

    with Notes("memory:", writer_timeout=0.5) as db:
        with held_elsewhere(db):
            # Several tries: where this process gets no processor for as long, there is no time for ticks.
            assert any(asyncio.run(write(db)) > 10 for _ in range(20))
        assert insert(db).id == 1


def test_a_worker_does_not_wait_for_a_task_that_awaits_it(db: Notes) -> None:
    """A task that holds a transaction while it awaits a thread that writes is given up by the thread."""

    async def hold() -> None:
        with db.transaction():
            await asyncio.to_thread(insert, db)

    with pytest.raises(TransactionError, match="suspended at a `yield` or an `await`"):
        asyncio.run(hold())
    assert insert(db).id == 1


@pytest.mark.parametrize("writers", [1, 60])
def test_many_waiting_threads_all_end(db: Notes, writers: int) -> None:
    """However many wait for a suspended transaction: each ends with an error, and the store works afterwards."""

    def dependency() -> Generator[None]:
        with db.transaction():
            yield

    generator = dependency()
    next(generator)

    def attempt() -> str:
        try:
            insert(db)
        except TransactionError:
            return "refused"
        return "inserted"

    with ThreadPoolExecutor(writers) as pool:
        results = [pool.submit(attempt) for _ in range(writers)]
        assert {result.result(2 * PATIENCE) for result in results} == {"refused"}
    generator.close()
    assert insert(db).id == 1


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_a_number_of_seconds(seconds: float) -> None:
    """What can't be waited for is refused when the database is named."""
    with pytest.raises(ValueError, match="writer_timeout is a number of seconds above 0"):
        Notes("memory:", writer_timeout=seconds)


def test_a_close_does_not_wait_for_ever() -> None:
    """Closing gives up like any writer, the database stays open, and a later close works."""
    db = Notes("memory:", writer_timeout=0.3).open()
    with held_elsewhere(db):
        with pytest.raises(TransactionError):
            db.close()
        assert db.is_open
    db.close()
