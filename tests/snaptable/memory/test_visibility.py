"""What is committed but not yet durable is nobody's to see, except to the transactions that build on it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from snaptable import Database, Index, Row, Table, Unique

PATIENCE = 20


class Counter(Row):
    id: str
    value: Annotated[int, Index(ordered=True)] = 0
    name: Annotated[str | None, Unique()] = None


class Store(Database):
    counters: Table[Counter]


@pytest.fixture(name="db")
def open_store(tmp_path: Path) -> Iterator[Store]:
    """Give a store with two counters."""
    with Store(tmp_path / "data") as db:
        db.counters.insert_many([Counter(id="a", name="A"), Counter(id="b", value=5)])
        yield db


def advance(db: Store) -> int:
    """Build on the state there is: count up, move the name on, take a row out, put one in."""
    value = db.counters["a"].value + 1
    db.counters.where(name="A").update(name=None)
    db.counters.update("a", value=value)
    if value == 1:
        db.counters.delete("b")
    db.counters.insert(Counter(id=f"c{value}", value=value * 10, name="A"))
    return value


READS: list[tuple[str, Callable[[Store], Any], Any, Any]] = [
    ("get", lambda db: db.counters["a"].value, 0, 3),
    ("get of a new row", lambda db: db.counters.get("c1"), None, Counter(id="c1", value=10)),
    ("in", lambda db: "b" in db.counters, True, False),
    ("len", lambda db: len(db.counters), 2, 4),
    ("iteration", lambda db: sorted(row.value for row in db.counters), [0, 5], [3, 10, 20, 30]),
    ("unique", lambda db: db.counters.where(name="A").one().id, "a", "c3"),
    ("range", lambda db: db.counters.where(Counter.value >= 5).count(), 1, 3),
    ("order", lambda db: [row.id for row in db.counters.order_by(Counter.value).limit(2)], ["a", "b"], ["a", "c1"]),
    ("page", lambda db: [row.id for row in db.counters.where().page(limit=2).items], ["a", "b"], ["a", "c1"]),
]


@pytest.mark.parametrize(("read", "before", "after"), [read[1:] for read in READS], ids=[read[0] for read in READS])
def test_hides_what_is_not_durable(db: Store, read: Callable[[Store], Any], before: Any, after: Any) -> None:
    """Ensure that a reader sees neither two commits that wait for the disk nor the open transaction upon them."""

    async def hold(end: asyncio.Event) -> int:
        with db.transaction():
            value = advance(db)
            await end.wait()
        return value

    async def look() -> Any:
        return read(db)

    async def work() -> None:
        end = asyncio.Event()
        # All of these take their first step in one tick, in this order: no disk has been asked for anything by then.
        commits = [asyncio.create_task(db.run(advance)) for _ in range(2)]
        holder = asyncio.create_task(hold(end))
        assert await asyncio.create_task(look()) == before
        end.set()
        assert [await task for task in (*commits, holder)] == [1, 2, 3]
        assert read(db) == after

    asyncio.run(asyncio.wait_for(work(), PATIENCE))
    assert db.check() == []


def test_waits_for_what_it_read(db: Store) -> None:
    """Ensure that a run that only read what isn't durable yet returns no sooner than that is."""

    async def work() -> None:
        order: list[str] = []

        async def note(name: str, fn: Callable[[Store], Any]) -> None:
            value = await db.run(fn)
            order.append(f"{name} {value}")

        await asyncio.gather(note("wrote", advance), note("read", lambda db: db.counters["a"].value))
        assert set(order) == {"wrote 1", "read 1"}
        assert db.counters["a"].value == 1

    asyncio.run(asyncio.wait_for(work(), PATIENCE))


def test_shows_a_commit_to_everybody_at_once(db: Store) -> None:
    """Ensure that when a run has returned, its commit is seen whole, by every way of reading."""

    async def work() -> None:
        for number in range(1, 20):
            assert await db.run(advance) == number
            assert db.counters["a"].value == number
            assert db.counters.where(name="A").one().id == f"c{number}"
            assert len(db.counters) == number + 1

    asyncio.run(asyncio.wait_for(work(), PATIENCE))


def test_a_deleted_row_comes_back_at_the_end(tmp_path: Path) -> None:
    """Ensure that a row deleted by a commit that waits and inserted by the next one is at the end, as in the file."""

    def delete(db: Store) -> None:
        db.counters.delete("a")

    def insert(db: Store) -> None:
        db.counters.insert(Counter(id="a", value=9))

    async def work(db: Store) -> None:
        await asyncio.gather(db.run(delete), db.run(insert))

    with Store(tmp_path / "data", fsync=False) as db:
        db.counters.insert_many([Counter(id="a"), Counter(id="b")])
        asyncio.run(work(db))
        assert [row.id for row in db.counters] == ["b", "a"]
        assert db.check() == []
    with Store(tmp_path / "data", fsync=False) as again:
        assert [row.id for row in again.counters] == ["b", "a"]
