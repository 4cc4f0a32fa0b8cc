"""Fields of any type that a model may have: shown, edited, filtered by, and unchanged by being shown in a form."""

import enum
import ipaddress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from html import unescape
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic import AnyUrl, BaseModel, EmailStr, Field
from starlette.testclient import TestClient
from tests.snaptable.admin.library import Browser
from tests.snaptable.admin.test_admin_editing import form_of

from snaptable import Database, ForeignKey, Row, Secret, Table
from snaptable.admin import mount_admin


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Login(BaseModel):
    name: str
    token: Annotated[str, Secret()] = "hidden-token"


class Thing(Row):
    id: UUID
    amount: Decimal = Decimal("1.50")
    day: date = date(2026, 1, 2)
    at: time = time(3, 4)
    naive: datetime = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  # as some programs have them
    length: timedelta = timedelta(hours=1, seconds=5)
    data: bytes = b"\x00\xff"
    colour: Colour = Colour.RED
    level: Level | None = Level.HIGH
    size: Literal[1, 2, "many"] = 2
    mixed: int | str = "7"
    email: EmailStr = "ada@example.org"
    url: AnyUrl = AnyUrl("https://example.org/")
    address: ipaddress.IPv4Address = ipaddress.IPv4Address("192.0.2.1")
    names: frozenset[str] = frozenset({"a"})
    pairs: list[tuple[int, str]] = Field(default_factory=lambda: [(1, "a")])
    anything: Any = None
    huge: int = 10**40
    flag: bool | None = None
    login: Login | None = None
    self_named: Annotated[UUID | None, ForeignKey("things", on_delete="set null")] = None
    key: str = "key"
    table: str = "table"
    part: str = "part"


class Things(Database):
    things: Table[Thing]


KEY = UUID(int=7)
CHANGES: dict[str, tuple[str, Any]] = {
    "amount": ("2.500", Decimal("2.500")),
    "day": ("2026-03-04", date(2026, 3, 4)),
    "at": ("05:06:07", time(5, 6, 7)),
    "length": ("PT2H", timedelta(hours=2)),
    "data": ("%%%", None),
    "colour": ('"blue"', Colour.BLUE),
    "level": ("1", Level.LOW),
    "size": ('"many"', "many"),
    "mixed": ("8", 8),
    "email": ("ben@example.org", "ben@example.org"),
    "url": ("https://example.com/x", AnyUrl("https://example.com/x")),
    "address": ("192.0.2.9", ipaddress.IPv4Address("192.0.2.9")),
    "names": ('["b"]', frozenset({"b"})),
    "pairs": ('[[2, "b"]]', [(2, "b")]),
    "anything": ('{"x": [1, null]}', {"x": [1, None]}),
    "huge": (str(10**41), 10**41),
    "flag": ("true", True),
    "self_named": (str(KEY), KEY),
    "key": ("other", "other"),
}


@pytest.fixture
def things() -> Any:
    """Give the database with one row, and a browser."""
    with Things("memory:") as db:
        db.things.create(id=KEY, login=Login(name="ada"))
        app = FastAPI()
        site = mount_admin(app, db, announce=False)
        with TestClient(app) as client:
            assert site.link is not None
            client.get(site.link)
            yield db, Browser(client)


def test_a_row_of_all_types_is_shown_and_not_changed(things: Any) -> None:
    """Ensure that list, row and form take every type, and that a form sent as it is writes nothing."""
    db, browser = things
    assert "hidden-token" not in browser.get("/admin/tables/things")
    address = f"/admin/tables/things/row?key={KEY}"
    page = browser.get(address)
    assert "hidden-token" not in page
    before = db.history.sequence
    browser.post(address, form_of(page))
    assert db.history.sequence == before
    for field in ("things", *Thing.model_fields):
        browser.get(f"/admin/tables/things/values?field={field}")
        browser.get(f"/admin/tables/things?sort={field}&{field}=x&{field}__isnull=true")


@pytest.mark.parametrize("name", CHANGES)
def test_a_value_of_each_type_is_changed(things: Any, name: str) -> None:
    """Ensure that what is typed becomes a value of the type; what is none is refused beside the field."""
    text, value = CHANGES[name]
    db, browser = things
    address = f"/admin/tables/things/row?key={KEY}"
    fields = form_of(browser.get(address))
    fields.pop(f"null:{name}", None)
    page = browser.post(address, fields | {f"field:{name}": text}, 422 if value is None else 200)
    if value is None:
        assert "field-error" in page
        assert unescape(page).count(text) >= 1
    else:
        assert getattr(db.things[KEY], name) == value
        assert len(next(iter(db.history)).changes[0].changed) == 1
