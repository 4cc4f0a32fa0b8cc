"""History over a migration: frames stay as written, and the past is seen through today's models."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field
from tests.snaptable.migrations.support import fill as fill_store
from tests.snaptable.migrations.support import library, rows_in

from snaptable import Database, ForeignKey, Row, Secret, Table, Unique, new_id
from snaptable.errors import HistoryError, UndoConflict
from snaptable.migrations import (
    Migration,
    RawDatabase,
    add,
    drop,
    each,
    rekey,
    rename,
    rename_table,
    retype,
    run,
)


class User(Row):
    id: int
    name: str
    role: str = "user"


class Post(Row):
    id: int
    author: Annotated[int, ForeignKey(User, on_delete="cascade")]
    text: str


class Old(Database):
    users: Table[User]
    posts: Table[Post]


class Member(Row):
    id: str
    full_name: str
    level: int = 0


class Article(Row):
    id: int
    member: Annotated[str, ForeignKey(Member, on_delete="cascade")]
    text: list[str]


LEVELS = {"user": 0, "admin": 9}
MEMBERS = Migration(
    "members",
    rename("users.name", to="full_name"),
    retype("users.role", using=LEVELS.__getitem__),
    rename("users.role", to="level"),
    rekey("users", lambda row: f"u{row['id']}"),
    rename_table("users", to="members"),
)
ARTICLES = Migration("articles", rename("posts.author", to="member"), retype("posts.text", using=str.split))


class New(Database):
    members: Table[Member]
    posts: Table[Article]
    migrations = [MEMBERS, ARTICLES]  # noqa: RUF012


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with six commits of an older program."""
    with Old(tmp_path / "s", banner=False, fsync=False) as db:
        db.users.insert(User(id=1, name="Ann"))  # 1
        db.users.insert(User(id=2, name="Ben"))  # 2
        db.posts.insert(Post(id=1, author=2, text="a b"))  # 3
        db.users.update(1, role="admin")  # 4
        db.users.delete(2)  # 5, with the post
        db.posts.insert(Post(id=2, author=1, text="c"))  # 6
    return tmp_path / "s"


def state(db: Database) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table, sorted."""
    return {name: sorted((row.model_dump() for row in table), key=str) for name, table in db.tables.items()}


BEN: dict[str, Any] = {"id": "u2", "full_name": "Ben", "level": 0}
PAST: dict[int, dict[str, list[dict[str, Any]]]] = {
    0: {"members": [], "posts": []},
    1: {"members": [{"id": "u1", "full_name": "Ann", "level": 0}], "posts": []},
    3: {
        "members": [{"id": "u1", "full_name": "Ann", "level": 0}, BEN],
        "posts": [{"id": 1, "member": "u2", "text": ["a", "b"]}],
    },
    5: {"members": [{"id": "u1", "full_name": "Ann", "level": 9}], "posts": []},
    6: {
        "members": [{"id": "u1", "full_name": "Ann", "level": 9}],
        "posts": [{"id": 2, "member": "u1", "text": ["c"]}],
    },
}


def test_a_past_before_a_migration_is_seen_through_todays_models(store: Path) -> None:
    """Typed, indexed, queryable, whatever was renamed since."""
    with New(store, banner=False, fsync=False) as db:
        assert db.history.sequence == 7
        db.members.insert(Member(id="u9", full_name="Cy"))
        for sequence, wanted in PAST.items():
            with db.history.at(sequence) as past:
                assert {name: sorted(rows, key=str) for name, rows in wanted.items()} == state(past)
                assert past.check() == []
                assert past.members.where(Member.level > 5).count() == (sequence > 3)
        with db.history.at(7) as past:
            assert state(past) == PAST[6]
    with New(store, banner=False, fsync=False) as db, db.history.at(3) as past:
        assert past.posts.where(member="u2").one().text == ["a", "b"]


def test_raw_gives_the_rows_as_they_stood(store: Path) -> None:
    """In the tables and fields of that time; of the present, as they are written."""
    with New(store, banner=False, fsync=False) as db:
        assert db.raw("members") == {"u1": {"id": "u1", "full_name": "Ann", "level": 9}}
        with db.history.at(3) as past:
            assert past.raw("users") == {
                "1": {"id": 1, "name": "Ann", "role": "user"},
                "2": {"id": 2, "name": "Ben", "role": "user"},
            }
            assert past.raw("posts")["1"] == {"id": 1, "author": 2, "text": "a b"}
            assert past.raw("members") == {}
            with pytest.raises(ValueError, match="nobody"):
                past.raw("nobody")
        with pytest.raises(ValueError, match="users"):
            db.raw("users")


def test_commits_show_the_migration_as_it_happened(store: Path) -> None:
    """With its names, and old and new values; older commits as they were."""
    with New(store, banner=False, fsync=False) as db:
        newest = next(iter(db.history))
        assert (newest.sequence, newest.via, newest.migrations) == (7, "migration", ("members", "articles"))
        kinds = {(change.table, change.key): change.kind for change in newest.changes}
        assert kinds == {("members", "u1"): "insert", ("posts", 2): "replace"}
        (post,) = [change for change in newest.changes if change.table == "posts"]
        assert post.fields == {"author": (1, None), "member": (None, "u1"), "text": ("c", ["c"])}
        assert [commit.sequence for commit in db.history] == [7, 6, 5, 4, 3, 2, 1]
        assert str(list(db.history))


def test_diff_across_a_migration_shows_both_sides_through_todays_models(store: Path) -> None:
    """A rename is no difference; nor is the migration itself."""
    with New(store, banner=False, fsync=False) as db:
        assert db.history.diff(6).counts == {}
        assert db.history.diff(7).counts == {}
        assert str(db.history.diff(3, 4)) == "~ members u1   level 0 → 9"
        assert str(db.history.diff(4, 3)) == "~ members u1   level 9 → 0"
        assert db.history.diff(1).counts == {
            "members": {"insert": 0, "replace": 1, "delete": 0},
            "posts": {"insert": 1, "replace": 0, "delete": 0},
        }
        assert db.history.diff(1, tables=["posts"]).counts == {"posts": {"insert": 1, "replace": 0, "delete": 0}}


def test_undo_reaches_over_a_migration_row_by_row(store: Path) -> None:
    """A cascade comes back whole, in today's shape; a later change of the same field is a conflict."""
    with New(store, banner=False, fsync=False) as db:
        assert str(db.history.undo(5)) == "removes 0, puts back 2, changes 0"
        assert state(db)["members"][1] == BEN
        assert db.posts[1].member == "u2"
        assert str(db.history.undo(4)) == "removes 0, puts back 0, changes 1"
        assert db.members["u1"].level == 0
        db.members.update("u1", full_name="Anna")
        with pytest.raises(UndoConflict):
            db.history.undo(1)
        for sequence in (7,):
            with pytest.raises(HistoryError, match="is a migration"):
                db.history.undo(sequence)


