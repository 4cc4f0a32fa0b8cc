"""Conditions into nested models, dicts and lists: what isn't there is None, and all is as in plain Python."""
# ruff: noqa: DTZ001, RUF012 - naive datetimes are tested too; a model's default is copied by Pydantic

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ConfigDict, create_model
from tests.snaptable.contract.stores import Stores, current, use
from tests.snaptable.support import WAYS, begun_anew, refuses
from typing_extensions import TypedDict

from snaptable import (
    Count,
    Database,
    InvalidQuery,
    Max,
    Row,
    Secret,
    Sum,
    Table,
    contains,
    desc,
    one_of,
    starts_with,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel, frozen=True):
    x: int = 0
    y: float | None = None


class Box(BaseModel, frozen=True):
    x: int = 0
    label: str = ""
    corner: Point = Point()
    far: Point | None = None
    colour: Colour = Colour.RED


class Circle(BaseModel, frozen=True):
    radius: Decimal = Decimal(1)
    label: int = 0


class Extra(TypedDict):
    lang: str
    year: NotRequired[int]


@dataclass(frozen=True)
class Size:
    width: int
    height: int | None = None


class Span(NamedTuple):
    first: int
    last: int


class Document(Row):
    id: int
    box: Box = Box()
    maybe: Box | None = None
    shape: Box | Circle | None = None
    metadata: dict[str, Any] = {}
    counts: dict[str, int] = {}
    deep: dict[str, dict[str, Point]] = {}
    extra: Extra = {"lang": "de"}
    points: list[Point] = []
    pair: tuple[int, str] = (0, "")
    size: Size = Size(1)
    span: Span = Span(0, 1)
    anything: Any = None


class Store(Database):
    documents: Table[Document]


DOC: Any = Document

# ── against plain Python ────────────────────────────────────────────────────────────────────────────────────────────

PATHS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "box.x": (lambda d: d.box.x, [0, 1, 2, 10**20]),
    "box.label": (lambda d: d.box.label, ["", "a", "ab"]),
    "box.corner.x": (lambda d: d.box.corner.x, [0, 1]),
    "box.corner.y": (lambda d: d.box.corner.y, [None, 0.5, 1.0]),
    "box.far.y": (lambda d: d.box.far.y, [None, 0.5]),
    "box.colour": (lambda d: d.box.colour, [*Colour]),
    "maybe.x": (lambda d: d.maybe.x, [None, 0, 1]),
    "maybe.far.x": (lambda d: d.maybe.far.x, [None, 0, 1]),
    "shape.radius": (lambda d: d.shape.radius, [None, Decimal(1), Decimal("2.5")]),
    "shape.x": (lambda d: d.shape.x, [None, 0, 1]),
    "shape.label": (lambda d: d.shape.label, [None, "", "a", 0, 1]),
    "metadata['a']": (lambda d: d.metadata["a"], [None, 1, True, 1.5, "1", "x", [1], {"b": 1}]),
    "metadata['a']['b']": (lambda d: d.metadata["a"]["b"], [None, 1, "x"]),
    "metadata['a'][0]": (lambda d: None if isinstance(d.metadata["a"], str) else d.metadata["a"][0], [None, 1, "x"]),
    "counts['a']": (lambda d: d.counts["a"], [None, 0, 1, 2]),
    "deep['a']['b'].y": (lambda d: d.deep["a"]["b"].y, [None, 0.5]),
    "extra['lang']": (lambda d: d.extra["lang"], ["de", "en"]),
    "extra['year']": (lambda d: d.extra["year"], [None, 2025, 2026]),
    "points[0].x": (lambda d: d.points[0].x, [None, 0, 1]),
    "points[-1].y": (lambda d: d.points[-1].y, [None, 0.5]),
    "pair[1]": (lambda d: d.pair[1], ["", "a", "ab"]),
    "size.height": (lambda d: d.size.height, [None, 1, 2]),
    "span.last": (lambda d: d.span.last, [0, 1, 2]),
    "anything['a']": (lambda d: d.anything["a"], [None, 1, "x"]),
}
SORTED = [path for path in PATHS if path.partition("[")[0] not in ("metadata", "anything") and path != "shape.label"]
TEXTS = ["box.label", "shape.label", "metadata['a']", "extra['lang']", "pair[1]"]

