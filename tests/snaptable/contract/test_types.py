"""Whatever type a Pydantic user gives a field: what was written comes back equal, and of the same type."""
# ruff: noqa: DTZ001, DTZ901 - naive datetimes are tested too

import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from ipaddress import IPv4Address, IPv6Network
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ByteSize,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    JsonValue,
    PlainSerializer,
    RootModel,
    StringConstraints,
    create_model,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from tests.snaptable.contract.stores import Stores, check_has_no_place
from tests.snaptable.support import WAYS, begun_anew, identical
from typing_extensions import TypeAliasType, TypedDict

from snaptable import Database, InvalidRow, Row, Table

T = TypeVar("T")
UserId = NewType("UserId", int)
Names = TypeAliasType("Names", list[str])
OFFSET = timezone(timedelta(hours=5, minutes=30))
U1, U2 = UUID(int=1), UUID(int=2**128 - 1)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Grade(IntEnum):
    LOW = 1
    HIGH = 2


class Tone(StrEnum):
    WARM = "warm"


class Mixed(Enum):
    NUMBER = 1
    TEXT = "1"
    NOTHING = None


class Rights(IntFlag):
    READ = 1
    WRITE = 2


class Texty(str, Enum):  # noqa: UP042 - the older kind is the point
    """Be an enum of the older kind, whose str() is not its value."""

    A = "a"


class Point(BaseModel):
    x: int
    y: float = 0.0


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    at: datetime
    tags: frozenset[str] = frozenset()


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.title().replace("_", ""), populate_by_name=True)
    first_name: str


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Box(BaseModel, Generic[T]):
    item: T


class Tree(BaseModel):
    children: list["Tree"] = []


