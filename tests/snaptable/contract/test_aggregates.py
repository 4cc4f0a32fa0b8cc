"""Aggregates and groups: what plain Python works out of the rows, with every index or none, whatever is under way."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.contract.query_model import (
    QUESTIONS,
    SORTABLE,
    Bare,
    Question,
    Store,
    ask,
    check_refused,
    holds,
    is_refused,
    place,
    rows,
    sort,
)
from tests.snaptable.contract.stores import Stores
from tests.snaptable.contract.test_query_property import churn, fill
from tests.snaptable.support import refuses

from snaptable import (
    Avg,
    Count,
    Database,
    Group,
    Index,
    InvalidQuery,
    Max,
    Min,
    Row,
    Sum,
    Table,
    desc,
    table,
)

NUMBERS = ["number", "real", "price", "flag", "id"]
KEYS = ["number", "text", "word", "real", "price", "at", "day", "flag", "mood"]
FUNCTIONS: dict[str, Any] = {"count": Count, "sum": Sum, "avg": Avg, "min": Min, "max": Max}

SPECS = st.one_of(
    st.just(("rows", "")),
    st.tuples(st.just("count"), st.sampled_from([*KEYS, "tags"])),
    st.tuples(st.sampled_from(["sum", "avg"]), st.sampled_from(NUMBERS)),
    st.tuples(st.sampled_from(["min", "max"]), st.sampled_from(SORTABLE)),
)
Spec = tuple[str, str]


def build(model: Any, spec: Spec) -> Any:
    """Return an aggregate over a model's columns."""
    name, column = spec
    return Count() if name == "rows" else FUNCTIONS[name](getattr(model, column))


def by_python(spec: Spec, found: Sequence[Any]) -> Any:
    """Return what an aggregate of some rows is."""
    name, column = spec
    if name == "rows":
        return len(found)
    values = [value for row in found if (value := getattr(row, column)) is not None]
    if name == "count":
        return len(values)
    if name == "sum":
        if column == "price":
            return sum(values, Decimal(0))
        return math.fsum(values) if column == "real" else sum(values)
    if not values:
        return None
    if name == "avg":
        if column == "price":
            return Context(prec=28).divide(sum(values), Decimal(len(values)))
        return math.fsum(values) / len(values) if column == "real" else sum(values) / len(values)
    return {"min": min, "max": max}[name](values, key=place)


def rows_of(question: Question, present: Sequence[Bare]) -> list[Bare] | None:
    """Return the rows of a question, in order; None if which ones they are isn't promised."""
    matching = [row for row in present if all(holds(spec, row) for spec in question.where)]
    if question.order:
        matching = sort(matching, question.order)
    elif question.limit is not None or question.offset:
        return None
    end = None if question.limit is None else question.offset + question.limit
    return matching[question.offset : end]


def grouped(found: Sequence[Bare], names: Sequence[str], specs: Sequence[Spec]) -> list[tuple[Any, ...]]:
    """Return groups by plain Python: their keys and aggregates, in the order of the keys, None last."""
    groups: dict[Any, list[Bare]] = {}
    for row in found:
        groups.setdefault(tuple(getattr(row, name) for name in names), []).append(row)
    keys = sorted(
        groups, key=lambda key: [(value is None, place(value)) if value is not None else (True,) for value in key]
    )
    return [(*key, *(by_python(spec, groups[key]) for spec in specs)) for key in keys]


def check_aggregates(source: Table[Any], question: Question, specs: Sequence[Spec], present: Sequence[Bare]) -> None:
    """Check aggregates of a question's rows, together and one by one."""
    found = rows_of(question, present)
    if found is None:
        return
    query = ask(source, question)
    wanted = {f"a{number}": by_python(spec, found) for number, spec in enumerate(specs)}
    made = {f"a{number}": build(source.model, spec) for number, spec in enumerate(specs)}
    if is_refused(question.where, present):
        if made:
            check_refused(lambda: query.aggregate(**made))
        return
    answered = query.aggregate(**made)
    assert answered == wanted
    for number, spec in enumerate(specs):
        if spec[0] in ("sum", "avg", "min", "max"):
            assert getattr(query, spec[0])(getattr(source.model, spec[1])) == wanted[f"a{number}"]
            assert query.explain(made[f"a{number}"]).rows >= 0


