"""`Table.create`: a row from field values, validated once; and errors that name what is missing."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from tests.snaptable.contract.stores import Stores

from snaptable import (
    Database,
    DuplicateKey,
    Index,
    InvalidRow,
    Row,
    RowNotFound,
    Table,
    Unique,
    UniqueViolation,
    new_id,
    numbered,
)


class Note(Row):
    id: int = numbered()
    text: Annotated[str, Unique()]
    count: Annotated[int, Index()] = 0
    tags: list[str] = []  # noqa: RUF012 - a model's default is copied by Pydantic


class Secret(Row):
    password: str


class Notes(Database):
    notes: Table[Note]


@pytest.fixture
def db(stores: Stores) -> Notes:
    """Give an open database."""
    return stores.new(Notes).open()


def test_a_row_is_made_of_values(db: Notes) -> None:
    """Values are converted as Pydantic does, defaults filled in, the key numbered; what is stored is returned."""
    tags = ["a"]
    note = db.notes.create(text="x", count="3", tags=tags)
    assert note == Note(id=1, text="x", count=3, tags=["a"])
    tags.append("b")
    note.tags.append("c")
    assert db.notes[1] == Note(id=1, text="x", count=3, tags=["a"])
    assert db.notes.create(id=7, text="y").id == 7
    assert db.notes.create(text="z").id == 8


@pytest.mark.parametrize(
    ("ids", "becomes", "following"),
    [
        ([None, None], [4, 5], 6),
        ([8, 12, 9], [8, 12, 9], 13),
        ([None, 9, None, 5, None], [4, 9, 10, 5, 11], 12),
        ([8, 12, 8, 20], DuplicateKey, 13),
        ([8, 3, 20], DuplicateKey, 9),
        ([8, "x", 20], InvalidRow, 9),
        ([8, 3, "x"], DuplicateKey, 9),
        ([None, 8, 3, None], DuplicateKey, 9),
    ],
)
def test_many_rows_are_numbered_as_one_by_one(
    db: Notes, ids: list[object], becomes: list[int] | type[Exception], following: int
) -> None:
    """Ensure that each number follows the keys before it, also those of rows that were taken back for a later one."""
    db.notes.insert(Note(id=3, text="there"))
    made: Any = Note.model_construct
    rows = [made(id=key, text=f"{place}") for place, key in enumerate(ids)]
    if isinstance(becomes, list):
        assert [row.id for row in db.notes.insert_many(rows)] == becomes
    else:
        with pytest.raises(becomes):
            db.notes.insert_many(rows)
        assert [row.id for row in db.notes] == [3]
    assert db.notes.create(text="next").id == following


def test_fields_may_have_any_name(stores: Stores) -> None:
    """Also those of Python's own parameters."""

    class Odd(Row):
        id: str
        key: str = ""
        self: str = ""
        fields: str = ""

    class Odds(Database):
        odds: Table[Odd]

    with stores.new(Odds) as db:
        assert db.odds.create(id=new_id(), key="a", self="b", fields="c").fields == "c"


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"text": "x", "colour": "red"}, r"notes\[1\]\.colour"),
        ({}, r"notes\[1\]\.text"),
        ({"text": "x", "count": "many"}, r"notes\[.*\]\.count"),
        ({"text": "\ud800"}, r"text"),
    ],
)
def test_values_that_do_not_fit(db: Notes, values: dict[str, object], place: str) -> None:
    """The error names the field; nothing was written, and the value is not repeated."""
    with pytest.raises(InvalidRow, match=place) as raised:
        db.notes.create(**values)
    assert "many" not in str(raised.value)
    assert db.notes.count() == 0
    assert db.check() == []


def test_constraints_hold(db: Notes) -> None:
    """As for `insert`."""
    db.notes.create(id=1, text="x")
    with pytest.raises(DuplicateKey):
        db.notes.create(id=1, text="y")
    with pytest.raises(UniqueViolation):
        db.notes.create(text="x")
    assert db.notes.count() == 1


def test_a_missing_key_is_named(db: Notes) -> None:
    """By its value if it may be a key; a row in the place of a key is not repeated: it may hold secrets."""
    with pytest.raises(RowNotFound, match="notes has no row 3") as raised:
        db.notes[3]
    assert (raised.value.table, raised.value.key) == ("notes", 3)
    uses: list[Callable[[object], object]] = [
        lambda key: db.notes[key],
        lambda key: db.notes.delete(key),
        lambda key: db.notes.update(key, text="x"),
    ]
    for use in uses:
        for row in (Note(text="secret"), Secret(password="secret")):
            with pytest.raises(RowNotFound, match=rf"whose key is a {type(row).__name__}; pass its id") as raised:
                use(row)
            assert "secret" not in str(raised.value)
