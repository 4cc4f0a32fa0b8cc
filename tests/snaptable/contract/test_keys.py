"""Keys that are equal and yet of another type: they find the row, and the row keeps its own."""

from collections.abc import Callable
from contextlib import suppress
from enum import Enum, IntEnum
from typing import Annotated, Any
from uuid import UUID

import pytest
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import WAYS, begun_anew

from snaptable import Database, ForeignKey, Row, Table


class Word(str, Enum):  # noqa: UP042 - the older kind is the point
    """Be a text whose str() is not its value."""

    A = "a"


class Digit(IntEnum):
    ONE = 1


class Shout(str):
    """Be a text that spells itself in another way."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Odd(UUID):
    """Be a UUID that spells itself in another way."""

    def __str__(self) -> str:
        return self.hex


class Texts(Row):
    id: str
    size: int = 0


class Numbers(Row):
    id: int | None = None
    size: int = 0


class Unique(Row):
    id: UUID
    size: int = 0


class Child(Row):
    id: str
    parent: Annotated[str | None, ForeignKey("texts", on_delete="set null")] = None


class Store(Database):
    texts: Table[Texts]
    numbers: Table[Numbers]
    uniques: Table[Unique]
    children: Table[Child]


KEYS: list[tuple[str, Any, Any]] = [
    ("texts", "a", Word.A),
    ("texts", "a", Shout("a")),
    ("numbers", 1, 1.0),
    ("numbers", 1, True),
    ("numbers", 1, Digit.ONE),
    ("numbers", 1, 1 + 0j),
    ("uniques", UUID(int=1), Odd(int=1)),
]
WORKS: list[Callable[[Table[Any], Any], object]] = [
    lambda table, key: table.update(key, size=2),
    lambda table, key: table.update(key, id=key, size=2),
    lambda table, key: table.delete(key),
    lambda table, key: table.where(id=key).update(size=2),
    lambda table, key: table.where(id=key).delete(),
    lambda table, key: table.replace(table[key].model_copy(update={"id": key, "size": 2})),
    lambda table, key: table.upsert(type(table[key]).model_construct(id=key, size=2)),
]


@pytest.mark.parametrize(("name", "own", "like"), KEYS, ids=[f"{n}-{type(k).__name__}" for n, _, k in KEYS])
@pytest.mark.parametrize("work", range(len(WORKS)))
def test_writes_under_the_rows_own_key(stores: Stores, name: str, own: Any, like: Any, work: int) -> None:
    """Ensure that a write by an equal key of another type is either refused or done under the row's own key."""
    db = stores.lasting(Store).open()
    table: Table[Any] = db.tables[name]
    table.insert(table.model(id=own))
    try:
        WORKS[work](table, like)
    except (ValueError, TypeError):
        assert table[own].size == 0
    rows = table.all()
    assert db.check() == []
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            assert again.tables[name].all() == rows


def test_keeps_references_as_plain_text(stores: Stores) -> None:
    """Ensure that a key or reference given as a subclass of str is stored as the text it is."""
    with stores.lasting(Store) as db:
        db.texts.insert(Texts(id=Word.A))
        db.children.insert(Child(id="1", parent=Word.A))
        db.children.insert(Child(id=Shout("x"), parent=Shout("a")))
    with stores.again(db) as again:
        assert again.children.all() == [Child(id="1", parent="a"), Child(id="x", parent="a")]
        again.texts.delete("a")
        assert [row.parent for row in again.children] == [None, None]


@pytest.mark.parametrize("key", [[], {}, set()])
def test_finds_nothing_by_what_is_no_key(stores: Stores, key: Any) -> None:
    """Ensure that a key that can't be one is answered with a TypeError or as missing, and changes nothing."""
    with stores.new(Store) as db:
        db.texts.insert(Texts(id="a"))
        for work in (db.texts.get, db.texts.delete, db.texts.__contains__):
            call: Any = work
            with suppress(TypeError, KeyError):
                assert not call(key)
        assert len(db.texts) == 1
        assert db.check() == []
