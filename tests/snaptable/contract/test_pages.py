"""Pages: through all rows in order, whatever is added or removed meanwhile, and no cursor of another query."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import chain
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import refuses

from snaptable import Database, Index, InvalidCursor, Query, Row, Table, desc, one_of

START = datetime(2026, 1, 1, tzinfo=UTC)


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Item(Row):
    id: int
    name: str = ""
    rank: Annotated[int | None, Index(ordered=True)] = None
    at: Annotated[datetime, Index(ordered=True)] = START
    price: Decimal = Decimal(0)
    mood: Mood = Mood.CALM
    data: bytes = b""
    uid: UUID = UUID(int=0)
    weight: float | None = None


class Text(Row):
    id: str


class Store(Database):
    items: Table[Item]
    texts: Table[Text]
    others: Table[Item]


def item(number: int) -> Item:
    """Return the item of a number, equal to others in every field but its key."""
    return Item(
        id=number,
        name=f"n{number % 3}",
        rank=None if number % 4 == 0 else number % 3,
        at=START + timedelta(microseconds=number % 5),
        price=Decimal(number % 3) / 3,
        mood=(Mood.CALM, Mood.WILD)[number % 2],
        data=bytes([250 + number % 6]),
        uid=UUID(int=number % 4),
        weight=None if number % 3 == 0 else number % 4 / 3,
    )


ORDERS: list[tuple[str, Callable[[], tuple[object, ...]]]] = [
    ("key", lambda: ()),
    ("key backwards", lambda: (desc(Item.id),)),
    ("name", lambda: (Item.name,)),
    ("indexed, with None", lambda: (Item.rank,)),
    ("indexed, with None, backwards", lambda: (desc(Item.rank),)),
    ("moments", lambda: (Item.at,)),
    ("moments backwards", lambda: (desc(Item.at),)),
    ("decimals, floats", lambda: (desc(Item.price), Item.weight)),
    ("enum, bytes", lambda: (Item.mood, desc(Item.data))),
    ("UUID, None last", lambda: (Item.uid, desc(Item.weight), desc(Item.rank))),
]


def walk(query: Query[Item], size: int) -> list[list[int]]:
    """Return the keys of every page of a query."""
    pages, cursor = [], None
    for _ in range(100):
        page = query.page(limit=size, after=cursor)
        pages.append([row.id for row in page.items])
        cursor = page.next_cursor
        if cursor is None:
            return pages
        assert len(page.items) == size
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("size", [1, 3, 7, 30, 50])
@pytest.mark.parametrize("order", [order for _, order in ORDERS], ids=[name for name, _ in ORDERS])
def test_pages_are_the_whole(stores: Stores, order: Callable[[], tuple[object, ...]], size: int) -> None:
    """Ensure that the pages of any order, put together, are exactly the query's rows in its order."""
    with stores.new(Store) as db:
        db.items.insert_many([item(number) for number in range(30)])
        keys = order() or (Item.id,)
        for query in (db.items.where(), db.items.where(Item.rank != 1)):
            paged = query.order_by(*order()) if order() else query
            assert list(chain.from_iterable(walk(paged, size))) == [row.id for row in query.order_by(*keys)]
        assert walk(db.items.where(Item.id > 99).order_by(*keys), size) == [[]]


def test_goes_on_over_changes(stores: Stores) -> None:
    """Ensure that rows added or removed between two pages neither repeat nor hide others, even the cursor's own row."""
    with stores.new(Store) as db:
        db.items.insert_many([item(number) for number in range(0, 40, 2)])
        query = db.items.order_by(Item.id)
        first = query.page(limit=5)
        assert [row.id for row in first.items] == [0, 2, 4, 6, 8]
        db.items.delete(8)
        db.items.delete(10)
        db.items.insert(item(1))
        db.items.insert(item(9))
        second = query.page(limit=5, after=first.next_cursor)
        assert [row.id for row in second.items] == [9, 12, 14, 16, 18]
        db.items.where(Item.id > 16).delete()
        last = query.page(limit=5, after=second.next_cursor)
        assert (last.items, last.next_cursor) == ([], None)


