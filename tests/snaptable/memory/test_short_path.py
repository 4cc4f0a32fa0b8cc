"""A single write outside a transaction takes a short path: it does, refuses and journals what a transaction would."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from snaptable import Database, ForeignKey, Index, OnUpdate, ReadOnlyStore, Row, Table, Unique, numbered
from snaptable.errors import SnaptableError


class Author(Row):
    id: str
    name: Annotated[str, Unique()]
    friend: Annotated[str | None, ForeignKey("authors")] = None


class Book(Row):
    id: int = numbered()
    author: Annotated[str, ForeignKey(Author, on_delete="cascade")]
    pages: Annotated[int, Index(ordered=True)] = 0


class Note(Row):
    id: str
    tags: list[str] = Field(default_factory=list)
    moved: Annotated[int, OnUpdate(lambda: 7)] = 0


class Shelf(Database):
    authors: Table[Author]
    books: Table[Book]
    notes: Table[Note]


KEYS = st.sampled_from(["a", "b", "c", "é"])
NUMBERS = st.integers(1, 4)
Write = Callable[[Shelf], object]


def author(key: str, name: str, friend: str | None) -> list[Write]:
    """Return ways to write an author."""
    row = Author(id=key, name=name, friend=friend)
    return [
        lambda db: db.authors.insert(row),
        lambda db: db.authors.replace(row),
        lambda db: db.authors.upsert(row),
        lambda db: db.authors.create(id=key, name=name, friend=friend),
        lambda db: db.authors.update(key, name=name, friend=friend),
        lambda db: db.authors.update(key, friend=friend),
        lambda db: db.authors.delete(key),
    ]


def book(number: int, writer: str, pages: int) -> list[Write]:
    """Return ways to write a book."""
    return [
        lambda db: db.books.insert(Book(id=number, author=writer, pages=pages)),
        lambda db: db.books.create(author=writer, pages=pages),
        lambda db: db.books.update(number, pages=Book.pages + pages),
        lambda db: db.books.replace(Book(id=number, author=writer, pages=pages)),
        lambda db: db.books.update(float(number), pages=pages),
        lambda db: db.books.update(number, pages="many"),
        lambda db: db.books.update(number, id=number + 1),
    ]


def note(key: str, tags: list[str]) -> list[Write]:
    """Return ways to write a row that can be changed from outside, and one with a moving field."""
    return [
        lambda db: db.notes.insert(Note(id=key, tags=tags)),
        lambda db: db.notes.update(key, tags=tags),
        lambda db: db.notes.update([], tags=tags),
        lambda db: db.notes.replace(Note(id=key, tags=[*tags, "x"])),
    ]


writes = st.one_of(
    st.builds(author, KEYS, st.sampled_from(["x", "y", "z"]), st.none() | KEYS),
    st.builds(book, NUMBERS, KEYS, st.integers(0, 3)),
    st.builds(note, KEYS, st.lists(st.sampled_from(["s", "t"]), max_size=2)),
).flatmap(st.sampled_from)


def outcome(db: Shelf, write: Write) -> object:
    """Return what a write gives, or says."""
    try:
        return write(db)
    except (SnaptableError, TypeError, ValueError) as error:
        return type(error), str(error)


@given(st.lists(writes, max_size=25))
def test_alone_and_in_a_transaction_are_the_same(todo: list[Write]) -> None:
    """Results, errors, rows, indexes, sequences, and every commit of the history."""
    with Shelf("memory:") as alone, Shelf("memory:") as wrapped:
        for write in todo:

            def in_transaction(db: Shelf, write: Write = write) -> object:
                with db.transaction():
                    return write(db)

            assert outcome(alone, write) == outcome(wrapped, in_transaction)
            assert [list(table) for table in alone.tables.values()] == [list(each) for each in wrapped.tables.values()]
        assert alone.check() == wrapped.check() == []
        assert [[(c.kind, c.table, c.key, c.before, c.after) for c in commit.changes] for commit in alone.history] == [
            [(c.kind, c.table, c.key, c.before, c.after) for c in commit.changes] for commit in wrapped.history
        ]
        alone.books.where(Book.pages > 1).delete()


def test_threads_lose_no_update() -> None:
    """Single writes that work out a value from the row, from many threads beside transactions: each one counts."""
    with Shelf("memory:") as db, ThreadPoolExecutor(8) as pool:
        db.authors.insert(Author(id="a", name="a"))
        db.books.insert(Book(id=1, author="a"))
        start = threading.Barrier(8)

        def add(number: int) -> None:
            start.wait()
            for _ in range(60):
                if number % 4:
                    db.books.update(1, pages=Book.pages + 1)
                else:
                    with db.transaction():
                        db.books.update(1, pages=db.books[1].pages + 1)

        list(pool.map(add, range(8)))
        assert db.books[1].pages == 480
        assert db.check() == []


def test_an_open_transaction_is_waited_for() -> None:
    """A single write from another thread stays behind a transaction that is open, and sees what that did."""
    with Shelf("memory:") as db, ThreadPoolExecutor(1) as pool:
        with db.transaction():
            db.authors.insert(Author(id="a", name="a"))
            later = pool.submit(lambda: db.books.insert(Book(author="a")))
            with pytest.raises(TimeoutError):
                later.result(0.05)
        assert later.result(10).author == "a"


@pytest.mark.parametrize("write", [*author("a", "b", None), *book(1, "a", 1)])
def test_what_is_read_only_refuses_before_it_looks(tmp_path: Any, write: Write) -> None:
    """A store that takes no writes says so, whatever is wrong with the row as well."""
    with Shelf(tmp_path):
        pass
    with Shelf(tmp_path, read_only=True) as db, pytest.raises(ReadOnlyStore):
        write(db)
