"""Threads: one writer at a time, readers never wait and never see half of anything, nobody wedges the store."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
from tests.snaptable.support import refuses, start

from snaptable import Database, DatabaseClosed, Index, Row, Table, Unique, UniqueViolation
from snaptable.memory import stalls

PATIENCE = 20


class Counter(Row):
    id: str
    value: Annotated[int, Index(ordered=True)] = 0
    name: Annotated[str | None, Unique()] = None
    tags: Annotated[list[str], Index(each=True)] = []


class Entry(Row):
    id: int | None = None
    thread: Annotated[int, Index()] = 0
    step: int = 0


class Store(Database):
    counters: Table[Counter]
    entries: Table[Entry]


@pytest.fixture(name="db")
def open_store(tmp_path: Path) -> Iterator[Store]:
    """Give a store with two counters."""
    db = Store(tmp_path / "data", fsync=False).open()
    db.counters.insert_many([Counter(id="a", value=1, name="A"), Counter(id="b", value=2, tags=["t"])])
    yield db
    start(db.close).result(PATIENCE)


@pytest.fixture(autouse=True)
def patient_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an owner that waits for the test be waited for, however long the test is not run."""
    monkeypatch.setattr(stalls, "STALL_PATIENCE", 3600.0)


class Stop(Exception):
    """Be raised to end a transaction."""


@contextmanager
def held_open(db: Store, changes: Callable[[], object], *, fails: bool = False) -> Iterator[None]:
    """Keep a transaction with some changes open in another thread for the length of a block, then end it."""
    changed, release = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with db.transaction():
                changes()
                changed.set()
                assert release.wait(PATIENCE)
                if fails:
                    raise Stop
        except Stop:
            pass

    with ThreadPoolExecutor(1) as other:
        end = other.submit(hold)
        assert changed.wait(PATIENCE)
        try:
            yield
        finally:
            release.set()
            end.result(PATIENCE)


def change_everything(db: Store) -> Callable[[], None]:
    """Return a change of both counters, with a new one."""

    def change() -> None:
        db.counters.update("a", value=50, name="Z", tags=["t"])
        db.counters.delete("b")
        db.counters.insert(Counter(id="c", value=60, name="A"))

    return change


READS: list[tuple[str, Callable[[Store], Any], Any, Any]] = [
    ("get", lambda db: db.counters["a"].value, 1, 50),
    ("get of a new row", lambda db: db.counters.get("c") is None, True, False),
    ("get of a deleted row", lambda db: db.counters.get("b") is None, False, True),
    ("in", lambda db: ("b" in db.counters, "c" in db.counters), (True, False), (False, True)),
    ("all", lambda db: sorted(row.id for row in db.counters.all()), ["a", "b"], ["a", "c"]),
    ("iteration", lambda db: sorted(row.value for row in db.counters), [1, 2], [50, 60]),
    ("len", lambda db: len(db.counters), 2, 2),
    ("count", lambda db: db.counters.where(Counter.value < 10).count(), 2, 0),
    ("order by an index", lambda db: [r.id for r in db.counters.order_by(Counter.value)], ["a", "b"], ["a", "c"]),
    ("order and limit", lambda db: [r.id for r in db.counters.order_by(Counter.value).limit(1)], ["a"], ["a"]),
    ("range", lambda db: [r.id for r in db.counters.where(Counter.value > 10).order_by(Counter.id)], [], ["a", "c"]),
    ("unique", lambda db: db.counters.where(name="A").one().id, "a", "c"),
    ("unique of nobody yet", lambda db: db.counters.where(name="Z").exists(), False, True),
    ("items", lambda db: [r.id for r in db.counters.where(Counter.tags == ["t"])], ["b"], ["a"]),
    (
        "page",
        lambda db: [r.id for r in db.counters.order_by(Counter.value).page(limit=9).items],
        ["a", "b"],
        ["a", "c"],
    ),
    (
        "first",
        lambda db: getattr(db.counters.where(Counter.value > 1).order_by(Counter.value).first(), "id", 0),
        "b",
        "a",
    ),
    ("status", lambda db: db.status().rows["entries"], 0, 0),
]


@pytest.mark.parametrize("fails", [False, True], ids=["committed", "rolled back"])
@pytest.mark.parametrize(("read", "before", "after"), [r[1:] for r in READS], ids=[r[0] for r in READS])
def test_reads_the_state_before(
    db: Store, read: Callable[[Store], Any], before: Any, after: Any, *, fails: bool
) -> None:
    """Ensure that a reader is answered at once with the state before another thread's open transaction."""
    with held_open(db, change_everything(db), fails=fails):
        assert read(db) == before
    assert read(db) == (before if fails else after)


def test_reads_the_state_before_with_its_cursor(db: Store) -> None:
    """Ensure that pages go on over the state before, from a cursor of the state before that."""
    cursor = db.counters.order_by(Counter.value).page(limit=1).next_cursor
    with held_open(db, change_everything(db)):
        assert [row.id for row in db.counters.order_by(Counter.value).page(limit=1, after=cursor).items] == ["b"]
    assert [row.id for row in db.counters.order_by(Counter.value).page(limit=9, after=cursor).items] == ["a", "c"]