@given(st.lists(st.tuples(st.sampled_from("+-="), st.integers(0, 40)), max_size=12), st.sampled_from(ORDERS), st.data())
def test_every_row_that_stays_is_seen_once(
    stores: Stores,
    changes: list[tuple[str, int]],
    order: tuple[str, Callable[[], tuple[object, ...]]],
    data: st.DataObject,
) -> None:
    """Ensure that a row that is there all the while is on exactly one page, whatever comes and goes around it."""
    with stores.new(Store) as db:
        db.items.insert_many([item(number) for number in range(0, 40, 2)])
        stays = {row.id for row in db.items}
        query = db.items.order_by(*(order[1]() or (Item.id,)))
        seen: list[int] = []
        cursor = None
        for _ in range(100):
            page = query.page(limit=4, after=cursor)
            seen += [row.id for row in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
            for _ in range(data.draw(st.integers(0, min(4, len(changes))))):
                verb, number = changes.pop()
                if verb == "-" and number in db.items:
                    db.items.delete(number)
                    stays.discard(number)
                elif verb == "+" and number not in db.items:
                    db.items.insert(item(number))
        assert cursor is None
        assert len(seen) == len(set(seen))
        assert stays <= set(seen)


def test_takes_cursors_of_long_keys(stores: Stores) -> None:
    """Ensure that a cursor that was given out is taken back, however long the values it stands behind."""
    with stores.new(Store) as db:
        db.texts.insert_many([Text(id="é" * 9_000 + str(number)) for number in range(3)])
        first = db.texts.where().page(limit=2)
        assert [row.id[-1] for row in db.texts.where().page(limit=2, after=first.next_cursor).items] == ["2"]


def test_takes_its_cursor_after_a_restart(stores: Stores) -> None:
    """Ensure that a cursor still works when the store was closed and opened between two pages."""
    with stores.lasting(Store) as db:
        db.items.insert_many([item(number) for number in range(10)])
        cursor = db.items.where(Item.id >= 2, mood=Mood.CALM).order_by(desc(Item.at)).page(limit=2).next_cursor
    with stores.lasting(Store) as db:
        query = db.items.where(Item.id >= 2, mood=Mood.CALM).order_by(desc(Item.at))
        assert query.page(limit=9, after=cursor).items == query.all()[2:]


def test_cursors_are_text_for_an_address(stores: Stores) -> None:
    """Ensure that a cursor can stand in a URL as it is."""
    with stores.new(Store) as db:
        db.items.insert_many([item(number) for number in range(10)])
        cursor = db.items.order_by(Item.name, Item.data).page(limit=2).next_cursor
        assert cursor is not None
        assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


FOREIGN: list[tuple[str, Callable[[Store], Query[Item]]]] = [
    ("another order", lambda db: db.items.order_by(Item.at)),
    ("another direction", lambda db: db.items.order_by(desc(Item.name))),
    ("a further key", lambda db: db.items.order_by(Item.name, Item.at)),
    ("no order", lambda db: db.items.where()),
    ("a condition", lambda db: db.items.where(Item.id > 3).order_by(Item.name)),
    ("another table", lambda db: db.others.order_by(Item.name)),
]


@pytest.mark.parametrize("other", [query for _, query in FOREIGN], ids=[name for name, _ in FOREIGN])
def test_refuses_a_cursor_of_another_query(stores: Stores, other: Callable[[Store], Query[Item]]) -> None:
    """Ensure that a cursor is refused by a query with another table, order, direction or condition."""
    with stores.new(Store) as db:
        db.items.insert_many([item(number) for number in range(10)])
        cursor = db.items.order_by(Item.name).page(limit=2).next_cursor
        assert refuses(InvalidCursor, lambda: other(db).page(limit=2, after=cursor), "cursor")


def test_tells_conditions_apart_by_value(stores: Stores) -> None:
    """Ensure that the same condition with another value makes another query."""
    with stores.new(Store) as db:
        db.items.insert_many([item(number) for number in range(10)])
        cursor = db.items.where(one_of(Item.name, ["n0", "n1"])).page(limit=2).next_cursor
        again = db.items.where(one_of(Item.name, ["n0", "n1"])).page(limit=99, after=cursor)
        assert [row.id for row in again.items] == [3, 4, 6, 7, 9]
        assert refuses(
            InvalidCursor, lambda: db.items.where(one_of(Item.name, ["n0"])).page(after=cursor), "another query"
        )


def _cursor_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


DAMAGED: list[Any] = [
    "", "x", "====", "é", "a" * 20_000, "\ud800", 5, b"abc",
    _cursor_of([]), _cursor_of({}), _cursor_of(3), _cursor_of(None), _cursor_of(["x", "1"]), _cursor_of([[[[]]]]),
    base64.urlsafe_b64encode(b"[" * 4_000).decode(),
]  # fmt: skip


@pytest.mark.parametrize("cursor", DAMAGED, ids=range(len(DAMAGED)))
def test_refuses_a_damaged_cursor(stores: Stores, cursor: Any) -> None:
    """Ensure that what is no cursor is an InvalidCursor (a ValueError), never another error and never a first page."""
    with stores.new(Store) as db:
        db.items.insert_many([item(number) for number in range(10)])
        assert refuses(InvalidCursor, lambda: db.items.where().page(after=cursor), "cursor")
        with pytest.raises(ValueError, match="cursor"):
            db.items.where().page(after=cursor)


@given(st.data())
def test_refuses_or_takes_a_changed_cursor(stores: Stores, data: st.DataObject) -> None:
    """Ensure that a cursor with any one character changed is refused, or still gives a part of the query's rows."""
    with stores.new(Store) as db:
        db.items.insert_many([item(number) for number in range(10)])
        query = db.items.order_by(Item.rank, Item.name, Item.price)
        cursor = query.page(limit=3).next_cursor
        assert cursor is not None
        place = data.draw(st.integers(0, len(cursor) - 1))
        changed = cursor[:place] + data.draw(st.sampled_from("Aa0-_z")) + cursor[place + 1 :]
        try:
            page = query.page(limit=99, after=changed)
        except InvalidCursor:
            return
        assert page.items == query.all()[10 - len(page.items) :]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_the_same_pages_as_json(stores: Stores, limit: int) -> None:
    """Ensure page_json walks through the very rows and cursors of page, and writes rows as Pydantic does."""
    with stores.new(Store) as db:
        assert db.items.where().page_json() == (b"[]", None)
        db.items.insert_many([item(number) for number in range(7)])
        query = db.items.order_by(desc(Item.rank))
        cursor: str | None = None
        while True:
            page = query.page(limit=limit, after=cursor)
            text, following = query.page_json(limit=limit, after=cursor)
            assert text == b"[" + b",".join(row.model_dump_json().encode() for row in page.items) + b"]"
            assert following == page.next_cursor
            if following is None:
                break
            cursor = following
        with pytest.raises(InvalidCursor):
            query.page_json(after="nonsense")
        with pytest.raises(ValueError, match="at least one row"):
            query.page_json(limit=0)