def test_restore_goes_back_over_a_migration(store: Path) -> None:
    """One row, one table, everything."""
    with New(store, banner=False, fsync=False) as db:
        db.history.restore(3, "members", "u2")
        assert sorted(member.id for member in db.members) == ["u1", "u2"]
        db.history.restore(3, "posts")
        assert [post.id for post in db.posts] == [1]
        db.history.restore(1)
        assert state(db) == PAST[1]
        assert db.check() == []
    assert rows_in(store, New)["members"] == PAST[1]["members"]


def test_a_fork_of_a_past_before_a_migration_can_be_written_to_and_merged(store: Path) -> None:
    """It is of today's models."""
    with New(store, banner=False, fsync=False) as db:
        with db.history.fork(3) as fork:
            fork.members.update("u2", level=3)
            fork.posts.delete(1)
            assert state(fork)["members"][1]["level"] == 3
        with db.history.fork() as fork:
            fork.members.update("u1", level=7)
            db.history.merge(fork)
        assert db.members["u1"].level == 7


def test_undo_is_refused_across_code_that_ran_over_tables(tmp_path: Path) -> None:
    """But the past is there, and rows can be restored."""

    def count(db: RawDatabase) -> None:
        for row in db["notes"].values():
            row["of"] = len(db["notes"])

    fill_store(tmp_path / "s", library(notes={"text": (str, ...)}), notes=[{"id": key, "text": "x"} for key in (1, 2)])
    new = library([Migration("count", run(count))], notes={"text": (str, ...), "of": (int, ...)})
    with new(tmp_path / "s", banner=False, fsync=False) as db:
        with db.history.at(1) as past:
            assert [row.model_dump() for row in past.tables["notes"]] == [{"id": 1, "text": "x", "of": 1}]
        with pytest.raises(HistoryError, match="runs code"):
            db.history.undo(2)
        db.history.restore(1, "notes", 2)
        assert [row.model_dump() for row in db.tables["notes"]] == [{"id": 1, "text": "x", "of": 2}]
        assert len(db.history.diff(0).changes) == 1