POINTS = st.builds(Point, x=st.integers(0, 1), y=st.sampled_from([None, 0.5, 1.0]))
BOXES = st.builds(
    Box,
    x=st.sampled_from([0, 1, 2, 10**20]),
    label=st.sampled_from(["", "a", "ab", "AB"]),
    corner=POINTS,
    far=st.none() | POINTS,
    colour=st.sampled_from(Colour),
)
CIRCLES = st.builds(Circle, radius=st.sampled_from([Decimal(1), Decimal("2.5")]), label=st.integers(0, 1))
LOOSE = st.sampled_from([None, 0, 1, True, 1.5, "1", "x", "xa", [], [1, "x"], ["x"], {}, {"b": 1}, {"b": "x"}])
VALUES = st.fixed_dictionaries(
    {
        "box": BOXES,
        "maybe": st.none() | BOXES,
        "shape": st.none() | BOXES | CIRCLES,
        "metadata": st.dictionaries(st.sampled_from(["a", "b"]), LOOSE),
        "counts": st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 2)),
        "deep": st.dictionaries(st.sampled_from("ab"), st.dictionaries(st.sampled_from("ab"), POINTS)),
        "extra": st.sampled_from([{"lang": "de"}, {"lang": "en", "year": 2026}, {"lang": "de", "year": 2025}]),
        "points": st.lists(POINTS, max_size=2),
        "pair": st.tuples(st.integers(0, 1), st.sampled_from(["", "a", "ab"])),
        "size": st.builds(Size, st.integers(0, 1), st.sampled_from([None, 1, 2])),
        "span": st.builds(Span, st.integers(0, 1), st.integers(0, 2)),
        "anything": LOOSE | st.dictionaries(st.sampled_from("ab"), LOOSE),
    }
)
VERBS = ["==", "!=", "<", "<=", ">", ">=", "one of", "starts with", "contains"]
Leaf = tuple[str, str, Any]


@st.composite
def leaves(draw: st.DrawFn) -> Leaf:
    """Draw a condition on a part."""
    verb = draw(st.sampled_from(VERBS))
    if verb in ("starts with", "contains"):
        return verb, draw(st.sampled_from(TEXTS)), draw(st.sampled_from(["", "a", "x"]))
    path = draw(st.sampled_from([*PATHS]))
    pool = [value for value in PATHS[path][1] if value is not None or verb in ("==", "!=", "one of")]
    if verb in VERBS[2:6]:
        pool = [value for value in pool if not isinstance(value, (list, dict))]
    one = st.sampled_from(pool)
    return verb, path, draw(st.lists(one, max_size=3) if verb == "one of" else one)


SPECS: st.SearchStrategy[Any] = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=4,
)


def column(path: str) -> Any:
    """Return the column of a path."""
    return eval(f"Document.{path}", {"Document": Document})


def value_of(row: Document, path: str) -> Any:
    """Return what a path leads to in a row; None where plain Python finds nothing."""
    try:
        return PATHS[path][0](row)
    except (AttributeError, KeyError, IndexError, TypeError):
        return None


def condition(spec: Any) -> Any:
    """Return a condition."""
    if spec[0] == "not":
        return ~condition(spec[1])
    if spec[0] in ("and", "or"):
        first, second = map(condition, spec[1:])
        return first & second if spec[0] == "and" else first | second
    verb, path, value = spec
    part = column(path)
    build: dict[str, Callable[[], Any]] = {
        "==": lambda: part == value,
        "!=": lambda: part != value,
        "<": lambda: part < value,
        "<=": lambda: part <= value,
        ">": lambda: part > value,
        ">=": lambda: part >= value,
        "one of": lambda: one_of(part, value),
        "starts with": lambda: starts_with(part, value),
        "contains": lambda: contains(part, value),
    }
    return build[verb]()


def place(value: Any) -> Any:
    """Return what a value is compared by."""
    return value.value if isinstance(value, Enum) else value


