"""Commits, moments, attribution and retention: what history lists, and how far back."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import pytest

from snaptable import (
    Database,
    DatabaseClosed,
    ForeignKey,
    HistoryError,
    HistoryGone,
    OpenError,
    ReadOnlyStore,
    Row,
    Table,
    TransactionError,
    UndoConflict,
    Unique,
    attribution,
)
from snaptable.history import Commit
from snaptable.storage import group_commit
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory


class User(Row):
    id: str
    email: Annotated[str, Unique()]
    role: str = "member"


class Note(Row):
    id: int | None = None
    user_id: Annotated[str, ForeignKey(User)]
    text: str = ""


class Store(Database):
    users: Table[User]
    notes: Table[Note]


@pytest.fixture(params=["memory:", "file"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an open store of either engine, with five commits."""
    url = "memory:" if request.param == "memory:" else tmp_path / "data"
    with Store(url, fsync=False, banner=False) as db:
        with attribution(actor="ann", via="cli"):
            db.users.insert(User(id="a", email="a@x.org"))
        with db.transaction(actor="ben", note="two at once"):
            db.users.insert(User(id="b", email="b@x.org"))
            db.notes.insert(Note(user_id="b", text="one"))
        db.users.update("a", role="admin")
        db.notes.update(1, text="two")
        db.notes.delete(1)
        yield db


def sequences(commits: Iterator[Commit]) -> list[int]:
    """Return the numbers of commits."""
    return [commit.sequence for commit in commits]


def test_commits_are_listed_and_filtered(db: Store) -> None:
    """Ensure each filter gives the commits it says, newest first or in order, and limits hold."""
    history = db.history
    assert sequences(iter(history)) == [5, 4, 3, 2, 1]
    assert sequences(history.commits(oldest_first=True)) == [1, 2, 3, 4, 5]
    assert sequences(history.commits("users")) == [3, 2, 1]
    assert sequences(history.commits("users", "a")) == [3, 1]
    assert sequences(history.commits("notes", 1, limit=2)) == [5, 4]
    assert sequences(history.commits(since=2, until=4)) == [4, 3]
    assert sequences(history.commits(actor="ben")) == [2]
    assert sequences(history.commits(limit=0)) == []
    assert (history.sequence, history.first) == (5, 0)


def test_a_commit_says_what_who_and_why(db: Store) -> None:
    """Ensure a commit has its time, attribution and changes, with the rows before and after and the fields between."""
    first, second, third, _, fifth = db.history.commits(oldest_first=True)
    assert (first.actor, first.note, first.via) == ("ann", None, "cli")
    assert (second.actor, second.note, second.via) == ("ben", "two at once", None)
    assert datetime.now(UTC) - timedelta(minutes=1) < first.at <= second.at <= datetime.now(UTC)
    (change,) = third.changes
    assert (change.table, change.key, change.kind) == ("users", "a", "replace")
    assert change.fields == {"role": ("member", "admin")}
    assert change.before == {"id": "a", "email": "a@x.org", "role": "member"}
    assert [(each.kind, each.after) for each in fifth.changes] == [("delete", None)]
    assert [each.key for each in second.changes] == ["b", 1]
    assert "~ users a   role \"member\" → \"admin\"" in str(third)  # fmt: skip


def test_moments(db: Store) -> None:
    """Ensure a time means the last commit not later, and what is no moment is refused, saying why."""
    history = db.history
    *_, third, _, _ = history.commits(oldest_first=True)
    with history.at(third.at) as past:
        assert past.users["a"].role == "admin"
        assert past.history.sequence >= 3
    with history.at(datetime(2000, 1, 1, tzinfo=UTC)) as past:
        assert past.users.count() == 0
    for wrong, error in (
        (6, "no commit 6 yet; the last one is 5"),
        (-1, "0, for the state before"),
        (datetime.now(), "naive"),  # noqa: DTZ005 - that is the point
        (datetime.now(UTC) + timedelta(days=1), "future"),
    ):
        with pytest.raises(ValueError, match=error):
            history.at(wrong)
    for strange in (True, 1.0, "1"):
        with pytest.raises(TypeError, match="a moment is a sequence"):
            history.at(strange)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no table 'nobody'"):
        history.commits("nobody")
    with pytest.raises(ValueError, match="table of the key"):
        history.commits(key="a")