def test_rows_of_a_past_that_do_not_fit_are_named_when_they_are_read(tmp_path: Path) -> None:
    """Other tables are read as ever; `raw` gives them all."""
    fields = {"notes": {"text": (str, ...)}, "tags": {"text": (str, ...)}}
    with library(**fields)(tmp_path / "s", banner=False, fsync=False) as db:
        db.tables["notes"].create(id=1, text="a very long text")
        db.tables["tags"].create(id=1, text="tag")
        db.tables["notes"].update(1, text="short")
    short = Annotated[str, Field(max_length=5)]
    new = library(
        [Migration("tag", rename("tags.text", to="tag"))], notes={"text": (short, ...)}, tags={"tag": (str, ...)}
    )
    with new(tmp_path / "s", banner=False, fsync=False) as db:
        with db.history.at(2) as past:
            assert [row.model_dump() for row in past.tables["tags"]] == [{"id": 1, "tag": "tag"}]
            for read in (
                lambda: list(past.tables["notes"]),
                lambda: past.tables["notes"].get(1),
                past.tables["notes"].where().count,
            ):
                with pytest.raises(
                    HistoryError, match=r"notes as of commit 2 has a row that doesn't fit.*notes\['1'\]|notes\[1\]"
                ) as raised:
                    read()
                assert "very long" not in str(raised.value)
            assert past.raw("notes") == {"1": {"id": 1, "text": "a very long text"}}
        with pytest.raises(HistoryError, match="notes"):
            db.history.fork(2)


def test_a_step_that_fails_on_the_past_is_a_history_error(tmp_path: Path) -> None:
    """It names the migration; the past is still there as it was."""
    old = library(notes={"text": (str, ...)})
    with old(tmp_path / "s", banner=False, fsync=False) as db:
        db.tables["notes"].create(id=1, text="seven")
        db.tables["notes"].update(1, text="7")
    new = library([Migration("number", retype("notes.text", using=int))], notes={"text": (int, ...)})
    with new(tmp_path / "s", banner=False, fsync=False) as db:
        with pytest.raises(HistoryError, match=r"migration 'number', retype.*notes\['1'\]"):
            db.history.at(1)
        with db.history.at(2) as past:
            assert past.raw("notes") == {"1": {"id": 1, "text": "7"}}


def test_what_was_filled_in_by_itself_is_no_change_of_the_past(tmp_path: Path) -> None:
    """A past has the values that were given, not other ones each time; `raw` tells what was there."""
    fill_store(
        tmp_path / "s", library(notes={"text": (str, ...)}), notes=[{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
    )
    new = library(notes={"text": (str, ...), "token": (str, Field(default_factory=new_id))})
    with new(tmp_path / "s", banner=False, fsync=False) as db:
        tokens = [row.model_dump()["token"] for row in db.tables["notes"]]
        db.tables["notes"].update(1, text="c")
        with db.history.at(2) as past:
            assert [row.model_dump() for row in past.tables["notes"]] == [
                {"id": 1, "text": "a", "token": tokens[0]},
                {"id": 2, "text": "b", "token": tokens[1]},
            ]
            assert past.raw("notes")["2"] == {"id": 2, "text": "b"}
        assert db.history.diff(2).counts == {"notes": {"insert": 0, "replace": 1, "delete": 0}}
        with pytest.raises(HistoryError, match="is a migration"):
            db.history.undo(3)
        db.history.undo(1, force=True)
        assert [row.model_dump()["id"] for row in db.tables["notes"]] == [2]


def test_secrets_stay_secret_under_their_former_names(tmp_path: Path) -> None:
    """In the commit of the migration, and in those before it."""

    class Account(Row):
        id: int
        hash: Annotated[str, Secret()]
        mail: Annotated[str, Unique()]

    class Accounts(Database):
        accounts: Table[Account]
        migrations = [  # noqa: RUF012
            Migration("hash", rename("users.password_hash", to="password"), rename_table("users", to="accounts")),
            Migration("hash again", rename("accounts.password", to="hash"), drop("accounts.age"), add("accounts.x", 1)),
            Migration("and back", each("accounts", lambda row: {name: row[name] for name in ("id", "hash", "mail")})),
        ]

    class Person(Row):
        id: int
        password_hash: Annotated[str, Secret()]
        mail: str
        pin: Annotated[str, Secret()] = "4711 4711"

    class People(Database):
        accounts: Table[Person]

    class Renamed(Database):
        accounts: Table[Account]
        migrations = [Migration("hash", rename("accounts.password_hash", to="hash"), drop("accounts.pin", secret=True))]  # noqa: RUF012

    with People(tmp_path / "s", banner=False, fsync=False) as db:
        db.accounts.insert(Person(id=1, password_hash="s3cret", mail="a"))
        db.accounts.update(1, password_hash="s3cret too")
    with Renamed(tmp_path / "s", banner=False, fsync=False) as new:
        for commit in new.history:
            assert "s3cret" not in str(commit)
            assert "4711 4711" not in str(commit)
            assert "s3cret" not in repr([(change.before, change.after, change.fields) for change in commit.changes])
        with new.history.at(1) as past:
            assert past.accounts[1].hash == "s3cret"
        new.history.undo(2)
        assert new.accounts[1].hash == "s3cret"
    assert Accounts.__schemas__["accounts"].secrets >= {"hash", "password", "password_hash"}
