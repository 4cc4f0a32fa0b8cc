"""Bodies with thousands of errors: refused at about the cost of one that is right, by a short answer."""

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, FastAPI
from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails
from starlette.testclient import TestClient
from tests.growth import assert_proportional
from typing_extensions import TypedDict

from snaptable.web import FieldError, Problem, StrictRoute, install_problems
from snaptable.web.body_errors import MANY, BodyErrors
from snaptable.web.problems import _field_error


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    x: float
    y: float


class Drawing(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    points: list[Point] = []
    sizes: dict[str, int] = {}
    origin: Point | None = None
    anything: dict[str, Any] = {}


class Changes(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]

    name: str
    sizes: dict[str, int]


@pytest.fixture(scope="module")
def client() -> TestClient:
    """Give an application that takes drawings, and two of them at once."""
    app = FastAPI()
    install_problems(app)
    router = APIRouter(route_class=StrictRoute)

    @router.post("/one")
    async def one(drawing: Drawing) -> str:
        return drawing.name

    @router.patch("/one")
    async def change(changes: Annotated[Changes, Body()]) -> int:
        return len(changes)

    @router.post("/two")
    async def two(first: Drawing, second: Drawing) -> str:
        return first.name + second.name

    app.include_router(router)
    return TestClient(app, raise_server_exceptions=False)


def many(number: int) -> dict[str, object]:
    """Return an object of that many members."""
    return {str(each): "wrong" for each in range(number)}


KINDS: dict[str, tuple[Callable[[int], Any], str]] = {
    "unknown keys": (lambda n: {**many(n), "name": "a"}, "/0"),
    "unknown keys, and one missing": (many, "/name"),
    "unknown keys of a member": (lambda n: {"name": "a", "origin": many(n)}, "/origin/x"),
    "unknown keys of one of many members": (lambda n: {"name": "a", "points": [many(n)]}, "/points/0/x"),
    "wrong members of an array": (lambda n: {"name": "a", "points": [1] * n}, "/points/0"),
    "incomplete members of an array": (lambda n: {"name": "a", "points": [{}] * n}, "/points/0/x"),
    "wrong values of a map": (lambda n: {"name": "a", "sizes": many(n)}, "/sizes/0"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_errors_are_told_by_the_first(client: TestClient, kind: str) -> None:
    """Ensure 422, at most fifty errors, one of them their number, and pointers to what is wrong."""
    make, pointer = KINDS[kind]
    response = client.post("/one", json=make(20_000))
    assert response.status_code == 422
    errors = response.json()["errors"]
    assert len(errors) <= 50
    assert len(response.content) < 10_000
    assert pointer in [error["pointer"] for error in errors]
    assert all(error["in"] == "body" for error in errors)
    assert errors[-1]["detail"].endswith("errors in all.")
    few = client.post("/one", json=make(10)).json()["errors"]
    assert errors[0] == few[0]


def test_other_bodies_are_bounded_too(client: TestClient) -> None:
    """Ensure the same for a typed dictionary, for several bodies in one, and for a body that is no object."""
    for response in (
        client.patch("/one", json=many(20_000)),
        client.post("/two", json={"first": many(20_000), "second": {"name": "a"}}),
        client.post("/one", json=[1] * 20_000),
    ):
        assert response.status_code == 422
        assert 1 <= len(response.json()["errors"]) <= 50


def test_what_is_right_is_taken_however_large(client: TestClient) -> None:
    """Ensure that the check refuses nothing that is not wrong."""
    body = {"name": "a", "points": [{"x": 1.0, "y": 2.0}] * 5_000, "sizes": dict.fromkeys(many(5_000), 1)}
    assert client.post("/one", json={**body, "anything": many(20_000)}).json() == "a"
    assert client.post("/two", json={"first": body, "second": body}).json() == "aa"


def test_a_late_error_among_many_right_members_is_pointed_at(client: TestClient) -> None:
    """Ensure that few errors are told one by one, wherever they are."""
    points: list[object] = [{"x": 1.0, "y": 2.0}] * 9_999
    response = client.post("/one", json={"name": "a", "points": [*points, {"x": 1.0}]})
    assert [error["pointer"] for error in response.json()["errors"]] == ["/points/9999/y"]


def refuse(value: object) -> None:
    """Have a value refused."""
    with pytest.raises(Problem):
        BodyErrors(Drawing).check(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_costs_in_proportion(kind: str) -> None:
    """Ensure that four times the errors cost no more than four times as much."""
    assert_proportional(refuse, KINDS[kind][0], 5 * MANY)


def test_no_more_errors_are_made_than_are_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a hundred thousand wrong members never become as many errors in Python."""
    made: list[int] = []

    def counted(error: ErrorDetails) -> FieldError:
        made.append(1)
        return _field_error(error)

    monkeypatch.setattr(sys.modules["snaptable.web.problems"], "_field_error", counted)
    for make, _ in KINDS.values():
        made.clear()
        assert client.post("/one", content=json.dumps(make(50_000))).status_code == 422
        assert 0 < len(made) <= 200
