"""The SQL for servers that lack something, as far as PostgreSQL takes it: other constraints, JSON as text."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import field_validator
from tests.snaptable.postgres import stores

from snaptable import (
    Database,
    DuplicateKey,
    ForeignKey,
    ForeignKeyViolation,
    PostgresOptions,
    Row,
    Table,
    Unique,
    UniqueViolation,
    numbered,
)
from snaptable.postgres.options import ServerKind


class User(Row):
    id: str
    email: Annotated[str, Unique()]
    data: dict[str, Any] | None = None


class Note(Row):
    id: int = numbered()
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]


class Own(Row):
    id: str

    @field_validator("id")
    @classmethod
    def lower(cls, value: str) -> str:
        """Return the key in lower case."""
        return value.lower()


class Library(Database):
    users: Table[User]
    notes: Table[Note]
    own: Table[Own]


@pytest.fixture(name="db", params=["cockroachdb", "yugabytedb", "citus"])
def open_library(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Give a library with two users, made for another server."""
    server: ServerKind = request.param
    url = stores.new_schema()
    with Library(url, postgres=PostgresOptions(server=server, pool_size=3)) as db:
        db.users.insert_many([User(id="a", email="A", data={"k": [1, "é"]}), User(id="b", email="B")])
        yield db
    stores.drop_schemas([url])


def test_rows_come_back(db: Library) -> None:
    """JSON is text there, images too; conditions on both are answered."""
    assert db.users.all() == [User(id="a", email="A", data={"k": [1, "é"]}), User(id="b", email="B")]
    assert db.users.where(User.data == {"k": [1, "é"]}).one().id == "a"
    assert db.users.where(User.data == None).one().id == "b"  # noqa: E711 - a condition
    assert db.own.insert(Own(id="X")) == db.own["x"]
    db.users.update("a", data={"k": None})
    with Library(db.url, postgres=db._postgres) as again:
        assert again.users["a"].data == {"k": None}
        assert again.check() == []


def test_violations_are_the_same_errors(db: Library) -> None:
    """At the statement or at the commit: the class and the data are the same, and nothing is left."""
    with pytest.raises(UniqueViolation) as taken:
        db.users.insert(User(id="c", email="A"))
    assert (taken.value.key, taken.value.fields, taken.value.other) == ("c", ("email",), db.users["a"])
    with pytest.raises(ForeignKeyViolation) as missing:
        db.notes.insert(Note(user_id="nobody"))
    assert (missing.value.table, missing.value.fields) == ("notes", ("user_id",))
    with pytest.raises(DuplicateKey):
        db.users.insert(User(id="a", email="C"))
    with pytest.raises(UniqueViolation), db.transaction():  # noqa: PT012 - several statements
        db.users.update("b", data={})
        db.users.update("b", email="A")
    assert (db.users.count(), db.users["b"].data, db.notes.count()) == (2, None, 0)


def test_deletes_take_along_and_history_takes_back(db: Library) -> None:
    """Cascades, undo, and commits behind the barrier that is a row."""
    db.notes.insert_many([Note(user_id="a"), Note(user_id="a")])
    db.users.delete("a")
    assert (db.notes.count(), db.users.count()) == (0, 1)
    db.history.undo(db.history.sequence)
    assert (db.notes.count(), db.users["a"].email) == (2, "A")
    with db.history.at(db.history.commits(oldest_first=True).__next__().sequence) as past:
        assert past.notes.count() == 0
