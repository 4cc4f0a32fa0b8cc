"""Rows with what belongs to them in another table, and rows that a function keeps: the same as plain Python gives."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.contract.query_model import (
    QUESTIONS,
    SPECS,
    Bare,
    Question,
    Store,
    ask,
    check_answers,
    check_pages,
    check_refused,
    holds,
    is_refused,
    rows,
    sort,
)
from tests.snaptable.contract.stores import Stores
from tests.snaptable.contract.test_query_property import churn, fill
from tests.snaptable.support import refuses

from snaptable import (
    Count,
    Database,
    DatabaseClosed,
    ForeignKey,
    Index,
    InvalidQuery,
    Row,
    Sum,
    Table,
    desc,
    table,
)
from snaptable.memory.queries.access_paths import FullScan, Lookup
from snaptable.memory.queries.range_scan import BoundRange
from snaptable.postgres.layout.columns import StoredColumns

JOINED = st.lists(st.tuples(QUESTIONS, QUESTIONS), min_size=2, max_size=5)
FILTERED = st.lists(st.tuples(QUESTIONS, SPECS), min_size=2, max_size=5)


def matching(question: Question, present: Sequence[Bare]) -> list[Bare]:
    """Return the rows of a question without its cuts, in its order or the one given."""
    found = [row for row in present if all(holds(spec, row) for spec in question.where)]
    return sort(found, question.order) if question.order else found


def check_joined(source: Table[Any], other: Table[Any], asked: Any, present: Sequence[Bare]) -> None:
    """Check each way of joining two tables with the same rows; `present` are in the order of the file."""
    by_key = {row.id: row for row in present}
    for question, theirs in asked:
        query, others = ask(source, question, cut=False), ask(other, theirs, cut=False)
        if is_refused(question.where, present):
            check_refused(partial(query.with_many, others, on=other.model.number))
            check_refused(partial(query.with_one, others, on=source.model.number))
            continue
        found, wanted = [row.id for row in query.all()], matching(theirs, present)
        if is_refused(theirs.where, present):
            if found:
                check_refused(partial(query.with_many, others, on=other.model.number))
                check_refused(partial(query.with_count, others, on=other.model.number))
            continue
        many = query.with_many(others, on=other.model.number)
        assert [row.id for row, _ in many] == found
        for row, children in many:
            assert [child.id for child in children] == [child.id for child in wanted if child.number == row.id]
        for limit in (0, 1, 3):
            first = query.with_many(others, on=other.model.number, limit=limit)
            assert [[child.id for child in children] for _, children in first] == [
                [child.id for child in children[:limit]] for _, children in many
            ]
        counts = query.with_count(others, on=other.model.number)
        assert [(row.id, count) for row, count in counts] == [(row.id, len(children)) for row, children in many]
        one = query.with_one(others, on=source.model.number)
        kept = {row.id for row in wanted}
        assert [row.id for row, _ in one] == found
        for row, parent in one:
            number = by_key[row.id].number
            assert (None if parent is None else parent.id) == (number if number in kept else None)


@settings(max_examples=settings().max_examples // 3)
@given(rows(), JOINED, st.data())
def test_joins_as_plain_python(stores: Stores, values: list[dict[str, Any]], asked: Any, data: st.DataObject) -> None:
    """Ensure that both tables, the indexed and the bare one, join at rest, inside a transaction and beside one."""
    with stores.new(Store) as db, ThreadPoolExecutor(1) as other:
        before = fill(db, values)

        def check(present: Sequence[Bare]) -> None:
            check_joined(db.rich, db.bare, asked, present)
            check_joined(db.bare, db.rich, asked, present)
            check_joined(db.rich, db.rich, asked, present)

        check(before)
        with db.transaction():
            churn(db, data, {row.id: row for row in before}, 6)
            check(db.bare.all())
            other.submit(check, before).result()


class Filtered:
    """A table of which every query is narrowed by a function."""

    def __init__(self, source: Table[Any], keep: Any) -> None:
        self.model, self.where = source.model, lambda *conditions: source.where(*conditions).filter(keep)


@settings(max_examples=settings().max_examples // 3)
@given(rows(), FILTERED, st.data())
def test_a_function_narrows_as_a_condition_does(
    stores: Stores, values: list[dict[str, Any]], asked: Any, data: st.DataObject
) -> None:
    """Ensure that filtered queries count, sort, cut, page and sum like any other, beside a transaction too."""
    with stores.new(Store) as db, ThreadPoolExecutor(1) as other:
        before = fill(db, values)

        def check(present: Sequence[Bare]) -> None:
            for source in (db.bare, db.rich):
                for question, spec in asked:

                    def keep(row: Any, spec: Any = spec) -> bool:
                        return holds(spec, row)

                    if is_refused(question.where, present):
                        check_refused(ask(Filtered(source, keep), question).all)  # type: ignore[arg-type]
                        continue
                    left = [row for row in present if keep(row)]
                    check_answers(Filtered(source, keep), question, left)  # type: ignore[arg-type]
                    check_pages(Filtered(source, keep), question, left, 3)  # type: ignore[arg-type]
                    query = source.filter(keep).where(source.model.id > 3).filter(lambda row: row.id < 30)
                    kept = [row for row in left if 3 < row.id < 30]
                    assert query.sum(source.model.id) == sum(row.id for row in kept)
                    groups = query.group_by(source.model.flag).aggregate(n=Count(), sum=Sum(source.model.id))
                    assert sum(group.n for group in groups) == len(kept)

        check(before)
        with db.transaction():
            churn(db, data, {row.id: row for row in before}, 6)
            check(db.bare.all())
            other.submit(check, before).result()


class User(Row):
    id: int
    tags: list[str] = []  # noqa: RUF012 - copied by Pydantic


class Note(Row):
    id: int
    user_id: Annotated[int | None, ForeignKey("users")] = None
    text: str = ""


class Notes(Database):
    users: Table[User]
    notes: Table[Note]
    others: Table[User]


def test_rows_that_are_handed_out_change_nothing(stores: Stores) -> None:
    """Ensure that lists in joined rows, and in those that a function is shown, are copies."""
    with stores.new(Notes) as db:
        db.users.insert(User(id=1, tags=["a"]))
        db.notes.insert(Note(id=1, user_id=1))
        ((_, user),) = db.notes.with_one(db.users, on=Note.user_id)
        assert user is not None
        user.tags.append("b")
        db.users.with_many(db.notes, on=Note.user_id)[0][0].tags.append("c")
        assert db.users.filter(lambda row: row.tags.append("d") or True).count() == 1  # type: ignore[func-returns-value]
        assert db.users[1].tags == ["a"]


def test_a_filtered_query_updates_and_deletes(stores: Stores) -> None:
    """Ensure that bulk writes reach the rows that the function keeps, and what it raises leaves nothing behind."""
    with stores.new(Notes) as db:
        db.notes.insert_many(Note(id=number) for number in range(6))
        assert db.notes.filter(lambda note: note.id % 2).update(text="odd") == 3
        assert db.notes.where(text="odd").filter(lambda note: note.id > 2).delete() == 2
        with pytest.raises(ZeroDivisionError):
            db.notes.filter(lambda note: 1 // note.id).delete()
        assert [note.id for note in db.notes] == [0, 1, 2, 4]
        assert "filter by a function" in repr(db.notes.filter(lambda _: True))
        assert db.notes.where(id=1).filter(lambda _: True).explain().filters == 1


def test_joins_by_an_index_look_at_what_belongs_to_the_rows(stores: Stores) -> None:
    """Ensure that a page of rows with theirs costs no pass over the other table."""
    with stores.new(Notes) as db:
        db.users.insert_many(User(id=number) for number in range(400))
        db.notes.insert_many(Note(id=number, user_id=number % 400) for number in range(4000))
        shown: list[int] = []
        page = db.users.where().limit(3).with_many(db.notes.order_by(Note.id), on=Note.user_id)
        assert [[note.id // 400 for note in notes] for _, notes in page] == [list(range(10))] * 3
        db.users.where(id=7).with_many(db.notes.filter(lambda note: shown.append(note.id) or True), on=Note.user_id)  # type: ignore[func-returns-value]
        assert len(shown) == (10 if stores.on_postgres else 4000)  # which asks for theirs first


class Bound(Row):
    id: int
    user_id: Annotated[int, ForeignKey("users")]


class Shelf(Database):
    users: Table[User]
    bound: Table[Bound] = table(Index("user_id", ordered=True))


def test_the_first_of_many_are_read_and_no_others(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that what is cut off is not read, by an index of the order; counted in rows, in either direction.

    With four times as many children the same number is read.
    """
    counted: list[int] = []
    if stores.on_postgres:
        row = StoredColumns.row
        monkeypatch.setattr(StoredColumns, "row", lambda self, record: counted.append(1) or row(self, record))  # type: ignore[func-returns-value]
    else:
        for path in (BoundRange, Lookup, FullScan):
            for name in ("batches", "matching"):
                monkeypatch.setattr(path, name, _counting(getattr(path, name), counted, name))
    with stores.new(Shelf) as db:
        db.users.insert_many(User(id=number) for number in range(5))
        read = []
        for begin, end in ((0, 500), (500, 2000)):
            db.bound.insert_many(Bound(id=number, user_id=number % 5) for number in range(begin, end))
            for order in (Bound.id, desc(Bound.id)):
                counted.clear()
                found = db.users.with_many(db.bound.order_by(order), on=Bound.user_id, limit=7)
                read.append(sum(counted))
                ids = range(end) if order is Bound.id else range(end - 1, -1, -1)
                assert [[row.id for row in rows] for _, rows in found] == [
                    [number for number in ids if number % 5 == user.id][:7] for user, _ in found
                ]
        assert max(read) <= 5 * 7 + 5, read