class Part(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str
    parts: "tuple[Part, ...]" = ()
    whole: "Machine | None" = None


class Machine(BaseModel):
    model_config = ConfigDict(frozen=True)
    spare: Part | None = None


class Scores(RootModel[dict[str, int]]):
    pass


class Blob(BaseModel):
    data: bytes


class Pair(NamedTuple):
    left: int
    right: str


class Typed(TypedDict, total=False):
    name: str
    size: int


@dataclass(frozen=True)
class Plain:
    name: str
    at: date


@pydantic_dataclass
class Checked:
    sizes: list[int]


Cents = Annotated[
    Decimal,
    PlainSerializer(lambda value: str(value), return_type=str),
    AfterValidator(lambda v: v.quantize(Decimal(1))),
]

CASES: list[tuple[str, Any, list[Any]]] = [
    ("str", str, ["", "é", "😀", "\x00", "\u2028", "\x7f", '"\\\n', "\ufeff", "a" * 10_000]),
    ("int", int, [0, -1, 2**63 - 1, 2**63, -(2**64), 10**4299]),
    ("float", float, [0.0, -0.0, 0.1, 1.0, -1e308, 5e-324, 1e16, 1e22, 123456789.123456789]),
    ("bool", bool, [True, False]),
    ("None", None, [None]),
    ("optional", str | None, [None, ""]),
    ("naive datetime", datetime, [datetime.min, datetime.max, datetime(2026, 1, 2, 3, 4, 5, 6), datetime(1900, 1, 1)]),
    (
        "aware datetime",
        datetime,
        [
            datetime(2026, 1, 2, tzinfo=UTC),
            datetime(2026, 1, 2, 3, 4, 5, 999999, tzinfo=OFFSET),
            datetime(2026, 7, 2, tzinfo=ZoneInfo("Europe/Zurich")),
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=-23))),
        ],
    ),
    ("AwareDatetime", AwareDatetime, [datetime(2026, 1, 2, tzinfo=OFFSET)]),
    ("date", date, [date.min, date.max, date(2024, 2, 29)]),
    ("time", time, [time.min, time.max, time(1, 2, 3, 4), time(1, 2, tzinfo=UTC), time(1, 2, tzinfo=OFFSET)]),
    ("timedelta", timedelta, [timedelta(0), timedelta(days=-1, microseconds=1), timedelta(days=400, seconds=1)]),
    ("Decimal", Decimal, [Decimal(text) for text in ("1.10", "-0", "1E+3", "0.0000000001", "9" * 50 + ".5")]),
    ("UUID", UUID, [U1, U2]),
    ("Enum of str", Colour, list(Colour)),
    ("IntEnum", Grade, list(Grade)),
    ("StrEnum", Tone, list(Tone)),
    ("str and Enum", Texty, list(Texty)),
    ("Enum of anything", Mixed, list(Mixed)),
    ("IntFlag", Rights, [Rights.READ, Rights.READ | Rights.WRITE]),
    ("bytes", bytes, [b"", bytes(range(256)), b"\xff\xfe", "é".encode()]),
    ("list", list[int], [[], [1, 2, 2]]),
    ("list of datetimes", list[datetime], [[datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)]]),
    ("untyped list", list, [[1, "a", None, [True, {"b": 1.5}]]]),
    ("nested lists", list[list[str]], [[[], ["a"]]]),
    ("dict", dict[str, int], [{}, {"": 1, "é": 2}]),
    ("dict in order", dict[str, int], [{"b": 1, "a": 2}]),
    ("dict by int", dict[int, str], [{1: "a", -2: "b"}]),
    ("dict by UUID", dict[UUID, int], [{U1: 1}]),
    ("dict by date", dict[date, datetime], [{date(2026, 1, 1): datetime(2026, 1, 1)}]),
    ("dict by Enum", dict[Colour, Grade], [{Colour.RED: Grade.HIGH}]),
    ("dict by bytes", dict[bytes, int], [{b"a": 1}]),
    ("untyped dict", dict, [{"a": [1, {"b": None}]}]),
    ("set", set[str], [set(), {"a", "b"}]),
    ("set of dates", set[date], [{date(2026, 1, 1), date.min}]),
    ("frozenset", frozenset[int], [frozenset(), frozenset({1, 2**70})]),
    ("tuple", tuple[int, str, datetime], [(1, "a", datetime(2026, 1, 1))]),
    ("tuple of any length", tuple[Decimal, ...], [(), (Decimal("1.0"), Decimal(2))]),
    ("NamedTuple", Pair, [Pair(1, "a")]),
    ("deque", deque[int], [deque([1, 2])]),
    ("OrderedDict", OrderedDict[str, int], [OrderedDict(b=1, a=2)]),
    ("Literal", Literal["a", 1, None], ["a", 1, None]),
    ("Literal of IntEnum", Literal[Grade.LOW], [Grade.LOW]),
    ("model", Point, [Point(x=1), Point(x=-(2**70), y=0.1)]),
    ("models", list[Point] | None, [[Point(x=1), Point(x=2)], None]),
    ("frozen model", Frozen, [Frozen(at=datetime(2026, 1, 1, tzinfo=UTC), tags=frozenset({"a"}))]),
    ("models by key", dict[str, Point], [{"a": Point(x=1)}]),
    ("recursive model", Tree, [Tree(children=[Tree(), Tree(children=[Tree()])])]),
    ("generic model", Box[set[int]], [Box[set[int]](item={1, 2})]),
    ("root model", Scores, [Scores({"a": 1})]),
    ("model with aliases", Camel, [Camel(first_name="ann")]),
    ("model with bytes", Blob, [Blob(data=b"plain"), Blob(data="é".encode())]),
    ("union of models", Annotated[Cat | Dog, Field(discriminator="kind")], [Cat(lives=9), Dog(name="rex")]),
    ("union told apart by shape", Cat | Dog | Point, [Cat(lives=1), Dog(name="a"), Point(x=1)]),
    ("str or int", str | int, ["1", 1, ""]),
    ("int or float", int | float, [1, 1.0, 2.5]),
    ("int, bool or None", int | bool | None, [1, True, 0, False, None]),
    ("date or int", date | int, [date(2026, 1, 1), 5]),
    ("TypedDict", Typed, [{"name": "a"}, {"name": "a", "size": 1}]),
    ("dataclass", Plain, [Plain("a", date.min)]),
    ("Pydantic dataclass", Checked, [Checked([1, 2])]),
    ("EmailStr", EmailStr, ["a@b.org"]),
    ("constrained int", Annotated[int, Field(ge=0, multiple_of=5)], [0, 10]),
    ("constrained str", Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)], ["a b"]),
    ("pattern", Annotated[str, Field(pattern="^a+$")], ["aaa"]),
    ("NewType", UserId, [UserId(3)]),
    ("type alias", Names, [["a"]]),
    ("AnyUrl", AnyUrl, [AnyUrl("ftp://a.org/b?c=é")]),
    ("HttpUrl", HttpUrl, [HttpUrl("https://a.org")]),
    ("path", PurePosixPath, [PurePosixPath("a/../b")]),
    ("IPv4Address", IPv4Address, [IPv4Address("127.0.0.1")]),
    ("IPv6Network", IPv6Network, [IPv6Network("::/64")]),
    ("re.Pattern", re.Pattern[str], [re.compile("a.*")]),
    ("complex", complex, [1 + 2j]),
    ("ByteSize", ByteSize, [ByteSize(1024)]),
    ("ZoneInfo", ZoneInfo, [ZoneInfo("Europe/Zurich")]),
    ("field serializer with its validator", Cents, [Decimal(12)]),
    ("Any", Any, [None, True, 1, 2**70, 1.5, "a", [], {}, {"a": [1, {"b": None}], "c": -0.0}]),
    ("its own kind, frozen", Part, [Part(name="a", parts=(Part(name="b"),), whole=Machine(spare=Part(name="c")))]),
    ("object", object, [None, 1, "a", [1, {"a": 2}]]),
    ("JsonValue", JsonValue, [None, {"a": [1, 2.5, "x", False, None]}]),
]
KINDS = [(annotation, values) for _, annotation, values in CASES]
IDS = [name for name, _, _ in CASES]


