"""Questions to a table: conditions, orderings, None, cuts, single rows, bulk changes, and what they refuse."""
# ruff: noqa: DTZ001, RUF012 - naive datetimes are tested too; a model's default is copied by Pydantic

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from functools import reduce
from operator import and_, or_
from typing import Annotated, Any

import pytest
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import refuses

from snaptable import (
    Database,
    Index,
    InvalidKey,
    InvalidQuery,
    InvalidRow,
    MultipleRows,
    Row,
    RowNotFound,
    Table,
    Unique,
    UniqueViolation,
    asc,
    contains,
    desc,
    one_of,
    starts_with,
    table,
)


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Item(Row):
    id: int
    name: Annotated[str, Unique()]
    group: Annotated[str | None, Index()] = None
    rank: Annotated[int | None, Index(ordered=True)] = None
    price: float = 0.0
    at: datetime | None = None
    tags: Annotated[list[str], Index(each=True)] = []
    active: bool = True
    size: Size = Size.SMALL
    mood: Mood = Mood.CALM
    extra: Any = None
    either: str | int | None = None
    amount: Decimal = Decimal(0)
    day: date = date(2026, 1, 1)


class Other(Row):
    id: int
    name: str = ""


class Shop(Database):
    items: Table[Item] = table(Index("group", "rank", ordered=True))
    others: Table[Other]


NOW = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = [
    Item(id=1, name="apple", group="a", rank=1, price=1.5, at=NOW, tags=["red", "sweet"]),
    Item(id=2, name="Banana", group="a", rank=3, price=2.5, at=NOW + timedelta(days=1), tags=["sweet"], active=False),
    Item(id=3, name="cherry", group="b", rank=2, price=1.5, tags=[], size=Size.LARGE, either=3),
    Item(id=4, name="date", group=None, rank=None, price=-1.0, at=datetime(2026, 1, 1), mood=Mood.WILD, either="x"),
    Item(id=5, name="élan", group="b", rank=2, extra={"a": [1]}, amount=Decimal("1.5"), day=date(2026, 5, 1)),
]


@pytest.fixture(name="db")
def open_shop(stores: Stores) -> Any:
    """Give a shop with five items."""
    with stores.new(Shop) as db:
        db.items.insert_many(ITEMS)
        yield db


def ids(rows: Any) -> list[int]:
    """Return the keys of rows, in order."""
    return [row.id for row in rows]


CONDITIONS: list[tuple[Callable[[], Any], set[int]]] = [
    (lambda: Item.name == "apple", {1}),
    (lambda: Item.name != "apple", {2, 3, 4, 5}),
    (lambda: Item.rank == 2, {3, 5}),
    (lambda: Item.rank == None, {4}),  # noqa: E711 - how a condition says it
    (lambda: Item.rank != None, {1, 2, 3, 5}),  # noqa: E711
    (lambda: Item.rank != 2, {1, 2, 4}),
    (lambda: Item.rank > 1, {2, 3, 5}),  # type: ignore[operator]
    (lambda: Item.rank >= 2, {2, 3, 5}),  # type: ignore[operator]
    (lambda: Item.rank < 2, {1}),  # type: ignore[operator]
    (lambda: Item.rank <= 2, {1, 3, 5}),  # type: ignore[operator]
    (lambda: ~(Item.rank > 1), {1, 4}),  # type: ignore[operator]
    (lambda: ~(Item.rank == 2), {1, 2, 4}),
    (lambda: ~(Item.rank == None), {1, 2, 3, 5}),  # noqa: E711
    (lambda: (Item.rank > 1) & (Item.price < 2), {3, 5}),  # type: ignore[operator]
    (lambda: (Item.rank == 1) | (Item.group == None), {1, 4}),  # noqa: E711
    (lambda: ~((Item.rank == 1) | (Item.rank == 3)), {3, 4, 5}),
    (lambda: one_of(Item.rank, [1, 3, 99]), {1, 2}),
    (lambda: one_of(Item.rank, [None, 1]), {1, 4}),
    (lambda: one_of(Item.rank, []), set()),
    (lambda: ~one_of(Item.group, ["a"]), {3, 4, 5}),
    (lambda: one_of(Item.name, (name for name in ["apple", "date", "apple"])), {1, 4}),
    (lambda: contains(Item.tags, "sweet"), {1, 2}),
    (lambda: ~contains(Item.tags, "sweet"), {3, 4, 5}),
    (lambda: contains(Item.group, "a"), {1, 2}),
    (lambda: contains(Item.name, "an"), {2, 5}),
    (lambda: contains(Item.name, ""), {1, 2, 3, 4, 5}),
    (lambda: starts_with(Item.name, "é"), {5}),
    (lambda: starts_with(Item.name, "A"), set()),
    (lambda: starts_with(Item.group, ""), {1, 2, 3, 5}),
    (lambda: starts_with(Item.group, "b"), {3, 5}),
    (lambda: Item.tags == ["sweet"], {2}),
    (lambda: Item.tags == [], {3, 4, 5}),
    (lambda: one_of(Item.tags, [["sweet"], []]), {2, 3, 4, 5}),
    (lambda: one_of(Item.tags, []), set()),
    (lambda: Item.active, {1, 3, 4, 5}),
    (lambda: ~Item.active, {2}),
    (lambda: Item.active & (Item.rank == 2), {3, 5}),
    (lambda: Item.size == Size.LARGE, {3}),
    (lambda: Item.size > Size.SMALL, {3}),
    (lambda: Item.mood == Mood.WILD, {4}),
    (lambda: Item.mood > Mood.CALM, {4}),  # type: ignore[operator]
    (lambda: Item.at == datetime(2026, 1, 1), {4}),
    (lambda: Item.price < 0, {4}),
    (lambda: Item.price == 1.5, {1, 3}),
    (lambda: Item.amount > 1, {5}),
    (lambda: Item.day > date(2026, 1, 1), {5}),
    (lambda: Item.extra == {"a": [1]}, {5}),
    (lambda: Item.extra != {"a": [1]}, {1, 2, 3, 4}),
    (lambda: Item.either == 3, {3}),
    (lambda: Item.either == "x", {4}),
    (lambda: one_of(Item.either, [3, "x"]), {3, 4}),
    (lambda: Item.id > 3, {4, 5}),
    (lambda: one_of(Item.id, [5, 1, 5, 9]), {1, 5}),
    (lambda: (Item.id == 3) & (Item.name == "apple"), set()),
    (lambda: 2 == Item.rank, {3, 5}),  # noqa: SIM300 - the value may stand first
    (lambda: 2 < Item.rank, {2}),  # type: ignore[operator]  # noqa: SIM300
]


