"""The query string of a list, in an application that has nothing else."""

import operator
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from starlette.responses import Response
from starlette.testclient import TestClient

from snaptable import Database, Index, Query, Row, Table, table
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
        ({"text__isnull": "true"}, [0]),
        ({"text__isnull": "false", "sort": "id"}, [1, 2, 3, 4, 5]),
        ({"size__isnull": "true"}, []),
        ({"text__contains": "3"}, [3]),
        ({"text__contains": "T3"}, []),
        ({"text__contains": "t", "sort": "id"}, [1, 2, 3, 4, 5]),
        ({"text__starts_with": "t", "text__gt": "t3", "sort": "id"}, [4, 5]),
        ({"text__ne": "t3", "sort": "id"}, [0, 1, 2, 4, 5]),
        ({"text__in": "t1,t5", "sort": "id"}, [1, 5]),
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
        ("text__isnull=", ["/text__isnull"]), ("text__isnull=1", ["/text__isnull"]),
        ("at__isnull=2026-01-01", ["/at__isnull"]),
        ("size__contains=1", ["/size__contains"]),
        ("at=2026-02-30", ["/at"]), ("at__gt=2026-13-01", ["/at__gt"]), ("at__in=2026-01-01,x", ["/at__in"]),
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


DAYS = st.dates(date(2025, 12, 30), date(2026, 1, 3)) | st.sampled_from([date.min, date.max])
MOMENTS = st.one_of(
    st.tuples(DAYS, st.sampled_from([time.min, time(0, 0, 0, 1), time(12), time.max])).map(
        lambda parts: datetime.combine(*parts, tzinfo=UTC)
    ),
    st.none(),
)
COMPARISONS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


class Moment(Row):
    id: int
    at: datetime | None


class Moments(Database):
    moments: Table[Moment]


def asked(listing: ListParams[Any], query: str, db: Any) -> list[int]:
    """Return the ids of the rows that a query string gives."""
    request = Request({"type": "http", "query_string": query.encode(), "headers": []})
    return [row.id for row in db.where(*listing.read(request).conditions)]


@given(st.lists(MOMENTS, max_size=6), DAYS, st.booleans())
def test_a_bare_date_is_the_whole_day(moments: list[datetime | None], day: date, both: bool) -> None:
    """Ensure that each operator compares the days, which begin and end in UTC, and None is on none of them."""
    listing = ListParams(Moment, ["at"], sort="at")
    with Moments("memory:") as db:
        db.moments.insert_many(Moment(id=number, at=at) for number, at in enumerate(moments))
        days = {row.id: row.at.date() if row.at else None for row in db.moments}
        table = db.moments
        assert asked(listing, f"at={day}", table) == [key for key, on in days.items() if on == day]
        assert asked(listing, f"at__ne={day}", table) == [key for key, on in days.items() if on != day]
        other = moments[0].isoformat() if moments and moments[0] else "2020-01-01"
        expected = [row.id for row in db.moments if days[row.id] == day or (row.at and row.at.isoformat() == other)]
        assert asked(listing, f"at__in={day},{quote(other)}", table) == expected
        for suffix, compare in COMPARISONS.items():
            expected = [key for key, on in days.items() if on is not None and compare(on, day)]
            assert asked(listing, f"at__{suffix}={day}", table) == expected, suffix


def test_a_day_is_one_of_the_zone() -> None:
    """Ensure that days begin and end where the list's times do, clocks put back at midnight included."""
    zone = timezone(timedelta(hours=-5))
    with Moments("memory:") as db:
        for number, hour in enumerate((4, 5, 28, 29)):
            db.moments.create(id=number, at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour))
        assert asked(ListParams(Moment, ["at"], sort="at", zone=zone), "at=2026-01-01", db.moments) == [1, 2]


