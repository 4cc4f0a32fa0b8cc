"""Whatever would not come back equal is refused at the write, by table, key and field, and leaves nothing behind."""
# ruff: noqa: PT017 - which error is allowed depends on the model

import math
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    create_model,
    field_serializer,
    model_validator,
)
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import WAYS, begun_anew, refuses
from typing_extensions import TypeAliasType

from snaptable import Database, InvalidRow, Row, Table


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    tags: list[str] = []


class Deeper(Point):
    z: int = 0


class Blob(BaseModel):
    data: bytes


class Rounded(BaseModel):
    amount: float

    @field_serializer("amount")
    def round_it(self, amount: float) -> float:
        return round(amount)


class Shouting(BaseModel):
    text: str

    @model_validator(mode="after")
    def shout(self) -> "Shouting":
        return Shouting.model_construct(text=self.text + "!")


def nested(depth: int, inner: Any = None) -> Any:
    """Return lists in lists, so many deep."""
    for _ in range(depth):
        inner = [inner]
    return inner


def nested_dicts(depth: int) -> Any:
    """Return dictionaries in dictionaries, so many deep."""
    inner: Any = {}
    for _ in range(depth - 1):
        inner = {"a": inner}
    return inner


def bare(model: Any, **values: Any) -> Any:
    """Return a model that was never validated."""
    return model.model_construct(**values)


HUGE = 10**5000
Growing = Annotated[int, AfterValidator(lambda value: value + 1)]
Halved = Annotated[float, PlainSerializer(lambda value: value / 2)]
Written = Annotated[int, PlainSerializer(hex, return_type=str)]
Picky = Annotated[str, BeforeValidator(lambda value: value.removeprefix("<").removesuffix(">"))]
Loud = NewType("Loud", Annotated[str, AfterValidator(lambda text: f"{text}!")])
Louder = TypeAliasType("Louder", Annotated[str, AfterValidator(lambda text: f"{text}!")])

CASES: list[tuple[str, Any, Any]] = [
    ("NaN", float, math.nan),
    ("infinity", float, math.inf),
    ("minus infinity", float | None, -math.inf),
    ("NaN in a list", list[float], [1.0, math.nan]),
    ("infinity in a dict", dict[str, float], {"a": math.inf}),
    ("NaN in anything", Any, {"a": [math.nan]}),
    ("Decimal NaN", Annotated[Decimal, Field(allow_inf_nan=True)], Decimal("NaN")),
    ("signalling NaN", Annotated[Decimal, Field(allow_inf_nan=True)], Decimal("sNaN")),
    ("lone surrogate", str, "a\ud800b"),
    ("lone surrogate in a list", list[str], ["\udfff"]),
    ("lone surrogate as a key", dict[str, int], {"\ud800": 1}),
    ("lone surrogate in anything", Any, {"a": ["\ud800"]}),
    ("5000 digits", int, HUGE),
    ("5000 digits, negative", int | None, -HUGE),
    ("5000 digits in a list", list[int], [HUGE]),
    ("5000 digits in anything", Any, {"a": HUGE}),
    ("lists 100 deep", Any, nested(100)),
    ("dicts 100 deep", Any, nested_dicts(100)),
    ("typed lists 100 deep", list[Any], nested(100)),
    ("lists 5000 deep", Any, nested(5000)),
    ("clashing keys", dict[int | str, int], {1: 1, "1": 2}),
    ("clashing keys in anything", Any, {1: 1, "1": 2}),
    ("clashing keys of two kinds", Any, {"true": 1, True: 2}),
    ("int keys in anything", Any, {1: "a"}),
    ("None as a key in anything", Any, {None: "a"}),
    ("tuple in anything", Any, (1, 2)),
    ("tuple deep in anything", Any, {"a": [(1, 2)]}),
    ("set in anything", Any, {1, 2}),
    ("frozenset in a list", list[Any], [frozenset({1})]),
    ("bytes in anything", Any, b"plain"),
    ("datetime in anything", Any, datetime(2026, 1, 1, tzinfo=UTC)),
    ("date in a dict", dict[str, Any], {"a": date(2026, 1, 1)}),
    ("Decimal in anything", Any, Decimal("1.5")),
    ("UUID in anything", Any, UUID(int=1)),
    ("Enum in anything", Any, Colour.RED),
    ("model in anything", Any, Point(x=1)),
    ("object in anything", Any, object()),
    ("tuple in object", object, (1,)),
    ("date that a str takes first", str | date, date(2026, 1, 1)),
    ("set that a list takes first", list[int] | set[int], {1}),
    ("literal Enum, which Pydantic doesn't read back", Literal[Colour.RED], Colour.RED),
    ("bytes of no text in a model that says UTF-8", Blob, Blob(data=b"\xff")),
    ("more than its field's type holds", Point, Deeper(x=1, z=2)),
    ("a serializer that rounds", Rounded, Rounded(amount=1.4)),
    ("a serializer that halves", Halved, 3.0),
    ("a serializer nobody reads back", Written, 255),
    ("a validator that adds each time", Growing, 1),
    ("a validator that strips each time", Picky, "<<<a>>>"),
    ("a model that grows each time", Shouting, Shouting.model_construct(text="a")),
    ("wrong kind", int, "no number"),
    ("wrong kind deep inside", list[dict[str, int]], [{"a": "no number"}]),
    ("nested model unchecked", Point, bare(Point, x="no number")),
    ("nested model's list unchecked", Point, bare(Point, x=1, tags=[1, None])),
    ("nested model without its field", Point, bare(Point)),
    ("nested NaN", Rounded, Rounded.model_construct(amount=math.nan)),
    ("no member", Colour, "green"),
    ("out of bounds", Annotated[int, Field(le=3)], 4),
]
KINDS = {name: annotation for name, annotation, _ in CASES}
VALUES = {name: value for name, _, value in CASES}


