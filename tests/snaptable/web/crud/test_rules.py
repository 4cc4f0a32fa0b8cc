"""The rules of tables: what is closed unless said otherwise, and that history is judged as a query judges."""

import gc
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from pydantic_core import from_json

from snaptable import Database, Row, Secret, Table, contains
from snaptable.web import Problem, View, rule_book
from snaptable.web.rules import database_of, owned


class Note(Row):
    id: int
    user_id: str | None
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    tags: tuple[str, ...] = ()
    box: dict[str, int] = Field(default_factory=dict)
    token: Annotated[str, Secret()] = "t0p"


class Notes(Database):
    notes: Table[Note]


ANN = SimpleNamespace(id="ann")


def caller() -> None:
    """Give the caller."""


def giving(answer: object) -> Callable[[object], object]:
    """Return the rule that gives an answer to everybody."""
    return lambda me: answer


def test_a_table_without_rules_is_shown_to_nobody() -> None:
    """Ensure that nothing is found of it, and of another caller's rules nothing either; of anyone's, those."""
    with Notes("memory:") as db:
        book = rule_book(db)
        assert book.of("notes", caller) is None
        book.add(View(db.notes, [lambda me: me is None]), None)
        db.notes.insert(Note(id=1, user_id="ann"))
        view = book.of("notes", caller)
        assert view is not None
        assert view.query(ANN).count() == 1  # rules for anyone are handed no caller
        book.add(View(db.notes, [owned(db.notes, "user_id")]), caller)
        book.add(View(db.notes, [lambda me: Note.id > 1], ["tags"]), caller)
        view = book.of("notes", caller)
        assert view is not None
        assert view.query(ANN).count() == 0  # both must allow it
        assert view.hidden == {"tags", "token"}
        assert rule_book(db) is book


def test_rules_give_a_condition_or_a_bool() -> None:
    """Ensure that True shows all, False nothing, and anything else is refused rather than taken for one of them."""
    with Notes("memory:") as db:
        db.notes.insert(Note(id=1, user_id="ann"))
        fields = {"id": 1, "user_id": "ann"}
        for allowed in (True, False):
            view = View(db.notes, [giving(allowed)])
            assert view.query(ANN).exists() is allowed
            assert view.shown_to(ANN)(fields) is allowed
            assert not view.shown_to(ANN)(None)
        for wrong in (None, 1, 0, "ann"):
            with pytest.raises(TypeError):
                View(db.notes, [giving(wrong)]).query(ANN)


def test_rows_without_an_owner_are_not_those_of_a_caller_without_an_id() -> None:
    """Ensure that a dependency that lets strangers in gives them none of the rows that belong to nobody."""
    with Notes("memory:") as db:
        db.notes.insert(Note(id=1, user_id=None))
        view = View(db.notes, [owned(db.notes, "user_id")])
        for stranger in (None, SimpleNamespace(id=None)):
            with pytest.raises(Problem) as raised:
                view.query(stranger)
            assert raised.value.status_code == 401


CONDITIONS = [
    Note.id > 3, Note.user_id == "ann", Note.user_id == None, Note.at < datetime(2026, 6, 1, tzinfo=UTC),  # noqa: E711
    contains(Note.tags, "x"), Note.box["n"] > 1, (Note.id < 3) | (Note.user_id != "ann"),
    (Note.id > 1) & (Note.user_id == "ann") & ~contains(Note.tags, "x"),
]  # fmt: skip


@given(
    note=st.builds(
        Note,
        id=st.integers(0, 5),
        user_id=st.sampled_from(["ann", "ben", None]),
        at=st.sampled_from([datetime(2026, month, 1, tzinfo=UTC) for month in (1, 6, 12)]),
        tags=st.lists(st.sampled_from("xy")).map(tuple),
        box=st.dictionaries(st.just("n"), st.integers(0, 3)),
    ),
    which=st.sampled_from(range(len(CONDITIONS))),
)
def test_history_is_judged_as_a_query_judges(note: Note, which: int) -> None:
    """Ensure that a row as a JSON object is shown exactly if the query gives it, and never without its fields."""
    condition = CONDITIONS[which]
    with Notes("memory:") as db:
        db.notes.insert(note)
        view = View(db.notes, [lambda me: condition])
        fields = from_json(note.model_dump_json())
        shows = view.shown_to(ANN)
        assert shows(fields) == view.query(ANN).exists()
        assert not shows({})
        assert not shows({**fields, **{name: {"of": "another shape"} for name in fields}})
        assert set(view.shown(fields)) == set(fields) - {"token"}


def test_a_rule_about_a_secret_shows_no_history() -> None:
    """Ensure that what history masks is not compared with the mask."""
    with Notes("memory:") as db:
        view = View(db.notes, [lambda me: Note.token != "x"])
        assert not view.shown_to(ANN)({"id": 1, "token": "••••"})


def test_rules_keep_no_database_alive() -> None:
    """Ensure that a database with rules goes when nothing refers to it, and its table then says so."""
    db = Notes("memory:").open()
    table = db.notes
    assert database_of(table) is db
    rule_book(db).add(View(table, [giving(db)]), caller)
    gone = weakref.ref(db)
    db.close()
    del db
    gc.collect()
    assert gone() is None
    with pytest.raises(TypeError, match="the database of notes is gone"):
        database_of(table)