@pytest.mark.parametrize(
    "text",
    ["2026-01-02T00:00:00+02:00", "2026-01-02 00:00:00+02:00", "2026-01-02T00:00+0200", "2026-01-02T00:00:00.5+02:00"],
)
def test_a_plus_that_became_a_blank_is_pointed_at(client: TestClient, text: str) -> None:
    """Ensure that a hint tells how to write the offset of a time, if it would be one; and what is written so works."""
    for query in (f"at={text}", f"at__in=2026-01-01,{text}"):
        assert client.get("/items?" + query.replace(" ", "%20").replace("+", "%2B")).status_code == 200
        response = client.get(f"/items?{query.replace(' ', '%20')}")
        (error,) = response.json()["errors"]
        assert "%2B" in error["detail"]
    (error,) = client.get("/items?at=next%20week").json()["errors"]
    assert "%2B" not in error["detail"]


def test_what_one_request_can_ask_is_bounded(client: TestClient) -> None:
    """Ensure that conditions, values of one filter, and names to sort by have a limit each, and up to it are taken."""
    assert client.get("/items?" + "&".join(f"id__ne={n + 9}" for n in range(50))).status_code == 200
    assert client.get(f"/items?id__in={','.join(map(str, range(200)))}").status_code == 200
    days = ",".join(f"2026-01-{day:02}" for day in range(1, 32))
    refused = {
        "&".join(["id=1"] * 51): "",
        "&".join(f"id__ne={n}" for n in range(51)): "",
        "&".join(["x=1"] * 16_000): "",
        f"at__in={days}&at__in={days}": "",
        f"at__in={days},{days}": "/at__in",
        f"id__in={','.join(map(str, range(201)))}": "/id__in",
        f"sort={','.join(['id'] * 51)}": "/sort",
    }
    for query, pointer in refused.items():
        response = client.get(f"/items?{query}")
        assert response.status_code == 422, query[:40]
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


def test_a_filter_that_is_repeated_makes_no_shape_of_its_own() -> None:
    """Ensure that few kinds of queries are prepared, whatever the number and the order of a request's filters."""
    listing = ListParams(Item, FIELDS, sort="id")

    def shape(query: str) -> object:
        request = Request({"type": "http", "query_string": query.encode(), "headers": []})
        return [condition.template for condition in listing.read(request).conditions]  # type: ignore[attr-defined]

    assert shape("id=1") == shape("&".join(["id=1"] * 40))
    assert len({str(shape("&".join(f"id={n}" for n in range(count)))) for count in range(2, 50)}) == 1
    assert shape("size=1&price__gt=2&text=a") == shape("text=b&size=2&price__gt=1")


def test_equality_that_is_repeated_holds_for_all(client: TestClient) -> None:
    """Ensure that nothing equals two values, and the same value twice is one."""
    assert ids(client, id=3, size=0) == [3]
    assert [item["id"] for item in client.get("/items?id=3&id=3&id=03").json()["items"]] == [3]
    for query in ("id=3&id=4", "id=3&id=4&id=3", "id=3&id=4&id=4"):
        assert client.get(f"/items?{query}").json()["items"] == []


def test_times_may_stay_naive_or_be_of_another_zone() -> None:
    """Ensure that `zone` says what a time without an offset means."""
    zone = timezone(timedelta(hours=2))
    request = Request({"type": "http", "query_string": b"at=2026-01-02T00:00:00", "headers": []})
    (there,) = ListParams(Item, ["at"], sort="at", zone=zone).read(request).equals["at"]
    (naive,) = ListParams(Item, ["at"], sort="at", zone=None).read(request).equals["at"]
    assert there == datetime(2026, 1, 2, tzinfo=zone)
    assert naive == datetime(2026, 1, 2)  # noqa: DTZ001


