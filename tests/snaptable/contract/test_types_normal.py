"""What a write hands out is what comes back: equal, of the same class in every part, with the same arithmetic."""
# ruff: noqa: DTZ001, DTZ901, RUF012 - naive datetimes are tested too; a model's default is copied by Pydantic

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, Strict, create_model
from pydantic_core import TzInfo
from tests.snaptable.contract.stores import Stores, check_has_no_place
from tests.snaptable.support import WAYS, begun_anew
from typing_extensions import TypedDict

from snaptable import Database, ForeignKey, Index, InvalidRow, Row, Table

DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
BASES: list[Any] = [datetime, date, time, timedelta, UUID, str, int, float, Decimal, bytes, list, dict, set, frozenset]
SUB: dict[Any, Any] = {base: type(f"Own{base.__name__.title()}", (base,), {}) for base in BASES}


class Rules(tzinfo):
    """Be a zone of no library: an hour more while it is June, with the ambiguous hour that follows from it."""

    def utcoffset(self, moment: datetime | None, /) -> timedelta | None:
        return None if moment is None else timedelta(hours=1 + (moment.month == 6) - moment.fold)

    def dst(self, moment: datetime | None, /) -> timedelta | None:
        return None if moment is None else timedelta(0)

    def tzname(self, moment: datetime | None, /) -> str | None:
        return None if moment is None else "rules"


ZONES: list[tzinfo | None] = [
    None, UTC, TzInfo(0), TzInfo(3600), TzInfo(61), timezone(DAY / 24, "CET"), timezone(timedelta(seconds=-61)),
    timezone(timedelta(microseconds=1)), timezone(timedelta(seconds=1) - DAY), BERLIN, Rules(),
    ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Africa/Monrovia"),
]  # fmt: skip
HARD = [
    datetime(2026, 10, 25, 2, 30), datetime(2026, 3, 29, 2, 30), datetime(2026, 3, 28, 9), datetime(1890, 1, 1),
    datetime(2026, 11, 1, 1, 30), datetime(2026, 6, 30, 23, 59, 59, 999999), datetime.min, datetime.max,
]  # fmt: skip
MOMENTS = st.builds(
    lambda moment, zone, fold, kind: kind.combine(moment, moment.time(), tzinfo=zone).replace(fold=fold),
    st.sampled_from(HARD) | st.datetimes(),
    st.sampled_from(ZONES),
    st.integers(0, 1),
    st.sampled_from([datetime, SUB[datetime]]),
).filter(lambda moment: moment.year < 9999 or moment.tzinfo is not ZONES[8])  # fmt: skip


def own(base: Any, values: st.SearchStrategy[Any], make: Callable[[Any, Any], Any] | None = None) -> Any:
    """Return values, some as instances of a subclass."""
    build = make or (lambda kind, value: kind(value))
    return values | values.map(lambda value: build(SUB[base], value))


DATES = own(date, st.dates(), lambda kind, value: kind(value.year, value.month, value.day))
TIMES = own(
    time,
    st.builds(lambda t, z, fold: t.replace(tzinfo=z, fold=fold), st.times(), st.sampled_from(ZONES), st.integers(0, 1)),
    lambda kind, value: kind(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
)
SPANS = own(timedelta, st.timedeltas(), lambda kind, value: kind(value.days, value.seconds, value.microseconds))
UUIDS = own(UUID, st.uuids(), lambda kind, value: kind(int=value.int))
TEXTS = own(str, st.text(max_size=3))
INTS = own(int, st.integers(-3, 3) | st.just(2**70))
FLOATS = own(float, st.floats(allow_nan=False, allow_infinity=False))
DECIMALS = own(Decimal, st.decimals(allow_nan=False, allow_infinity=False))
BYTES = own(bytes, st.binary(max_size=3))


class Inner(BaseModel):
    at: datetime
    more: list[datetime] = []


@dataclass(frozen=True)
class Data:
    at: datetime
    name: str = ""


class Typed(TypedDict, total=False):
    at: datetime
    id: UUID


class Pair(NamedTuple):
    at: datetime
    id: UUID


JSON: st.SearchStrategy[Any] = st.recursive(
    TEXTS | INTS | FLOATS | st.none() | st.booleans(),
    lambda inner: own(list, st.lists(inner, max_size=2)) | own(dict, st.dictionaries(TEXTS, inner, max_size=2)),
    max_leaves=4,
)
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "at": (datetime | None, st.none() | MOMENTS),
    "hour": (time, TIMES),
    "day": (date, DATES),
    "span": (timedelta, SPANS),
    "uid": (UUID, UUIDS),
    "text": (str, TEXTS),
    "number": (int, INTS),
    "real": (float, FLOATS),
    "price": (Decimal, DECIMALS),
    "data": (bytes, BYTES),
    "strict_text": (Annotated[str, Strict()], TEXTS),
    "strict_int": (Annotated[int, Strict()], INTS),
    "strict_float": (Annotated[float, Strict()], FLOATS),
    "strict_price": (Annotated[Decimal, Strict()], DECIMALS),
    "strict_at": (Annotated[datetime, Strict()], MOMENTS),
    "uids": (list[UUID], own(list, st.lists(UUIDS, max_size=2))),
    "uid_set": (frozenset[UUID], own(frozenset, st.frozensets(UUIDS, max_size=2))),
    "texts": (set[str], own(set, st.sets(TEXTS, max_size=2))),
    "times": (list[datetime], own(list, st.lists(MOMENTS, max_size=2))),
    "tuple": (tuple[datetime, ...], st.lists(MOMENTS, max_size=2).map(tuple)),
    "queue": (deque[datetime], st.lists(MOMENTS, max_size=2).map(deque)),
    "by_day": (dict[date, datetime], own(dict, st.dictionaries(DATES, MOMENTS, max_size=2))),
    "ordered": (OrderedDict[str, datetime], st.dictionaries(TEXTS, MOMENTS, max_size=2).map(OrderedDict)),
    "anything": (Any, JSON),
    "inner": (Inner, st.builds(Inner, at=MOMENTS, more=st.lists(MOMENTS, max_size=2))),
    "dataclass": (Data, st.builds(Data, MOMENTS, TEXTS)),
    "typed": (Typed, st.fixed_dictionaries({"at": MOMENTS, "id": UUIDS})),
    "pair": (Pair, st.builds(Pair, MOMENTS, UUIDS)),
    "either": (datetime | int, MOMENTS | INTS),
    "own_code": (Annotated[datetime, BeforeValidator(lambda value: value)], MOMENTS),
}