def holds(spec: Any, row: Document) -> bool:
    """Return whether a condition holds, as Python would say it."""
    if spec[0] == "not":
        return not holds(spec[1], row)
    if spec[0] in ("and", "or"):
        first, second = (holds(part, row) for part in spec[1:])
        return first and second if spec[0] == "and" else first or second
    verb, path, value = spec
    mine = value_of(row, path)
    if verb in ("==", "!="):
        return bool((mine == value) == (verb == "=="))
    if verb == "one of":
        return mine in list(value)
    if verb == "contains":
        return bool(isinstance(mine, (str, list, dict)) and value in mine)
    if verb == "starts with":
        return bool(isinstance(mine, str) and mine.startswith(value))
    try:
        mine, value = place(mine), place(value)
        return bool({"<": lambda: mine < value, "<=": lambda: mine <= value, ">": lambda: mine > value}.get(
            verb, lambda: mine >= value
        )())  # fmt: skip
    except TypeError:
        return False


def sort(rows: list[Document], path: str, *, backwards: bool) -> list[int]:
    """Return the keys of rows sorted by a part: None last, ties by the key in the same direction."""
    ordered = sorted(rows, key=lambda row: row.id, reverse=backwards)
    present = [row for row in ordered if value_of(row, path) is not None]
    present.sort(key=lambda row: place(value_of(row, path)), reverse=backwards)
    return [row.id for row in present] + [row.id for row in ordered if value_of(row, path) is None]


@given(
    st.lists(VALUES, max_size=14),
    st.lists(st.lists(SPECS, min_size=1, max_size=2), min_size=2, max_size=5),
    st.sampled_from(SORTED),
    st.booleans(),
    st.integers(1, 4),
)
def test_answers_as_plain_python(
    stores: Stores, values: list[dict[str, Any]], questions: list[list[Any]], path: str, backwards: bool, size: int
) -> None:
    """Ensure the rows, their number, their order, their pages and their aggregates are those of plain Python."""
    with stores.new(Store) as db:
        rows = db.documents.insert_many([Document(id=number, **each) for number, each in enumerate(values)])
        order = desc(column(path)) if backwards else column(path)
        for specs in questions:
            query = db.documents.where(*map(condition, specs))
            matching = [row for row in rows if all(holds(spec, row) for spec in specs)]
            for _ in range(3):  # scans that keep columns answer alike
                assert [row.id for row in query.all()] == [row.id for row in matching]
            assert query.count() == len(matching)
            assert query.explain().filters == len(query._select.where)
            expected = sort(matching, path, backwards=backwards)
            assert [row.id for row in query.order_by(order).all()] == expected
            assert [row.id for row in query.order_by(order).limit(2).all()] == expected[:2]
            seen, cursor = [], None
            while True:
                page = query.order_by(order).page(limit=size, after=cursor)
                seen += [row.id for row in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert seen == expected
            present = [value for row in matching if (value := value_of(row, path)) is not None]
            assert query.max(column(path)) == max(present, key=place, default=None)
            groups = query.group_by(column(path)).aggregate(n=Count())
            assert {group.key: group.n for group in groups} == Counter(value_of(row, path) for row in matching)
            assert query.sum(DOC.maybe.x) == sum(row.maybe.x for row in matching if row.maybe)


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(VALUES, min_size=1, max_size=8), st.lists(VALUES, max_size=3), st.lists(SPECS, min_size=1, max_size=3))
def test_answers_beside_an_open_transaction(
    stores: Stores, before: list[dict[str, Any]], after: list[dict[str, Any]], specs: list[Any]
) -> None:
    """Ensure that a transaction sees its own rows, and bulk changes touch exactly what the condition holds for."""
    with stores.new(Store) as db:
        db.documents.insert_many([Document(id=number, **each) for number, each in enumerate(before)])
        with db.transaction():
            for number, each in enumerate(after):
                db.documents.upsert(Document(id=2 * number, **each))
            for spec in specs:
                rows = {row.id for row in db.documents if holds(spec, row)}
                assert {row.id for row in db.documents.where(condition(spec)).all()} == rows
            hit = {row.id for row in db.documents if holds(specs[0], row)}
            assert db.documents.where(condition(specs[0])).update(pair=(7, "hit")) == len(hit)
            assert {row.id for row in db.documents.where(DOC.pair[0] == 7)} == hit
            assert db.documents.where(DOC.pair[0] == 7).delete() == len(hit)
        assert db.check() == []


