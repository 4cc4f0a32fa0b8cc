"""Transient tables: rows as durable as any, without a past."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.support import WAYS, begun_anew

from snaptable import Database, ForeignKey, Row, SchemaError, Table, UndoConflict, Unique, table
from snaptable.migrations import Migration, rename


class User(Row):
    id: str
    name: str = ""


class Session(Row):
    id: int | None = None
    user_id: Annotated[str | None, ForeignKey(User, on_delete="cascade")] = None
    guest_of: Annotated[str | None, ForeignKey(User, on_delete="set null")] = None
    token: Annotated[str | None, Unique()] = None


class Click(Row):
    id: int | None = None
    session_id: Annotated[int, ForeignKey(Session, on_delete="cascade")]


class Lease(Row):
    id: str
    user_id: Annotated[str, ForeignKey(User, on_delete="restrict")]


class Store(Database):
    users: Table[User]
    sessions: Table[Session] = table(transient=True)
    clicks: Table[Click] = table(transient=True)
    leases: Table[Lease] = table(transient=True)


@pytest.fixture(name="db", params=["memory:", "file"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an open store of either engine, with a user (1), a session (2), and one with a user in one commit (3)."""
    with Store("memory:" if request.param == "memory:" else tmp_path / "data", fsync=False, banner=False) as db:
        db.users.insert(User(id="ann"))
        db.sessions.insert(Session(user_id="ann", token="a"))
        with db.transaction():
            db.users.insert(User(id="ben"))
            db.sessions.insert(Session(user_id="ben", guest_of="ann", token="b"))
        yield db


# ── durable ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_its_rows_are_durable(tmp_path: Path) -> None:
    """Inserted, changed and deleted ones, after every way of beginning anew, the numbers given out included."""
    db = Store(tmp_path / "data", fsync=False, banner=False).open()
    db.users.insert(User(id="ann"))
    db.sessions.insert_many([Session(user_id="ann") for _ in range(4)])
    db.sessions.update(2, token="x")
    db.sessions.delete(4)
    rows = db.sessions.all()
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            assert again.sessions.all() == rows
            assert again.sessions.where(token="x").one().id == 2
            assert again.sessions.insert(Session()).id == 5
            assert again.check() == []


def test_the_journal_does_not_keep_what_was_there_before(tmp_path: Path) -> None:
    """Nobody can ask for it; of other tables it does."""
    with Store(tmp_path / "data", fsync=False, banner=False) as db:
        db.users.insert(User(id="ann"))
        db.users.update("ann", name="Ann")
        db.sessions.insert(Session(token="secret-of-before"))
        db.sessions.update(1, token="other")
        db.sessions.delete(1)
        (segment,) = (tmp_path / "data" / "db_journal").iterdir()
        frames = [json.loads(line) for line in segment.read_bytes().rstrip(b"\0").splitlines()[1:]]
    changes = [change for frame in frames for commit in frame.get("commits", ()) for change in commit["changes"]]
    assert ["before" in change for change in changes] == [False, True, False, False, False]


# ── no past ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_in_no_history(db: Store) -> None:
    """A commit that touched nothing else is left out, and its number skipped; of another the rest is shown."""
    db.sessions.delete(1)
    assert [commit.sequence for commit in db.history] == [3, 1]
    assert [commit.sequence for commit in db.history.commits(oldest_first=True, limit=2)] == [1, 3]
    assert [change.table for commit in db.history for change in commit.changes] == ["users", "users"]
    assert db.history.sequence == 4
    for diff in (db.history.diff(0), db.history.diff(0, 2), db.history.diff(4, 0)):
        assert {change.table for change in diff} == {"users"}
    assert list(db.history.diff(3)) == []


def test_it_is_in_no_feed(db: Store) -> None:
    """Which goes on behind what it leaves out."""
    with db.history.follow(since=0) as feed:
        first, second = islice(feed, 2)
        assert (first.sequence, second.sequence) == (1, 3)
        assert [change.table for change in second.changes] == ["users"]
        db.sessions.update(1, token="c")
        db.users.update("ann", name="Ann")
        assert next(iter(feed)).sequence == 5
        assert feed.place == 5


def test_a_past_and_a_fork_have_none_of_its_rows(db: Store) -> None:
    """And are sound; a fork can have its own, and merges none of them."""
    with db.history.at(3) as past:
        assert past.users.count() == 2
        assert past.sessions.all() == []
        assert past.check() == []
    with db.history.fork() as fork:
        assert fork.sessions.all() == []
        assert fork.sessions.insert(Session(user_id="ann", token="a")).id == 3
        fork.users.update("ann", name="Ann")
        assert fork.check() == []
        assert [change.table for change in db.history.diff(fork)] == ["users"]
        before = db.sessions.all()
        db.history.merge(fork)
    assert db.users["ann"].name == "Ann"
    assert db.sessions.all() == before


def test_its_past_can_not_be_asked_for(db: Store) -> None:
    """By name it is refused, saying why; a name that isn't there too."""
    history: Any = db.history
    asks: list[Callable[[], object]] = [
        lambda: history.commits("sessions"),
        lambda: history.commits("sessions", 1),
        lambda: history.restore(1, "sessions"),
        lambda: history.restore(1, "sessions", 1),
        lambda: history.follow(tables=["users", "sessions"]),
        lambda: history.diff(1, tables=["sessions"]),
    ]
    for ask in asks:
        with pytest.raises(ValueError, match=r"^sessions is transient: its rows have no past"):
            ask()
    with pytest.raises(ValueError, match="no table 'nothing'"):
        history.diff(1, tables=["nothing"])


