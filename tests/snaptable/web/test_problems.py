"""Errors as problems, in an application that knows nothing but `install_problems`."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.testclient import TestClient

from snaptable import (
    ConstraintError,
    Database,
    DatabaseClosed,
    DuplicateKey,
    ForeignKey,
    ForeignKeyViolation,
    InvalidRow,
    MultipleRows,
    OpenError,
    ReadOnlyStore,
    Row,
    SnaptableError,
    Table,
    TransactionError,
    Unique,
    UniqueViolation,
    WriteFailed,
    table,
)
from snaptable.web import Problem, install_problems, problems

SECRET = "s3cret"
"""Stands in values, keys and messages; no answer may hold it."""


class Owner(Row):
    id: str
    email: Annotated[str, Unique()]


class Thing(Row):
    id: str
    owner_id: Annotated[str, ForeignKey(Owner, on_delete="restrict")]
    name: str
    size: int


class Things(Database):
    owners: Table[Owner]
    things: Table[Thing] = table(Unique("owner_id", "name"))


@pytest.fixture
def db() -> Iterator[Things]:
    """Give a database with two owners and a thing."""
    with Things("memory:") as db:
        db.owners.insert_many([Owner(id=SECRET, email=f"{SECRET}@example.org"), Owner(id="o2", email="b@example.org")])
        db.things.insert(Thing(id=f"{SECRET}-1", owner_id=SECRET, name=SECRET, size=1))
        yield db


@pytest.fixture
def ask(db: Things) -> Callable[[Callable[[], object]], httpx2.Response]:
    """Give a function that runs another one in an endpoint, and returns the answer."""
    app = FastAPI()
    install_problems(app)
    work: list[Callable[[], object]] = []

    @app.get("/")
    async def run() -> None:
        work.pop()()

    client = TestClient(app, raise_server_exceptions=False)

    def ask(call: Callable[[], object]) -> httpx2.Response:
        work.append(call)
        return client.get("/")

    return ask


def problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    """Return the body of a problem, after checking that it is one and tells no secret."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert SECRET not in response.text
    body: dict[str, Any] = response.json()
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"]
    return body


OWNER = Owner(id=SECRET, email=SECRET)


@pytest.mark.parametrize(
    ("error", "pointers"),
    [
        (DuplicateKey(SECRET, table="owners", key=SECRET, fields=("id",), value=SECRET, other=OWNER), ["/id"]),
        (UniqueViolation(SECRET, table="owners", fields=("email",), value=SECRET, other=OWNER), ["/email"]),
        (UniqueViolation(SECRET, table="owners", fields=("a", "b"), value=(SECRET, 1), other=OWNER), ["/a", "/b"]),
        (ForeignKeyViolation(SECRET, table="things", key=SECRET, fields=("owner_id",), value=SECRET), ["/owner_id"]),
        (ForeignKeyViolation(SECRET, table="owners", key=SECRET, fields=("id",), value=SECRET, other=OWNER), []),
    ],
)
def test_a_violated_constraint_is_409_and_names_table_and_fields(
    ask: Callable[[Callable[[], object]], httpx2.Response], error: ConstraintError, pointers: list[str]
) -> None:
    """Ensure that a client learns which fields clash, and neither the value nor the row in the way.

    A pointer is to a field of what was sent: other rows that refer to a deleted one are not.
    """

    def fail() -> None:
        raise error

    body = problem(ask(fail), 409)
    assert (body["table"], body["fields"]) == (error.table, list(error.fields))
    assert [item["pointer"] for item in body.get("errors", [])] == pointers
    assert all(item["in"] == "body" for item in body.get("errors", []))


CONFLICTS: list[tuple[Callable[[Things], object], str, list[str], list[str]]] = [
    (lambda db: db.owners.insert(Owner(id=SECRET, email="c@example.org")), "owners", ["id"], ["/id"]),
    (
        lambda db: db.owners.insert(Owner(id="o3", email=f"{SECRET}@example.org")), "owners", ["email"], ["/email"],
    ),
    (
        lambda db: db.things.insert(Thing(id="t2", owner_id=SECRET, name=SECRET, size=2)),
        "things", ["owner_id", "name"], ["/owner_id", "/name"],
    ),
    (
        lambda db: db.things.insert(Thing(id="t2", owner_id=f"{SECRET}-none", name="x", size=2)),
        "things", ["owner_id"], ["/owner_id"],
    ),
    (lambda db: db.owners.delete(SECRET), "owners", ["id"], []),
]  # fmt: skip


@pytest.mark.parametrize(("change", "name", "fields", "pointers"), CONFLICTS)
def test_the_store_says_which_fields_clash(
    db: Things,
    ask: Callable[[Callable[[], object]], httpx2.Response],
    change: Callable[[Things], object],
    name: str,
    fields: list[str],
    pointers: list[str],
) -> None:
    """Ensure the same for every kind of violation that a real store raises."""
    body = problem(ask(lambda: change(db)), 409)
    assert (body["table"], body["fields"]) == (name, fields)
    assert [error["pointer"] for error in body.get("errors", [])] == pointers
    assert all(error["in"] == "body" for error in body.get("errors", []))


def test_a_missing_row_is_404(db: Things, ask: Callable[[Callable[[], object]], httpx2.Response]) -> None:
    """Ensure 404 for `[]`, for `one` and for a change of a row that is not there, without the key."""
    calls: list[Callable[[], object]] = [
        lambda: db.things[f"{SECRET}-none"],
        lambda: db.things.where(name=f"{SECRET}-none").one(),
        lambda: db.things.update(f"{SECRET}-none", size=3),
    ]
    for call in calls:
        assert "table" not in problem(ask(call), 404)


