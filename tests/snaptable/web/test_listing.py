"""The query string of a list, in an application that has nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI, Request
from pydantic import Field
from starlette.responses import Response
from starlette.testclient import TestClient

from snaptable import Database, Row, Table
from snaptable.web import ListParams, RowResponder, install_problems

FIELDS = ["id", "text", "size", "price", "at", "done"]


class Item(Row):
    id: int
    text: str | None
    size: int
    price: float
    at: datetime
    done: bool = False
    tags: list[str] = Field(default_factory=list)


class Items(Database):
    items: Table[Item]


listing = ListParams(Item, FIELDS, sort="-size,id")
respond = RowResponder(Item, Item)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Give an application with a list of six rows, of which no two have the same text."""
    app = FastAPI()
    install_problems(app)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    with Items("memory:") as db:
        db.items.insert_many(
            Item(id=n, text=f"t{n}" if n else None, size=n % 3, price=n / 2, at=first + timedelta(days=n), done=n > 3)
            for n in range(6)
        )

        @app.get("/items", openapi_extra=listing.openapi)
        async def items(request: Request) -> Response:
            return respond.page(listing.read(request).page_json(db.items.where()))

        yield TestClient(app, raise_server_exceptions=False)


def ids(client: TestClient, **query: Any) -> list[int]:
    """Return the ids of a list, in one page."""
    response = client.get(f"/items?{urlencode(query)}")
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [2, 5, 1, 4, 0, 3]),
        ({"sort": "price"}, [0, 1, 2, 3, 4, 5]),
        ({"sort": "size,-price"}, [3, 0, 4, 1, 5, 2]),
        ({"sort": "-id,id"}, [5, 4, 3, 2, 1, 0]),
        ({"size": 1}, [1, 4]),
        ({"size__ne": 1, "price__gt": 1}, [5, 3]),
        ({"price__gte": "0.5", "price__lt": "1.5"}, [2, 1]),
        ({"id__in": "5,0,9", "sort": "id"}, [0, 5]),
        ({"done": "true", "sort": "id"}, [4, 5]),
        ({"at__gte": "2026-01-05", "sort": "id"}, [4, 5]),
        ({"at": "2026-01-02T00:00:00"}, [1]),
        ({"at": "2026-01-02T02:00:00+02:00"}, [1]),
        ({"text": "t3"}, [3]),
    ],
)
def test_filters_and_orders(client: TestClient, query: dict[str, Any], expected: list[int]) -> None:
    """Ensure that each narrows or sorts the list as it says, and a time without an offset is taken to be in UTC."""
    assert ids(client, **query) == expected


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 200])
def test_pages_together_are_the_list(client: TestClient, limit: int) -> None:
    """Ensure that following the cursor shows every row once, in order, filtered."""
    seen: list[int] = []
    query: dict[str, Any] = {"limit": limit, "sort": "text", "size__in": "0,1"}
    while True:
        body = client.get("/items", params=query).json()
        assert len(body["items"]) <= limit
        seen += [item["id"] for item in body["items"]]
        if body["next_cursor"] is None:
            break
        query["cursor"] = body["next_cursor"]
    assert seen == [1, 3, 4, 0]


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("limit=0", ["/limit"]), ("limit=201", ["/limit"]), ("limit=1&limit=2", ["/limit"]), ("limit=", ["/limit"]),
        ("cursor=nonsense", ["/cursor"]), ("sort=tags", ["/sort"]), ("sort=id,", ["/sort"]), ("sort=", ["/sort"]),
        ("tags=x", ["/tags"]), ("none=1", ["/none"]), ("a~b%2Fc=1", ["/a~0b~1c"]), ("done__gt=true", ["/done__gt"]),
        ("size__starts_with=1", ["/size__starts_with"]), ("size__=1", ["/size__"]), ("at=17", ["/at"]),
        ("price=nan", ["/price"]), ("size=1.5", ["/size"]), ("size=x&limit=0&sort=y", ["/size", "/limit", "/sort"]),
    ],
)  # fmt: skip
def test_what_means_nothing_is_pointed_at(client: TestClient, query: str, pointers: list[str]) -> None:
    """Ensure 422 rather than a list that ignores what was asked, naming every parameter that is wrong."""
    response = client.get(f"/items?{query}")
    assert response.status_code == 422
    errors = response.json()["errors"]
    assert [(error["pointer"], error["in"]) for error in errors] == [(pointer, "query") for pointer in pointers]


def test_a_cursor_belongs_to_its_list(client: TestClient) -> None:
    """Ensure that a cursor of another order or filter is refused, not misread."""
    cursor = client.get("/items?limit=2&sort=price").json()["next_cursor"]
    assert client.get("/items", params={"sort": "price", "cursor": cursor}).status_code == 200
    others: list[dict[str, Any]] = [{"sort": "-price"}, {"sort": "price", "size": 1}]
    for other in others:
        response = client.get("/items", params={**other, "cursor": cursor})
        assert [error["pointer"] for error in response.json()["errors"]] == ["/cursor"]


def test_times_may_stay_naive_or_be_of_another_zone() -> None:
    """Ensure that `zone` says what a time without an offset means."""
    zone = timezone(timedelta(hours=2))
    request = Request({"type": "http", "query_string": b"at=2026-01-02T00:00:00", "headers": []})
    (there,) = ListParams(Item, ["at"], sort="at", zone=zone).read(request).equals["at"]
    (naive,) = ListParams(Item, ["at"], sort="at", zone=None).read(request).equals["at"]
    assert there == datetime(2026, 1, 2, tzinfo=zone)
    assert naive == datetime(2026, 1, 2)  # noqa: DTZ001


def test_the_parameters_are_documented(client: TestClient) -> None:
    """Ensure that OpenAPI lists every parameter that is taken, with its type, and no other."""
    parameters = client.get("/openapi.json").json()["paths"]["/items"]["get"]["parameters"]
    named = {parameter["name"]: parameter["schema"] for parameter in parameters}
    suffixes = {"": FIELDS, "ne": FIELDS, "in": FIELDS, "gt": ["id", "size", "price", "at"]}
    expected = {f"{name}__{suffix}" if suffix else name for suffix, names in suffixes.items() for name in names}
    assert expected | {"limit", "cursor", "sort"} <= set(named)
    assert not {"tags", "done__gt", "size__starts_with"} & set(named)
    assert named["size"]["type"] == "integer"
    assert named["limit"]["maximum"] == 200