def model_of(names: list[str]) -> Any:
    """Return a model with a field of each of some kinds."""
    parts: dict[str, Any] = {name: (KINDS[name][0], ...) for name in names}
    return create_model("Item", __base__=Row, id=(int, ...), **parts)


def unlike(first: Any, second: Any, place: str = "") -> str | None:
    """Return where two values differ in class, value or arithmetic; None if nowhere."""
    if type(first) is not type(second):
        return f"{place}: {type(first).__name__} and {type(second).__name__}"
    if isinstance(first, datetime):
        return _unlike_moments(first, second, place)
    if isinstance(first, time):
        same = first == second and first.tzinfo == second.tzinfo and first.fold == second.fold
        return None if same else f"{place}: {first!r} and {second!r}"
    if is_dataclass(first) or isinstance(first, BaseModel):
        names = [field.name for field in fields(first)] if is_dataclass(first) else list(type(first).model_fields)
        one, other = ({name: getattr(each, name) for name in names} for each in (first, second))
        return unlike(one, other, place)
    if isinstance(first, dict):
        first, second = list(first.items()), list(second.items())
    elif isinstance(first, (set, frozenset)):
        first, second = sorted(first), sorted(second)
    if isinstance(first, (list, tuple, deque)):
        if len(first) != len(second):
            return f"{place}: lengths"
        found = (unlike(one, other, f"{place}.{at}") for at, (one, other) in enumerate(zip(first, second, strict=True)))
        return next((problem for problem in found if problem), None)
    return None if first == second and repr(first) == repr(second) else f"{place}: {first!r} and {second!r}"


def _unlike_moments(first: datetime, second: datetime, place: str) -> str | None:
    facts = [
        (value, value.replace(tzinfo=None), value.fold, value.utcoffset(), value.tzname(), type(value.tzinfo))
        for value in (first, second)
    ]
    if facts[0] != facts[1] or first.fold:
        return f"{place}: {facts}"
    if datetime(1975, 1, 1) < first.replace(tzinfo=None) < datetime(2100, 1, 1):
        assert (first + DAY).timestamp() == (second + DAY).timestamp()
    return None


def check_same_everywhere(stores: Stores, model: Any, write: Callable[[Table[Any]], Any]) -> Any:
    """Check that a row handed out by a write is the row there is, and there is after each way of beginning anew."""
    store: Any = type("Store", (Database,), {"__annotations__": {"items": Table[model]}})
    db = stores.lasting(store).open()
    try:
        handed_out = write(db.items)
    except InvalidRow as error:
        check_has_no_place(stores, error)
        db.close()
        return None
    assert unlike(handed_out, db.items[1]) is None
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            assert unlike(handed_out, again.items[1]) is None, way
            assert again.items[1] == handed_out
            sequence = again.status().sequence
            assert again.items.replace(again.items[1]) == handed_out
            assert again.status().sequence == sequence
            assert again.check() == []
    return handed_out


