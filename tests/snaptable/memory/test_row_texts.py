"""The JSON of rows that pages show again: it is never another than that of the rows, and takes bounded memory."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, computed_field

from snaptable import Database, Index, Query, Row, Table, desc
from snaptable.codec import Codec
from snaptable.evaluation import row_texts
from snaptable.evaluation.row_texts import RowTexts

_moments = count()


class Note(Row):
    """A row with text and an object."""

    id: int
    topic: Annotated[str, Index()]
    text: str = ""
    more: dict[str, Any] = Field(default_factory=dict)


class Aged(Row):
    """A row whose JSON says when it was written."""

    id: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def seen(self) -> int:
        """How often any was looked at."""
        return next(_moments)


class Notes(Database):
    """Notes."""

    notes: Table[Note]
    aged: Table[Aged]


class Undone(Exception):
    """Undoes a transaction."""


@pytest.fixture
def db() -> Iterator[Notes]:
    """Give an open database."""
    with Notes("memory:") as db:
        yield db


def expected(query: Query[Note], limit: int) -> bytes:
    """Return what a page of a query is, from its rows."""
    return b"[%b]" % b",".join(row.model_dump_json().encode() for row in query.page(limit=limit).items)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.text(max_size=5)),
        st.tuples(st.just("delete"), st.integers(0, 9), st.just("")),
        st.tuples(st.just("undone"), st.integers(0, 9), st.text(max_size=5)),
        st.tuples(st.just("show"), st.integers(1, 12), st.sampled_from(["", "a", "b"])),
    ),
    max_size=40,
)


@settings(max_examples=40)
@given(STEPS, st.integers(0, 400))
def test_pages_are_those_of_the_rows_whatever_was_shown_before(steps: list[tuple[str, int, str]], most: int) -> None:
    """Ensure it over writes, transactions that are undone, and pages of all kinds, with hardly anything kept or all."""
    with pytest.MonkeyPatch.context() as patched, Notes("memory:") as db:
        patched.setattr(row_texts, "MOST_BYTES", most)
        patched.setattr(row_texts, "LARGE", most // 2)
        patched.setattr(row_texts, "MOST_SEEN", most // 20)
        for act, number, text in steps:
            note = Note(id=number, topic="a" if number % 2 else "b", text=text, more={"text": [text]})
            if act == "put":
                db.notes.upsert(note)
            elif act == "delete":
                db.notes.where(Note.id == number).delete()
            elif act == "undone":
                with suppress(Undone), db.transaction():
                    db.notes.upsert(note)
                    query = db.notes.where(topic=note.topic)
                    assert [query.page_json(limit=20)[0] for _ in range(3)] == [expected(query, 20)] * 3
                    raise Undone
            else:
                query = (db.notes.where(topic=text) if text else db.notes.where()).order_by(desc(Note.id))
                assert [query.page_json(limit=number)[0] for _ in range(3)] == [expected(query, number)] * 3


def test_a_page_that_is_shown_again_is_not_written_again(db: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that, and that one row is written where one changed."""
    db.notes.insert_many(Note(id=number, topic="a") for number in range(50))
    written: list[int] = []
    write = Codec.array_json

    def counting(codec: Codec, rows: Sequence[BaseModel]) -> bytes:
        written.append(len(rows))
        return write(codec, rows)

    monkeypatch.setattr(Codec, "array_json", counting)
    pages = [db.notes.where(topic="a").page_json(max_bytes=100_000)[0] for _ in range(3)]
    assert len(set(pages)) == 1
    assert sum(written) == 100  # as a whole the first time, each row the second time
    del written[:]
    db.notes.update(7, text="new")
    assert json.loads(db.notes.where(topic="a").page_json(max_bytes=100_000)[0])[7]["text"] == "new"
    assert written == [1]


def test_a_page_ends_where_it_would_without(db: Notes) -> None:
    """Ensure that `max_bytes` holds each time, and that pages behind it follow."""
    db.notes.insert_many(Note(id=number, topic="a", text="x" * 100) for number in range(30))
    for most in (1, 1_000, 2_500, 10_000):
        pages = [db.notes.where(topic="a").page_json(limit=30, max_bytes=most) for _ in range(4)]
        assert len(set(pages)) == 1
        assert len(pages[0][0]) <= max(most, 200)


def test_what_a_model_computes_is_asked_for_each_time(db: Notes) -> None:
    """Ensure that a computed field, which may say the time of day, is never an old one."""
    db.aged.insert_many(Aged(id=number) for number in range(3))
    pages = [db.aged.where().page_json(limit=3)[0] for _ in range(4)]
    assert len(set(pages)) == 4


def test_what_is_kept_is_bounded(db: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure it, however many pages are shown again, and however large they are."""
    monkeypatch.setattr(row_texts, "MOST_BYTES", 20_000)
    monkeypatch.setattr(row_texts, "LARGE", 5_000)
    monkeypatch.setattr(row_texts, "MOST_SEEN", 500)
    texts = RowTexts(db.notes.schema.derive(Codec))
    rows = [Note(id=number, topic="a", text="x" * 100) for number in range(2_000)]
    for begin in range(0, 1_900, 20):
        for _ in range(3):
            texts.array(rows[begin : begin + 20], None)
        assert sum(map(len, texts._kept.texts.values())) <= 20_000
        assert texts._kept.texts.keys() == texts._kept._rows.keys()
        assert len(texts._seen) <= 600
    for _ in range(3):
        assert texts.array(rows, None) is None, "a large page was kept"


def test_threads_that_show_and_write_side_by_side(db: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that no page ever has the text of another row, or of an older state than its first look."""
    monkeypatch.setattr(row_texts, "MOST_BYTES", 2_000)
    db.notes.insert_many(Note(id=number, topic="a", text=f"{number} 0") for number in range(20))

    def write() -> None:
        for step in range(1, 200):
            number = step % 20
            db.notes.delete(number)
            db.notes.insert(Note(id=number, topic="a", text=f"{number} {step}"))

    def show() -> None:
        latest: dict[int, int] = {}
        for _ in range(150):
            for row in json.loads(db.notes.where(topic="a").page_json(limit=30)[0]):
                number, step = map(int, row["text"].split())
                assert number == row["id"]
                assert step >= latest.get(number, 0)
                latest[number] = step

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(write), pool.submit(show), pool.submit(show)]:
            done.result(timeout=60)
