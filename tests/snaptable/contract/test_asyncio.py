"""asyncio: `await db.run(fn, …)`, cancellation, and what may not be done on an event loop."""
# ruff: noqa: PT012 - a transaction that fails has several statements

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import pytest
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import refuses, start

from snaptable import (
    Database,
    DatabaseClosed,
    ForeignKey,
    ForeignKeyViolation,
    Row,
    Table,
    TransactionError,
)
from snaptable.errors import TransactionConflict
from snaptable.memory import stalls

PATIENCE = 20


class Counter(Row):
    id: str
    value: int = 0


class Entry(Row):
    id: int | None = None
    counter_id: Annotated[str, ForeignKey(Counter)] = "a"
    task: int = 0


class Store(Database):
    counters: Table[Counter]
    entries: Table[Entry]


@pytest.fixture(name="db")
def open_store(stores: Stores) -> Iterator[Store]:
    """Give a store with one counter."""
    db = stores.lasting(Store).open()
    db.counters.insert(Counter(id="a"))
    yield db
    start(db.close).result(PATIENCE)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Give the same in memory: for what no other engine allows, or promises, on an event loop's own thread."""
    monkeypatch.setattr(stalls, "STALL_PATIENCE", 3600.0)  # what is suspended is waited for, however slow a test is
    local = Store(tmp_path / "data", fsync=False).open()
    local.counters.insert(Counter(id="a"))
    yield local
    start(local.close).result(PATIENCE)


