"""What the router costs beside routes written by hand: counted in calls of functions, which no load changes."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from snaptable import Database, Index, Row, Table, numbered, table
from snaptable.web import ListParams, Problem, RowResponder, StrictRoute, crud_router, install_problems

MOST = 1.35
"""Calls of the router against those by hand; most of what it adds are short ones: in time it is under 1.2."""


class Note(Row):
    """A row like many."""

    id: int = numbered()
    owner: Annotated[str, Index()]
    text: str
    pages: Annotated[int, Index(ordered=True)] = 1


class Notes(Database):
    """Notes."""

    notes: Table[Note] = table(Index("owner", "id", ordered=True))


class NoteIn(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    pages: int = 1


class NoteChanges(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = None
    pages: int | None = None


class Page(BaseModel):
    """A page."""

    items: list[Note]
    next_cursor: str | None


async def caller() -> str:
    """Give who asks."""
    return "ann"


Me = Annotated[str, Depends(caller)]


def by_hand(db: Notes) -> APIRouter:
    """Return the routes as one writes them, with the same tools."""
    listing: ListParams[Note] = ListParams(Note, ["id", "owner", "pages"], sort="id")
    respond = RowResponder(Note, Note)
    router = APIRouter(prefix="/notes", route_class=StrictRoute)

    def own(me: str, key: int) -> Note:
        row = db.notes.get(key)
        if row is None or row.owner != me:
            raise Problem(404)
        return row

    @router.get("", response_model=Page)
    async def list_notes(request: Request, me: Me) -> Response:
        return respond.page(listing.read(request).page_json(db.notes.where(Note.owner == me)))

    @router.post("", response_model=Note, status_code=201)
    async def create(me: Me, body: NoteIn) -> Response:
        return respond.one(await db.run(lambda db: db.notes.create(owner=me, **body.model_dump())), 201)

    @router.get("/{key}", response_model=Note)
    async def get(request: Request, me: Me, key: int) -> Response:
        return respond.one(own(me, key), request=request)

    @router.patch("/{key}", response_model=Note)
    async def change(request: Request, me: Me, key: int, body: NoteChanges) -> Response:
        check = respond.if_match(request)

        def act(db: Notes) -> Note:
            check(own(me, key))
            return db.notes.update(key, **body.model_dump(exclude_unset=True))

        return respond.one(await db.run(act))

    return router


@pytest.fixture(scope="module")
def apps() -> Iterator[tuple[FastAPI, FastAPI]]:
    """Give the application of the router, and that by hand, of one database."""
    with Notes("memory:") as db:
        db.notes.insert_many(Note(owner="ann" if n % 2 else "ben", text="x", pages=n % 50) for n in range(400))
        routers = (
            crud_router(db.notes, caller=caller, owner="owner", allow={"list", "create", "get", "update"}),
            by_hand(db),
        )
        found = []
        for router in routers:
            app = FastAPI(routes=[*router.routes], telemetry={"tracing": False, "metrics": False, "logs": False})
            install_problems(app)
            found.append(app)
        yield found[0], found[1]


async def ask(app: FastAPI, method: str, path: str, body: bytes) -> int:
    """Ask an application, and return the status."""
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    target, _, query = path.partition("?")
    headers = [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "method": method, "path": target, "query_string": query.encode(), "headers": headers}
    await app(scope, receive, send)
    return status


def calls(app: FastAPI, method: str, path: str, body: bytes) -> int:
    """Return how many functions are called to answer a request, which was answered before."""

    async def counted() -> int:
        for _ in range(3):
            assert await ask(app, method, path, body) in (200, 201)
        count = 0

        def see(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(see)
        try:
            await ask(app, method, path, body)
        finally:
            sys.setprofile(None)
        return count

    return asyncio.run(counted())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/notes?limit=50", None),
        ("GET", "/notes?limit=20&pages__gte=10", None),
        ("GET", "/notes/2", None),
        ("POST", "/notes", {"text": "new", "pages": 3}),
        ("PATCH", "/notes/2", {"pages": 7}),
    ],
)
def test_the_router_costs_little_more_than_a_route_by_hand(
    apps: tuple[FastAPI, FastAPI], method: str, path: str, body: object
) -> None:
    """Ensure the bound for each verb."""
    data = b"" if body is None else json.dumps(body).encode()
    router, hand = (calls(app, method, path, data) for app in apps)
    assert router <= MOST * hand, f"{router} calls, {hand} by hand: {router / hand:.2f}"