def test_answers_the_same_after_beginning_anew(stores: Stores) -> None:
    """Ensure that rows which came out of the file answer alike."""
    db = stores.lasting(Store, banner=False).open()
    db.documents.insert_many(
        [
            Document(id=1, box=Box(x=4, far=Point(y=0.5)), metadata={"lang": "de", "a": {"b": [1, 2]}}),
            Document(id=2, shape=Circle(radius=Decimal("2.5")), deep={"a": {"b": Point(x=3)}}, size=Size(1, 2)),
        ]
    )
    asked = [
        (DOC.box.x > 3, [1]),
        (DOC.metadata["lang"] == "de", [1]),
        (DOC.metadata["lang"] == None, [2]),  # noqa: E711
        (DOC.metadata["a"]["b"][1] >= 2, [1]),
        (DOC.shape.radius > 2, [2]),
        (DOC.deep["a"]["b"].x == 3, [2]),
        (DOC.size.height == 2, [2]),
        (DOC.box.far.y != 0.5, [2]),
    ]
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            for asking, expected in asked:
                assert [row.id for row in again.documents.where(asking)] == expected


# ── names, keys, kinds ──────────────────────────────────────────────────────────────────────────────────────────────

NAMES = [
    "name", "model", "types", "terms", "annotation", "read", "root", "part", "orders", "check", "choices", "column",
    "sort_key", "is_part", "equal", "as_seen", "items", "value", "key", "type", "count", "index",
]  # fmt: skip
FIELDS: dict[str, Any] = dict.fromkeys(NAMES, (int, 0))
Awkward: Any = create_model("Awkward", **FIELDS)


class Holder(Row):
    id: int
    inner: Awkward = Awkward()
    maybe: Awkward | None = None
    by_number: dict[int, str] = {}
    by_id: dict[UUID, str] = {}
    by_colour: dict[Colour, int] = {}
    counter: Counter[str] = Counter()
    view: Mapping[str, int] = {}
    bare: dict = {}  # type: ignore[type-arg]
    flags: dict[str, bool] = {}
    kind: dict[str, Literal["a", "b"]] = {}
    times: dict[str, datetime] = {}
    aware: dict[str, AwareDatetime] = {}
    secret: dict[str, Any] = {}


class Holders(Database):
    holders: Table[Holder]


HOLD: Any = Holder


@pytest.mark.parametrize("name", NAMES)
def test_a_nested_field_may_have_any_name(stores: Stores, name: str) -> None:
    """Ensure that no field is hidden by what a column has itself."""
    with stores.new(Holders) as db:
        db.holders.insert(Holder(id=1, inner=Awkward(**{name: 7}), maybe=Awkward(**{name: 7})))
        db.holders.insert(Holder(id=2))
        for outer in (HOLD.inner, HOLD.maybe):
            assert [row.id for row in db.holders.where(getattr(outer, name) == 7)] == [1]
            assert db.holders.max(getattr(outer, name)) == 7
        assert db.holders.order_by(desc(getattr(HOLD.inner, name))).first() == db.holders[1]


def test_keys_of_every_kind(stores: Stores) -> None:
    """Ensure that numbers, UUIDs, enums lead to items, and quotes and brackets in a key mean nothing."""
    odd = "a'] or True or r['"
    with stores.new(Holders) as db:
        db.holders.insert(
            Holder(
                id=1,
                by_number={3: "c"},
                by_id={UUID(int=1): "u"},
                by_colour={Colour.RED: 5},
                counter=Counter("aab"),
                view={odd: 1},
                bare={"a": {"b": 2}},
                flags={"on": True},
                kind={"k": "a"},
            )
        )
        db.holders.insert(Holder(id=2))
        for asking in (
            HOLD.by_number[3] == "c",
            HOLD.by_id[UUID(int=1)] == "u",
            HOLD.by_colour[Colour.RED] > 4,
            HOLD.counter["a"] == 2,
            HOLD.view[odd] >= 1,
            HOLD.bare["a"]["b"] == 2,
            HOLD.flags["on"],
            HOLD.flags["on"] == True,  # noqa: E712
            HOLD.kind["k"] == "a",
            starts_with(HOLD.kind["k"], "a"),
            contains(HOLD.by_number[3], "C", ignore_case=True),
        ):
            assert [row.id for row in db.holders.where(asking)] == [1]
        assert [row.id for row in db.holders.where(~HOLD.flags["on"])] == [2]
        assert repr(db.holders.where(HOLD.view[odd] == 1)) == f"<Query holders: where view[{odd!r}] == …>"