def test_undo_says_what_is_in_the_way(db: Store) -> None:
    """Ensure each kind of conflict is found before anything is written, named with its rows, and can be overridden."""
    with pytest.raises(UndoConflict) as caught:
        db.history.undo(1)
    (conflict,) = caught.value.conflicts
    assert (conflict.table, conflict.key, conflict.field, conflict.kind) == ("users", "a", "role", "changed since")
    assert (conflict.then, conflict.now, conflict.by) == ("member", "admin", 3)
    assert db.history.undo(1, force=True).commit == 6
    assert "a" not in db.users
    db.notes.insert(Note(user_id="b"))
    with pytest.raises(UndoConflict, match="users b: still referenced \\(notes 2\\)"):
        db.history.undo(2, force=True)
    revert = db.history.undo(2, cascade=True, note="away with it")
    assert (db.users.count(), db.notes.count()) == (0, 0)
    assert {(change.table, change.key) for change in revert.changes} == {("users", "b"), ("notes", 2)}
    (last,) = db.history.commits(limit=1)
    assert (last.undoes, last.note) == ((2,), "away with it")
    db.users.insert(User(id="c", email="a@x.org"))
    with pytest.raises(UndoConflict, match="email: unique"):
        db.history.restore(3, "users", "a")
    with pytest.raises(UndoConflict, match="user_id: refers to missing"):
        db.history.restore(4, "notes")
    assert db.check() == []


def test_undo_inside_a_transaction_joins_it(db: Store) -> None:
    """Ensure an undo belongs to the transaction around it: rolled back with it, or in its commit."""
    with pytest.raises(RuntimeError), db.transaction():  # noqa: PT012 - what is rolled back is seen inside
        assert db.history.undo(5).commit is None
        assert db.notes.count() == 1
        raise RuntimeError
    assert db.notes.count() == 0
    with db.transaction(note="mine"):
        db.history.undo(5)
        db.users.update("b", role="admin")
    (last,) = db.history.commits(limit=1)
    assert (last.sequence, last.undoes, last.note) == (6, (5,), "mine")
    assert len(last.changes) == 2
    with db.transaction(), pytest.raises(ValueError, match="belongs to the whole transaction"):
        db.transaction(note="part").__enter__()


def test_nothing_to_undo_is_no_commit(db: Store) -> None:
    """Ensure what was undone by hand already is no conflict and no commit."""
    db.users.update("a", role="member")
    assert db.history.undo(3).commit is None
    assert db.history.sequence == 6
    with pytest.raises(ValueError, match="name the commits"):
        db.history.undo()
    with pytest.raises(ValueError, match="no commit 99 yet"):
        db.history.undo(99)


def test_a_past_is_a_database_of_the_same_class_that_ends(db: Store) -> None:
    """Ensure a past can be closed, not opened again, and is of no use to merge."""
    past = db.history.at(2)
    assert type(past) is Store
    assert "as of commit 2" in repr(past)
    assert past.history.sequence == 2
    past.close()
    with pytest.raises(DatabaseClosed):
        past.users.count()
    with pytest.raises(OpenError, match="take another"):
        past.open()
    with db.history.at(2) as again, pytest.raises(HistoryError, match="not a fork"):
        db.history.merge(again)


def test_history_goes_on_across_restarts_and_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure commits of earlier runs, in many files, and of a reader beside the writer, are seen; also from a copy."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 400)
    where = tmp_path / "data"
    for number in range(12):
        with Store(where, fsync=False, banner=False) as db:
            db.users.insert(User(id=str(number), email=str(number)))
            db.users.update(str(number), role="x")
    with Store(where, fsync=False, banner=False) as db:
        assert sequences(db.history.commits(oldest_first=True)) == list(range(1, 25))
        for sequence in range(25):
            with db.history.at(sequence) as past:
                assert past.users.count() == (sequence + 1) // 2
        with Store(where, read_only=True, banner=False) as reader:
            db.users.delete("0")
            assert reader.history.sequence == 24
            assert len(sequences(reader.history.commits())) == 24
            assert reader.history.at(3).users.count() == 2
        status = db.status().history
        assert status is not None
        assert (status.first, status.since) == (0, next(db.history.commits(oldest_first=True)).at)
        assert status.bytes > 1_000


def test_what_is_not_kept_is_gone_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure history ends where files were removed, in everything it offers, and says where it begins now."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 400)
    monkeypatch.setattr(journal_directory, "LEAST_BYTES", 1)
    with Store(tmp_path / "data", fsync=False, banner=False, history_bytes=1_000) as db:
        for number in range(30):
            db.users.insert(User(id=str(number), email=str(number)))
        first = db.history.first
        assert 0 < first < 30
        assert sequences(db.history.commits(oldest_first=True)) == list(range(first + 1, 31))
        assert db.history.at(first).users.count() == first
        for act in (
            lambda: db.history.at(first - 1),
            lambda: db.history.diff(first - 1),
            lambda: db.history.undo(first),
            lambda: db.history.restore(0),
            lambda: db.history.commits(since=1),
            lambda: db.history.follow(since=0),
            lambda: db.history.at(datetime(2000, 1, 1, tzinfo=UTC)),
        ):
            with pytest.raises(HistoryGone, match=str(first)) as caught:
                act()
            assert caught.value.first == first


