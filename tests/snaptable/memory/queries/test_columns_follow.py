"""The columns that scans keep follow every write: what is read off them is what the rows say, and is cheap to get."""

from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snaptable import Count, Database, Max, Row, Sum, Table, Unique, inserted
from snaptable.memory import column_cache


class Item(Row):
    id: int
    code: Annotated[str | None, Unique()] = None
    size: int = 0
    price: float | None = None
    at: datetime = datetime.fromisoformat("2026-01-01")


class Shop(Database):
    items: Table[Item]


class Cancelled(Exception):
    """What rolls a transaction back."""


def day(number: int) -> datetime:
    """Return a naive time."""
    return datetime.fromisoformat(f"2026-01-{number:02}")


keys = st.integers(1, 6)
sizes = st.integers(0, 3)
write = st.one_of(
    st.tuples(st.just("put"), keys, sizes, st.none() | st.sampled_from([0.5, 1.5])),
    st.tuples(st.just("update"), keys, sizes, st.none()),
    st.tuples(st.just("drop"), keys, st.none(), st.none()),
    st.tuples(st.just("many"), st.integers(7, 60), sizes, st.none()),
    st.tuples(st.just("clash"), keys, sizes, st.none()),
)
acts = st.lists(st.tuples(st.sampled_from(["alone", "together", "cancelled"]), st.lists(write, max_size=3)), max_size=8)


def carry_out(db: Shop, kind: str, key: int, size: Any, price: Any) -> None:
    """Carry out one write."""
    items = db.items
    match kind:
        case "put":
            items.upsert(Item(id=key, size=size, price=price, at=day(key)))
        case "update" if key in items:
            items.update(key, size=size)
        case "drop" if key in items:
            items.delete(key)
        case "many" if key not in items:
            items.insert_many(Item(id=key + 100 * number, size=size) for number in range(3) if key + 100 not in items)
        case "clash" if 6 in items and key < 6 and key in items:
            items.update(key, code=str(size))
            items.update(6, code=str(size))  # which is not unique: all of it is taken back


def check(db: Shop) -> None:
    """Compare what is read by columns with what the rows say, in one order of insertion."""
    rows = list(db.items)
    assert db.items.where().order_by(inserted()).all() == rows
    assert db.items.order_by(Item.size, inserted()).all() == sorted(rows, key=attrgetter("size"))
    for bound in (0, 1):
        large = [row for row in rows if row.size > bound]
        assert db.items.where(Item.size > bound).all() == large
        found = db.items.where(Item.size > bound).aggregate(n=Count(), total=Sum(Item.size), most=Max(Item.price))
        prices = [row.price for row in large if row.price is not None]
        assert found == {"n": len(large), "total": sum(row.size for row in large), "most": max(prices, default=None)}
        groups = db.items.where(Item.size > bound).group_by(Item.price).aggregate(n=Count(), ids=Sum(Item.id))
        assert {group.key: (group.n, group.ids) for group in groups} == {
            price: (len(ids), sum(ids))
            for price in {row.price for row in large}
            for ids in [[row.id for row in large if row.price == price]]
        }
    late = day(3)
    assert db.items.where(Item.at > late).count() == sum(row.at > late for row in rows)
    assert db.items.where(Item.at > late).aggregate(n=Sum(Item.size)) == {
        "n": sum(row.size for row in rows if row.at > late)
    }


@given(acts=acts)
def test_columns_are_what_the_rows_say(acts: list[tuple[str, list[Any]]]) -> None:
    """Ensure scans between writes, transactions and rollbacks of any kind see the rows as they are."""
    with Shop("memory:") as db:
        db.items.insert_many(Item(id=key, size=key % 3, price=1.5) for key in (6, 2, 3))
        for how, writes in acts:
            check(db)
            for each in [writes] if how != "alone" else [[one] for one in writes]:
                try:
                    with db.transaction():
                        for one in each:
                            carry_out(db, *one)
                            check(db)
                        if how == "cancelled":
                            raise Cancelled
                except Cancelled:
                    pass
                except Exception as error:
                    assert type(error).__name__ == "UniqueViolation"  # noqa: PT017 - not every history has one
        check(db)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the fields that are read off rows for columns, one entry each."""
    found: list[str] = []

    def counting(name: str) -> Any:
        value_of = attrgetter(name)

        def read(row: Any) -> object:
            found.append(name)
            return value_of(row)

        return read

    monkeypatch.setattr(column_cache, "attrgetter", counting)
    return found


def test_a_scan_after_a_write_reads_what_was_written(reads: list[str]) -> None:
    """Ensure a scan reads, of the columns that are kept, the rows that were replaced or added since, and no others."""
    with Shop("memory:") as db:
        db.items.insert_many(Item(id=key, size=key % 5) for key in range(1, 1001))
        for _ in range(5):
            db.items.where(Item.size > 3).aggregate(total=Sum(Item.id))
        assert set(reads) == {"size", "id"}
        reads.clear()
        for key in (7, 8, 7):
            db.items.update(key, size=4)
        db.items.insert(Item(id=2000, size=4))
        assert db.items.where(Item.size > 3).aggregate(total=Sum(Item.id)) == {
            "total": sum(range(4, 1001, 5)) + 7 + 8 + 2000
        }
        assert sorted(reads) == ["id"] * 3 + ["size"] * 3


def test_times_that_do_not_compare_after_a_write() -> None:
    """Ensure a mask falls back to comparing points in time where a column came to hold both kinds of times."""
    with Shop("memory:") as db:
        db.items.insert_many(Item(id=key, at=day(key)) for key in (1, 2, 3))
        late = day(2)
        for _ in range(3):
            assert db.items.where(Item.at >= late).aggregate(n=Sum(Item.id)) == {"n": 5}
        db.items.update(1, size=9)
        assert db.items.where(Item.at >= late).aggregate(n=Sum(Item.id)) == {"n": 5}
        db.items.update(3, at=datetime(2026, 1, 3, tzinfo=UTC))
        with pytest.raises(TypeError, match="aware"):
            db.items.where(Item.at >= late).aggregate(n=Sum(Item.id))
