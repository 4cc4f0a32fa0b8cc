"""Fields that move with every change of their row: with which writes, with which not, and what an undo makes of it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field
from tests.snaptable.support import WAYS, Way, begun_anew

from snaptable import (
    Database,
    ForeignKey,
    InvalidRow,
    OnUpdate,
    PrimaryKey,
    Row,
    SchemaError,
    Table,
    Unique,
    desc,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_ticks = count()


def tick() -> datetime:
    """Return a time that was not given before, later than those."""
    return BEGIN + timedelta(seconds=next(_ticks))


class Folder(Row):
    id: str


class Page(Row):
    id: str
    name: Annotated[str | None, Unique()] = None
    text: str = ""
    size: int = 0
    folder: Annotated[str | None, ForeignKey(Folder, on_delete="set null")] = None
    updated_at: Annotated[datetime, OnUpdate(tick)]


class Store(Database):
    folders: Table[Folder]
    pages: Table[Page]


@pytest.fixture(name="db", params=["memory:", "file"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an open store of either engine."""
    with Store("memory:" if request.param == "memory:" else tmp_path / "data", fsync=False, banner=False) as db:
        yield db


def page(key: str = "1", **values: Any) -> Page:
    """Return a page as of the beginning, unless said otherwise."""
    return Page(**{"id": key, "updated_at": BEGIN, **values})


# ── the insert ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_at_the_insert_it_is_an_ordinary_field(db: Store) -> None:
    """What is given stays; what is left out is given by the function, for `create` and the model alike."""
    early = BEGIN - timedelta(days=9)
    for row in (
        db.pages.insert(page("1", updated_at=early)),
        db.pages.create(id="2", updated_at=early),
        db.pages.upsert(page("3", updated_at=early)),
        db.pages.get_or_insert(page("4", updated_at=early)),
        *db.pages.insert_many([page("5", updated_at=early)]),
    ):
        assert row.updated_at == early
    before = tick()
    assert Page(id="6").updated_at > before  # type: ignore[call-arg]  # see the next test
    assert db.pages.create(id="7").updated_at > before


def test_a_default_of_its_own_stays() -> None:
    """The function is no default where there is one; a type checker wants one to let the field be left out."""

    class Draft(Row):
        id: str
        text: str = ""
        changed: Annotated[datetime | None, OnUpdate(tick)] = None
        made: Annotated[datetime, OnUpdate(tick)] = Field(default_factory=lambda: BEGIN)

    class Drafts(Database):
        drafts: Table[Draft]

    with Drafts("memory:") as db:
        row = db.drafts.insert(Draft(id="1"))
        assert (row.changed, row.made) == (None, BEGIN)
        row = db.drafts.update("1", text="a")
        assert row.changed is not None
        assert row.made > BEGIN