class OldToken(Row):
    id: int
    token: str = ""


class NewToken(Row):
    id: int
    word: str = ""


class Before(Database):
    users: Table[User]
    tokens: Table[OldToken] = table(transient=True)


class After(Database):
    users: Table[User]
    tokens: Table[NewToken] = table(transient=True)
    migrations = [Migration("token is a word", rename("tokens.token", to="word"))]  # noqa: RUF012


def test_a_migration_of_it_is_shown_by_name(tmp_path: Path) -> None:
    """Without what it changed; its rows are there, and the states before it can be seen."""
    with Before(tmp_path / "data", fsync=False, banner=False) as old:
        old.users.insert(User(id="ann"))
        old.tokens.insert(OldToken(id=1, token="a"))
    with After(tmp_path / "data", fsync=False, banner=False) as db:
        assert db.tokens.all() == [NewToken(id=1, word="a")]
        assert [(commit.migrations, commit.changes) for commit in db.history.commits(limit=1)] == [
            (("token is a word",), ())
        ]
        with db.history.at(1) as past:
            assert (past.users.count(), past.tokens.count()) == (1, 0)
        db.tokens.update(1, word="b")
        db.users.update("ann", name="Ann")
        db.history.restore(2)
        assert db.tokens.all() == [NewToken(id=1, word="b")]


def test_an_undo_leaves_it_alone(db: Store) -> None:
    """Of a commit that touched nothing else there is nothing to take back."""
    before = db.sessions.all()
    revert = db.history.undo(2)
    assert (revert.changes, revert.conflicts, revert.commit) == ((), (), None)
    db.users.update("ann", name="Ann")
    db.history.undo(4)
    assert db.sessions.all() == before


def test_a_restore_leaves_it_alone(db: Store) -> None:
    """Who was thrown out stays out, who came since stays in."""
    db.sessions.delete(1)
    with db.transaction():
        db.users.update("ann", name="Ann")
        db.sessions.insert(Session(user_id="ann", token="new"))
    before = db.sessions.all()
    db.history.restore(3)
    assert db.users["ann"].name == ""
    assert db.sessions.all() == before


def test_what_refers_to_a_row_that_goes_goes_by_its_on_delete(db: Store) -> None:
    """With all that refers to that; a dry run changes nothing; an undo of it brings the user back, no session."""
    db.clicks.insert_many([Click(session_id=1), Click(session_id=2)])
    dry = db.history.undo(1, dry_run=True)
    assert dry.conflicts == ()
    assert (db.sessions.count(), db.clicks.count()) == (2, 2)
    revert = db.history.undo(1)
    assert [change.table for change in revert.changes] == ["users"]
    assert db.sessions.all() == [Session(id=2, user_id="ben", guest_of=None, token="b")]
    assert db.clicks.all() == [Click(id=2, session_id=2)]
    db.history.restore(0)
    assert (db.users.count(), db.sessions.count(), db.clicks.count()) == (0, 0, 0)
    db.history.restore(3)
    assert (db.users.count(), db.sessions.count()) == (2, 0)
    assert db.check() == []


def test_what_restrict_protects_is_in_the_way(db: Store) -> None:
    """Of a restore and an undo; `cascade` takes it too, without showing it."""
    db.leases.insert(Lease(id="1", user_id="ann"))
    with pytest.raises(UndoConflict) as raised:
        db.history.restore(0)
    assert [(each.kind, each.other) for each in raised.value.conflicts] == [("still referenced", ("leases", "1"))]
    assert (db.users.count(), db.sessions.count(), db.leases.count()) == (2, 2, 1)
    revert = db.history.undo(1, cascade=True)
    assert [change.table for change in revert.changes] == ["users"]
    assert db.leases.count() == 0
    assert db.check() == []


def test_no_other_table_refers_to_it() -> None:
    """A past would lack what its rows refer to, so such a class is refused; itself and its like may."""

    class Ordinary(Row):
        id: str
        session_id: Annotated[int | None, ForeignKey("sessions")] = None

    with pytest.raises(SchemaError, match=r"^rows\.session_id: sessions is transient"):

        class _(Store):
            rows: Table[Ordinary]


STEPS = st.lists(st.tuples(st.sampled_from(["user", "session", "both", "drop"]), st.integers(0, 3)), max_size=12)


@settings(max_examples=settings().max_examples // 2)
@given(STEPS, st.data())
def test_random_ways_there_and_back(steps: list[tuple[str, int]], data: st.DataObject) -> None:
    """Whatever happened: a restore gives the users of the moment, and the sessions of now that still have one."""
    with Store("memory:") as db:
        states: list[tuple[int, tuple[User, ...]]] = [(0, ())]
        for kind, number in steps:
            with db.transaction():
                if kind in ("user", "both"):
                    db.users.upsert(User(id=str(number), name=str(len(states))))
                if kind in ("session", "both") and str(number) in db.users:
                    db.sessions.insert(Session(user_id=str(number)))
                if kind == "drop" and str(number) in db.users:
                    db.users.delete(str(number))
            states.append((db.history.sequence, tuple(db.users)))
        sequence, users = data.draw(st.sampled_from(states))
        sessions = db.sessions.all()
        with db.history.at(sequence) as past:
            assert set(past.users) == set(users)
        db.history.restore(sequence)
        assert set(db.users) == set(users)
        kept = {user.id for user in users}
        assert [session for session in sessions if session.user_id in kept] == db.sessions.all()
        assert db.check() == []
        shown = {change.table for commit in db.history for change in commit.changes}
        assert shown <= {"users"}