def test_any_number_of_keys_costs_bounded_memory(stores: Stores) -> None:
    """Ensure that parts are remembered up to a bound, whatever keys are asked for, and answer all the same."""
    with stores.new(Holders) as db:
        db.holders.insert(Holder(id=1, view={"k700": 1}))
        asked = range(400, 710) if stores.on_postgres else range(2000)
        assert [number for number in asked if db.holders.where(HOLD.view[f"k{number}"] == 1).exists()] == [700]
        assert len(HOLD.view._parts) <= 256
        assert len(db.holders._source._checked) < 100
    assert HOLD.view["k"] is HOLD.view["k"]
    assert HOLD.inner.name is HOLD.inner.name


def test_times_inside_of_values(stores: Stores) -> None:
    """Ensure that a naive time among aware ones is refused as it is for a field, by every way of asking."""
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    with stores.new(Holders) as db:
        db.holders.insert_many([Holder(id=1, times={"a": early}), Holder(id=2, times={"a": late}), Holder(id=3)])
        query = db.holders.where(HOLD.times["a"] > early)
        assert [row.id for row in query] == [2]
        assert refuses(
            InvalidQuery, db.holders.where(HOLD.times["a"] > datetime(2026, 1, 1)).all, "Holder.times['a']", "aware"
        )
        assert refuses(InvalidQuery, lambda: HOLD.aware["a"] > datetime(2026, 1, 1), "Holder.aware['a']", "naive")
        assert [row.id for row in db.holders.order_by(desc(HOLD.times["a"]))] == [2, 1, 3]
        with db.transaction():
            db.holders.insert(Holder(id=4, times={"a": datetime(2026, 1, 1)}))
            assert refuses(InvalidQuery, query.all, "Holder.times['a']", "naive")
            db.holders.delete(4)
            assert query.count() == 1
        db.holders.insert(Holder(id=5, times={"a": datetime(2026, 1, 3)}))
        assert refuses(InvalidQuery, query.all, "Holder.times['a']", "naive")


def test_open_models_and_extra_fields(stores: Stores) -> None:
    """Ensure that a nested model which takes any field can be asked for any."""

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        known: int = 0

    class Wide(Row):
        id: int
        inner: Open

    class Wides(Database):
        wides: Table[Wide]

    wide: Any = Wide
    with stores.new(Wides) as db:
        db.wides.insert(Wide(id=1, inner=Open(known=1, more=2)))
        db.wides.insert(Wide(id=2, inner=Open()))
        assert [row.id for row in db.wides.where(wide.inner.more == 2)] == [1]
        assert [row.id for row in db.wides.where(wide.inner.more == None)] == [2]  # noqa: E711
        assert [row.id for row in db.wides.where(wide.inner.known < 1)] == [2]


def test_updates_may_rest_on_parts(stores: Stores) -> None:
    """Ensure that a field is set to a part and a number, row by row; of nothing it is None, as ever."""
    with stores.new(Store) as db:
        db.documents.insert(Document(id=1, box=Box(x=5)))
        assert db.documents.update(1, anything=DOC.box.x + 1).anything == 6
        assert db.documents.update(1, anything=DOC.maybe.x + 1).anything is None
        assert refuses(InvalidQuery, lambda: DOC.metadata["a"] + 1, "Document.metadata['a']", "no numbers")


# ── what means nothing ──────────────────────────────────────────────────────────────────────────────────────────────

