"""Random rows and random questions: with every index or none, within a transaction or beside it, the same answers."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.contract.query_model import (
    POOLS,
    QUESTIONS,
    SPECS,
    Bare,
    Question,
    Rich,
    Spec,
    Store,
    check_answers,
    check_pages,
    check_refused,
    condition,
    fitting,
    holds,
    is_refused,
    rows,
)
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import WAYS, begun_anew

Values = list[dict[str, Any]]
FREE = [name for name in POOLS if name not in ("id", "code")]


def fill(db: Store, values: Values) -> list[Bare]:
    """Insert the same rows into both tables."""
    fit = [fitting(db, row) for row in values]
    db.rich.insert_many([Rich(**row) for row in fit])
    return list(db.bare.insert_many([Bare(**row) for row in fit]))


@settings(max_examples=settings().max_examples * 2)
@given(rows(), st.lists(QUESTIONS, min_size=5, max_size=12), st.integers(1, 6))
def test_answers_as_plain_python(stores: Stores, values: Values, questions: list[Question], size: int) -> None:
    """Ensure that a table with every index and one with none answer any question, cut or by pages, as Python would."""
    with stores.new(Store) as db:
        present = fill(db, values)
        for question in questions:
            check_answers(db.bare, question, present)
            check_answers(db.rich, question, present)
            check_pages(db.bare, question, present, size)
            check_pages(db.rich, question, present, size)


def churn(db: Store, data: st.DataObject, present: dict[int, Bare], steps: int) -> None:
    """Change rows of both tables at random, the model of them too."""
    for _ in range(steps):
        key = data.draw(st.sampled_from(POOLS["id"]))
        if key not in present:
            values = fitting(db, {name: data.draw(st.sampled_from(POOLS[name])) for name in FREE})
            db.rich.insert(Rich(id=key, code=f"c{key}", **values))
            present[key] = db.bare.insert(Bare(id=key, code=f"c{key}", **values))
        elif data.draw(st.booleans()):
            names = data.draw(st.sets(st.sampled_from(FREE)))
            changes = fitting(db, {name: data.draw(st.sampled_from(POOLS[name])) for name in names})
            db.rich.update(key, **changes)
            present[key] = db.bare.update(key, **changes)
        else:
            db.rich.delete(key)
            db.bare.delete(key)
            del present[key]


@given(rows(), st.lists(QUESTIONS, min_size=3, max_size=6), st.data())
def test_answers_beside_an_open_transaction(
    stores: Stores, values: Values, questions: list[Question], data: st.DataObject
) -> None:
    """Ensure that a thread's questions see the state before an open transaction, its own see the one within."""
    with stores.new(Store) as db, ThreadPoolExecutor(1) as other:
        before = fill(db, values)
        present = {row.id: row for row in before}

        def check_from_outside() -> None:
            for question in questions:
                check_answers(db.bare, question, before)
                check_answers(db.rich, question, before)
                check_pages(db.rich, question, before, 3)
            assert {row.id for row in db.rich} == {row.id for row in before}
            assert all(row.id in db.rich for row in before)
            assert len(db.rich) == len(before)

        try:
            with db.transaction():
                churn(db, data, present, 8)
                for question in questions:
                    check_answers(db.rich, question, list(present.values()))
                    check_pages(db.rich, question, list(present.values()), 3)
                other.submit(check_from_outside).result()
                if data.draw(st.booleans()):
                    raise InterruptedError
        except InterruptedError:
            present = {row.id: row for row in before}
        before = list(present.values())
        other.submit(check_from_outside).result()
        assert db.check() == []


@given(rows(), st.lists(QUESTIONS, min_size=1, max_size=3), st.data())
def test_answers_between_changes(
    stores: Stores, values: Values, questions: list[Question], data: st.DataObject
) -> None:
    """Ensure that questions asked again and again, between changes, commits and rollbacks, get what is there then.

    The writer is told what its transaction did so far, another thread what was there before it.
    """
    with stores.new(Store) as db, ThreadPoolExecutor(1) as other:
        durable = {row.id: row for row in fill(db, values)}

        def check(present: dict[int, Bare]) -> None:
            # Whatever the first time leaves for the next must hold for it, and no longer.
            for _ in range(2):
                for question in questions:
                    check_answers(db.bare, question, list(present.values()))
                    check_answers(db.rich, question, list(present.values()))

        for _ in range(data.draw(st.integers(1, 3))):
            own = dict(durable)
            check(durable)
            try:
                with db.transaction():
                    for _ in range(2):
                        churn(db, data, own, data.draw(st.integers(0, 3)))
                        check(own)
                        other.submit(check, durable).result()
                    if data.draw(st.booleans()):
                        raise InterruptedError
                durable = own
            except InterruptedError:
                pass
            check(durable)
        assert db.check() == []


@settings(max_examples=settings().max_examples // 3)
@given(rows(), st.lists(QUESTIONS, min_size=3, max_size=6), st.data())
def test_answers_the_same_after_beginning_anew(
    stores: Stores, values: Values, questions: list[Question], data: st.DataObject
) -> None:
    """Ensure that indexes built while loading answer like those kept up by writes."""
    db = stores.lasting(Store).open()
    present = {row.id: row for row in fill(db, values)}
    churn(db, data, present, 6)
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            for question in questions:
                check_answers(again.bare, question, list(present.values()))
                check_answers(again.rich, question, list(present.values()))
            assert again.check() == []


@given(rows(), SPECS, st.data())
def test_changes_in_bulk_what_it_finds(stores: Stores, values: Values, spec: Spec, data: st.DataObject) -> None:
    """Ensure that a bulk update, then a bulk delete, touches exactly the rows the condition holds for."""
    with stores.new(Store) as db:
        present = fill(db, values)
        name = data.draw(st.sampled_from(FREE))
        value = data.draw(st.sampled_from(POOLS[name]))
        if is_refused([spec], present):
            query = db.rich.where(condition(Rich, spec))
            check_refused(lambda: query.update(**{name: value}), query.delete)
            assert {row.id: dict(row) for row in db.rich} == {row.id: dict(row) for row in present}
            return
        hit = {row.id for row in present if holds(spec, row)}
        query = db.rich.where(condition(Rich, spec))
        assert query.update(**{name: value}) == len(hit)
        changed = {row.id: row.model_copy(update={name: value}) if row.id in hit else row for row in present}
        assert {row.id: dict(row) for row in db.rich} == {key: dict(row) for key, row in changed.items()}
        if is_refused([spec], list(changed.values())):
            check_refused(query.delete)
            return
        hit = {key for key, row in changed.items() if holds(spec, row)}
        assert query.delete() == len(hit)
        assert {row.id for row in db.rich} == changed.keys() - hit
        assert db.check() == []