@pytest.mark.parametrize(("condition", "wanted"), CONDITIONS)
def test_holds_for(db: Shop, condition: Callable[[], Any], wanted: set[int]) -> None:
    """Ensure that a condition holds for exactly the rows it says, in where, count, exists, first and iteration."""
    query = db.items.where(condition())
    assert set(ids(query.all())) == wanted
    assert len(query.all()) == len(wanted)
    assert query.count() == len(wanted)
    assert query.exists() == bool(wanted)
    assert set(ids(query)) == wanted
    assert (query.first() is None) == (not wanted)


def test_narrows_by_keywords(db: Shop) -> None:
    """Ensure that keywords are equalities, None included, and that everything given must hold."""
    assert ids(db.items.where(group="b", rank=2, size=Size.LARGE)) == [3]
    assert ids(db.items.where(group=None)) == [4]
    assert ids(db.items.where(Item.price > 0, group="b")) == [3]
    assert ids(db.items.where(group="a").where(Item.rank == 3).where()) == [2]
    assert set(ids(db.items.where())) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(("combine", "wanted"), [(or_, {1, 2, 3, 5}), (and_, set())])
def test_combines_many(db: Shop, combine: Callable[[Any, Any], Any], wanted: set[int]) -> None:
    """Ensure that hundreds of conditions can be combined: lists of alternatives are made by programs."""
    condition = reduce(combine, [Item.rank == number for number in range(400)])
    assert set(ids(db.items.where(condition))) == wanted
    assert set(ids(db.items.where(~condition))) == {row.id for row in ITEMS} - wanted


def test_answers_more_kinds_of_questions_than_are_kept_prepared(db: Shop) -> None:
    """Ensure that a program that never asks twice alike is answered like any other."""
    tests: list[tuple[Any, Callable[[Item], bool]]] = [
        (Item.id > 1, lambda row: row.id > 1),
        (Item.price < 2, lambda row: row.price < 2),
        (Item.active, lambda row: row.active),
        (Item.rank != None, lambda row: row.rank is not None),  # noqa: E711
        (Item.group != "a", lambda row: row.group != "a"),
        (Item.size == Size.SMALL, lambda row: row.size == Size.SMALL),
        (Item.mood == Mood.CALM, lambda row: row.mood == Mood.CALM),
        (Item.day < date(2026, 2, 1), lambda row: row.day < date(2026, 2, 1)),
        (Item.amount >= 0, lambda row: row.amount >= 0),
        (starts_with(Item.name, "c"), lambda row: row.name.startswith("c")),
    ]
    for number in range(2 ** len(tests)):
        chosen = [test for place, test in enumerate(tests) if number >> place & 1]
        wanted = [row.id for row in ITEMS if all(holds(row) for _, holds in chosen)]
        assert ids(db.items.where(*(condition for condition, _ in chosen)).order_by(Item.id)) == wanted


