"""Random questions, and their answers by plain Python: conditions as data, evaluated row by row, sorted key by key."""
# ruff: noqa: DTZ001, RUF012 - naive datetimes are tested too; a model's default is copied by Pydantic

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, NamedTuple

from hypothesis import strategies as st
from tests.snaptable.contract.stores import is_on_postgres
from tests.snaptable.support import refuses

from snaptable import (
    Database,
    Index,
    InvalidQuery,
    Query,
    Row,
    Table,
    Unique,
    contains,
    desc,
    one_of,
    starts_with,
    table,
)


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Bare(Row):
    """Have every kind of field and no index."""

    id: int
    code: str
    number: int | None = None
    text: str = ""
    word: str | None = None
    real: float | None = None
    price: Decimal = Decimal(0)
    at: datetime | None = None
    day: date = date(2026, 1, 1)
    flag: bool = False
    mood: Mood | None = None
    tags: list[str] = []
    marks: tuple[int, ...] | None = None


class Rich(Bare):
    """Have the same fields, indexed in every way."""

    code: Annotated[str, Unique(), Index(ordered=True)]
    number: Annotated[int | None, Index(ordered=True), Index()] = None
    text: Annotated[str, Index(ordered=True)] = ""
    word: Annotated[str | None, Index()] = None
    real: Annotated[float | None, Index(ordered=True)] = None
    at: Annotated[datetime | None, Index(ordered=True)] = None
    flag: Annotated[bool, Index()] = False
    mood: Annotated[Mood | None, Index(ordered=True)] = None
    tags: Annotated[list[str], Index(each=True)] = []
    marks: Annotated[tuple[int, ...] | None, Index(each=True)] = None


class Store(Database):
    bare: Table[Bare]
    rich: Table[Rich] = table(
        Index("word", "flag"),
        Unique("text", "number", "id"),
        Index("number", "text", ordered=True),
        Index("text", "real", ordered=True),
        Index("flag", "mood", "number", ordered=True),
        Index("price", ordered=True),
        Index("mood", "at", ordered=True),
        Index("number", "id", ordered=True),
    )


BEYOND = 10**20
"""The int among them that is beyond 64 bits: no row holds it where a server keeps the rows, and yet it is asked for."""
POOLS: dict[str, list[Any]] = {
    "id": list(range(40)),
    "code": [f"c{number}" for number in range(40)],
    "number": [None, -1, 0, 1, 2, 3, BEYOND],
    "text": ["", "a", "ab", "abc", "b", "\U0010ffff", "é"],
    "word": [None, "", "a", "b"],
    "real": [None, -0.0, 0.0, 0.5, 1.0, 1e300],
    "price": [Decimal(0), Decimal("0.5"), Decimal("0.50"), Decimal(-3)],
    "at": [None, datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 1, tzinfo=UTC)],
    "day": [date(2026, 1, 1), date(2026, 1, 2)],
    "flag": [False, True],
    "mood": [None, *Mood],
    "tags": [[], ["a"], ["a", "b"], ["b", "b"]],
    "marks": [None, (), (1,), (1, 2), (2, 2, 1)],
}
SORTABLE = [name for name in POOLS if name not in ("tags", "marks")]


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw the values of some rows, each with a key of its own."""
    least = draw(st.sampled_from([0, 12, 20]))
    keys = draw(st.lists(st.sampled_from(POOLS["id"]), unique=True, min_size=least, max_size=25))
    free = [name for name in POOLS if name not in ("id", "code")]
    return [
        {"id": key, "code": f"c{key}", **{name: draw(st.sampled_from(POOLS[name])) for name in free}} for key in keys
    ]


def fitting(db: Database, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a row as a database can hold them."""
    if is_on_postgres(db) and values.get("number") == BEYOND:
        return {**values, "number": 2**63 - 1}
    return values


Spec = tuple[Any, ...]


VERBS = ["==", "!=", "<", "<=", ">", ">=", "one of", "contains", "starts with", "starts with"]
ITEMS: dict[str, list[Any]] = {"tags": ["a", "b", "c"], "marks": [1, 2, 3], "text": ["", "a", "b"], "word": ["", "a"]}


@st.composite
def leaves(draw: st.DrawFn) -> Spec:
    """Draw a condition on one field, each verb as often as any other."""
    verb = draw(st.sampled_from(VERBS))
    if verb == "contains":
        name = draw(st.sampled_from([*ITEMS]))
        return verb, name, draw(st.sampled_from(ITEMS[name]))
    if verb == "starts with":
        name = draw(st.sampled_from(["text", "word", "code"]))
        return verb, name, draw(st.sampled_from(["c", "c1"] if name == "code" else ["", "a", "ab", "\U0010ffff"]))
    name = draw(st.sampled_from([*POOLS] if verb in ("==", "!=") else SORTABLE))
    values = [value for value in POOLS[name] if verb in ("==", "!=", "one of") or value is not None]
    one = st.sampled_from(values)
    return verb, name, draw(st.lists(one, max_size=4) if verb == "one of" else one)


SPECS: st.SearchStrategy[Spec] = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=5,
)


class Question(NamedTuple):
    """Hold what to ask."""

    where: list[Spec]
    order: list[tuple[str, bool]]
    limit: int | None
    offset: int


QUESTIONS = st.builds(
    Question,
    where=st.lists(leaves(), max_size=3) | st.lists(SPECS, max_size=2),
    order=st.lists(st.tuples(st.sampled_from(SORTABLE), st.booleans()), max_size=3),
    limit=st.none() | st.integers(0, 8),
    offset=st.just(0) | st.integers(0, 5),
)


