"""Models in a module whose annotations are all text, at its top and inside a function."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field
from tests.snaptable.support import refuses

from snaptable import Database, ForeignKey, ForeignKeyViolation, Index, Row, SchemaError, Table, Unique, table, utc_now


class Author(Row):
    id: str
    email: Annotated[str, Unique()]
    mentor_id: Annotated[str | None, ForeignKey("authors", on_delete="set null")] = None
    shelf: Shelf | None = None


class Shelf(Row):
    """Be a model behind the one that speaks of it."""

    id: str


class Book(Row):
    id: int | None = None
    author_id: Annotated[str, ForeignKey(Author)]
    published: datetime = Field(default_factory=utc_now)


class Library(Database):
    authors: Table[Author]
    books: Table[Book] = table(Index("author_id", "published", ordered=True))


def test_reads_annotations_that_are_text() -> None:
    """Ensure that text annotations at a module's top mean what they say: keys, indexes, references, numbering."""
    with Library("memory:") as db:
        db.authors.insert(Author(id="a", email="a@b.org", shelf=Shelf(id="s")))
        assert db.books.insert(Book(author_id="a")).id == 1
        plan = db.books.where(Book.author_id == "a").order_by(Book.published).explain()
        assert (plan.index, plan.sorts) == ("author_id,published", False)
        assert db.authors.where(email="a@b.org").explain().index == "email"
        assert refuses(ForeignKeyViolation, lambda: db.books.insert(Book(author_id="none")), "books", "author_id")


def test_reads_annotations_that_are_text_inside_a_function() -> None:
    """Ensure that text annotations in a function find the classes of that function."""

    class Room(Row):
        id: str

    class Guest(Row):
        id: str
        room_id: Annotated[str, ForeignKey(Room, on_delete="cascade")]
        home: Room | None = None

    class Hotel(Database):
        rooms: Table[Room]
        guests: Table[Guest]

    with Hotel("memory:") as db:
        db.rooms.insert(Room(id="1"))
        db.guests.insert(Guest(id="g", room_id="1", home=Room(id="far")))
        db.rooms.delete("1")
        assert db.guests.all() == []


def test_says_that_a_model_is_not_there_yet() -> None:
    """Ensure that a table of a model that isn't defined is a SchemaError naming it, not a NameError."""

    def make() -> type[Database]:
        class Early(Database):
            lates: Table[Late]

        class Late(Row):
            id: str

        return Early

    assert refuses(SchemaError, make, "Early", "Late")