def test_asks_while_another_thread_makes_a_model(db: Shop) -> None:
    """Ensure that columns are there for one thread while another is in the middle of a class statement."""
    seen = []

    class Watched(Row):
        id: int

        def __init_subclass__(cls, **kwargs: Any) -> None:
            with ThreadPoolExecutor(1) as other:
                seen.append(other.submit(lambda: ids(db.items.where(Item.rank == 3))).result())

    class Made(Watched):
        rank: int = 0

    assert seen == [[2]]
    assert set(Made.model_fields) == {"id", "rank"}


def test_queries_never_change(db: Shop) -> None:
    """Ensure that a query is immutable: narrowing, sorting or cutting it leaves the one it came from as it was."""
    query = db.items.where(Item.price > 0)
    query.where(group="a")
    query.order_by(desc(Item.id))
    query.limit(1)
    query.offset(1)
    assert query.count() == 3


ORDERS: list[tuple[Callable[[], tuple[object, ...]], list[int]]] = [
    (lambda: (Item.name,), [2, 1, 3, 4, 5]),
    (lambda: (desc(Item.name),), [5, 4, 3, 1, 2]),
    (lambda: (Item.rank,), [1, 3, 5, 2, 4]),
    (lambda: (desc(Item.rank),), [2, 5, 3, 1, 4]),
    (lambda: (asc(Item.rank), desc(Item.id)), [1, 5, 3, 2, 4]),
    (lambda: (desc(Item.rank), Item.id), [2, 3, 5, 1, 4]),
    (lambda: (Item.group, desc(Item.rank)), [2, 1, 5, 3, 4]),
    (lambda: (desc(Item.group), Item.rank), [3, 5, 1, 2, 4]),
    (lambda: (Item.price, Item.name), [4, 5, 1, 3, 2]),
    (lambda: (desc(Item.active), Item.id), [1, 3, 4, 5, 2]),
    (lambda: (Item.mood, Item.id), [1, 2, 3, 5, 4]),
    (lambda: (desc(Item.size), desc(Item.id)), [3, 5, 4, 2, 1]),
    (lambda: (Item.at, Item.id), [4, 1, 2, 3, 5]),
    (lambda: (desc(Item.at), Item.id), [2, 1, 4, 3, 5]),
    (lambda: (desc(Item.id),), [5, 4, 3, 2, 1]),
    (lambda: (Item.rank, Item.rank), [1, 3, 5, 2, 4]),
]


@pytest.mark.parametrize(("order", "wanted"), ORDERS)
def test_sorts(db: Shop, order: Callable[[], tuple[object, ...]], wanted: list[int]) -> None:
    """Ensure that orderings hold: several keys, either direction, None last, text by code point, then the key."""
    assert ids(db.items.order_by(*order())) == wanted
    query = db.items.where()
    for key in order():
        query = query.order_by(key)
    assert ids(query) == wanted
    assert ids(query.limit(2)) == wanted[:2]
    assert ids(query.offset(3)) == wanted[3:]
    assert ids(query.limit(2).offset(2)) == wanted[2:4]
    assert query.first() == db.items[wanted[0]]


def test_cuts(db: Shop) -> None:
    """Ensure that limit and offset cut all, count, exists, first and one alike."""
    query = db.items.order_by(Item.id)
    assert ids(query.limit(0)) == []
    assert (query.limit(0).count(), query.limit(0).exists(), query.limit(0).first()) == (0, False, None)
    assert (query.limit(2).count(), query.limit(99).count(), query.offset(4).count(), query.offset(9).count()) == (
        2,
        5,
        1,
        0,
    )
    assert ids(query.offset(9)) == []
    assert query.offset(4).one().id == 5
    assert query.limit(1).one().id == 1
    assert query.offset(1).limit(3).count() == 3
    assert query.offset(1).first() == db.items[2]
    assert refuses(RowNotFound, query.limit(0).one, "items")


def test_gives_one(db: Shop) -> None:
    """Ensure that one() gives the only row and says whether there was none or several."""
    assert db.items.where(name="apple").one() == ITEMS[0]
    assert refuses(RowNotFound, db.items.where(name="none").one, "items")
    assert refuses(MultipleRows, db.items.where(group="a").one, "items")
    with pytest.raises(KeyError):
        db.items.where(name="none").one()


