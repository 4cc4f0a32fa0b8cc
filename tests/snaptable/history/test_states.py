"""The past against a plain list of states: at, diff, undo, restore, fork and merge, over random histories."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snaptable import (
    Database,
    ForeignKey,
    Index,
    ReadOnlyStore,
    Row,
    SnaptableError,
    Table,
    UndoConflict,
    Unique,
)
from snaptable.memory.indexes.hash_index import HashIndex
from snaptable.memory.indexes.ordered_index import OrderedIndex
from snaptable.storage.journal import stored_commits


class Author(Row):
    id: int
    name: Annotated[str, Unique()]
    note: str = ""


class Book(Row):
    id: int
    author_id: Annotated[int | None, ForeignKey(Author, on_delete="cascade")] = None
    editor_id: Annotated[int | None, ForeignKey(Author, on_delete="set null")] = None
    pages: Annotated[int, Index(ordered=True)] = 0
    tags: Annotated[list[str], Index(each=True)] = []  # noqa: RUF012 - Pydantic copies it


class Shelf(Database):
    authors: Table[Author]
    books: Table[Book]


State = dict[str, dict[int, dict[str, Any]]]
keys = st.integers(1, 3)
operation = st.one_of(
    st.tuples(st.just("author"), keys, st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "x"])),
    st.tuples(st.just("book"), keys, st.none() | keys, st.integers(0, 2)),
    st.tuples(st.just("pages"), keys, st.integers(0, 2), st.none()),
    st.tuples(st.just("note"), keys, st.sampled_from(["", "x", "y"]), st.none()),
    st.tuples(st.just("drop author"), keys, st.none(), st.none()),
    st.tuples(st.just("drop book"), keys, st.none(), st.none()),
)
histories = st.lists(st.lists(operation, min_size=1, max_size=3), max_size=8)


def state_of(db: Shelf) -> State:
    """Return every row, by table and key; the order is not promised of a past."""
    return {name: {row.id: json.loads(row.model_dump_json()) for row in table} for name, table in db.tables.items()}


def counted(old: State, new: State) -> tuple[dict[str, dict[str, int]], int]:
    """Return how many rows of each table were inserted, replaced and deleted from one state to another, and in all."""
    counts = {
        name: {
            "insert": len(new[name].keys() - old[name]),
            "replace": sum(old[name][key] != new[name][key] for key in old[name].keys() & new[name]),
            "delete": len(old[name].keys() - new[name]),
        }
        for name in old
    }
    counts = {name: of_table for name, of_table in counts.items() if any(of_table.values())}
    return counts, sum(sum(of_table.values()) for of_table in counts.values())


def carry_out(db: Shelf, transaction: list[Any]) -> None:
    """Carry out a transaction; one that breaks a constraint changes nothing."""
    try:
        with db.transaction():
            for operation in transaction:
                _carry_out(db, *operation)
    except SnaptableError:
        return


def _carry_out(db: Shelf, kind: str, key: int, first: Any, second: Any) -> None:
    match kind:
        case "author":
            db.authors.upsert(Author(id=key, name=first, note=second))
        case "book":
            db.books.upsert(
                Book(id=key, author_id=first, editor_id=1 if second else None, pages=second, tags=["t"] * second)
            )
        case "pages" if key in db.books:
            db.books.update(key, pages=first)
        case "note" if key in db.authors:
            db.authors.update(key, note=first)
        case "drop author" if key in db.authors:
            db.authors.delete(key)
        case "drop book" if key in db.books:
            db.books.delete(key)


@contextmanager
def lived(where: str, history: list[list[Any]]) -> Iterator[tuple[Shelf, list[State]]]:
    """Open a database, carry a history out, and give its states, by sequence."""
    with Shelf(where, fsync=False, banner=False, snapshot="background") as db:
        states = [state_of(db)]
        for transaction in history:
            before = db.history.sequence
            carry_out(db, transaction)
            if db.history.sequence > before:
                states.append(state_of(db))
        assert len(states) == db.history.sequence + 1
        yield db, states


@pytest.fixture(params=["memory:", "file"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Return what gives a fresh URL, of either engine in memory."""
    if request.param == "memory:":
        return lambda: "memory:"
    return lambda: str(tmp_path_factory.mktemp("shelf") / "data")


