"""Transactions held across a `yield` of a dependency, as in FastAPI: every request ends, and the store works on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI

from snaptable import Database, Row, Table, TransactionError, numbered
from snaptable.memory import stalls
from snaptable.web import install_problems


class Note(Row):
    id: int = numbered()


class Notes(Database):
    notes: Table[Note]


def application(db: Notes, *, plain_dependency: bool, plain_route: bool) -> FastAPI:
    """Return an application whose one route inserts a row, inside a dependency that holds a transaction."""

    def plain() -> Iterator[None]:
        with db.transaction():
            yield

    async def coroutine() -> AsyncIterator[None]:
        with db.transaction():
            yield

    app = FastAPI()
    install_problems(app)
    dependency: Callable[..., Any] = plain if plain_dependency else coroutine

    if plain_route:

        @app.post("/notes", dependencies=[Depends(dependency)])
        def insert_plainly() -> int:
            return db.notes.insert(Note()).id
    else:

        @app.post("/notes", dependencies=[Depends(dependency)])
        async def insert_on_the_loop() -> int:
            await asyncio.sleep(0)
            return db.notes.insert(Note()).id

    return app


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client whose failed requests are answers, as a server's would be."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
        yield client


@pytest.mark.parametrize("requests", [1, 60])
@pytest.mark.parametrize("plain_route", [True, False], ids=["def", "async def"])
@pytest.mark.parametrize("plain_dependency", [True, False], ids=["plain", "coroutine"])
def test_every_request_ends_and_the_store_goes_on(
    monkeypatch: pytest.MonkeyPatch, plain_dependency: bool, plain_route: bool, requests: int
) -> None:
    """Whatever is combined, each request is answered, none hangs, and the next write works."""
    monkeypatch.setattr(stalls, "STALL_PATIENCE", 0.2)

    async def ask(db: Notes) -> list[int]:
        app = application(db, plain_dependency=plain_dependency, plain_route=plain_route)
        async with client_of(app) as client:
            answers = await asyncio.gather(*(client.post("/notes") for _ in range(requests)))
        return [answer.status_code for answer in answers]

    with Notes("memory:", writer_timeout=2.0) as db:
        statuses = asyncio.run(asyncio.wait_for(ask(db), 120))
        assert len(statuses) == requests
        assert set(statuses) <= {200, 500, 503}
        try:
            db.notes.insert(Note())
        except TransactionError as error:  # an abandoned dependency would show here
            pytest.fail(str(error))
        assert db.check() == []