def in_time(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a new event loop; fail where it takes too long."""

    async def limited() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await work

    return asyncio.run(limited())


def add(db: Store, amount: int, *, task: int = 0, fails: bool = False) -> int:
    """Add to the counter with an entry about it, and fail at the end if told to."""
    value = db.counters.update("a", value=db.counters["a"].value + amount).value
    db.entries.insert(Entry(task=task))
    if fails:
        raise ZeroDivisionError
    return value


def test_runs_a_function_as_one_transaction(stores: Stores, db: Store) -> None:
    """Ensure that run gives the function's result, positional and keyword arguments passed on, as one commit."""
    sequence = db.status().sequence
    assert in_time(db.run(add, 5, task=3)) == 5
    assert db.status().sequence == sequence + 1
    assert (db.counters["a"].value, db.entries.where(task=3).count()) == (5, 1)


def test_is_durable_when_it_returns(stores: Stores, db: Store) -> None:
    """Ensure that what run returned from is in the snapshot's file, or for every client of the server."""
    before = stores.content(db)

    async def work() -> None:
        await db.run(add, 7)
        if stores.on_postgres:
            assert stores.content(db)["counters"] != before["counters"]
        else:
            assert b'"value":7' in stores.content(db)["db_snapshot.json"]

    in_time(work())


def test_rolls_back_what_raises(db: Store) -> None:
    """Ensure that an exception in the function, or a violation at its end, takes everything back and is passed on."""

    def orphan(db: Store) -> None:
        db.counters.update("a", value=99)
        db.entries.insert(Entry(counter_id="none"))

    async def work() -> None:
        with pytest.raises(ZeroDivisionError):
            await db.run(add, 5, fails=True)
        with pytest.raises(ForeignKeyViolation):
            await db.run(orphan)
        assert await db.run(add, 1) == 1

    in_time(work())
    assert (db.counters["a"].value, db.entries.count(), db.check()) == (1, 1, [])


async def coroutine_function(db: Store) -> int:
    """Be what run doesn't take."""
    return db.counters.update("a", value=9).value


class Callable9:
    """Be an object whose call is a coroutine function."""

    async def __call__(self, db: Store) -> int:
        return await coroutine_function(db)


class Promise:
    """Be something else that can be awaited."""

    def __await__(self) -> Iterator[None]:
        """Wait for nothing."""
        return iter(())


AWAITABLES: list[Callable[[Store], Any]] = [
    coroutine_function,
    Callable9(),
    lambda db: coroutine_function(db),
    lambda db: (db.counters.update("a", value=9), coroutine_function(db))[1],
    lambda db: (db.counters.update("a", value=9), Promise())[1],
]


@pytest.mark.parametrize("fn", AWAITABLES)
def test_refuses_coroutines(db: Store, fn: Callable[[Store], Any]) -> None:
    """Ensure that a coroutine function is refused, and a result that would have to be awaited is, with all it did."""

    async def work() -> None:
        with pytest.raises(TypeError, match="plain function"):
            await db.run(fn)

    sequence = db.status().sequence
    in_time(work())
    assert db.counters["a"].value == 0
    assert db.status().sequence == sequence


def test_joins_its_own_transaction(local: Store) -> None:
    """Ensure that run inside the task's own transaction is a savepoint of it."""

    async def work() -> None:
        with pytest.raises(ZeroDivisionError), local.transaction():
            await local.run(add, 1)
            raise ZeroDivisionError
        assert local.counters["a"].value == 0
        with local.transaction():
            await local.run(add, 1)
            with pytest.raises(ZeroDivisionError):
                await local.run(add, 10, fails=True)
            assert local.counters["a"].value == 1

    in_time(work())
    assert (local.counters["a"].value, local.entries.count()) == (1, 1)


def test_many_tasks_lose_nothing(stores: Stores, db: Store) -> None:
    """Ensure that hundreds of concurrent tasks, every third failing, all count, and that commits share syncs."""
    tasks = 45 if stores.on_postgres else 300  # on one row, where each runs again until the others are through

    async def one(number: int) -> int:
        try:
            return await db.run(add, 1, task=number, fails=number % 3 == 0)
        except ZeroDivisionError:
            return 0
        except TransactionConflict:  # PostgreSQL: it lost against the others for so long that it gave up
            return await one(number)

    async def work() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(tasks)))

    values = in_time(work())
    assert sorted(value for value in values if value) == list(range(1, tasks // 3 * 2 + 1))
    assert (db.counters["a"].value, db.entries.count(), db.check()) == (tasks // 3 * 2, tasks // 3 * 2, [])


def test_tasks_and_threads_lose_nothing(db: Store) -> None:
    """Ensure that tasks of two loops, plain threads and workers of to_thread together lose no update."""

    def by_thread(number: int) -> None:
        for _ in range(20):
            once(number)

    def once(number: int) -> None:
        try:
            with db.transaction():
                add(db, 1, task=number)
        except TransactionConflict:  # PostgreSQL can't run the block again by itself
            once(number)

    async def by_task(number: int) -> None:
        try:
            await db.run(add, 1, task=number)
        except TransactionConflict:
            await by_task(number)

    async def many(number: int) -> None:
        await asyncio.gather(
            *(by_task(number) for _ in range(20)),
            *(asyncio.to_thread(by_thread, number) for _ in range(2)),
        )

    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(by_thread, 1), pool.submit(by_thread, 2)]
        works += [pool.submit(lambda: in_time(many(3))), pool.submit(lambda: in_time(many(4)))]
        for work in works:
            work.result(PATIENCE)
    assert (db.counters["a"].value, db.entries.count()) == (160, 160)
    assert [db.entries.where(task=number).count() for number in (1, 2, 3, 4)] == [20, 20, 60, 60]
    assert db.check() == []


WRITES: list[tuple[str, Callable[[Store], Any]]] = [
    ("insert", lambda db: db.counters.insert(Counter(id="b"))),
    ("bulk update", lambda db: db.counters.where().update(value=3)),
    ("delete", lambda db: db.counters.delete("a")),
    ("transaction", lambda db: db.transaction().__enter__()),
    ("close", lambda db: db.close()),
]


@pytest.mark.parametrize("write", [write for _, write in WRITES], ids=[name for name, _ in WRITES])
def test_refuses_to_wait_on_its_own_loop(local: Store, write: Callable[[Store], Any]) -> None:
    """Ensure that a write while another task of the loop holds a transaction across an await raises, never joins."""

    async def hold(begun: asyncio.Event, end: asyncio.Event) -> None:
        with local.transaction():
            local.counters.update("a", value=1)
            begun.set()
            await end.wait()
            local.counters.update("a", value=2)

    async def work() -> None:
        begun, end = asyncio.Event(), asyncio.Event()
        holder = asyncio.create_task(hold(begun, end))
        await begun.wait()
        assert refuses(TransactionError, lambda: write(local), "db.run")
        with pytest.raises(TransactionError, match=r"db\.run"):
            await local.run(add, 1)
        assert local.counters["a"].value == 0
        end.set()
        await holder
        assert local.counters["a"].value == 2
        await local.run(add, 1)

    in_time(work())
    assert local.counters["a"].value == 3
    assert "b" not in local.counters


def test_a_task_is_not_its_parent(local: Store) -> None:
    """Ensure that a task started inside a transaction is not in it: neither its reads nor its writes."""

    async def child() -> int:
        with pytest.raises(TransactionError):
            local.counters.update("a", value=5)
        return local.counters["a"].value

    async def work() -> None:
        with local.transaction():
            local.counters.update("a", value=1)
            assert await asyncio.create_task(child()) == 0
            assert await asyncio.to_thread(lambda: local.counters["a"].value) == 0

    in_time(work())
    assert local.counters["a"].value == 1


def test_outlives_a_cancelled_holder(local: Store) -> None:
    """Ensure that a task cancelled with a transaction open is rolled back, and that others go on."""

    async def hold() -> None:
        with local.transaction():
            local.counters.update("a", value=99)
            await asyncio.sleep(PATIENCE)

    async def work() -> None:
        holder = asyncio.create_task(hold())
        await asyncio.sleep(0)
        thread = asyncio.wrap_future(start(lambda: local.counters.insert(Counter(id="b"))))
        await asyncio.sleep(0.05)
        holder.cancel()
        await asyncio.wait([holder])
        await thread
        assert await local.run(add, 1) == 1

    in_time(work())
    assert [row.value for row in local.counters] == [1, 0]


def test_outlives_a_holder_that_ended(local: Store) -> None:
    """Ensure that a transaction a task entered and never left is rolled back once the task is done."""
    kept: list[Any] = []

    async def leave() -> None:
        kept.append(local.transaction())
        kept[-1].__enter__()
        local.counters.update("a", value=99)

    async def work() -> None:
        await asyncio.create_task(leave())
        assert await local.run(add, 1) == 1
        await asyncio.create_task(leave())
        assert await asyncio.wrap_future(start(lambda: add(local, 1))) == 2

    in_time(work())


def test_outlives_a_closed_loop_of_the_holder(local: Store) -> None:
    """Ensure that a transaction left open by a task whose loop was closed is rolled back for the next writer."""

    async def hold() -> None:
        with local.transaction():
            local.counters.update("a", value=99)
            await asyncio.sleep(PATIENCE)

    loop = asyncio.new_event_loop()
    holder = loop.create_task(hold())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert start(lambda: local.counters.insert(Counter(id="b"))).result(PATIENCE).id == "b"
    assert local.counters.update("a", value=1).value == 1
    assert not holder.done()
    holder.__setattr__("_log_destroy_pending", False)


def test_outlives_a_closed_loop_of_a_waiting_task(local: Store) -> None:
    """Ensure that a commit isn't disturbed by tasks that waited for their turn on a loop that was closed meanwhile."""
    begun, release = threading.Event(), threading.Event()

    def hold() -> None:
        with local.transaction():
            local.counters.update("a", value=1)
            begun.set()
            assert release.wait(PATIENCE)

    end = start(hold)
    assert begun.wait(PATIENCE)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(local.run(add, 100))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    release.set()
    end.result(PATIENCE)
    assert start(lambda: local.counters.insert(Counter(id="b"))).result(PATIENCE).id == "b"
    assert local.counters["a"].value == 1
    waiting.__setattr__("_log_destroy_pending", False)


def test_outlives_a_loop_closed_amid_a_commit(local: Store) -> None:
    """Ensure that a task of another loop gets its answer whose commit joined one of a loop that was closed."""
    left: list[asyncio.Task[int]] = []

    async def leave_one() -> None:
        left.append(asyncio.create_task(local.run(add, 1)))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_one())
    loop.close()
    assert in_time(local.run(add, 2)) == 3
    left[0].__setattr__("_log_destroy_pending", False)


def test_cancelled_waiters_leave_the_line(local: Store) -> None:
    """Ensure that tasks cancelled while they wait for their turn wrote nothing, and those behind them get theirs."""

    async def work() -> None:
        begun, release = threading.Event(), threading.Event()

        def hold() -> None:
            with local.transaction():
                begun.set()
                assert release.wait(PATIENCE)

        holder = asyncio.create_task(asyncio.to_thread(hold))
        await asyncio.to_thread(begun.wait, PATIENCE)
        waiting = [asyncio.create_task(local.run(add, 1, task=number)) for number in range(30)]
        await asyncio.sleep(0.02)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.sleep(0)
        release.set()
        await holder
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False] * 15

    in_time(work())
    assert local.counters["a"].value == 15
    assert sorted(row.task for row in local.entries) == list(range(1, 30, 2))