def _counting(method: Any, counted: list[int], name: str) -> Any:
    def count(self: Any, *given: Any) -> Any:
        found = method(self, *given)
        if name == "matching":
            counted.append(len(found))
            return found
        return (counted.append(len(batch)) or batch for batch in found)  # type: ignore[func-returns-value]

    return count


@pytest.mark.parametrize(
    ("ask_wrongly", "words"),
    [
        (lambda db: db.users.with_many(db.notes, on=Note.text), ["notes", "Note.text", "users", "int"]),
        (lambda db: db.others.with_many(db.notes, on=Note.user_id), ["Note.user_id", "refers to users", "others"]),
        (lambda db: db.users.with_many(db.notes, on=User.id), ["User.id", "notes"]),
        (lambda db: db.users.with_many(db.notes, on="user_id"), ["notes", "str"]),
        (lambda db: db.users.with_many(db.notes.where().limit(3), on=Note.user_id), ["notes", "limit", "users"]),
        (lambda db: db.users.with_many(db.notes, on=Note.user_id, limit="3"), ["limit", "int"]),
        (lambda db: db.users.with_many(Note, on=Note.user_id), ["users", "table or a query"]),
        (lambda db: db.notes.with_one(db.notes, on=Note.user_id), ["refers to users", "notes"]),
        (lambda db: db.users.filter(3), ["filter()", "function"]),
        (lambda db: db.users.filter(_coroutine), ["filter()", "function"]),
    ],
)
def test_what_has_no_meaning_is_refused(stores: Stores, ask_wrongly: Any, words: list[str]) -> None:
    """An InvalidQuery names the tables and the column."""
    with stores.new(Notes) as db:
        assert refuses(InvalidQuery, lambda: ask_wrongly(db), *words)


async def _coroutine(_: object) -> bool:
    return True


def test_tables_of_two_databases_are_not_joined(stores: Stores) -> None:
    """Ensure that one state can be promised: another database's table is refused, and a closed one's."""
    with stores.new(Notes) as db:
        with stores.new(Notes) as other:
            assert refuses(InvalidQuery, lambda: db.users.with_many(other.notes, on=Note.user_id), "two databases")
        assert refuses(DatabaseClosed, lambda: db.users.with_many(other.notes, on=Note.user_id), "not open")
