"""Random histories with migrations in between, against a plain list of states: at, raw, diff, undo and redo, restore.

Each state is a dictionary, and a migration a function over it. Every moment before a migration is seen as that function
makes it; an undo across it is done, and nothing but what the commit touched changes, or is refused and changes nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from snaptable import Database, ForeignKey, Index, Row, SnaptableError, Table, UndoConflict, Unique
from snaptable.errors import HistoryError
from snaptable.migrations import Migration, add, rename, rename_table, retype, run

State = dict[str, dict[int, dict[str, Any]]]


class Author(Row):
    id: int
    name: Annotated[str, Unique()]
    note: str = ""


class Book(Row):
    id: int
    author_id: Annotated[int | None, ForeignKey("authors", on_delete="cascade")] = None
    pages: int = 0


class First(Database):
    authors: Table[Author]
    books: Table[Book]


class Writer(Row):
    id: int
    name: Annotated[str, Unique()]
    remark: Annotated[str, Index()]
    born: int


class Second(Database):
    authors: Table[Writer]
    books: Table[Book]
    migrations: ClassVar[list[Migration]] = [
        Migration("remarks", rename("authors.note", to="remark"), add("authors.born", lambda row: row["id"])),
    ]


class Work(Row):
    id: int
    author_id: Annotated[int | None, ForeignKey("authors", on_delete="cascade")] = None
    pages: str


class Third(Database):
    authors: Table[Writer]
    works: Table[Work]
    migrations: ClassVar[list[Migration]] = [
        *Second.migrations,
        Migration("works", retype("books.pages", using=str), rename_table("books", to="works")),
    ]


def _count(db: Any) -> None:
    for row in db["works"].values():
        row["pages"] += f" of {len(db['works'])}"


class Fourth(Database):
    authors: Table[Writer]
    works: Table[Work]
    migrations: ClassVar[list[Migration]] = [*Third.migrations, Migration("counted", run(_count))]


def second(state: State) -> State:
    """Return a state after the first migration."""
    authors = {
        key: {"id": key, "name": row["name"], "remark": row["note"], "born": key}
        for key, row in state["authors"].items()
    }
    return {**state, "authors": authors}


def third(state: State) -> State:
    """Return a state after the second."""
    return {
        "authors": state["authors"],
        "works": {key: {**row, "pages": str(row["pages"])} for key, row in state["books"].items()},
    }


def fourth(state: State) -> State:
    """Return a state after the third, which runs code over the whole table."""
    count = len(state["works"])
    works = {key: {**row, "pages": f"{row['pages']} of {count}"} for key, row in state["works"].items()}
    return {**state, "works": works}


PROGRAMS: list[tuple[type[Database], Callable[[State], State]]] = [
    (First, lambda state: state), (Second, second), (Third, third), (Fourth, fourth)
]  # fmt: skip

keys = st.integers(1, 3)
changes = st.tuples(
    st.sampled_from(["author", "book", "name", "pages", "drop author", "drop book"]), keys, keys, st.integers(0, 2)
)
parts = st.lists(st.lists(changes, min_size=1, max_size=2), max_size=4)


def carry_out(db: Database, transaction: list[tuple[str, int, int, int]]) -> None:
    """Carry out a transaction, by whatever names the program has; one that breaks a constraint changes nothing."""
    books = db.tables.get("books") or db.tables["works"]
    authors, pages = db.tables["authors"], str if "works" in db.tables else int
    extra: dict[str, Any] = {} if isinstance(db, First) else {"remark": "new", "born": 0}
    try:
        with db.transaction():
            for kind, key, other, number in transaction:
                match kind:
                    case "author" if key not in authors:
                        authors.create(id=key, name=f"name {number}", **extra)
                    case "book" if key not in books:
                        books.create(id=key, author_id=other if number else None, pages=pages(number))
                    case "name" if key in authors:
                        authors.update(key, name=f"name {number}")
                    case "pages" if key in books:
                        books.update(key, pages=pages(number))
                    case "drop author" if key in authors:
                        authors.delete(key)
                    case "drop book" if key in books:
                        books.delete(key)
    except SnaptableError:
        return


def state_of(db: Database) -> State:
    """Return every row, by table and key."""
    return {name: {row.id: row.model_dump() for row in table} for name, table in db.tables.items()}


class Lived:
    """A history carried out by one program after another.

    Attributes:
        states: by sequence, the state after that commit, as the program of then had it, and which program that was.
        migrations: the sequences of the migrations.
    """

    def __init__(self, directory: Path, history: list[list[Any]]) -> None:
        self.states: list[tuple[int, State]] = [(0, {"authors": {}, "books": {}})]
        self.migrations: list[int] = []
        self.last = min(len(history), len(PROGRAMS)) - 1
        for number, part in enumerate(history[: len(PROGRAMS)]):
            with PROGRAMS[number][0](directory, banner=False, fsync=False, snapshot="background") as db:
                if db.history.sequence == len(self.states):
                    self.states.append((number, state_of(db)))
                    self.migrations.append(db.history.sequence)
                for transaction in part:
                    carry_out(db, transaction)
                    if db.history.sequence == len(self.states):
                        self.states.append((number, state_of(db)))
                assert len(self.states) == db.history.sequence + 1

    def seen(self, sequence: int) -> State:
        """Return a state as the last program sees it."""
        number, state = self.states[sequence]
        for _, migrate in PROGRAMS[number + 1 : self.last + 1]:
            state = migrate(state)
        return state


@given(history=st.lists(parts, min_size=2, max_size=4), data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_past_of_many_programs(tmp_path_factory: Any, history: list[list[Any]], data: st.DataObject) -> None:
    """Ensure every moment, difference and restore, and every undo across migrations, is as the list of states says."""
    directory: Path = tmp_path_factory.mktemp("history") / "s"
    lived = Lived(directory, history)
    last = len(lived.states) - 1
    with PROGRAMS[lived.last][0](directory, banner=False, fsync=False, snapshot="background") as db:
        assert db.history.sequence == last
        assert [commit.sequence for commit in db.history if commit.migrations] == lived.migrations[::-1]
        for sequence, (number, state) in enumerate(lived.states):
            with db.history.at(sequence) as past:
                assert state_of(past) == lived.seen(sequence), sequence
                assert past.check() == []
                if sequence >= 1:
                    raw = {name: {row["id"]: row for row in past.raw(name).values()} for name in state if state[name]}
                    assert raw == {name: rows for name, rows in state.items() if rows}, (sequence, number)
        first = data.draw(st.integers(0, last))
        found = {(change.table, change.key): change.after for change in db.history.diff(first)}
        assert found == _difference(lived.seen(first), lived.seen(last))
        undone = data.draw(st.integers(1, last)) if last else 0
        if undone:
            _check_undo(db, lived, undone)
        present = state_of(db)
        db.history.restore(first)
        assert state_of(db) == lived.seen(first)
        db.history.undo(db.history.sequence) if state_of(db) != present else None
        assert state_of(db) == present


def _difference(old: State, new: State) -> dict[tuple[str, int], Any]:
    return {
        (table, key): new[table].get(key)
        for table in new
        for key in {**old.get(table, {}), **new[table]}
        if old.get(table, {}).get(key) != new[table].get(key)
    }


def _check_undo(db: Database, lived: Lived, sequence: int) -> None:
    """Check that an undo does what it says, or says why not and does nothing; and that its undo is redo."""
    before = state_of(db)
    touched = set(_difference(lived.seen(sequence - 1), lived.seen(sequence)))
    later = [number for number in lived.migrations if number > sequence]
    runs_code = lived.last == 3 and len(lived.migrations) == 3 and lived.migrations[-1] > sequence
    refusal: SnaptableError | None = None
    try:
        revert = db.history.undo(sequence)
    except (UndoConflict, HistoryError) as error:
        refusal = error
    if refusal is not None:
        event(type(refusal).__name__)
        assert state_of(db) == before
        if isinstance(refusal, UndoConflict):
            assert refusal.conflicts
        else:
            assert sequence in lived.migrations or runs_code
            assert "migration" in str(refusal)
        return
    event("undone across a migration" if later else "undone")
    assert sequence not in lived.migrations
    after = state_of(db)
    assert set(_difference(before, after)) <= touched
    assert (revert.commit is None) == (before == after)
    if not any(
        set(_difference(lived.seen(number), lived.seen(number + 1))) & touched
        for number in range(sequence, len(lived.states) - 1)
    ):
        assert {place: after[place[0]].get(place[1]) for place in touched} == {
            place: lived.seen(sequence - 1)[place[0]].get(place[1]) for place in touched
        }
    assert db.check() == []
    if revert.commit is not None:
        db.history.undo(revert.commit)
        assert state_of(db) == before
