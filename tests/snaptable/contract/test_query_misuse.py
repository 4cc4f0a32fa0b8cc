"""Questions that mean nothing are refused where they are written, with what to write instead."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from tests.snaptable.contract.stores import Stores, current, use
from tests.snaptable.support import refuses

from snaptable import (
    Database,
    Index,
    InvalidQuery,
    InvalidRow,
    Row,
    RowNotFound,
    Table,
    contains,
    desc,
    one_of,
    starts_with,
)


class Point(BaseModel):
    x: int = 0


class Item(Row):
    id: str
    pages: Annotated[int, Index(ordered=True)] = 0
    name: Annotated[str | None, Index()] = None
    at: datetime | None = None
    day: date = date(2026, 1, 1)
    owner: UUID | None = None
    tags: list[str] = []
    point: Point = Point()
    either: str | int = 0


class Other(Row):
    id: str
    pages: int = 0


class Store(Database):
    items: Table[Item]
    others: Table[Other]


DB = current(Store)


@pytest.fixture(scope="module", autouse=True)
def opened(module_stores: Stores) -> Iterator[None]:
    """Open the database that the module asks, on each engine."""
    with module_stores.new(Store) as db:
        use(DB, db)
        yield


ITEM: Any = Item
LOW, HIGH = 1, 3

BUILT: list[tuple[str, Callable[[], object], tuple[str, ...]]] = [
    ("and", lambda: (ITEM.pages > 1) and (ITEM.pages < 3), ("&",)),
    ("or", lambda: (ITEM.pages > 1) or (ITEM.pages < 3), ("|",)),
    ("not", lambda: not (ITEM.pages > 1), ("~",)),
    ("chained", lambda: LOW < ITEM.pages < HIGH, ("&",)),
    ("if", lambda: 1 if ITEM.pages > 1 else 2, ("&",)),
    ("bool of a column", lambda: bool(ITEM.pages), ("Item.pages",)),
    ("in", lambda: "a" in ITEM.tags, ("contains(",)),
    ("int with text", lambda: ITEM.pages == "3", ("Item.pages", "int", "str")),
    ("int greater than text", lambda: ITEM.pages > "3", ("Item.pages", "int", "str")),
    ("text with int", lambda: ITEM.name == 3, ("Item.name", "str", "int")),
    ("datetime with date", lambda: ITEM.at > date(2026, 1, 1), ("Item.at", "datetime", "date")),
    ("date with datetime", lambda: ITEM.day > datetime(2026, 1, 1, tzinfo=UTC), ("Item.day", "date", "datetime")),
    ("UUID with text", lambda: ITEM.owner == str(UUID(int=1)), ("Item.owner", "UUID", "str")),
    ("list with text", lambda: ITEM.tags == "a", ("Item.tags", "list", "str")),
    ("less than None", lambda: ITEM.pages < None, ("Item.pages", "None")),
    ("column with column", lambda: ITEM.pages == Other.pages, ("Item.pages", "Other.pages")),
    ("column with condition", lambda: ITEM.pages == (ITEM.name == "a"), ("Item.pages",)),
    ("order of lists", lambda: ITEM.tags > ["a"], ("Item.tags",)),
    ("order of models", lambda: ITEM.point > Point(), ("Item.point",)),
    ("order of a union", lambda: ITEM.either > 3, ("Item.either",)),
    ("int & condition", lambda: (ITEM.pages == 1) & ITEM.pages, ("Item.pages",)),
    ("~ int", lambda: ~ITEM.pages, ("Item.pages",)),
    ("one_of wrong kind", lambda: one_of(ITEM.pages, ["a"]), ("Item.pages", "str")),
    ("one_of no column", lambda: one_of(3, [3]), ("column",)),
    ("contains in an int", lambda: contains(ITEM.pages, 3), ("Item.pages", "int")),
    ("contains wrong kind", lambda: contains(ITEM.tags, 3), ("Item.tags", "int")),
    ("contains None", lambda: contains(ITEM.tags, None), ("Item.tags",)),
    ("contains int in text", lambda: contains(ITEM.name, 3), ("Item.name", "int")),
    ("starts_with int", lambda: starts_with(ITEM.name, 3), ("int",)),  # type: ignore[arg-type]
    ("starts_with on an int", lambda: starts_with(ITEM.pages, "3"), ("Item.pages",)),
    ("desc of a list", lambda: desc(ITEM.tags), ("Item.tags",)),
    ("desc of a word", lambda: desc("pages"), ("column",)),
    ("order_by a word", lambda: DB.items.order_by("pages"), ("column",)),
    ("order_by a condition", lambda: DB.items.order_by(ITEM.pages > 3), ("column",)),
    ("order_by another table", lambda: DB.items.order_by(Other.pages), ("Other.pages", "items")),
    ("order_by a model", lambda: DB.items.order_by(ITEM.point), ("Item.point",)),
    ("where another table", lambda: DB.items.where(Other.pages > 3), ("Other.pages", "items")),
    ("where another table inside", lambda: DB.items.where((ITEM.pages > 3) & ~(Other.pages > 3)), ("Other.pages",)),
    ("where unknown field", lambda: DB.items.where(colour="red"), ("items", "colour", "pages")),
    ("where keyword of a wrong kind", lambda: DB.items.where(pages="3"), ("Item.pages", "int", "str")),
    ("where True", lambda: DB.items.where(True), ("User.email == x",)),
    ("where a row's comparison", lambda: DB.items.where(Item(id="1").pages > 3), ("column",)),
    ("where an int", lambda: DB.items.where(3), ("int",)),
    ("where a column that is no bool", lambda: DB.items.where(ITEM.pages), ("Item.pages",)),
    ("limit of text", lambda: DB.items.where().limit("3"), ("limit", "str")),  # type: ignore[arg-type]
    ("limit of True", lambda: DB.items.where().limit(True), ("limit", "bool")),
    ("limit of a float", lambda: DB.items.where().limit(1.0), ("limit", "float")),  # type: ignore[arg-type]
    ("offset of None", lambda: DB.items.where().offset(None), ("offset",)),  # type: ignore[arg-type]
    ("page of a limited query", lambda: DB.items.where().limit(3).page(), ("page",)),
    ("page of an offset query", lambda: DB.items.where().offset(3).page(), ("page",)),
]


@pytest.mark.parametrize(("build", "words"), [(b, w) for _, b, w in BUILT], ids=[name for name, _, _ in BUILT])
def test_refuses_where_it_is_written(build: Callable[[], object], words: tuple[str, ...]) -> None:
    """Ensure that a condition or an ordering that means nothing is an InvalidQuery (a TypeError) that says why."""
    assert refuses(InvalidQuery, build, *words)
    with pytest.raises(TypeError):
        build()


NEGATIVE: list[Callable[[], object]] = [
    lambda: DB.items.where().limit(-1),
    lambda: DB.items.where().offset(-1),
    lambda: DB.items.where().page(limit=-1),
    lambda: DB.items.where().page(limit=0),
]


@pytest.mark.parametrize("build", NEGATIVE)
def test_refuses_negative_numbers(build: Callable[[], object]) -> None:
    """Ensure that a negative limit or offset, and a page of none, is a ValueError."""
    with pytest.raises(ValueError, match=r"limit|offset"):
        build()


def test_knows_no_unknown_column() -> None:
    """Ensure that a field a model doesn't have is an AttributeError, as anywhere in Python."""
    with pytest.raises(AttributeError, match="colour"):
        _ = ITEM.colour