@given(history=histories)
def test_every_moment_is_as_it_was(place: Callable[[], str], history: list[list[Any]]) -> None:
    """Ensure the state after each commit can be seen again, with indexes that fit it, and can't be written to."""
    with lived(place(), history) as (db, states):
        for sequence, state in enumerate(states):
            with db.history.at(sequence) as past:
                assert state_of(past) == state
                assert past.check() == []
                assert {book.id for book in past.books.where(Book.pages > 0)} == {
                    key for key, book in state["books"].items() if book["pages"] > 0
                }
                with pytest.raises(ReadOnlyStore):
                    past.authors.insert(Author(id=99, name="nobody"))
        assert state_of(db) == states[-1]


@given(history=histories, data=st.data(), in_part=st.booleans())
def test_a_difference_leads_from_one_state_to_another(
    place: Callable[[], str], history: list[list[Any]], data: st.DataObject, *, in_part: bool
) -> None:
    """Ensure a diff, carried out on the first state by hand, gives the second, however it is made and read."""
    window = 1 if in_part else stored_commits._WINDOW  # how small a commit is to be decoded whole
    with patch.object(stored_commits, "_WINDOW", window), lived(place(), history) as (db, states):
        first = data.draw(st.integers(0, len(states) - 1))
        second = data.draw(st.integers(0, len(states) - 1))
        with db.history.at(first) as one, db.history.at(second) as other:
            for diff in (db.history.diff(first, second), db.history.diff(one, other), db.history.diff(first, other)):
                assert (diff.counts, len(diff)) == counted(states[first], states[second])
                assert diff.first(1, ["books"]) == tuple(each for each in diff if each.table == "books")[:1]
                rows: State = {name: dict(of_table) for name, of_table in states[first].items()}
                for change in diff:
                    assert rows[change.table].get(change.key) == change.before
                    if change.after is None:
                        del rows[change.table][change.key]
                    else:
                        rows[change.table][change.key] = change.after
                assert rows == states[second]


@given(history=histories, data=st.data())
def test_a_restore_gives_the_state_of_a_moment(
    place: Callable[[], str], history: list[list[Any]], data: st.DataObject
) -> None:
    """Ensure a restore of everything always works, and can be undone; a dry run says the same and does nothing."""
    with lived(place(), history) as (db, states):
        moment = data.draw(st.integers(0, len(states) - 1))
        plan = db.history.restore(moment, dry_run=True)
        assert state_of(db) == states[-1]
        assert plan.commit is None
        done = db.history.restore(moment)
        assert state_of(db) == states[moment]
        assert done.changes == plan.changes
        assert db.check() == []
        if done.commit is None:
            assert states[moment] == states[-1]
        else:
            assert db.history.undo(done.commit).conflicts == ()
            assert state_of(db) == states[-1]


@given(history=histories)
def test_undoing_everything_backward_leads_through_every_state(
    place: Callable[[], str], history: list[list[Any]]
) -> None:
    """Ensure the newest commit can always be undone, cascades whole, and so on to the beginning; then redone."""
    with lived(place(), history) as (db, states):
        undone = []
        for sequence in range(len(states) - 1, 0, -1):
            revert = db.history.undo(sequence)
            assert state_of(db) == states[sequence - 1]
            assert revert.conflicts == ()
            assert revert.commit is not None
            undone.append(revert.commit)
        for index, sequence in enumerate(reversed(undone)):
            db.history.undo(sequence)
            assert state_of(db) == states[index + 1]
        assert db.check() == []


@given(history=histories, data=st.data())
def test_an_undo_changes_what_it_says_or_nothing(
    place: Callable[[], str], history: list[list[Any]], data: st.DataObject
) -> None:
    """Ensure an undo touches its commit's rows and fields only, or is refused with all conflicts, changing nothing."""
    with lived(place(), history) as (db, states):
        if len(states) == 1:
            return
        sequence = data.draw(st.integers(1, len(states) - 1))
        (commit,) = db.history.commits(since=sequence - 1, until=sequence)
        plan = db.history.undo(sequence, dry_run=True)
        assert state_of(db) == states[-1]
        try:
            done = db.history.undo(sequence)
        except UndoConflict as error:
            assert error.conflicts == plan.conflicts != ()  # noqa: PT017 - it may succeed, too
            assert state_of(db) == states[-1]
            return
        assert plan.conflicts == ()
        assert done.changes == plan.changes
        now = state_of(db)
        for change in commit.changes:
            row, last = now[change.table].get(change.key), states[-1][change.table].get(change.key)
            if change.before is None or row is None:
                assert row is None
            else:
                expected = {**(last or change.before), **{name: old for name, (old, _) in change.fields.items()}}
                assert row == (expected if change.kind == "replace" else change.before)
        touched = {(change.table, change.key) for change in commit.changes}
        for table, rows in now.items():
            for key, row in rows.items():
                assert (table, key) in touched or row == states[-1][table][key]
        assert db.check() == []