def test_history_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a database that keeps nothing forgets its oldest commits beyond the bound."""
    with Store("memory:", history_bytes=10_000) as db:
        for number in range(100):
            db.users.insert(User(id=str(number), email=str(number)))
        assert 80 < db.history.first < 99
        assert db.history.at(db.history.first).users.count() == db.history.first
        with pytest.raises(HistoryGone):
            db.history.at(0)


def test_old_files_go_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure files whose last commit is older than the days kept are removed, and younger ones stay."""
    clock = [2_000_000_000 * 10**9]
    where = tmp_path / "data"
    with monkeypatch.context() as patch:
        patch.setattr("time.time_ns", lambda: clock[0])
        for number in range(3):
            clock[0] = int((datetime.now(UTC) - timedelta(days=10 - 4 * number)).timestamp() * 10**9)
            with Store(where, fsync=False, banner=False) as db:
                db.users.insert(User(id=str(number), email=str(number)))
    with Store(where, fsync=False, banner=False, history_days=7) as db:
        db.users.insert(User(id="new", email="new"))
    with Store(where, fsync=False, banner=False) as db:
        assert db.history.first == 1
        assert db.users.count() == 4
    for wrong in ({"history_bytes": -1}, {"history_bytes": 1.5}, {"history_days": 0}):
        with pytest.raises(ValueError, match="history_"):
            Store(where, **wrong)


def test_a_snapshot_file_can_be_compared(tmp_path: Path) -> None:
    """Ensure a copy of the snapshot, verified, is one side of a difference."""
    where, copy = tmp_path / "data", tmp_path / "copy.json"
    with Store(where, fsync=False, banner=False) as db:
        db.users.insert(User(id="a", email="a"))
        shutil.copy(where / "db_snapshot.json", copy)
        db.users.update("a", role="x")
        db.users.insert(User(id="b", email="b"))
        assert db.history.diff(copy).counts == {"users": {"insert": 1, "replace": 1, "delete": 0}}
        assert len(db.history.diff(copy, 1)) == 0
        os.truncate(copy, 100)
        with pytest.raises(OpenError):
            db.history.diff(copy)


def test_the_event_of_another_thread_is_not_seen_early(db: Store) -> None:
    """Ensure history holds durable commits only: nothing of an open transaction."""
    with db.transaction():
        db.users.insert(User(id="c", email="c"))
        assert db.history.sequence == 5
        with db.history.at(5) as past:
            assert "c" not in past.users
        with pytest.raises(TransactionError):
            db.persist()
    assert db.history.sequence == 6


def test_forgetting(db: Store) -> None:
    """Ensure what is before a moment is gone, as far as whole files hold nothing else, and the rest is as it was."""
    rows = db.history.at(3).users.where().all()
    assert db.history.forget(3) == (3 if db.directory is None else 0)
    assert db.history.at(3).users.where().all() == rows
    assert db.history.forget(db.history.sequence) == db.history.first == 5
    assert list(db.history) == []
    with pytest.raises(HistoryGone) as raised:
        db.history.at(4)
    assert raised.value.first == 5
    db.users.update("a", role="member")
    assert db.history.undo(6).commit == 7
    assert db.users["a"].role == "admin"
    if db.directory is not None:
        db.close()
        db.open()
        assert db.users["a"].role == "admin"
        assert db.history.first == 5


def test_files_are_forgotten_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure every file that ends at the moment or before goes, none that goes beyond, and a time will do."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 1)
    with Store(tmp_path / "data", fsync=False, banner=False, snapshot="background") as db:
        for number in range(6):
            db.users.insert(User(id=str(number), email=f"{number}@x.org"))
        assert [db.history.forget(moment) for moment in (1, 1, 3)] == [1, 1, 3]
        assert [commit.sequence for commit in db.history] == [6, 5, 4]
        assert db.history.forget(next(iter(db.history)).at) == 6
        assert len(journal_directory.segments(Files(tmp_path / "data"))) == 1
        with pytest.raises(HistoryGone):
            db.history.forget(5)
        with pytest.raises(ValueError, match="no commit 7"):
            db.history.forget(7)
        with db.transaction(), pytest.raises(TransactionError):
            db.history.forget(6)
        with db.history.at(6) as past, pytest.raises(ReadOnlyStore):
            past.history.forget(6)
