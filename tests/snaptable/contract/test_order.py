"""Orders beyond columns, and their first rows: by place in the file, top-k without an index, text without case."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.contract.query_model import (
    POOLS,
    QUESTIONS,
    Bare,
    Question,
    Store,
    ask,
    check_refused,
    holds,
    is_refused,
    rows,
    sort,
)
from tests.snaptable.contract.stores import Stores
from tests.snaptable.contract.test_query_property import churn, fill
from tests.snaptable.support import refuses

from snaptable import Database, InvalidQuery, Row, Table, contains, desc, inserted, starts_with

PLACED = st.lists(st.tuples(QUESTIONS, st.booleans(), st.booleans()), min_size=3, max_size=8)


def check_placed(source: Table[Any], asked: Any, present: Sequence[Bare]) -> None:
    """Check rows sorted by their place in the file, alone or behind a column; `present` are in that order."""
    for question, backwards, behind in asked:
        matching = [row for row in present if all(holds(spec, row) for spec in question.where)]
        if backwards:
            matching.reverse()
        query = ask(source, Question(question.where, [], None, 0))
        if is_refused(question.where, present):
            check_refused(query.order_by(inserted()).all)
            continue
        if behind:
            query = query.order_by(source.model.number)
            matching.sort(key=lambda row: (row.number is None, row.number or 0))
        query = query.order_by(desc(inserted()) if backwards else inserted(), source.model.text).offset(question.offset)
        end = None if question.limit is None else question.offset + question.limit
        query = query if question.limit is None else query.limit(question.limit)
        assert [row.id for row in query.all()] == [row.id for row in matching[question.offset : end]]
        assert query.explain().rows >= 0


@settings(max_examples=settings().max_examples // 3)
@given(rows(), PLACED, st.data())
def test_by_place_in_the_file(stores: Stores, values: list[dict[str, Any]], asked: Any, data: st.DataObject) -> None:
    """Ensure the order of the file, and its reverse, at rest, inside a transaction and beside one that isn't over."""
    with stores.new(Store) as db, ThreadPoolExecutor(1) as other:
        before = fill(db, values)

        def check(present: Sequence[Bare]) -> None:
            check_placed(db.bare, asked, present)
            check_placed(db.rich, asked, present)

        check(before)
        with db.transaction():
            churn(db, data, {row.id: row for row in before}, 6)
            check(db.bare.all())
            other.submit(check, before).result()
        check(db.bare.all())
        with ThreadPoolExecutor(1) as later:
            later.submit(check, db.bare.all()).result()


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(st.tuples(*(st.integers(0, 3) for _ in range(4))), min_size=30, max_size=120),
    st.lists(
        st.tuples(st.sampled_from(["number", "at", "mood", "text", "price"]), st.booleans()), min_size=1, max_size=3
    ),
    st.integers(0, 12),
    st.integers(0, 3),
)
def test_the_first_rows_are_those_of_a_whole_sort(
    stores: Stores, picks: list[tuple[int, ...]], order: list[tuple[str, bool]], limit: int, offset: int
) -> None:
    """Ensure that choosing the first rows gives what sorting all of them would, ties and None included."""
    with stores.new(Store) as db:
        names = ("number", "at", "mood", "text")
        present: list[Bare] = db.bare.insert_many(
            Bare(
                id=number,
                code=f"c{number}",
                **{name: POOLS[name][at % len(POOLS[name])] for name, at in zip(names, pick, strict=True)},
            )
            for number, pick in enumerate(picks)
        )
        question = Question([], order, limit, offset)
        wanted = sort(present, order)[offset : offset + limit]
        assert [row.id for row in ask(db.bare, question)] == [row.id for row in wanted]


class Word(Row):
    id: int
    text: str | None = None
    number: int = 0


class Words(Database):
    words: Table[Word]


NUMBER: Any = Word.number
THREE: Any = 3
TEXTS = [None, "", "a", "A", "ab", "aB", "Straße", "STRASSE", "ſ", "İ", "ΑΣ", "ας", "ǅ"]


@given(
    st.lists(st.sampled_from(TEXTS) | st.none() | st.text("aAßſSİ", max_size=3), max_size=12),
    st.sampled_from(TEXTS[1:]),
)
def test_text_without_case(stores: Stores, texts: list[str | None], part: str) -> None:
    """Ensure that texts compare by their case foldings, None not at all, also negated, and again by columns."""
    with stores.new(Words) as db:
        db.words.insert_many(Word(id=number, text=text) for number, text in enumerate(texts))
        folded = part.casefold()
        for _ in range(3):  # the third time the column is cached
            has = contains(Word.text, part, ignore_case=True)
            assert [row.text for row in db.words.where(has)] == [
                text for text in texts if text is not None and folded in text.casefold()
            ]
            begins = starts_with(Word.text, part, ignore_case=True)
            assert db.words.where(~begins).count() == sum(
                not (text is not None and text.casefold().startswith(folded)) for text in texts
            )


@pytest.mark.parametrize(
    ("ask_wrongly", "words"),
    [
        (lambda db: db.words.where(contains(NUMBER, "a", ignore_case=True)), ["Word.number", "no text"]),
        (lambda db: db.words.where(contains(Word.text, THREE, ignore_case=True)), ["Word.text", "int"]),
        (lambda db: db.words.where(starts_with(NUMBER, "a", ignore_case=True)), ["Word.number"]),
        (lambda db: db.words.order_by(inserted()).page(), ["pages", "cursor"]),
        (lambda db: db.words.min(inserted()), ["InsertedPlace"]),
        (lambda db: db.words.group_by(inserted()), ["InsertedPlace"]),
        (lambda db: db.words.group_by(Word.text).order_by(inserted()), ["inserted"]),
    ],
)
def test_what_has_no_meaning_is_refused(stores: Stores, ask_wrongly: Any, words: list[str]) -> None:
    """An InvalidQuery says what is wrong."""
    with stores.new(Words) as db:
        assert refuses(InvalidQuery, lambda: ask_wrongly(db), *words)


def test_the_order_of_the_file_is_read_not_sorted(stores: Stores) -> None:
    """Ensure that the last rows of a large table are read from its end."""
    with stores.new(Words) as db:
        db.words.insert_many(Word(id=-number) for number in range(1000))
        last = db.words.order_by(desc(inserted())).limit(2)
        assert [row.id for row in last] == [-999, -998]
        plan = last.explain()
        assert plan.sorts is False
        assert plan.rows == 2