VERBS: dict[str, Callable[[Table[Any], Any, Any, list[str]], Any]] = {
    "insert": lambda items, row, _, __: items.insert(row),
    "unchecked": lambda items, row, _, __: items.insert(items.model.model_construct(**dict(row))),
    "create": lambda items, row, _, __: items.create(**dict(row)),
    "upsert": lambda items, row, _, __: items.upsert(row),
    "replace": lambda items, row, first, _: [items.insert(first), items.replace(row)][1],
    "update": lambda items, row, first, names: [
        items.insert(first), items.update(SUB[int](1), **{name: getattr(row, name) for name in names})
    ][1],
    "update_rows": lambda items, row, first, names: [
        items.insert(first), items.where().update(**{name: getattr(row, name) for name in names}), items[1]
    ][2],
    "insert_many": lambda items, row, _, __: items.insert_many([row])[0],
}  # fmt: skip


@settings(max_examples=settings().max_examples)
@given(st.data())
def test_hands_out_what_comes_back(stores: Stores, data: st.DataObject) -> None:
    """Ensure that no value of any type is refused for its class, zone or hour, and that all are handed out as kept."""
    names = data.draw(st.lists(st.sampled_from([*KINDS]), min_size=1, max_size=4, unique=True))
    model = model_of(names)
    first, row = (model(id=1, **{name: data.draw(KINDS[name][1]) for name in names}) for _ in range(2))
    verb = data.draw(st.sampled_from([*VERBS]))
    check_same_everywhere(stores, model, lambda items: VERBS[verb](items, row, first, names))


@given(MOMENTS)
def test_keeps_the_moment(stores: Stores, moment: datetime) -> None:
    """Ensure that a moment in any zone, the ambiguous and the missing hour included, stays the moment it was."""
    stored = check_same_everywhere(stores, model_of(["at"]), lambda items: items.create(id=1, at=moment)).at
    offset = moment.utcoffset()
    wall = moment.replace(tzinfo=None, fold=0)
    if offset is None:
        assert (stored, stored.tzinfo) == (wall, None)
    else:
        assert stored.replace(tzinfo=None) - wall == stored.utcoffset() - offset
        assert abs(stored.utcoffset() - offset) < timedelta(minutes=1)


DEFAULTS: list[tuple[Any, Any]] = [
    (str, lambda: SUB[str]("a")),
    (UUID, lambda: SUB[UUID](int=1)),
    (datetime, lambda: datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)),
    (list[UUID], lambda: [SUB[UUID](int=1)]),
    (int, lambda: True),
]


@pytest.mark.parametrize(("annotation", "factory"), DEFAULTS)
@pytest.mark.parametrize("constant", [False, True])
def test_defaults_are_values_too(stores: Stores, annotation: Any, factory: Callable[[], Any], constant: bool) -> None:
    """Ensure that a default is normalised and validated as a value that was given."""
    default = Field(default=factory()) if constant else Field(default_factory=factory)
    parts: dict[str, Any] = {"id": (int, ...), "value": (annotation, default)}
    model: Any = cast("Any", create_model("Item", __base__=Row, **parts))
    check_same_everywhere(stores, model, lambda items: items.create(id=1))
    check_same_everywhere(stores, model, lambda items: items.insert(model(id=1)))


class Parent(Row):
    id: UUID


class Child(Row):
    id: int
    parent: Annotated[UUID | None, ForeignKey(Parent, on_delete="set null")] = None
    at: Annotated[datetime, Index(ordered=True)]
    hours: list[datetime] = []


class Family(Database):
    parents: Table[Parent]
    children: Table[Child]


def test_keys_references_and_set_null_too(stores: Stores) -> None:
    """Ensure that keys and references of a subclass become plain, and that "set null" keeps the rest as it was."""
    key, at = SUB[UUID](int=7), datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    with stores.lasting(Family) as db:
        parent = db.parents.insert(Parent(id=key))
        child = db.children.insert(Child(id=1, parent=key, at=at, hours=[at]))
        assert type(parent.id) is type(child.parent) is UUID
        assert db.children.where(Child.at == child.at, parent=key).count() == 1
        db.parents.delete(key)
        released = db.children[1]
    with stores.again(db) as again:
        assert unlike(released, again.children[1]) is None
        assert unlike(released.at, child.at) is None


def test_reads_aware_times_alone(stores: Stores) -> None:
    """Ensure that a type that takes aware times alone takes those of any zone."""
    model: Any = create_model("Item", __base__=Row, id=(int, ...), at=(AwareDatetime, ...))
    stored = check_same_everywhere(
        stores, model, lambda items: items.create(id=1, at=datetime(2026, 3, 28, 9, tzinfo=BERLIN))
    )
    assert stored.at.tzinfo == timezone(timedelta(hours=1))