def database_of(annotation: Any) -> tuple[Any, type[Database]]:
    """Make a database with a table `items` of a model with the fields id and value."""
    model = create_model("Item", __base__=Row, id=str, value=annotation)
    return model, type("Store", (Database,), {"__annotations__": {"items": Table[model]}})


@pytest.mark.parametrize(("annotation", "values"), KINDS, ids=IDS)
def test_comes_back_equal(stores: Stores, annotation: Any, values: list[Any]) -> None:
    """Ensure that values are stored as made, and are the same after a restart, a kill and from the journal."""
    model, store = database_of(annotation)
    db = stores.lasting(store).open()
    items: Table[Any] = db.tables["items"]
    rows = []
    for number, value in enumerate(values):
        row = model(id=str(number), value=value)
        try:
            assert identical(items.insert(row), row)
        except InvalidRow as error:
            check_has_no_place(stores, error)
            continue
        assert identical(items[row.id], row)
        rows.append(row)
    for way in reversed(WAYS):
        with begun_anew(db, way) as again:
            for row in rows:
                found: Any = again.tables["items"][row.id]
                assert identical(found, row), way
                # What came back can be written again, and is what was there: nothing to write.
                before = again.status().sequence
                assert identical(again.tables["items"].replace(found), row)
                assert again.status().sequence == before
            assert again.check() == []


@pytest.mark.parametrize(("annotation", "values"), KINDS, ids=IDS)
def test_is_found_by_its_value(stores: Stores, annotation: Any, values: list[Any]) -> None:
    """Ensure that a row is found by the value of any field, whatever its type."""
    model, store = database_of(annotation)
    with stores.new(store) as db:
        items: Table[Any] = db.tables["items"]
        column: Any = model.value
        for value in values:
            row = model(id="1", value=value)
            try:
                row = items.insert(row)
            except InvalidRow as error:
                check_has_no_place(stores, error)
                assert items.where(column == row.value).all() == []
                continue
            assert items.where(column == row.value).all() == [row]
            assert items.where(value=row.value).count() == 1
            assert items.where(column != row.value).all() == []
            items.delete("1")