def condition(model: Any, spec: Spec) -> Any:
    """Return a condition over a model's columns."""
    match spec:
        case ("and", first, second):
            return condition(model, first) & condition(model, second)
        case ("or", first, second):
            return condition(model, first) | condition(model, second)
        case ("not", inner):
            return ~condition(model, inner)
    verb, name, value = spec
    column = getattr(model, name)
    build: dict[str, Callable[[], Any]] = {
        "==": lambda: column == value,
        "!=": lambda: column != value,
        "<": lambda: column < value,
        "<=": lambda: column <= value,
        ">": lambda: column > value,
        ">=": lambda: column >= value,
        "one of": lambda: one_of(column, value),
        "contains": lambda: contains(column, value),
        "starts with": lambda: starts_with(column, value),
    }
    return build[verb]()


def place(value: Any) -> Any:
    """Return a value's place among those of its field: naive moments before aware ones, enums by value."""
    if isinstance(value, datetime):
        return (value.tzinfo is not None, value.replace(tzinfo=None) - (value.utcoffset() or datetime.resolution * 0))
    return value.value if isinstance(value, Enum) else value


def holds(spec: Spec, row: Bare) -> bool:
    """Return whether a condition holds for a row, as Python would say it: true or false, None less than nothing."""
    match spec:
        case ("and", first, second):
            return holds(first, row) and holds(second, row)
        case ("or", first, second):
            return holds(first, row) or holds(second, row)
        case ("not", inner):
            return not holds(inner, row)
    verb, name, value = spec
    mine = getattr(row, name)
    if verb == "==":
        return bool(mine == value)
    if verb == "!=":
        return bool(mine != value)
    if verb == "one of":
        return any(mine == one for one in value)
    if mine is None:
        return False
    if verb == "contains":
        return bool(value in mine)
    if verb == "starts with":
        return bool(mine.startswith(value))
    one, other = place(mine), place(value)
    answers: dict[str, bool] = {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}
    return answers[verb]


def is_refused(where: Sequence[Spec], present: Sequence[Bare]) -> bool:
    """Return whether a question compares naive and aware times, given every row of the table."""
    held = {row.at.tzinfo is not None for row in present if row.at is not None}
    return any(_is_refused(spec, held) for spec in where)


def _is_refused(spec: Spec, held: set[bool]) -> bool:
    if spec[0] in ("and", "or", "not"):
        return any(_is_refused(inner, held) for inner in spec[1:])
    verb, name, value = spec
    asked = {one.tzinfo is not None for one in (value if verb == "one of" else [value]) if isinstance(one, datetime)}
    if name != "at" or verb in ("contains", "starts with"):
        return False
    return any((not kind) in held and (kind not in held or verb not in ("==", "!=", "one of")) for kind in asked)


def check_refused(*ways: Callable[[], object]) -> None:
    """Check that each way of asking is refused, naming both kinds of times."""
    for way in ways:
        assert refuses(InvalidQuery, way, "naive", "aware", ".at")


def sort(found: Sequence[Bare], order: Sequence[tuple[str, bool]]) -> list[Bare]:
    """Return rows sorted: None last in both directions, ties by the primary key in the last direction."""
    result = sorted(found, key=lambda row: row.id, reverse=order[-1][1])
    for name, backwards in reversed(order):
        present = [row for row in result if getattr(row, name) is not None]
        absent = [row for row in result if getattr(row, name) is None]
        present.sort(key=lambda row, name=name: place(getattr(row, name)), reverse=backwards)  # type: ignore[misc]
        result = present + absent
    return result


def ask(source: Table[Any], question: Question, *, cut: bool = True) -> Query[Any]:
    """Return the question as a query of a table."""
    query = source.where(*(condition(source.model, spec) for spec in question.where))
    if question.order:
        query = query.order_by(
            *(
                desc(getattr(source.model, n)) if backwards else getattr(source.model, n)
                for n, backwards in question.order
            )
        )
    if cut and question.limit is not None:
        query = query.limit(question.limit)
    return query.offset(question.offset) if cut and question.offset else query


def check_answers(source: Table[Any], question: Question, present: Sequence[Bare]) -> None:
    """Check every way of asking a question of a table that holds these rows against plain Python."""
    matching = [row for row in present if all(holds(spec, row) for spec in question.where)]
    end = None if question.limit is None else question.offset + question.limit
    query = ask(source, question)
    if is_refused(question.where, present):
        check_refused(query.all, query.count, query.exists, query.first)
        return
    found = query.all()
    wanted = (sort(matching, question.order) if question.order else matching)[question.offset : end]
    assert len(found) == len(wanted)
    assert query.count() == len(wanted)
    assert query.exists() == bool(wanted)
    if question.order:
        assert [row.id for row in found] == [row.id for row in wanted]
        first = query.first()
        assert (None if first is None else first.id) == (wanted[0].id if wanted else None)
    else:
        assert {row.id for row in found} <= {row.id for row in matching}
        assert len({row.id for row in found}) == len(found)
    by_key = {row.id: row for row in present}
    assert all(dict(row) == dict(by_key[row.id]) for row in found)
    assert query.explain().rows >= 0


def check_pages(source: Table[Any], question: Question, present: Sequence[Bare], size: int) -> None:
    """Check that the pages of a question, its cuts left out, are its rows in order, each once."""
    matching = [row for row in present if all(holds(spec, row) for spec in question.where)]
    query = ask(source, question, cut=False)
    if is_refused(question.where, present):
        check_refused(lambda: query.page(limit=size))
        return
    seen: list[int] = []
    cursor = None
    for _ in range(len(matching) + 1):
        page = query.page(limit=size, after=cursor)
        seen += [row.id for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert cursor is None
    assert seen == [row.id for row in sort(matching, question.order or [("id", False)])]