def database_of(annotation: Any) -> tuple[Any, type[Database]]:
    """Make a database with a table `items` of a model with the fields id and value."""
    model = create_model("Item", __base__=Row, id=str, value=(annotation | None if annotation is int else annotation))
    return model, type("Store", (Database,), {"__annotations__": {"items": Table[model]}})


def bad_row(model: Any, name: str, key: str = "1") -> Row:
    """Return a row that was never validated."""
    row: Row = model.model_construct(id=key, value=VALUES[name])
    return row


@pytest.mark.parametrize("name", KINDS)
def test_refuses_to_write(stores: Stores, name: str) -> None:
    """Ensure that every way of adding a row refuses the value by table, key and field, and leaves nothing behind."""
    model, store = database_of(KINDS[name])
    with stores.lasting(store) as db:
        items: Table[Any] = db.tables["items"]
        before, sequence = stores.content(db), db.status().sequence
        ways: list[Callable[[Any], object]] = [
            items.insert,
            items.upsert,
            lambda row: items.insert_many([row]),
        ]
        for way in ways:
            assert refuses(InvalidRow, partial(way, bad_row(model, name)), "items", "'1'", "value")
            assert items.all() == []
        assert db.status().sequence == sequence
        assert stores.content(db) == before
        assert db.check() == []


GOOD: dict[str, Any] = {
    "lone surrogate": "a",
    "NaN": 1.0,
    "5000 digits": 1,
    "tuple in anything": [1],
    "no member": "red",
}


@pytest.mark.parametrize("name", GOOD)
def test_refuses_to_change(stores: Stores, name: str) -> None:
    """Ensure that update, replace, upsert and the bulk update refuse the value and leave the row as it was."""
    model, store = database_of(KINDS[name])
    with stores.new(store) as db:
        items: Table[Any] = db.tables["items"]
        good, other = items.insert(model(id="1", value=GOOD[name])), items.insert(model(id="2", value=GOOD[name]))
        value = VALUES[name]
        ways: list[Callable[[], object]] = [
            lambda: items.update("1", value=value),
            lambda: items.replace(bad_row(model, name)),
            lambda: items.upsert(bad_row(model, name)),
            lambda: items.where(id="1").update(value=value),
            lambda: items.where().update(value=value),
        ]
        sequence = db.status().sequence
        for way in ways:
            assert refuses(InvalidRow, way, "items", "value")
            assert items.all() == [good, other]
        assert db.status().sequence == sequence


@pytest.mark.parametrize("name", GOOD)
def test_refuses_the_whole_batch(stores: Stores, name: str) -> None:
    """Ensure that insert_many with one bad row adds none, whichever it is."""
    model, store = database_of(KINDS[name])
    with stores.new(store) as db:
        items: Table[Any] = db.tables["items"]
        for place in range(3):
            rows: list[Any] = [model(id=str(number), value=GOOD[name]) for number in range(2)]
            rows.insert(place, bad_row(model, name, "bad"))
            assert refuses(InvalidRow, partial(items.insert_many, rows), "items", "bad", "value")
            assert items.all() == []


def test_goes_on_after_a_refusal(stores: Stores) -> None:
    """Ensure that a refusal caught inside a transaction left nothing of its operation, and that the rest commits."""
    model, store = database_of(float)
    with stores.new(store) as db:
        items: Table[Any] = db.tables["items"]
        with db.transaction():
            items.insert(model(id="0", value=0.5))
            assert refuses(InvalidRow, lambda: items.insert(bad_row(model, "NaN")), "items")
            assert refuses(InvalidRow, lambda: items.where().update(value=math.inf), "items")
            items.insert(model(id="2", value=2.5))
        assert [(row.id, row.value) for row in items.order_by(model.id)] == [("0", 0.5), ("2", 2.5)]


