"""The past on PostgreSQL: commits and who made them, earlier states, undo, restore, purges, the feed of all writers."""

import asyncio
import threading
import time
from collections.abc import Iterator
from secrets import token_hex
from typing import Annotated, cast

import pytest
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.load import engine_of

from snaptable import (
    Database,
    ForeignKey,
    HistoryError,
    HistoryGone,
    HistoryPurged,
    InvalidRow,
    Row,
    Secret,
    Table,
    UndoConflict,
    Unique,
    UniqueViolation,
    attribution,
    numbered,
    table,
)
from snaptable.engines.postgresql import PostgresEngine
from snaptable.postgres import watching


class User(Row):
    id: str
    email: Annotated[str, Unique()]
    password: Annotated[str, Secret()] = "hidden"
    age: int | None = None


class Note(Row):
    id: int = numbered()
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    text: str = ""


class Session(Row):
    id: str
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]


class Library(Database):
    users: Table[User]
    notes: Table[Note]
    sessions: Table[Session] = table(transient=True)


@pytest.fixture(name="url")
def give_schema() -> Iterator[str]:
    """Give the URL of an empty schema."""
    url = stores.new_schema()
    yield url
    stores.drop_schemas([url])


@pytest.fixture(name="db")
def open_library(url: str) -> Iterator[Library]:
    """Give a library with two users and a note, made in three commits."""
    with Library(url) as db:
        with attribution(actor="ann", note="first"):
            db.users.insert(User(id="a", email="A"))
        db.users.insert(User(id="b", email="B", age=3))
        db.notes.insert(Note(user_id="a", text="milk"))
        yield db


def sequences(db: Library) -> list[int]:
    """Return the numbers of the commits, in order."""
    return [commit.sequence for commit in db.history.commits(oldest_first=True)]


def test_says_what_was_committed_and_by_whom(db: Library) -> None:
    """Each commit has its changes, with what was there before; secrets are masked, transient rows are in none."""
    db.users.update("b", age=4)
    db.sessions.insert(Session(id="s", user_id="a"))
    commits = list(db.history.commits(oldest_first=True))
    assert [str(change)[:9] for commit in commits for change in commit.changes] == [
        "+ users a", "+ users b", "+ notes 1", "~ users b",
    ]  # fmt: skip
    assert (commits[0].actor, commits[0].note, commits[1].actor) == ("ann", "first", None)
    assert commits[-1].changes[0].fields == {"age": (3, 4)}
    assert commits[0].changes[0].after == {"id": "a", "email": "A", "password": "••••", "age": None}
    assert db.history.sequence == commits[-1].sequence == db.status().sequence
    assert [commit.sequence for commit in db.history.commits("users", "b")] == [
        commits[3].sequence,
        commits[1].sequence,
    ]
    assert [each.at for each in commits] == sorted(each.at for each in commits)


def test_shows_earlier_states(db: Library) -> None:
    """The database as it was at a commit, in the order of the file, read only; and a fork that merges back."""
    first, second, third = sequences(db)
    db.users.delete("a")
    with db.history.at(third) as past:
        assert (past.users.all(), past.notes.count()) == (
            [User(id="a", email="A"), User(id="b", email="B", age=3)],
            1,
        ) or ({row.id for row in past.users} == {"a", "b"})
    with db.history.at(first) as past:
        assert ([row.id for row in past.users], past.notes.count(), past.sessions.count()) == (["a"], 0, 0)
    with db.history.at(0) as past:
        assert past.users.count() == 0
    assert db.history.diff(second, third).counts == {"notes": {"insert": 1, "replace": 0, "delete": 0}}
    with db.history.fork() as copy:
        copy.users.update("b", age=9)
        assert db.history.merge(copy).commit == db.history.sequence
    assert db.users["b"].age == 9
    with db.history.at(db.history.commits(limit=1).__next__().at) as now:
        assert now.users["b"].age == 9


def test_takes_commits_back(db: Library) -> None:
    """Undo by field beside later changes, and with all that went along; conflicts are listed, and nothing written."""
    db.users.update("a", age=1)
    aged = db.history.sequence
    db.users.update("a", email="AA")
    undone = db.history.undo(aged, note="no")
    assert (db.users["a"], undone.commit) == (User(id="a", email="AA"), db.history.sequence)
    assert next(db.history.commits(limit=1)).undoes == (aged,)
    db.users.delete("a")
    gone = db.history.sequence
    assert (db.users.count(), db.notes.count()) == (1, 0)
    db.history.undo(gone)
    assert (db.users["a"].email, db.notes[1].text) == ("AA", "milk")
    first = sequences(db)[0]
    before = stores.content(db.url)
    with pytest.raises(UndoConflict) as raised:
        db.history.undo(first)
    assert {each.kind for each in raised.value.conflicts} == {"changed since"}
    assert stores.content(db.url) == before
    with pytest.raises(UndoConflict) as raised:
        db.history.undo(first, force=True)
    assert {each.kind for each in raised.value.conflicts} == {"changed since", "still referenced"}
    assert stores.content(db.url) == before
    dry = db.history.undo(first, dry_run=True, force=True, cascade=True)
    assert (dry.commit, stores.content(db.url)) == (None, before)
    db.history.undo(first, force=True, cascade=True)
    assert ([row.id for row in db.users], db.notes.count(), db.check()) == (["b"], 0, [])
    db.history.restore(gone - 1)
    assert ({row.id for row in db.users}, db.notes[1].text) == ({"a", "b"}, "milk")