def test_a_subclass_moves_too() -> None:
    """And a model whose types are known only later."""

    class Further(Page):
        more: int = 0

    class Later(Row):
        id: str
        next: "list[Item]" = Field(default_factory=list)
        at: Annotated[datetime, OnUpdate(tick)]

    class Item(Row):
        id: str

    class Drafts(Database):
        pages: Table[Further]
        later: Table[Later]
        folders: Table[Folder]

    with Drafts("memory:") as db:
        db.pages.create(id="1")
        first = db.later.create(id="1")
        assert db.pages.update("1", more=1).updated_at > first.at
        assert db.later.update("1", next=[Item(id="1")]).at > first.at


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CHANGES: dict[str, Callable[[Store], object]] = {
    "update": lambda db: db.pages.update("1", text="b"),
    "update by an expression": lambda db: db.pages.update("1", size=Page.size + 1),
    "update in bulk": lambda db: db.pages.where(Page.text == "a").update(text="b"),
    "replace": lambda db: db.pages.replace(page(text="b", name="one", folder="f")),
    "replace what was expected": lambda db: db.pages.replace(page(text="b", folder="f"), expected=db.pages["1"]),
    "upsert": lambda db: db.pages.upsert(page(text="b", name="one", folder="f")),
    "upsert by a unique column": lambda db: db.pages.upsert(page("9", text="b", name="one"), by=Page.name),
    "the row it refers to goes": lambda db: db.folders.delete("f"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_write_that_changes_the_row_moves_it(db: Store, change: Callable[[Store], object]) -> None:
    """To a new value, once; and no other row's."""
    db.folders.insert(Folder(id="f"))
    db.pages.insert_many([page(text="a", name="one", folder="f"), page("2")])
    now, sequence = tick(), db.history.sequence
    change(db)
    assert db.pages["1"].updated_at > now
    assert db.pages["2"].updated_at == BEGIN
    assert db.history.sequence == sequence + 1
    assert db.check() == []


NOTHING: dict[str, Callable[[Store], object]] = {
    "update": lambda db: db.pages.update("1", text="a"),
    "update of nothing": lambda db: db.pages.update("1"),
    "update by an expression": lambda db: db.pages.update("1", size=Page.size + 0),
    "update in bulk": lambda db: db.pages.where(Page.text == "a").update(text="a"),
    "replace": lambda db: db.pages.replace(page(text="a", name="one")),
    "replace by a row that is younger": lambda db: db.pages.replace(page(text="a", name="one", updated_at=tick())),
    "upsert": lambda db: db.pages.upsert(page(text="a", name="one", updated_at=tick())),
    "upsert by a unique column": lambda db: db.pages.upsert(page("9", text="a", name="one"), by=Page.name),
    "get or insert": lambda db: db.pages.get_or_insert(page(text="b")),
    "update with the value it has": lambda db: db.pages.update("1", updated_at=BEGIN),
}


@pytest.mark.parametrize("write", NOTHING.values(), ids=NOTHING)
def test_a_write_that_changes_nothing_leaves_it(db: Store, write: Callable[[Store], object]) -> None:
    """And uses no sequence."""
    before = db.pages.insert(page(text="a", name="one"))
    sequence = db.history.sequence
    write(db)
    assert db.pages.all() == [before]
    assert db.history.sequence == sequence


def test_changed_and_changed_back_within_a_transaction_is_nothing(db: Store) -> None:
    """The transaction leaves the row as it was, and uses no sequence; a part of it that is rolled back too."""
    before = db.pages.insert(page(text="a"))
    sequence = db.history.sequence
    with db.transaction():
        db.pages.update("1", text="b")
        db.pages.update("1", text="c")
        db.pages.update("1", text="a")
    assert db.pages.all() == [before]
    assert db.history.sequence == sequence
    with db.transaction():
        with suppress(InterruptedError), db.transaction():
            db.pages.update("1", text="b")
            raise InterruptedError
        assert db.pages["1"] == before
    assert db.history.sequence == sequence
    assert db.check() == []


def test_a_value_that_is_given_stands(db: Store) -> None:
    """So that an import can say when something really changed; by `update` alone, for a row always has a value."""
    db.pages.insert(page())
    given = BEGIN - timedelta(days=1)
    assert db.pages.update("1", text="b", updated_at=given).updated_at == given
    assert db.pages.update("1", updated_at=BEGIN).updated_at == BEGIN
    assert db.pages.where().update(updated_at=given) == 1
    assert db.pages["1"].updated_at == given
    assert db.pages.replace(page(text="c", updated_at=given)).updated_at > given


def test_it_is_durable_and_indexed_like_any(tmp_path: Path) -> None:
    """What was written comes back after every way of beginning anew, and a later field wins."""
    db = Store(tmp_path / "data", fsync=False, banner=False).open()
    db.pages.insert_many([page("1"), page("2")])
    db.pages.update("1", text="x")
    rows = db.pages.all()
    way: Way
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            assert again.pages.all() == rows
            assert again.pages.order_by(desc(Page.updated_at)).first() == rows[0]


def test_what_the_function_gives_is_validated() -> None:
    """As any value; the write is refused, and nothing is left of it."""

    class Wrong(Row):
        id: str
        text: str = ""
        at: Annotated[int, OnUpdate(lambda: "soon")] = 0

    class Wrongs(Database):
        rows: Table[Wrong]

    with Wrongs("memory:") as db:
        row = db.rows.insert(Wrong(id="1"))
        with pytest.raises(InvalidRow, match=r"^rows\['1'\]\.at: "):
            db.rows.update("1", text="a")
        assert db.rows.all() == [row]


# ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_undo_is_not_in_its_own_way(db: Store) -> None:
    """A later change of another field moved it on: that is no conflict, and it stays where it is."""
    db.pages.insert(page(text="a"))
    db.pages.update("1", text="b")
    later = db.pages.update("1", size=3)
    assert db.history.undo(2).conflicts == ()
    assert db.pages["1"] == later.model_copy(update={"text": "a"})
    db.pages.update("1", text="c")
    db.pages.update("1", text="a")
    db.pages.update("1", size=0)
    db.history.undo(1)
    assert db.pages.count() == 0


def test_an_undo_and_a_restore_bring_back_what_was_there(db: Store) -> None:
    """Its value included, and a redo the other."""
    first = db.pages.insert(page(text="a"))
    second = db.pages.update("1", text="b")
    db.history.undo(2)
    assert db.pages["1"] == first
    db.history.undo(3)
    assert db.pages["1"] == second
    db.history.restore(1)
    assert db.pages["1"] == first


def test_a_merge_takes_the_fork_s(db: Store) -> None:
    """A change here beside it is no conflict, if it is of another field."""
    db.pages.insert(page(text="a"))
    with db.history.fork() as fork:
        fork.pages.update("1", text="b")
        here = db.pages.update("1", size=3)
        db.history.merge(fork)
    assert db.pages["1"] == here.model_copy(update={"text": "b"})


# ── mistakes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Annotated[datetime, OnUpdate], "takes the function"),
        (Annotated[datetime, OnUpdate(tick), OnUpdate(tick)], "one OnUpdate"),
        (Annotated[datetime, OnUpdate(tick)] | None, "marks a whole field"),
        (list[Annotated[datetime, OnUpdate(tick)]], "marks a whole field"),
    ],
)
def test_marks_that_mean_nothing_are_refused(kind: Any, words: str) -> None:
    """With the class, naming table and field."""
    model: Any = type("Wrong", (Row,), {"__annotations__": {"id": str, "at": kind}, "__module__": __name__})
    with pytest.raises(SchemaError, match=rf"^rows\.at: .*{words}"):
        type("Wrongs", (Database,), {"__annotations__": {"rows": Table[model]}, "__module__": __name__})


def test_a_key_never_moves() -> None:
    """It is refused as the mark of a primary key."""

    class Keyed(Row):
        number: Annotated[int, PrimaryKey(), OnUpdate(lambda: 3)] = 0

    with pytest.raises(SchemaError, match=r"^keyed\.number: a primary key never changes"):

        class _(Database):
            keyed: Table[Keyed]


async def soon() -> datetime:
    """Return nothing that a write could use."""
    return tick()


@pytest.mark.parametrize("given", [soon, BEGIN, None, "now"])
def test_takes_functions_only(given: Any) -> None:
    """Where it is written."""
    with pytest.raises(SchemaError, match="takes a function"):
        OnUpdate(given)