def check_groups(
    source: Table[Any], question: Question, names: Sequence[str], specs: Sequence[Spec], present: Sequence[Bare]
) -> None:
    """Check the groups of a question's rows: all, those that pass, in another order, cut."""
    found = rows_of(question, present)
    if found is None:
        return
    columns = [getattr(source.model, name) for name in names]
    groups = ask(source, question).group_by(*columns)
    made = {f"a{number}": build(source.model, spec) for number, spec in enumerate(specs)}
    if is_refused(question.where, present):
        check_refused(lambda: groups.aggregate(**made))
        return
    wanted = grouped(found, names, specs)
    width = len(names)
    assert [as_row(group) for group in groups.aggregate(**made)] == wanted
    passing = groups.having((Count() > 1) | (Count(source.model.number) == 0)).aggregate(**made)
    sizes = [row[width:] for row in grouped(found, names, [("rows", ""), ("count", "number")])]
    assert [as_row(group) for group in passing] == [
        row for row, (size, numbers) in zip(wanted, sizes, strict=True) if size > 1 or numbers == 0
    ]
    if len(names) == 1 and question.limit is None:
        assert ask(source, question).distinct(columns[0]) == [row[0] for row in wanted]
    by_size = sorted(range(len(wanted)), key=lambda at: -sizes[at][0])
    for order in ("-n", desc(Count())):
        cut = groups.order_by(order).limit(3).aggregate(**made, n=Count())
        assert [as_row(group)[:-1] for group in cut] == [wanted[at] for at in by_size[:3]]
    assert groups.explain(**made).groups == tuple(names)


def as_row(group: Group[Any]) -> tuple[Any, ...]:
    """Return a group as one tuple."""
    return (*(group.key if isinstance(group.key, tuple) else (group.key,)), *group.values.values())