REFUSED: dict[str, tuple[Callable[[], object], type[Exception], tuple[str, ...]]] = {
    "unknown field": (lambda: DOC.box.z, AttributeError, ("Document.box.z", "x, label, corner, far, colour")),
    "unknown field deeper": (lambda: DOC.maybe.far.z, AttributeError, ("Document.maybe.far.z", "x, y")),
    "in no alternative": (lambda: DOC.shape.z, AttributeError, ("Document.shape.z", "radius")),
    "of a dataclass": (lambda: DOC.size.depth, AttributeError, ("Document.size.depth", "width, height")),
    "of a named tuple": (lambda: DOC.span.middle, AttributeError, ("Document.span.middle", "first, last")),
    "method of a model": (lambda: DOC.box.model_dump, AttributeError, ("Document.box.model_dump",)),
    "of a dict": (lambda: DOC.metadata.lang, AttributeError, ("Document.metadata['lang']",)),
    "get of a dict": (lambda: DOC.metadata.get("lang"), AttributeError, ("Document.metadata['get']",)),
    "of a number": (lambda: DOC.box.x.real, AttributeError, ("Document.box.x.real", "int")),
    "of a text": (lambda: DOC.box.label.lower, AttributeError, ("Document.box.label.lower", "starts_with")),
    "item of a number": (lambda: DOC.box.x["a"], InvalidQuery, ("Document.box.x[…]", "int")),
    "item of a model": (lambda: DOC.box["x"], InvalidQuery, ("Document.box[…]", "after a dot")),
    "key of a wrong type": (lambda: DOC.counts[3], InvalidQuery, ("Document.counts[…]", "int")),
    "unknown key": (lambda: DOC.extra["nothing"], InvalidQuery, ("Document.extra[…]",)),
    "beyond a tuple": (lambda: DOC.pair[2], InvalidQuery, ("Document.pair[…]",)),
    "text as a position": (lambda: DOC.points["a"], InvalidQuery, ("Document.points[…]", "str")),
    "slice": (lambda: DOC.points[:1], InvalidQuery, ("Document.points[…]", "slice")),
    "unhashable key": (lambda: DOC.metadata[["a"]], InvalidQuery, ("Document.metadata[…]", "list")),
    "key None": (lambda: DOC.metadata[None], InvalidQuery, ("Document.metadata[…]", "None")),
    "value of a wrong type": (lambda: DOC.box.x == "3", InvalidQuery, ("Document.box.x", "int", "str")),
    "order of a wrong type": (lambda: DOC.counts["a"] > "3", InvalidQuery, ("Document.counts['a']", "int", "str")),
    "less than None": (lambda: DOC.metadata["a"] < None, InvalidQuery, ("Document.metadata['a']", "None")),
    "less than a list": (lambda: DOC.metadata["a"] < [1], InvalidQuery, ("Document.metadata['a']",)),
    "order of models": (lambda: DOC.box.corner > Point(), InvalidQuery, ("Document.box.corner",)),
    "no choice": (lambda: DOC.box.colour == "green", InvalidQuery, ("Document.box.colour",)),
    "sorted by anything": (lambda: desc(DOC.metadata["a"]), InvalidQuery, ("Document.metadata['a']",)),
    "sum of text": (lambda: db_of().documents.sum(DOC.box.label), InvalidQuery, ("Document.box.label", "str")),
    "maximum of anything": (lambda: db_of().documents.max(DOC.metadata["a"]), InvalidQuery, ("metadata['a']",)),
    "groups by lists": (lambda: db_of().documents.group_by(DOC.points), InvalidQuery, ("Document.points",)),
    "another table": (lambda: db_of().documents.where(HOLD.inner.name == 1), InvalidQuery, ("Holder.inner.name",)),
    "column with column": (lambda: DOC.box.x == DOC.maybe, InvalidQuery, ("Document.box.x", "Document.maybe")),
    "and": (lambda: (DOC.box.x > 1) and (DOC.box.x < 3), InvalidQuery, ("&",)),
    "a model alone": (lambda: db_of().documents.where(DOC.box), InvalidQuery, ("Document.box",)),
    "a model's bool": (lambda: bool(DOC.box), InvalidQuery, ("Document.box",)),
    "in": (lambda: 1 in DOC.box, InvalidQuery, ("contains(",)),
    "joined by a part": (
        lambda: db_of().documents.with_many(db_of().documents, on=DOC.box.x),
        InvalidQuery,
        ("Document.box.x", "part"),
    ),
    "unique by a part": (
        lambda: db_of().documents.upsert(Document(id=1), by=DOC.box.x),
        InvalidQuery,
        ("documents", "box.x"),
    ),
}
DB = current(Store)


