"""`await db.read(fn)` on PostgreSQL: what a function that only reads sees, and that it writes nothing."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.load import Counter, Entry, Store

from snaptable import ReadOnlyStore

pytestmark = pytest.mark.parametrize("one_state", [True, False])


@pytest.fixture(name="db")
def open_store() -> Iterator[Store]:
    """Give a store with a counter, in a schema of its own."""
    url = stores.new_schema()
    with Store(url) as db:
        db.counters.insert(Counter(id="a"))
        yield db
    stores.drop_schemas([url])


def test_what_commits_between_two_reads_is_seen_by_the_second_only_where_states_may_differ(
    db: Store, *, one_state: bool
) -> None:
    """Ensure that a function sees one state, and with `one_state=False` the last one at each of its reads."""

    def look(db: Store) -> list[int]:
        first = db.counters["a"].value
        with ThreadPoolExecutor(1) as other:
            other.submit(db.counters.update, "a", value=5).result()
        return [first, db.counters["a"].value]

    assert asyncio.run(db.read(look, one_state=one_state)) == [0, 0 if one_state else 5]


def test_a_function_that_reads_writes_nothing(db: Store, *, one_state: bool) -> None:
    """Ensure that each way to write is refused inside of it, and none in the same thread once it has returned."""

    def change(db: Store) -> None:
        db.counters.update("a", value=1)

    def change_in_block(db: Store) -> None:
        with db.transaction():
            change(db)

    def delete(db: Store) -> None:
        db.counters.delete("a")

    def delete_all(db: Store) -> None:
        db.counters.where().delete()

    async def work() -> None:
        for write in (change, change_in_block, delete, delete_all):
            with pytest.raises(ReadOnlyStore, match=r"write `await db\.run\(fn, …\)`"):
                await db.read(write, one_state=one_state)
            assert await db.read(lambda db: db.counters["a"].value, one_state=one_state) == 0
        await db.run(change)

    asyncio.run(work())
    assert db.counters["a"].value == 1


def test_a_join_is_of_one_state_all_the_same(db: Store, *, one_state: bool) -> None:
    """Ensure that a read of several statements, which is a transaction by itself, is answered inside of both."""

    def look(db: Store) -> list[tuple[Counter, int]]:
        return db.counters.where().with_count(db.entries.where(), on=Entry.text)

    db.entries.insert(Entry(id="1", text="a"))
    assert asyncio.run(db.read(look, one_state=one_state)) == [(Counter(id="a"), 1)]