@given(history=histories, later=histories, data=st.data())
@settings(max_examples=60)
def test_a_fork_is_another_future(
    place: Callable[[], str],
    history: list[list[Any]],
    later: list[list[Any]],
    data: st.DataObject,
) -> None:
    """Ensure a fork has the state it began with, and a history; merged into an unchanged database it is its state."""
    with lived(place(), history) as (db, states):
        moment = data.draw(st.integers(0, len(states) - 1))
        with db.history.fork(moment) as fork:
            assert state_of(fork) == states[moment]
            for transaction in later:
                carry_out(fork, transaction)
            assert fork.check() == []
            assert state_of(db) == states[-1]
            with fork.history.at(moment) as begun:
                assert state_of(begun) == states[moment]
            assert db.history.diff(fork).counts == fork.history.diff(moment).counts
            if moment == len(states) - 1:
                db.history.merge(fork)
                assert state_of(db) == state_of(fork)
            else:
                before = state_of(db)
                try:
                    db.history.merge(fork)
                except UndoConflict as error:
                    assert error.conflicts  # noqa: PT017 - it may succeed, too
                    assert state_of(db) == before
            assert db.check() == []


FIRST_WRITES: list[Callable[[Shelf], object]] = [
    lambda fork: fork.authors.insert(Author(id=9, name="z")),
    lambda fork: fork.authors.update(1, name="z"),
    lambda fork: fork.books.update(1, pages=7, tags=["y"]),
    lambda fork: fork.books.delete(1),
    lambda fork: fork.authors.delete(1),
]


@pytest.mark.parametrize("write", FIRST_WRITES)
def test_a_fork_may_be_written_to_before_it_is_asked(write: Callable[[Shelf], object]) -> None:
    """Ensure that indexes which the first write has built hold what it changed, once."""
    with Shelf("memory:") as db:
        db.authors.insert(Author(id=1, name="a"))
        db.books.insert_many([Book(id=1, author_id=1, tags=["x"]), Book(id=2, editor_id=1)])
        with db.history.fork() as fork:
            write(fork)
            assert fork.check() == []
            assert fork.books.where(Book.pages >= 0).count() == fork.books.count()


def test_a_past_builds_the_indexes_that_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a past costs no index that nobody asks for, and answers by each that somebody does, writes included."""
    built: list[str] = []
    for kind in (HashIndex, OrderedIndex):

        def load(self: Any, rows: Any, load: Any = kind.load) -> None:
            built.append(self.name)
            load(self, rows)

        monkeypatch.setattr(kind, "load", load)
    with Shelf("memory:") as db:
        db.authors.insert_many(Author(id=key, name=str(key)) for key in range(1, 4))
        db.books.insert_many(Book(id=key, author_id=1 + key % 3, pages=key % 2, tags=["a"]) for key in range(1, 7))
        built.clear()
        then = db.history.at(db.history.sequence)
        assert (len(then.books), then.books.where(Book.id > 0).count(), then.authors[2].name) == (6, 6, "2")
        assert built == []
        assert {book.id for book in then.books.where(author_id=1)} == {3, 6}
        assert then.books.where(author_id=2).count() == 2
        assert built == ["author_id"]
        assert [book.id for book in then.books.where(Book.pages == 1).order_by(Book.id)] == [1, 3, 5]
        assert sorted(built) == ["author_id", "pages"]
        with db.history.fork() as fork:
            built.clear()
            fork.authors.delete(1)
            assert fork.books.where(author_id=1).count() == 0
            assert fork.books.where(author_id=2).count() == 2
            assert fork.check() == []
            assert len(built) == len(set(built)), "an index was built twice"
        assert then.check() == []