@pytest.fixture(scope="module", autouse=True)
def opened(module_stores: Stores) -> Iterator[None]:
    """Open the database that the module asks, on each engine."""
    with module_stores.new(Store) as db:
        use(DB, db)
        yield


def db_of() -> Store:
    """Return an open database."""
    return DB


@pytest.mark.parametrize(("build", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_refuses_where_it_is_written(
    build: Callable[[], object], error: type[Exception], words: tuple[str, ...]
) -> None:
    """Ensure that what means nothing is an error that names the way there, and what there is."""
    with pytest.raises(error) as raised:
        build()
    assert type(raised.value) is error
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_other_libraries_may_look_for_what_is_not_there() -> None:
    """Ensure that a column of a model can be copied, hashed, and asked for protocols it doesn't have."""
    assert not hasattr(DOC.box, "_repr_html_")
    assert not hasattr(DOC.box, "__len__")
    assert repr(copy.copy(DOC.box)) == "Document.box"
    assert len({DOC.box, DOC.maybe, DOC.box}) == 2


def test_a_model_as_a_whole_is_compared_as_ever(stores: Stores) -> None:
    """Ensure that equality of a nested model, of one that is missing, and of a list of them still work."""
    with stores.new(Store) as db:
        db.documents.insert_many([Document(id=1, box=Box(x=1)), Document(id=2, maybe=Box(x=2), points=[Point()])])
        for asking, expected in (
            (DOC.box == Box(x=1), [1]),
            (DOC.box != Box(x=1), [2]),
            (DOC.maybe == None, [1]),  # noqa: E711
            (DOC.box.corner == Point(), [1, 2]),
            (one_of(DOC.maybe, [Box(x=2), None]), [1, 2]),
            (contains(DOC.points, Point()), [2]),
        ):
            assert [row.id for row in db.documents.where(asking)] == expected
        assert [row.id for row in db.documents.where(box=Box(x=1))] == [1]


def test_explain_and_aggregates_name_the_part(stores: Stores) -> None:
    """Ensure that a plan counts the condition, and an aggregate over parts is by name."""
    with stores.new(Store) as db:
        db.documents.insert_many([Document(id=n, box=Box(x=n), metadata={"lang": "de"}) for n in range(3)])
        query = db.documents.where(DOC.box.x > 0, DOC.metadata["lang"] == "de", id=1)
        assert str(query.explain()) == "documents by index primary key, about 1 row expected; filter on 2 conditions"
        assert query.order_by(DOC.box.x).explain().sorts is False  # one row is never sorted
        assert db.documents.aggregate(n=Count(DOC.maybe.x), most=Max(DOC.box.x), all=Sum(DOC.box.x)) == {
            "n": 0,
            "most": 2,
            "all": 3,
        }
        groups = db.documents.group_by(DOC.box.x).having(Max(DOC.box.x) > 0).order_by(desc(DOC.box.x))
        assert [group.key for group in groups.aggregate(n=Count())] == [2, 1]
        assert str(groups.explain(n=Count())).endswith("group by box.x")


def test_a_secret_stays_one() -> None:
    """Ensure that neither a condition on a part of a secret nor an error about it shows values."""

    class Login(BaseModel, frozen=True):
        word: str = ""

    class Held(Row):
        id: int
        login: Annotated[Login, Secret()] = Login()

    held: Any = Held
    assert "hunter" not in repr(held.login.word == "hunter2")
    assert "hunter" not in refuses(InvalidQuery, lambda: held.login.word > Login(word="hunter2"))