MIXED: list[Callable[[], Any]] = [
    lambda: Item.at >= NOW,  # type: ignore[operator]
    lambda: Item.at < NOW,  # type: ignore[operator]
    lambda: Item.at > datetime(2026, 1, 1),  # type: ignore[operator]
    lambda: ~(Item.at <= datetime(2026, 1, 1)),  # type: ignore[operator]
    lambda: (Item.id == 1) & (Item.at > datetime(2026, 1, 1)),  # type: ignore[operator]
]


@pytest.mark.parametrize("build", MIXED)
def test_refuses_to_order_naive_and_aware_times(db: Shop, build: Callable[[], Any]) -> None:
    """Ensure that a time is not compared with those of the other kind, however the rows are asked for."""
    for ask in (
        lambda query: query.all(),
        lambda query: query.count(),
        lambda query: query.exists(),
        lambda query: query.order_by(Item.at).first(),
        lambda query: query.page(limit=1),
        lambda query: query.update(rank=1),
        lambda query: query.delete(),
    ):
        assert refuses(InvalidQuery, lambda ask=ask: ask(db.items.where(build())), "Item.at", "naive", "aware")  # type: ignore[misc]
    assert db.items.all() == ITEMS


def test_looks_up_by_key(db: Shop) -> None:
    """Ensure that get gives None for a missing key, [] raises RowNotFound (a KeyError), and `in` and len agree."""
    assert db.items.get(1) == ITEMS[0]
    assert db.items.get(9) is None
    assert refuses(InvalidKey, lambda: db.items.get("1"), "items", "int", "str")
    assert 1 in db.items
    assert 9 not in db.items
    assert len(db.items) == db.items.count() == 5
    message = refuses(RowNotFound, lambda: db.items[9], "items", "9")
    assert message == str(RowNotFound(message))


def test_updates_in_bulk(db: Shop) -> None:
    """Ensure that a bulk update changes the rows of the query and no other, and returns their number."""
    assert db.items.where(group="a").update(rank=7, active=True) == 2
    assert {row.id: row.rank for row in db.items} == {1: 7, 2: 7, 3: 2, 4: None, 5: 2}
    assert db.items.where(group="zzz").update(rank=7) == 0
    assert db.items.order_by(desc(Item.id)).limit(2).update(price=9.0) == 2
    assert set(ids(db.items.where(price=9.0))) == {4, 5}
    assert db.items.where(rank=7).update(rank=7) == 2
    assert db.check() == []


def test_updates_in_bulk_all_or_none(db: Shop) -> None:
    """Ensure that a bulk update that breaks a constraint, a type or a key changes no row at all."""
    before = db.items.all()
    assert refuses(UniqueViolation, lambda: db.items.where().update(name="same"), "items", "name")
    assert refuses(InvalidRow, lambda: db.items.where().update(rank="high"), "items", "rank")
    assert refuses(InvalidRow, lambda: db.items.where().update(colour="red"), "items", "colour")
    assert refuses(InvalidRow, lambda: db.items.where(group="a").update(id=9), "items", "id")
    assert db.items.all() == before
    assert db.check() == []


def test_deletes_in_bulk(db: Shop) -> None:
    """Ensure that a bulk delete removes the rows of the query, cut as it is, and returns their number."""
    assert db.items.where(group="none").delete() == 0
    assert db.items.order_by(Item.rank).offset(1).limit(2).delete() == 2
    assert set(ids(db.items)) == {1, 2, 4}
    assert db.items.where().delete() == 3
    assert (len(db.items), db.check()) == (0, [])


def test_answers_with_one_state(db: Shop) -> None:
    """Ensure that iterating over a query isn't disturbed by what is written meanwhile."""
    seen = []
    for row in db.items.order_by(Item.id):
        seen.append(row.id)
        db.items.delete(row.id)
        db.items.insert(row.model_copy(update={"id": row.id + 100}))
    assert seen == [1, 2, 3, 4, 5]
    assert set(ids(db.items)) == {101, 102, 103, 104, 105}


@pytest.mark.parametrize("value", [1, "x", None, 2.5, [1], {"a": 1}])
def test_asks_fields_of_any_type(db: Shop, value: Any) -> None:
    """Ensure that fields typed Any or a union are asked without an error, whatever the rows hold."""
    db.items.update(1, extra=value)
    assert ids(db.items.where(Item.extra == value, id=1)) == [1]
    assert db.items.where(one_of(Item.extra, [value])).exists()
    assert db.items.where(Item.extra != value, id=1).all() == []
    if not isinstance(value, (list, dict, float)):
        db.items.update(1, either=value)
        assert ids(db.items.where(Item.either == value, id=1)) == [1]
