"""Routes that find out who asks by themselves: the same rules hold, and strangers are refused before a body is read."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from snaptable import Database, Row, Table
from snaptable.web import Problem, StrictRequest, StrictRoute, crud_router, install_problems


class Note(Row):
    """A row of somebody."""

    id: str
    owner: str
    text: str = ""


class Notes(Database):
    """The database."""

    notes: Table[Note]


async def who(request: Request) -> str:
    """Return who asks."""
    name = request.headers.get("x-name")
    if name is None:
        raise Problem(401)
    return name


class NamedRequest(StrictRequest):
    """A request of somebody who says their name."""

    async def admit(self) -> None:
        self.caller = await who(self)


class NamedRoute(StrictRoute):
    """A route for those."""

    request_class = NamedRequest
    finds_caller = True


@pytest.fixture(params=[StrictRoute, NamedRoute])
def client(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """Give a client of a router whose callers are found by FastAPI, or by its routes."""
    with Notes("memory:") as db:
        app = FastAPI()
        install_problems(app)
        app.include_router(crud_router(db.notes, caller=who, owner="owner", route_class=request.param), prefix="/api")
        app.state.finds = request.param.finds_caller
        with TestClient(app) as client:
            yield client


def test_each_sees_their_own(client: TestClient) -> None:
    """Ensure the same answers on every verb, and the same document of the key and the bodies."""
    ann, ben = {"x-name": "ann"}, {"x-name": "ben"}
    assert client.post("/api/notes", json={"id": "a", "text": "x"}, headers=ann).json()["owner"] == "ann"
    for method, body in (("GET", None), ("PATCH", {"text": "y"}), ("PUT", {"id": "a"}), ("DELETE", None)):
        assert client.request(method, "/api/notes/a", json=body, headers=ben).status_code == 404
        assert client.request(method, "/api/notes/a", json=body).status_code == 401
    assert client.get("/api/notes", headers=ben).json()["items"] == []
    assert client.get("/api/notes/a", headers=ann).json()["text"] == "x"
    assert client.delete("/api/notes/a", headers=ann).status_code == 204
    operation = client.get("/openapi.json").json()["paths"]["/api/notes/{key}"]["get"]
    assert [each["name"] for each in operation["parameters"] if each["in"] == "path"] == ["key"]


def test_a_stranger_is_refused_before_the_body(client: TestClient) -> None:
    """Ensure that routes which find the caller parse nothing of a stranger."""
    sent = client.post("/api/notes", content=b"{", headers={"content-type": "application/json"})
    assert sent.status_code == (401 if client.app.state.finds else 422)  # type: ignore[attr-defined]