ASKED = st.lists(st.tuples(QUESTIONS, st.lists(SPECS, min_size=1, max_size=3)), min_size=2, max_size=6)
GROUPED = st.lists(
    st.tuples(
        QUESTIONS,
        st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True),
        st.lists(SPECS, max_size=2),
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=settings().max_examples // 3)
@given(rows(), ASKED, GROUPED, st.data())
def test_as_plain_python(
    stores: Stores, values: list[dict[str, Any]], asked: Any, groups: Any, data: st.DataObject
) -> None:
    """Ensure that both tables answer as Python does: at rest, inside a transaction, and beside one that isn't over."""
    with stores.new(Store) as db, ThreadPoolExecutor(1) as other:
        before = fill(db, values)
        present = {row.id: row for row in before}

        def check(rows_there: Sequence[Bare]) -> None:
            for source in (db.bare, db.rich):
                for question, specs in asked:
                    check_aggregates(source, question, specs, rows_there)
                for question, names, specs in groups:
                    check_groups(source, question, names, specs, rows_there)

        check(before)
        with db.transaction():
            churn(db, data, present, 6)
            check(list(present.values()))
            other.submit(check, before).result()
        check(list(present.values()))


class Reading(Row):
    id: int
    score: int | None = None
    ratio: float = 0.0
    price: Decimal = Decimal(0)
    took: timedelta | None = None
    mixed: int | float = 0
    odd: float | Decimal = 0.0
    name: str = ""
    tags: tuple[str, ...] = ()
    above: dict[str, int] | None = None


class Readings(Database):
    readings: Table[Reading] = table(Index("score", ordered=True), Index("name", "score", ordered=True))


def test_of_no_rows_a_sum_is_zero_of_its_type_and_the_others_are_none(stores: Stores) -> None:
    """Nothing raises where there is nothing; None alone is nothing too."""
    with stores.new(Readings) as db:
        for _ in range(2):
            zeros: list[object] = [db.readings.sum(Reading.score), db.readings.sum(Reading.ratio)]
            zeros += [db.readings.sum(Reading.price), db.readings.sum(Reading.mixed)]
            assert list(map(type, zeros)) == [int, float, Decimal, float]
            assert zeros == [0, 0, 0, 0]
            assert db.readings.sum(Reading.took) == timedelta(0)
            assert db.readings.avg(Reading.score) is None
            assert db.readings.min(Reading.took) is None
            assert db.readings.where(Reading.id > 1).max(Reading.score) is None
            assert db.readings.aggregate() == {}
            assert db.readings.group_by(Reading.took).aggregate(n=Count(Reading.took)) == (
                [Group(None, {"n": 0})] if db.readings.count() else []
            )
            if db.readings.count():
                break
            db.readings.insert(Reading(id=1))


def test_sums_are_exact(stores: Stores) -> None:
    """The order of the rows changes no sum, and no sum between two rows gets too big."""
    most = 10**18 if stores.on_postgres else 10**30  # PostgreSQL: the rows' own are in 64 bits, their sum isn't
    with stores.new(Readings) as db:
        ratios = [1e308, 1e308, -1e308, 0.1, 1e-300]
        prices = [Decimal("1E+30"), Decimal("0.01"), Decimal("-1E+30"), Decimal(3), Decimal("1E-40")]
        times = [timedelta.max, timedelta.max, timedelta.min, timedelta(microseconds=1), None]
        for number, (ratio, price, took) in enumerate(zip(ratios, prices, times, strict=True)):
            db.readings.insert(Reading(id=number, score=most + number, ratio=ratio, price=price, took=took))
        assert db.readings.sum(Reading.score) == 5 * most + 10
        assert db.readings.sum(Reading.ratio) == float(sum(map(Fraction, ratios)))
        assert db.readings.avg(Reading.ratio) == float(sum(map(Fraction, ratios)) / 5)
        assert Context(prec=60).subtract(db.readings.sum(Reading.price), Decimal("3.01")) == Decimal("1E-40")
        assert refuses(InvalidQuery, lambda: db.readings.sum(Reading.took), "Sum(Reading.took)", "timedelta")
        db.readings.delete(1)
        assert db.readings.sum(Reading.took) == timedelta(days=1)
        assert db.readings.avg(Reading.took) == timedelta(hours=8)


@pytest.mark.parametrize(
    ("ask_wrongly", "words"),
    [
        (lambda db: db.readings.sum(Reading.name), ["readings", "Reading.name", "str"]),
        (lambda db: db.readings.avg(Reading.tags), ["readings", "Reading.tags", "tuple"]),
        (lambda db: db.readings.sum(Reading.odd), ["readings", "Reading.odd", "float | Decimal"]),
        (lambda db: db.readings.min(Reading.above), ["readings", "Reading.above", "dict"]),
        (lambda db: db.readings.max(3), ["Max", "int"]),
        (lambda db: db.readings.max(None), ["Max", "None"]),
        (lambda db: db.readings.sum(Bare.number), ["Bare.number", "readings"]),
        (lambda db: db.readings.aggregate(n=3), ["n=Count()", "int"]),
        (lambda db: db.readings.where(Count() > 3), ["readings", "having"]),
        (lambda db: db.readings.order_by(Count()), ["readings", "Count()"]),
        (lambda db: db.readings.group_by(), ["aggregate()"]),
        (lambda db: db.readings.group_by(Reading.above), ["readings", "Reading.above"]),
        (lambda db: db.readings.group_by("score"), ["readings", "str"]),
        (lambda db: db.readings.distinct(Bare.number), ["Bare.number", "readings"]),
        (lambda db: db.readings.group_by(Reading.score).having(Reading.name == "a"), ["having", "where()"]),
        (lambda db: db.readings.group_by(Reading.score).having(Count() > None), ["None"]),
        (lambda db: db.readings.group_by(Reading.score).having(Count() > "3"), ["Count()", "str"]),
        (lambda db: db.readings.group_by(Reading.score).order_by(Reading.name), ["order_by", "Reading.name"]),
        (lambda db: db.readings.group_by(Reading.score).order_by("-m").aggregate(n=Count()), ["'m'", "n", "score"]),
        (lambda db: db.readings.group_by(Reading.score).limit("3"), ["limit", "str"]),
    ],
)
def test_what_has_no_meaning_is_refused(stores: Stores, ask_wrongly: Any, words: list[str]) -> None:
    """An InvalidQuery names the table, the column and the type."""
    with stores.new(Readings) as db:
        assert refuses(InvalidQuery, lambda: ask_wrongly(db), *words)


def test_conditions_on_groups(stores: Stores) -> None:
    """Aggregates compare as columns do: None is less than nothing, == and != hold for it, `&`, `|`, `~` combine."""
    with stores.new(Readings) as db:
        db.readings.insert_many(
            Reading(id=number, name=name, score=score)
            for number, (name, score) in enumerate([("a", 1), ("a", 5), ("b", None), ("b", None), ("c", 7)])
        )
        groups = db.readings.group_by(Reading.name)

        def keys(*conditions: Any) -> list[str]:
            return [group.key for group in groups.having(*conditions).aggregate()]

        assert keys(Max(Reading.score) > 1) == ["a", "c"]
        assert keys(~(Max(Reading.score) > 1)) == ["b"]
        assert keys(Max(Reading.score) == None) == ["b"]  # noqa: E711
        assert keys(Max(Reading.score) != 7) == ["a", "b"]
        assert keys((Count() >= 2) & ~(Avg(Reading.score) == 3)) == ["b"]
        assert keys(Count() >= 2, Reading.name > "a") == ["b"]
        assert [group.n for group in groups.order_by("n", desc(Reading.name)).aggregate(n=Count())] == [1, 2, 2]
        first = groups.order_by(desc(Max(Reading.score))).aggregate(best=Max(Reading.score))
        assert [(group.key, group.best) for group in first] == [("c", 7), ("a", 5), ("b", None)]
        with pytest.raises(AttributeError, match="best"):
            _ = first[0].worst


def test_the_extremes_by_an_ordered_index_don_t_grow_with_the_rows(stores: Stores) -> None:
    """Ensure that min and max of an indexed column, or behind a fixed one, look at one row."""
    with stores.new(Readings) as db:
        db.readings.insert_many(Reading(id=number, score=number % 97, name="ab"[number % 2]) for number in range(1000))
        assert db.readings.where().explain(Min(Reading.score)).rows == 1
        assert db.readings.where(name="a").explain(Max(Reading.score)).rows == 1
        assert db.readings.where().explain(Max(Reading.ratio)).rows > (100 if stores.on_postgres else 999)
        assert db.readings.where(name="a").max(Reading.score) == 96
        assert db.readings.min(Reading.score) == 0
