"""Models that change, on PostgreSQL: fields filled in, migrations as one commit, indexes; done whole or not at all."""

# ruff: noqa: RUF012 - a model's default is copied by Pydantic

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, field_validator
from tests.snaptable.postgres import stores

from snaptable import (
    Database,
    ForeignKey,
    Index,
    MigrationFailed,
    MigrationNeeded,
    Row,
    SchemaMismatch,
    StoreNewer,
    Table,
    Unique,
    numbered,
)
from snaptable.migrations import Migration, add, drop, drop_table, each, fill, rekey, rename, rename_table, retype, run


class Color(Enum):
    RED = "red"


class Box(BaseModel):
    x: int = 0


class Note(Row):
    id: int = numbered()
    user_id: Annotated[str, ForeignKey("users", on_delete="cascade")]
    text: str = "x"


class User(Row):
    """A row with a field of every family."""

    id: str
    email: Annotated[str, Unique()]
    age: int | None = None
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    naive: datetime = datetime(2026, 1, 1)  # noqa: DTZ001 - the naive one is the point
    price: Decimal = Decimal("1E+3")
    took: timedelta = timedelta(days=1, seconds=3)
    raw: bytes = b"\xff\0"
    key: UUID = UUID(int=5)
    tags: frozenset[str] = frozenset({"b", "a"})
    data: dict[str, Any] = {"k": [1, 2.5, None]}
    box: Box = Box(x=1)
    color: Color = Color.RED


class Own(Row):
    """A model with code of its own, whose rows are kept as images."""

    id: str
    name: str

    @field_validator("name")
    @classmethod
    def upper(cls, value: str) -> str:
        """Return the name in upper case."""
        return value.upper()


class Old(Database):
    users: Table[User]
    notes: Table[Note]
    own: Table[Own]


@pytest.fixture(name="url")
def give_store() -> Iterator[str]:
    """Give the URL of a store of the old models with some rows."""
    url = stores.new_schema()
    with Old(url) as db:
        db.users.insert_many([User(id="b", email="B", age=3), User(id="a", email="A")])
        db.notes.insert_many([Note(user_id="a"), Note(user_id="b", text="y")])
        db.notes.delete(2)
        db.own.insert(Own(id="1", name="ann"))
    yield url
    stores.drop_schemas([url])


def changed(
    users: type[Row] = User, notes: type[Row] = Note, own: type[Row] = Own, **members: object
) -> type[Database]:
    """Return a database of other models for tables of the same names."""
    hints = {"users": Table[users], "notes": Table[notes], "own": Table[own]}  # type: ignore[valid-type]
    return type("New", (Database,), {"__annotations__": hints, **members})


class WithScore(User):
    score: float | None = None


class WithMore(WithScore):
    nick: Annotated[str, Index()] = "none"


def test_new_fields_are_filled_in(url: str) -> None:
    """By their defaults, as one commit that names them; rows keep their places, tables their numbers and keys."""
    with changed(WithMore)(url) as db:
        users: Table[Any] = db.tables["users"]
        assert [(row.id, row.nick, row.score) for row in users] == [("b", "none", None), ("a", "none", None)]
        commit = next(db.history.commits(limit=1))
        (name,) = commit.migrations
        assert name.startswith("automatic: filled in users.score, users.nick of 2 rows")
        assert [change.kind for change in commit.changes] == ["replace", "replace"]
        assert db.tables["notes"].insert(Note(user_id="b")).id == 3
        assert users.where(nick="none").count() == 2
        assert db.check() == []
        users.delete("a")
        assert [row.id for row in db.tables["notes"]] == [3]
        with db.history.at(commit.sequence) as past:
            assert past.tables["users"].count() == 2
    with changed(WithMore)(url) as db:
        assert db.history.sequence > commit.sequence


def test_every_family_survives_being_made_anew(url: str) -> None:
    """Each value of each family is what it was, to the type, behind a field that was filled in."""
    with Old(url) as db:
        before = {row.id: dict(row) for row in db.users}
    with changed(WithMore)(url) as db:
        for row in db.tables["users"]:
            now = dict(row)
            assert {name: (type(now[name]), now[name]) for name in before[row.id]} == {
                name: (type(value), value) for name, value in before[row.id].items()
            }


def test_an_opening_that_may_not_change_anything_doesn_t(url: str) -> None:
    """migrate="manual" lists what would be filled in."""
    before = stores.content(url)
    with pytest.raises(MigrationNeeded, match=r"users\.nick"):
        changed(WithMore)(url, migrate="manual").open()
    assert stores.content(url) == before


class Renamed(Row):
    id: str
    mail: Annotated[str, Unique()]
    years: int = 0


class Memo(Row):
    id: int = numbered()
    user_id: Annotated[str, ForeignKey("people", on_delete="cascade")]
    text: str


def test_a_list_of_migrations_is_one_commit(url: str) -> None:
    """Renames, new keys, other types, functions over rows and tables: the same list as for a store with files."""
    gone = [name for name in User.model_fields if name not in ("id", "email", "age")]
    steps = [
        rename("users.email", "mail"), *(drop(f"users.{name}") for name in gone), rename("users.age", "years"),
        fill("users.years", 0), retype("users.years", using=int), rekey("users", lambda row: row["id"] * 2),
        rename_table("users", "people"), drop_table("own"), add("notes.extra", "z"), drop("notes.extra"),
        each("notes", lambda row: {**row, "text": row["text"] + "!"}), run(lambda db: None),
    ]  # fmt: skip
    hints = {"people": Table[Renamed], "notes": Table[Memo]}
    new = type("New", (Database,), {"__annotations__": hints, "migrations": [Migration("0001", *steps)]})
    with new(url) as db:
        assert db.tables["people"].all() == [Renamed(id="bb", mail="B", years=3), Renamed(id="aa", mail="A")]
        assert db.tables["notes"].all() == [Memo(id=1, user_id="aa", text="x!")]
        commit = next(db.history.commits(limit=1))
        assert commit.migrations == ("0001",)
        assert db.tables["notes"].insert(Memo(user_id="aa", text="n")).id == 3
        assert db.check() == []
    with pytest.raises(StoreNewer, match="0001"):
        Old(url).open()
    with new(url) as db:
        assert (
            next(db.history.commits(limit=1)).sequence == commit.sequence + 1 or db.history.sequence > commit.sequence
        )