def test_what_the_store_cannot_keep_is_422(db: Things, ask: Callable[[Callable[[], object]], httpx2.Response]) -> None:
    """Ensure 422 for a row that is not valid, a query without a meaning, and a cursor of another list."""
    cursor = db.owners.order_by(Owner.email).page(limit=1).next_cursor
    problem(ask(lambda: db.things.update(f"{SECRET}-1", size="large")), 422)
    problem(ask(lambda: db.things.where(Thing.size > "large")), 422)  # type: ignore[operator]
    body = problem(ask(lambda: db.owners.order_by(Owner.id).page(limit=1, after=cursor)), 422)
    assert body["errors"] == [
        {"pointer": "/cursor", "in": "query", "detail": "This cursor is damaged or belongs to another list."}
    ]


@pytest.mark.parametrize(
    ("error", "status", "pointers"),
    [
        (InvalidRow(SECRET, table="things", key=SECRET, fields=("size", "a/b")), 422, ["/size", "/a~1b"]),
        (InvalidRow(SECRET), 422, [""]),
        (ConstraintError(SECRET, value=SECRET, other=OWNER), 409, []),
        (ReadOnlyStore(SECRET), 503, []),
        (WriteFailed(SECRET), 503, []),
        (DatabaseClosed(SECRET), 503, []),
        (OpenError(SECRET, path=SECRET), 503, []),
        (MultipleRows(SECRET), 500, []),
        (TransactionError(SECRET), 500, []),
        (SnaptableError(SECRET), 500, []),
        (RuntimeError(SECRET), 500, []),
    ],
)
def test_other_errors_are_told_without_their_message(
    ask: Callable[[Callable[[], object]], httpx2.Response], error: Exception, status: int, pointers: list[str]
) -> None:
    """Ensure the status that fits, pointers if the error names fields, and Retry-After if trying again helps."""

    def fail() -> None:
        raise error

    response = ask(fail)
    body = problem(response, status)
    assert [item["pointer"] for item in body.get("errors", [])] == pointers
    assert ("retry-after" in response.headers) == (status == 503)


def test_a_write_that_fails_on_the_disk_is_503(snaptable_store: Any) -> None:
    """Ensure that a real store on a failing disk is answered so, and works again after a snapshot."""
    store = snaptable_store(Things)
    app = FastAPI()
    install_problems(app)

    @app.post("/owners")
    async def add() -> Owner:
        return store.db.owners.insert(Owner(id=SECRET, email="a@example.org"))  # type: ignore[no-any-return]

    client = TestClient(app, raise_server_exceptions=False)
    store.disk.fail("fsync", times=1)
    assert problem(client.post("/owners"), 503)["detail"].endswith("nothing was changed.")
    problem(client.post("/owners"), 503)
    store.db.persist()
    assert client.post("/owners").status_code == 200


@pytest.fixture(scope="module")
def client() -> TestClient:
    """Give an application with several routes on one path, some of them on a router, and static files."""
    app = FastAPI()
    router = APIRouter(prefix="/notes")

    @router.get("/{key}")
    async def show(key: str) -> str:
        return key

    @router.delete("/{key}")
    async def delete(key: str) -> None:
        raise Problem(409, f"No, not {key}.", headers={"X-Why": "so"}, members={"why": ["a", 1]})

    @app.put("/notes/{key}", responses=problems(404, 422))
    async def put(key: str, number: int) -> int:
        return number

    app.include_router(router)
    app.mount("/static", StaticFiles(directory="."))
    install_problems(app)
    return TestClient(app, raise_server_exceptions=False)


def test_a_wrong_method_names_the_right_ones_of_all_routes(client: TestClient) -> None:
    """Ensure 405 with the methods of every route on the path, wherever it was declared."""
    response = client.post("/notes/x")
    problem(response, 405)
    assert response.headers["allow"] == "DELETE, GET, PUT"


def test_a_mounted_application_speaks_for_itself(client: TestClient) -> None:
    """Ensure that a 405 from below a mount keeps its own methods: the mount would pass on any."""
    response = client.post("/static/nothing")
    problem(response, 405)
    assert response.headers.get("allow", "GET, HEAD") == "GET, HEAD"  # older versions of Starlette send none


def test_unknown_paths_and_wrong_parameters_are_problems(client: TestClient) -> None:
    """Ensure the one shape for what the router and FastAPI refuse, with a pointer to the parameter."""
    problem(client.get("/nothing"), 404)
    errors = problem(client.put(f"/notes/x?number={SECRET}"), 422)["errors"]
    assert [(error["pointer"], error["in"]) for error in errors] == [("/number", "query")]


def test_a_problem_that_is_raised_is_the_answer(client: TestClient) -> None:
    """Ensure detail, headers and extension members."""
    response = client.delete("/notes/x")
    body = problem(response, 409)
    assert (body["detail"], body["why"], response.headers["x-why"]) == ("No, not x.", ["a", 1], "so")


def test_the_openapi_document_describes_problems(client: TestClient) -> None:
    """Ensure that what `problems` refers to is there, by the same one call."""
    document = client.get("/openapi.json").json()
    responses = document["paths"]["/notes/{key}"]["put"]["responses"]
    schema = responses["404"]["content"]["application/problem+json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Problem"}
    assert {"type", "title", "status", "detail"} <= set(document["components"]["schemas"]["Problem"]["required"])