@pytest.mark.parametrize("query", ["at__gt=2026-01-01T00:00:00", "at=2026-01-01T00:00:00", "at__lte=2026-01-01"])
def test_a_filter_by_a_time_of_the_other_kind_is_refused_in_words(query: str) -> None:
    """Ensure that a naive time asked of aware ones is a 422 that names both, not an empty list."""
    app, naive_listing = FastAPI(), ListParams(Item, ["id", "at"], sort="id", zone=None)
    install_problems(app)

    @app.get("/items")
    def items(request: Request) -> Response:
        with Items("memory:", banner=False) as db:
            db.items.create(id=1, text=None, size=1, price=1.0, at=datetime(2026, 1, 2, tzinfo=UTC))
            return respond.page(naive_listing.read(request).page_json(db.items.where()))

    response = TestClient(app).get(f"/items?{query}")
    assert response.status_code == 422, response.text
    assert "naive" in response.text
    assert "aware" in response.text


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


@pytest.mark.parametrize(
    ("commas", "repeated"),
    [
        ("id__in=0,5,9", "id__in=0&id__in=5,9"),
        ("text__in=t1,t5&size=1", "text__in=t5&size=1&text__in=t1"),
        ("at__in=2026-01-01,2026-01-05", "at__in=2026-01-05&at__in=2026-01-01"),
        ("sort=size,-price", "sort=size&sort=-price"),
        ("sort=-id,price,size", "sort=-id,price&sort=size"),
    ],
)
def test_lists_may_come_several_times(client: TestClient, commas: str, repeated: str) -> None:
    """Ensure that clients that repeat a parameter, as generated ones do, get what those get that separate by commas."""
    by_commas, by_repetition = (client.get(f"/items?{query}").json() for query in (commas, repeated))
    assert by_commas["items"]
    assert by_repetition == by_commas


def test_values_that_come_several_times_are_bounded_together(client: TestClient) -> None:
    """Ensure that repetition is no way around the limits, of values or of names to sort by."""
    halves = [",".join(map(str, range(start, start + 101))) for start in (0, 101)]
    assert client.get(f"/items?id__in={halves[0]}").status_code == 200
    for query in (f"id__in={halves[0]}&id__in={halves[1]}", "&".join(["sort=id"] * 51)):
        assert client.get(f"/items?{query}").status_code == 422


def test_what_may_be_sorted_by_is_an_enum() -> None:
    """Ensure that the document names each way to sort, so that generated clients have a type for it."""
    (sort,) = [each for each in listing.openapi["parameters"] if each["name"] == "sort"]  # type: ignore[index,union-attr,call-overload]
    assert sort["schema"]["items"]["enum"] == [*FIELDS, *(f"-{name}" for name in FIELDS)]  # type: ignore[index,call-overload]
    assert sort["schema"]["default"] == ["-size", "id"]  # type: ignore[index,call-overload]
    assert (sort["style"], sort["explode"]) == ("form", False)  # type: ignore[index,call-overload]


class Log(Row):
    id: int
    kind: str
    at: datetime
    size: int


class Logs(Database):
    logs: Table[Log] = table(Index("kind", "at", ordered=True))


def test_what_takes_long_is_known_of_each_list_however_often_others_are_asked() -> None:
    """Ensure that lists in the order of an index never do, and that sorts, filters and functions still do."""
    params = ListParams(Log, ["id", "kind", "size", "at"], sort="at,id")

    def asked(query: str, rows: Query[Log]) -> bool:
        return params.read(Request({"type": "http", "query_string": query.encode()})).is_slow(rows)

    with Logs("memory:") as db:
        first = datetime(2026, 1, 1, tzinfo=UTC)
        db.logs.insert_many(Log(id=n, kind="a", at=first + timedelta(seconds=n), size=n % 7) for n in range(5_100))
        every, kept = db.logs.where(), db.logs.where().filter(lambda row: row.size == 3)
        for _ in range(3):
            assert not asked("kind=a", every)
            assert not asked("kind=b", every)
            assert asked("kind=a&sort=size", every)
            assert asked("kind=a&size=3", every)
            assert asked("kind=a", kept)
            assert asked("size=3&sort=size", every)
