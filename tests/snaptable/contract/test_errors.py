"""Errors carry what they name: a program reads table, key, fields, value and the row in the way, never a message."""

import copy
import pickle
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from tests.snaptable.contract.stores import Stores

from snaptable import (
    ConstraintError,
    Database,
    DuplicateKey,
    ForeignKey,
    ForeignKeyViolation,
    InvalidRow,
    Row,
    RowNotFound,
    SnaptableError,
    Table,
    Unique,
    UniqueViolation,
    table,
)


class Author(Row):
    id: str
    email: Annotated[str, Unique()]
    tags: list[str] = []  # noqa: RUF012 - a model's default is copied by Pydantic


class Book(Row):
    id: int
    author_id: Annotated[str | None, ForeignKey(Author)] = None
    title: str = ""
    year: int = 0


class Shelf(Database):
    authors: Table[Author]
    books: Table[Book] = table(Unique("title", "year"))


ANN = Author(id="ann", email="a@b.org", tags=["x"])
EMMA = Book(id=1, author_id="ann", title="Emma", year=1815)


@pytest.fixture
def db(stores: Stores) -> Shelf:
    """Give a database with an author and her book."""
    db = stores.new(Shelf).open()
    db.authors.insert(ANN)
    db.books.insert(EMMA)
    return db


Violation = tuple[Callable[[Shelf], object], type[ConstraintError], str, object, tuple[str, ...], object, Row | None]
VIOLATIONS: dict[str, Violation] = {
    "key": (
        lambda db: db.authors.insert(Author(id="ann", email="c@d.org")),
        DuplicateKey, "authors", "ann", ("id",), "ann", ANN,
    ),
    "key of values": (
        lambda db: db.books.create(id=1),
        DuplicateKey, "books", 1, ("id",), 1, EMMA,
    ),
    "unique": (
        lambda db: db.authors.insert(Author(id="bob", email="a@b.org")),
        UniqueViolation, "authors", "bob", ("email",), "a@b.org", ANN,
    ),
    "unique, several fields": (
        lambda db: db.books.insert(Book(id=2, title="Emma", year=1815)),
        UniqueViolation, "books", 2, ("title", "year"), ("Emma", 1815), EMMA,
    ),
    "reference to a missing row": (
        lambda db: db.books.update(1, author_id="bob"),
        ForeignKeyViolation, "books", 1, ("author_id",), "bob", None,
    ),
    "deletion of a row with references": (
        lambda db: db.authors.delete("ann"),
        ForeignKeyViolation, "authors", "ann", ("id",), "ann", EMMA,
    ),
}  # fmt: skip


@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS)
def test_constraint_errors_carry_the_rows(db: Shelf, violation: Violation) -> None:
    """Ensure that a violation names table, key, fields and value, and carries the row in the way."""
    work, kind, table_name, key, fields, value, other = violation
    with pytest.raises(ConstraintError) as raised:
        work(db)
    error = raised.value
    assert type(error) is kind
    assert (error.table, error.key, error.fields, error.value) == (table_name, key, fields, value)
    assert error.other == other
    assert type(error.other) is type(other)
    assert f"{table_name}" in str(error)
    assert db.check() == []


def test_the_row_in_the_way_is_a_copy(db: Shelf) -> None:
    """Ensure that nothing done to the row that an error carries changes the store."""
    with pytest.raises(UniqueViolation) as raised:
        db.authors.insert(Author(id="bob", email="a@b.org"))
    assert isinstance(raised.value.other, Author)
    raised.value.other.tags.append("y")
    with pytest.raises(DuplicateKey) as duplicate:
        db.authors.insert(ANN)
    assert isinstance(duplicate.value.other, Author)
    duplicate.value.other.tags.append("y")
    assert db.authors["ann"] == ANN


def test_no_message_repeats_the_row_in_the_way(db: Shelf) -> None:
    """Ensure that no violation's message shows a field of another row but its key: it may be a secret."""
    for work, *_ in VIOLATIONS.values():
        with pytest.raises(ConstraintError) as raised:
            work(db)
        assert "a@b.org" not in str(raised.value)
        assert "Emma" not in str(raised.value)


def test_a_missing_key_is_carried(db: Shelf) -> None:
    """Ensure that an error about a key that no row has carries table and key."""
    uses: list[Callable[[str], object]] = [
        lambda key: db.authors[key],
        db.authors.delete,
        lambda key: db.authors.update(key, email="c@d.org"),
        lambda key: db.authors.replace(Author(id=key, email="c@d.org")),
    ]
    for use in uses:
        with pytest.raises(RowNotFound) as raised:
            use("bob")
        assert (raised.value.table, raised.value.key) == ("authors", "bob")


INVALID: dict[str, tuple[Callable[[Shelf], object], str, object, tuple[str, ...]]] = {
    "of the wrong type": (lambda db: db.books.create(id=2, title=3), "books", 2, ("title",)),
    "several": (lambda db: db.books.create(id=2, title=3, year="x", nope=1), "books", 2, ("title", "year", "nope")),
    "without a key": (lambda db: db.authors.create(email="c@d.org"), "authors", None, ("id",)),
    "not to be written": (lambda db: db.authors.create(id="b", email="\ud800"), "authors", "b", ("email",)),
    "another key": (lambda db: db.books.update(1, id=2), "books", 1, ("id",)),
    "of another table": (lambda db: db.books.insert(ANN), "books", None, ()),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", INVALID.values(), ids=INVALID)
def test_invalid_rows_carry_the_fields(
    db: Shelf, case: tuple[Callable[[Shelf], object], str, object, tuple[str, ...]]
) -> None:
    """Ensure that an error about a row that was refused carries table, key and the fields that don't fit."""
    work, table_name, key, fields = case
    with pytest.raises(InvalidRow) as raised:
        work(db)
    assert (raised.value.table, raised.value.key, raised.value.fields) == (table_name, key, fields)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_survive_pickling(db: Shelf, again: Callable[[Any], Any]) -> None:
    """Ensure that every error comes out of another process as it went in, with the rows in it."""
    works: list[Callable[[Shelf], object]] = [violation[0] for violation in VIOLATIONS.values()]
    works += [case[0] for case in INVALID.values()]
    works.append(lambda db: db.authors["bob"])
    for work in works:
        with pytest.raises(SnaptableError) as raised:
            work(db)
        error = again(raised.value)
        assert type(error) is type(raised.value)
        assert (str(error), error.args) == (str(raised.value), raised.value.args)
        assert vars(error) == vars(raised.value)