CHANGING: list[tuple[Any, Any]] = [
    (Growing, 1),
    (Picky, "<<<a>>>"),
    (Shouting, {"text": "a"}),
    (Json[list[int]], "[1, 2]"),
    (Base64Bytes, b64encode(b64encode(b64encode(b"abcd")))),
    (Annotated[str, AfterValidator(lambda text: f"{text}!")] | None, "a"),
    (list[Annotated[str, AfterValidator(lambda text: f"{text}!")]], ["a"]),
    (list[Annotated[str, Field(max_length=9), BeforeValidator(lambda text: f"{text}!")] | None], ["a", None]),
    (set[Annotated[str, PlainSerializer(lambda text: f"{text}!")]], {"a"}),
    (list[Loud], ["a"]),
    (frozenset[Louder], {"a"}),
    (dict[str, Annotated[Any, AfterValidator(lambda value: [value])]], {"a": 1}),
    (Annotated[dict[str, Any], AfterValidator(lambda value: {"in": value})] | None, {"a": 1}),
    (dict[Annotated[str, AfterValidator(lambda text: f"{text}!")], Any], {"a": 1}),
]


@pytest.mark.parametrize(("annotation", "value"), CHANGING)
def test_never_stores_another_value(stores: Stores, annotation: Any, value: Any) -> None:
    """Ensure that a valid row whose validators make another value each time is refused, or kept just as it is."""
    model, store = database_of(annotation)
    row: Any = model(id="1", value=value)
    db = stores.lasting(store).open()
    try:
        db.tables["items"].insert(row)
    except InvalidRow as error:
        assert "items['1'].value" in str(error)
    kept = db.tables["items"].all()
    assert kept in ([], [row])
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            assert again.tables["items"].all() == kept


@pytest.mark.parametrize("key", ["\ud800", "a\udfff"])
def test_refuses_a_key_that_is_no_text(stores: Stores, key: str) -> None:
    """Ensure that a lone surrogate in the key itself is refused, with a message that can be printed."""
    model, store = database_of(int)
    with stores.new(store) as db:
        items: Table[Any] = db.tables["items"]
        message = refuses(InvalidRow, lambda: items.insert(model(id=key, value=1)), "items", "id")
        assert message.encode()
        assert items.all() == []


@pytest.mark.parametrize("key", [None, 5, b"a", "x" * 5, ""])
def test_takes_a_key_of_its_type_only(stores: Stores, key: Any) -> None:
    """Ensure that a row whose key is of another type is refused, while any text is a key."""
    model, store = database_of(int)
    with stores.new(store) as db:
        items: Table[Any] = db.tables["items"]
        row = model.model_construct(id=key, value=1)
        if isinstance(key, (str, bytes)):
            assert type(items.insert(row).id) is str
        else:
            assert refuses(InvalidRow, lambda: items.insert(row), "items", "id")


def test_takes_depth_up_to_the_limit(stores: Stores) -> None:
    """Ensure that nesting of 100, the row itself counted, is taken and comes back: 99 in a field."""
    model, store = database_of(Any)
    with stores.lasting(store) as db:
        items: Table[Any] = db.tables["items"]
        items.insert(model(id="1", value=nested(99)))
        items.insert(model(id="2", value=nested_dicts(99)))
    with stores.again(db) as again:
        assert again.tables["items"]["1"] == model(id="1", value=nested(99))
        assert again.tables["items"]["2"] == model(id="2", value=nested_dicts(99))


def test_takes_integers_up_to_the_limit(stores: Stores) -> None:
    """Ensure that an integer of 4,300 digits is taken and comes back, one of 4,301 refused; PostgreSQL: of 64 bits."""
    model, store = database_of(int)
    beyond = 2**63 if stores.on_postgres else 10**4300
    with stores.lasting(store) as db:
        items: Table[Any] = db.tables["items"]
        items.insert(model(id="1", value=-(beyond - 1)))
        assert refuses(InvalidRow, lambda: items.insert(model(id="2", value=beyond)), "items", "'2'", "value")
    with stores.again(db) as again:
        assert again.tables["items"]["1"] == model(id="1", value=-(beyond - 1))


def test_validates_rows_made_without_validation(stores: Stores) -> None:
    """Ensure that rows of model_construct and model_copy are validated and converted like any other."""

    class Item(Row):
        model_config = ConfigDict(str_strip_whitespace=True)
        id: str
        size: int = 3
        name: str = ""

    class Store(Database):
        items: Table[Item]

    with stores.new(Store) as db:
        assert db.items.insert(
            Item.model_construct(id="1", size="4", name=" a ")  # type: ignore[arg-type]
        ) == Item(id="1", size=4, name="a")
        copied = Item(id="2").model_copy(update={"size": "five"})
        assert refuses(InvalidRow, lambda: db.items.insert(copied), "items", "'2'", "size")
        extra = Item(id="3").model_copy(update={"colour": "red"})
        assert refuses(InvalidRow, lambda: db.items.insert(extra), "items", "colour")
        assert [row.id for row in db.items] == ["1"]


def test_says_no_value(stores: Stores) -> None:
    """Ensure that a refusal does not repeat the value: it may be a secret, and messages end up in logs."""
    model, store = database_of(list[int])
    with stores.new(store) as db:
        items: Table[Any] = db.tables["items"]
        row = model.model_construct(id="1", value=["hunter2"])
        assert "hunter2" not in refuses(InvalidRow, lambda: items.insert(row), "items", "value")