def test_an_undo_breaks_no_constraint(db: Library) -> None:
    """A unique value that another row has now, a reference to a row that is gone: listed, never written."""
    db.users.update("b", email="free")
    freed = db.history.sequence
    db.users.insert(User(id="c", email="B"))
    with pytest.raises(UndoConflict) as raised:
        db.history.undo(freed)
    assert [each.kind for each in raised.value.conflicts] == ["unique"]
    db.notes.delete(1)
    deleted = db.history.sequence
    db.users.delete("a")
    with pytest.raises(UndoConflict) as raised:
        db.history.undo(deleted)
    assert [each.kind for each in raised.value.conflicts] == ["refers to missing"]
    with pytest.raises(UniqueViolation), db.transaction():
        db.users.update("b", email="B")


def test_purges_what_a_row_was(db: Library, url: str) -> None:
    """The row is gone from every commit and every table of the server; that it was is kept."""
    db.users.update("a", email="secret address")
    receipt = db.history.purge("users", "a")
    assert (receipt.rows, db.users.get("a"), db.notes.count()) == ({"users": 1, "notes": 1}, None, 0)
    assert "secret address" not in str(stores.content(url))
    changes = [change for commit in db.history.commits("users", "a") for change in commit.changes]
    assert [change.purged for change in changes if change.table == "users"] == [True] * 3
    with pytest.raises(HistoryPurged):
        db.history.restore(sequences(db)[1], "users", "a")
    assert db.history.purge("users", "a").commit is None
    status = db.status().history
    assert status is not None
    assert status.purged > 0


def test_forgets_what_was_before(db: Library) -> None:
    """Forgotten commits can't be reached, the others can; a database that keeps none says so, and still commits."""
    _, second, third = sequences(db)
    assert db.history.forget(second) == second
    assert sequences(db) == [third]
    with pytest.raises(HistoryGone):
        db.history.at(second - 1)
    with db.history.at(second) as past:
        assert past.notes.count() == 0
    assert db.history.forget(third) == third == db.history.sequence


def test_keeps_no_commits_when_told_so(url: str) -> None:
    """history=False: no records are written, and history says why there is none."""
    with Library(url, history=False) as db:
        db.users.insert(User(id="a", email="A"))
        assert db.status().history is None
        with pytest.raises(HistoryError, match="history=False"):
            db.history.commits()
    assert stores.content(url)["snaptable_commits"] == []


def test_old_commits_are_pruned(url: str) -> None:
    """What is more than history_bytes goes, the oldest first; what is kept is whole."""
    with Library(url, history_bytes=200_000) as db:
        db.users.insert(User(id="a", email="A"))
        for _ in range(60):
            db.notes.insert(Note(user_id="a", text=token_hex(5_000)))
        core = cast("PostgresEngine", db._opened()).core
        assert core.prune is not None
        core.aside(core.prune)
        kept = sequences(db)
        assert 0 < len(kept) < 60
        assert db.history.first == kept[0] - 1
        with db.history.at(kept[0]) as past:
            assert past.notes.count() == 60 - len(kept) + 1


def test_a_value_too_long_for_an_index_is_refused(db: Library) -> None:
    """It is an invalid row, not an error of the server's."""
    with pytest.raises(InvalidRow, match="too long for an index"):
        db.users.insert(User(id="c", email=token_hex(5_000)))
    assert db.users.get("c") is None


def test_a_reader_takes_no_news_from_those_who_listen(db: Library, url: str) -> None:
    """Whoever asks for the last commit may see it before the listeners are told of it: they are told all the same."""
    told = threading.Event()
    end = engine_of(db).on_durable(told.set)
    with Library(url) as other:
        for name in ("c", "d", "e"):
            told.clear()
            other.users.insert(User(id=name, email=name))
            assert db.history.sequence == other.history.sequence
            assert told.wait(30)
    end()


def test_who_listens_on_an_event_loop_is_told_at_once_of_what_came_before(
    db: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a loop the last commit is that of the last look: one is taken when somebody begins to listen."""
    monkeypatch.setattr(watching, "EVERY", 3600.0)
    engine = engine_of(db)

    async def listen() -> int:
        told = threading.Event()
        end = engine.on_durable(told.set)
        assert await asyncio.to_thread(told.wait, 30)
        end()
        return db.history.sequence

    assert asyncio.run(listen()) == sequences(db)[-1]


def test_a_feed_has_every_commit_of_every_writer_in_order(db: Library, url: str) -> None:
    """Many writers of two databases, some failing: the feed of one gives each commit once, and each row's in order."""
    seen: list[tuple[int, str, object]] = []
    start = db.history.sequence
    feed = db.history.follow(since=start)

    def read() -> None:
        for commit in feed:
            seen.extend(
                (commit.sequence, change.key, change.after["age"] if change.after else -1) for change in commit.changes
            )

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with Library(url) as other:

        def write(store: Library, name: str) -> None:
            store.users.insert(User(id=name, email=name, age=0))
            for _ in range(15):
                store.users.update(name, age=User.age + 1)  # type: ignore[operator]
                with pytest.raises(UniqueViolation):
                    store.users.insert(User(id=f"{name}!", email=name))

        writers = [threading.Thread(target=write, args=(store, f"w{number}")) for number in range(3) for store in (db,)]
        writers += [threading.Thread(target=write, args=(other, f"o{number}")) for number in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        end = time.monotonic() + 60
        while len(seen) < 6 * 16 and time.monotonic() < end:
            time.sleep(0.05)
    feed.close()
    reader.join(60)
    assert [each[0] for each in seen] == sorted({each[0] for each in seen})
    for name in ("w0", "w1", "w2", "o0", "o1", "o2"):
        assert [age for _, key, age in seen if key == name] == list(range(16))