def test_never_reads_what_is_not_committed(db: Store) -> None:
    """Ensure that under many transactions, every second rolled back, readers only ever see whole commits."""
    stop = threading.Event()
    seen: set[tuple[int, int]] = set()

    def read() -> None:
        while not stop.is_set():
            rows = {row.id: row.value for row in db.counters.where()}
            seen.add((rows["a"], rows["b"]))
            first, second = db.counters["a"].value, db.counters["a"].value
            seen.add((first, -first))
            assert first <= second
            found = db.counters.where(Counter.value < 0).one()
            assert found.id == "b"

    db.counters.update("b", value=-1)
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for number in range(2, 200):
            try:
                with db.transaction():
                    db.counters.update("a", value=number)
                    db.counters.update("b", value=-number)
                    db.counters.update("a", value=number * 1000 + 1)
                    db.counters.update("a", value=number)
                    if number % 2:
                        raise Stop
            except Stop:
                pass
        stop.set()
        for reader in readers:
            reader.result(PATIENCE)
    assert all(first == -second for first, second in seen)
    assert all(first == 1 or first % 2 == 0 for first, _ in seen)
    assert db.check() == []


def test_loses_no_update(db: Store) -> None:
    """Ensure that threads that each read, add and write in transactions, or with a caught failure, lose nothing."""

    def count(number: int) -> None:
        for step in range(25):
            with db.transaction():
                value = db.counters["a"].value
                db.entries.insert(Entry(thread=number, step=step))
                try:
                    with db.transaction():
                        db.counters.update("a", value=-999)
                        raise Stop
                except Stop:
                    pass
                db.counters.update("a", value=value + 1)

    sequence = db.status().sequence
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    assert db.counters["a"].value == 1 + 8 * 25
    assert db.status().sequence == sequence + 8 * 25
    assert [row.id for row in db.entries] == list(range(1, 201))
    for number in range(8):
        assert [row.step for row in db.entries.where(thread=number).order_by(Entry.id)] == list(range(25))
    assert db.check() == []


def test_gives_every_writer_its_turn(db: Store) -> None:
    """Ensure that single writes from many threads are all done, each once, and that a unique value has one winner."""

    def write(number: int) -> int:
        won = 0
        for step in range(10):
            db.entries.insert(Entry(thread=number, step=step))
            try:
                db.counters.insert(Counter(id=f"{number}-{step}", name=f"name {step}"))
                won += 1
            except UniqueViolation:
                continue
        return won

    with ThreadPoolExecutor(8) as pool:
        wins = sum(pool.map(write, range(8)))
    assert (wins, db.entries.count()) == (10, 80)
    assert sorted(row.id or 0 for row in db.entries) == list(range(1, 81))
    assert db.check() == []


def test_outlives_a_thread_that_dies_inside(db: Store) -> None:
    """Ensure that a thread that ends with a transaction open is rolled back, and the next writer gets its turn."""
    kept: list[Any] = []

    def die() -> None:
        transaction = db.transaction()
        kept.append(transaction)
        transaction.__enter__()
        db.counters.update("a", value=99)

    thread = threading.Thread(target=die)
    thread.start()
    thread.join(PATIENCE)
    assert db.counters["a"].value == 1
    assert start(lambda: db.counters.update("b", value=5).value).result(PATIENCE) == 5
    assert db.counters["a"].value == 1
    assert db.check() == []


def test_outlives_a_thread_that_dies_while_others_wait(db: Store) -> None:
    """Ensure that writers already waiting when the holder dies get their turns."""
    begun, die = threading.Event(), threading.Event()
    kept: list[Any] = []

    def hold() -> None:
        transaction = db.transaction()
        kept.append(transaction)
        transaction.__enter__()
        db.counters.update("a", value=99)
        begun.set()
        assert die.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(PATIENCE)
    waiting = [start(partial(db.entries.insert, Entry(thread=number))) for number in range(3)]
    die.set()
    assert sorted(future.result(PATIENCE).id or 0 for future in waiting) == [1, 2, 3]
    thread.join(PATIENCE)
    assert db.counters["a"].value == 1


def test_close_waits_for_open_transactions(tmp_path: Path) -> None:
    """Ensure that close lets another thread's transaction end and commit; writers behind it are told it is closed."""
    db = Store(tmp_path / "data", fsync=False).open()
    closing: list[Future[None]] = []
    with ThreadPoolExecutor(3) as pool:
        with held_open(db, lambda: db.entries.insert(Entry(step=1))):
            closing.append(pool.submit(db.close))
            with pytest.raises(TimeoutError):
                closing[0].result(0.2)
            late = pool.submit(db.entries.insert, Entry(step=2))
        closing[0].result(PATIENCE)
        error = late.exception(PATIENCE)
        assert error is None or isinstance(error, DatabaseClosed)
    assert refuses(DatabaseClosed, db.entries.all)
    with Store(tmp_path / "data", fsync=False) as again:
        assert [row.step for row in again.entries] == ([1, 2] if error is None else [1])


def test_close_while_everybody_writes(tmp_path: Path) -> None:
    """Ensure that every write acknowledged before or during close is there after reopening, and no half of one."""
    db = Store(tmp_path / "data", fsync=False).open()
    begun = threading.Barrier(5)

    def write(number: int) -> int:
        begun.wait(PATIENCE)
        for step in range(1_000_000):
            try:
                with db.transaction():
                    db.entries.insert(Entry(thread=number, step=step))
                    db.counters.upsert(Counter(id=str(number), value=step))
            except DatabaseClosed:
                return step
        raise AssertionError("the database was never closed")

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        begun.wait(PATIENCE)
        threading.Event().wait(0.2)
        db.close()
        done = [writer.result(PATIENCE) for writer in writers]
    with Store(tmp_path / "data", fsync=False) as again:
        for number, steps in enumerate(done):
            assert again.entries.where(thread=number).count() == steps
            assert steps == 0 or again.counters[str(number)].value == steps - 1
        assert again.check() == []