WRITES: list[tuple[Callable[[], object], type[Any], tuple[str, ...]]] = [
    (lambda: DB.items.update("none", pages=1), RowNotFound, ("items", "'none'")),
    (lambda: DB.items.replace(Item(id="none")), RowNotFound, ("items", "'none'")),
    (lambda: DB.items.delete("none"), RowNotFound, ("items", "'none'")),
    (lambda: DB.items["none"], RowNotFound, ("items", "'none'")),
    (lambda: DB.items.update("1", colour="red"), InvalidRow, ("items", "'1'", "colour")),
    (lambda: DB.items.update("1", id="2"), InvalidRow, ("items", "'1'", "id")),
    (lambda: DB.items.update("1", pages=None), InvalidRow, ("items", "'1'", "pages")),
]


@pytest.mark.parametrize(("work", "error", "words"), WRITES)
def test_refuses_a_write(work: Callable[[], object], error: type[Any], words: tuple[str, ...]) -> None:
    """Ensure that a write on a missing key, to an unknown field or to the key itself is refused and changes nothing."""
    row = DB.items.upsert(Item(id="1"))
    sequence = DB.status().sequence
    assert refuses(error, work, *words)
    assert DB.items.all() == [row]
    assert DB.status().sequence == sequence


def test_takes_its_key_unchanged() -> None:
    """Ensure that update with the row's own key is no change of it."""
    DB.items.upsert(Item(id="1"))
    assert DB.items.update("1", id="1", pages=4).pages == 4


def test_takes_keys_by_position_only() -> None:
    """Ensure that `key=` is a field's name wherever there is one, never the parameter's."""
    for work in (DB.items.get, DB.items.delete, DB.items.update):
        call: Any = work
        with pytest.raises(TypeError, match=r"positional|key"):
            call(key="1")