def test_a_server_does_not_hold_the_loop(stores: Stores, db: Store) -> None:
    """Ensure that what would wait for a server on an event loop's thread is refused, and says what to write."""

    async def work() -> None:
        for call in (lambda: db.counters["a"], lambda: db.counters.update("a", value=1), db.status):
            if stores.on_postgres:
                with pytest.raises(TransactionError, match=r"await db\.read\(fn, …\).*await db\.run\(fn, …\)"):
                    call()
            else:
                call()
        for one_state in (True, False):
            assert await db.read(lambda db: db.counters["a"].id, one_state=one_state) == "a"

    in_time(work())


@pytest.mark.parametrize("ticks", range(6))
def test_cancelled_at_any_tick(stores: Stores, db: Store, ticks: int) -> None:
    """Ensure that a run cancelled at any moment is there whole or not at all, and that the next one works."""

    def look(db: Store) -> tuple[int, list[int]]:
        return db.counters["a"].value, [row.task for row in db.entries]

    async def work() -> list[int]:
        tasks = [asyncio.create_task(db.run(add, 1, task=number)) for number in range(8)]
        for _ in range(ticks):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not any(isinstance(result, BaseException) for result in results[1::2])
        last = await db.run(add, 1, task=99)
        value, present = await db.read(look)
        # On PostgreSQL the thread of a cancelled run may be about to commit, and does so whole.
        assert value == last or (stores.on_postgres and value > last)
        assert value == len(present)
        return present

    present = in_time(work())
    assert {1, 3, 5, 7, 99} <= set(present)
    assert len(present) == len(set(present))
    assert db.check() == []


def test_refuses_to_run_while_closed(db: Store) -> None:
    """Ensure that run on a closed database raises DatabaseClosed without calling the function."""
    db.close()

    async def work() -> None:
        with pytest.raises(DatabaseClosed):
            await db.run(add, 1)

    in_time(work())
    with db:
        assert db.counters["a"].value == 0
