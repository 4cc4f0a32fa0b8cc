"""Any value at all is either refused, or comes back equal: found by searching, not by listing."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic_core import PydanticSerializationError, from_json, to_json
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import WAYS, begun_anew, identical

from snaptable import Database, InvalidRow, Row, Table
from snaptable.values.lasting import is_plain_json
from snaptable.values.strict_json import depth_of


class Anything(Row):
    id: int | None = None
    value: Any = None


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    at: datetime | date | None = None
    data: bytes = b""
    more: "list[Inner]" = []


class Everything(Row):
    id: int | None = None
    text: str = ""
    number: int = 0
    real: float = 0.0
    flag: bool | None = None
    at: datetime | None = None
    day: date | None = None
    hour: time | None = None
    span: timedelta | None = None
    price: Decimal | None = None
    uid: UUID | None = None
    colour: Colour | None = None
    data: bytes = b""
    choice: Literal["a", "b"] | None = None
    either: int | str | float | None = None
    times: list[datetime] = []
    by_day: dict[date, Decimal] = {}
    texts: frozenset[str] = frozenset()
    pairs: tuple[tuple[int, float], ...] = ()
    numbers: set[int] = set()
    inner: Inner | None = None
    json_value: JsonValue = None


class Opened(Row):
    id: int | None = None
    value: Any = None
    named: dict[str, Any] = {}
    listed: list[Any] | None = None
    json_value: JsonValue = None


class Store(Database):
    opened: Table[Opened]
    anything: Table[Anything]
    everything: Table[Everything]


def every_text() -> st.SearchStrategy[str]:
    """Return texts, lone surrogates included now and then."""
    return st.one_of(st.text(), st.text(alphabet=st.characters(), max_size=3))


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), every_text(), st.binary(max_size=4), st.datetimes()
)
KEYS = st.one_of(every_text(), st.integers(-3, 3), st.sampled_from(["1", "-1", "true", "null", None, True]))
JSONISH = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.tuples(inner),
        st.frozensets(st.integers(), max_size=2),
    ),
    max_leaves=8,
)
PURE_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)


def check_survival(stores: Stores, rows: list[Any], insert: Callable[[Store, Any], Any]) -> int:
    """Insert rows one by one; check that those taken come back the same in all three ways; return their number."""
    db = stores.lasting(Store, snapshot="background").open()
    taken: list[Any] = []
    for row in rows:
        sequence = db.status().sequence
        try:
            taken.append(insert(db, row))
        except InvalidRow:
            assert db.status().sequence == sequence
    db.persist()
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            for row in taken:
                table: Table[Any] = again.tables[type(row).__name__.lower()]
                assert identical(table[row.id], row), (way, row)
            assert sum(map(len, again.tables.values())) == len(taken)
            assert again.check() == []
    return len(taken)


@given(st.lists(JSONISH, max_size=6))
def test_anything_is_refused_or_comes_back(stores: Stores, values: list[Any]) -> None:
    """Ensure that whatever a field typed Any is given is refused with nothing written, or comes back the same."""

    def insert(db: Store, row: Anything) -> Anything:
        stored = db.anything.insert(row)
        assert identical(stored.value, row.value)
        return stored

    check_survival(stores, [Anything.model_construct(id=None, value=value) for value in values], insert)


@given(
    value=JSONISH,
    named=st.dictionaries(KEYS, JSONISH, max_size=3),
    listed=st.lists(JSONISH, max_size=3),
    json_value=PURE_JSON,
)
def test_open_fields_are_refused_or_come_back(
    stores: Stores, value: Any, named: Any, listed: Any, json_value: Any
) -> None:
    """Ensure the same of objects and arrays that hold anything, in a model of which nothing else is in doubt."""
    row = Opened.model_construct(id=None, value=value, named=named, listed=listed, json_value=json_value)
    assert check_survival(stores, [row], lambda db, row: db.opened.insert(row)) in (0, 1)


@given(JSONISH, st.integers(0, 3))
def test_plain_json_comes_back_from_json(value: Any, levels: int) -> None:
    """Ensure that what counts as plain JSON is what its own JSON gives, unless a text in it can't be written."""
    if is_plain_json(value, levels):
        assert depth_of(value) <= levels
        with suppress(PydanticSerializationError):  # half of a surrogate pair
            assert identical(from_json(to_json(value)), value)


@given(st.lists(PURE_JSON, min_size=1, max_size=6))
def test_json_is_always_taken(stores: Stores, values: list[Any]) -> None:
    """Ensure that what is JSON's own is never refused in a field typed Any, and comes back the same."""
    rows = [Anything(value=value) for value in values]
    assert check_survival(stores, rows, lambda db, row: db.anything.insert(row)) == len(rows)


ZONED = st.datetimes(timezones=st.none() | st.timezones())
INNER: st.SearchStrategy[Inner] = st.deferred(
    lambda: st.builds(
        Inner, at=st.none() | ZONED | st.dates(), data=st.binary(max_size=5), more=st.lists(INNER, max_size=1)
    )
)
ROWS = st.builds(
    Everything.model_construct,
    id=st.none(),
    text=every_text(),
    number=st.integers(),
    real=st.floats(),
    flag=st.none() | st.booleans(),
    at=st.none() | ZONED,
    day=st.none() | st.dates(),
    hour=st.none() | st.times(timezones=st.none() | st.timezones()),
    span=st.none() | st.timedeltas(),
    price=st.none() | st.decimals(),
    uid=st.none() | st.uuids(),
    colour=st.none() | st.sampled_from(Colour),
    data=st.binary(),
    choice=st.sampled_from(["a", "b", None]),
    either=st.none() | st.integers() | st.text() | st.floats(),
    times=st.lists(ZONED, max_size=2),
    by_day=st.dictionaries(st.dates(), st.decimals(allow_nan=False), max_size=2),
    texts=st.frozensets(st.text(), max_size=3),
    pairs=st.lists(st.tuples(st.integers(), st.floats(allow_nan=False)), max_size=2).map(tuple),
    numbers=st.sets(st.integers(), max_size=3),
    inner=st.none() | INNER,
    json_value=PURE_JSON,
)


@given(st.lists(ROWS, max_size=5))
def test_typed_rows_are_refused_or_come_back(stores: Stores, rows: list[Any]) -> None:
    """Ensure that a row of any types and any values is refused with nothing written, or comes back the same."""
    check_survival(stores, rows, lambda db, row: db.everything.insert(row))


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(ROWS, min_size=2, max_size=4), st.data())
def test_updates_are_refused_or_come_back(stores: Stores, rows: list[Any], data: st.DataObject) -> None:
    """Ensure that a field changed by update is refused with the row as it was, or comes back the same."""
    names = st.lists(st.sampled_from([name for name in Everything.model_fields if name != "id"]), unique=True)

    def insert(db: Store, row: Any) -> Any:
        first = db.everything.insert(Everything())
        changes = {name: getattr(row, name) for name in data.draw(names)}
        try:
            changed = db.everything.update(first.id, **changes)
        except InvalidRow:
            assert db.everything[first.id] == first
            return first
        assert all(getattr(changed, name) == value for name, value in changes.items())
        return changed

    assert check_survival(stores, rows, insert) == len(rows)