class Numbers(User):
    age: str | None = None  # type: ignore[assignment]


class Fewer(Row):
    id: str
    email: Annotated[str, Unique()]


@pytest.mark.parametrize("users", [Numbers, Fewer])
def test_models_that_the_rows_don_t_fit_are_refused_whole(url: str, users: type[Row]) -> None:
    """With what to write; tables, rows and state are as they were, and the old program goes on."""
    before = stores.content(url)
    with pytest.raises(SchemaMismatch, match=r"(retype|drop)\("):
        changed(users)(url).open()
    assert stores.content(url) == before
    with Old(url) as db:
        assert db.users.count() == 2


def test_a_table_with_rows_that_the_models_lost_is_refused(url: str) -> None:
    """Saying what to write."""
    hints = {"users": Table[User], "notes": Table[Note]}
    with pytest.raises(SchemaMismatch, match=r'drop_table\("own"\)'):
        type("New", (Database,), {"__annotations__": hints})(url).open()


def test_a_migration_that_fails_leaves_everything(url: str) -> None:
    """The step that raised is named; what it leaves is validated, constraints too."""
    before = stores.content(url)
    failing = changed(migrations=[Migration("bad", each("users", lambda row: {**row, "email": "same"}))])
    with pytest.raises(MigrationFailed):
        failing(url).open()
    assert stores.content(url) == before


def test_a_former_program_that_is_still_open_loses_no_row(url: str) -> None:
    """Ensure that what it writes while an opening makes its table anew is there, and that it reads no empty table."""
    begun: list[Future[User]] = []

    def go_on_meanwhile(_: object) -> None:
        """Begin a read and a write, and return once each is done, or waits for the opening."""
        begun.append(threads.submit(lambda: old.users["a"]))
        begun.append(threads.submit(old.users.insert, User(id="c", email="C")))
        while sum(each.done() for each in begun) + stores.waiting(url) < len(begun):
            time.sleep(0.001)

    new = changed(WithScore, migrations=[Migration("0001", run(go_on_meanwhile))])
    with Old(url) as old, ThreadPoolExecutor(2) as threads, new(url) as db:
        assert [each.result().id for each in begun] == ["a", "c"]
        assert [row.id for row in db.tables["users"]] == ["b", "a", "c"]


def test_an_opening_that_is_in_a_deadlock_with_a_former_program_comes_through(url: str) -> None:
    """Ensure that both are done where each has what the other waits for, whichever the server has begin again."""
    new = changed(WithScore, migrations=[Migration("0001", run(lambda _: None))])
    opened: list[Future[Database]] = []

    def write(old: Old) -> None:
        """Write users, and notes once an opening that has these waits for users."""
        old.users.update("a", age=4)
        if not opened:
            opened.append(threads.submit(new(url).open))
        while not stores.waiting(url) and not opened[0].done():
            time.sleep(0.001)
        old.notes.insert(Note(user_id="a", text="z"))

    with Old(url) as old, ThreadPoolExecutor(1) as threads:
        asyncio.run(old.run(write))
        with closing(opened[0].result()) as db:
            assert [row.model_dump()["age"] for row in db.tables["users"]] == [3, 4]
            assert db.tables["notes"].where(text="z").count() == 1


def test_indexes_follow_the_models(url: str) -> None:
    """Indexes of new marks are made, those of marks that are gone are dropped; others' own indexes stay."""
    schema = stores.schema_of(url)
    stores.administer(f"create index theirs on {schema}.users (age)")

    class Marked(User):
        age: Annotated[int | None, Index(ordered=True)] = None

    class Unmarked(User):
        email: str

    def names() -> set[str]:
        found = stores.administer(
            f"select indexname from pg_indexes where schemaname = '{schema}' and tablename = 'users'"
        )
        return {str(row[0]) for row in found}

    with changed(Marked)(url):
        assert {"users_age_ordered", "users_email_unique", "theirs"} <= names()
    with changed(Unmarked)(url):
        assert "users_email_unique" not in names()
        assert "users_age_ordered" not in names()
        assert "theirs" in names()


def test_columns_of_other_makers_are_left_alone(url: str, tmp_path: Path) -> None:
    """A column that somebody added by psql is no field: rows read and written as before."""
    assert tmp_path.exists()
    stores.administer(f"alter table {stores.schema_of(url)}.users add remark text")
    with Old(url) as db:
        db.users.update("a", age=1)
        assert db.users["a"].age == 1


def test_tables_of_the_same_names_in_another_schema_are_left_alone(url: str) -> None:
    """What follows in the search path has nothing to do with it: no index, sequence or table there is dropped."""
    other = stores.new_schema()
    schema = stores.schema_of(url)
    try:
        with Old(other) as db:
            db.users.insert(User(id="x", email="X"))
        before = stores.content(other)
        stores.administer(f"alter role {schema} set search_path = {schema}, {stores.schema_of(other)}")
        with changed(WithMore)(url) as db:
            assert db.tables["users"].count() == 2
        assert stores.content(other) == before
        with Old(other) as db:
            assert db.notes.insert(Note(user_id="x")).id == 1
            assert db.check() == []
    finally:
        stores.drop_schemas([other])
