"""Lists sorted or filtered by what no index has: of many rows, in a thread beside the event loop, users in turn.

Ensures that they hold what they would otherwise, that the loop's longest pause is a fraction of the work, that writers
don't wait for a sort, and that who asks for many waits for their own only.
"""

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import CHEAP_HASHING, PASSWORD, PATIENCE, Api, Json, check_problem

from app.api.application import create_app
from app.library import Library
from app.resources import Resources
from app.security.fair_queue import FairQueue
from app.settings import Settings
from app.tables import Annotation
from snaptable.evaluation.ordering import sort_rows
from snaptable.memory.queries import planner
from snaptable.web import listing

MARK: Json = {"page_num": 1, "type": "note", "coordinates": {}, "content": "here", "color": None}


def db_of(client: TestClient) -> Library:
    """Return the database of the application in this process."""
    db: Library = client.app.state.db  # type: ignore[attr-defined]
    return db


def fill(db: Library, document: Json, number: int) -> list[Annotation]:
    """Put annotations on a document, of a few colours and pages, and return them."""
    owned: Json = {"user_id": document["user_id"], "document_id": document["id"]}
    return db.annotations.insert_many(
        Annotation(**owned | MARK | {"page_num": each % 3, "color": f"#{each * 7 % 5}" if each % 4 else None})
        for each in range(number)
    )


def test_a_long_list_holds_what_a_short_one_would(
    ann: Api, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure every row once, in the order asked for, page by page, whichever way a page is made."""
    rows = fill(db_of(client), ann.upload(), listing.MANY_ROWS + 500)
    expected = [
        row.id for row in sorted(rows, key=lambda row: (row.color is None, row.color or "", -row.page_num, row.id))
    ]
    with monkeypatch.context() as patched:
        for least in (listing.MANY_ROWS, 10**9):
            patched.setattr(listing, "MANY_ROWS", least)
            found: list[str] = []
            params: dict[str, Any] = {"sort": "color,-page_num,id", "limit": 200}
            while True:
                body = ann.get("/api/annotations", params=params).json()
                found += [row["id"] for row in body["items"]]
                if body["next_cursor"] is None:
                    break
                params["cursor"] = body["next_cursor"]
            assert found == expected
    for params in ({"sort": "color", "cursor": "nonsense"}, {"sort": "nothing"}):
        check_problem(ann.get("/api/annotations", params=params), 422)


@pytest.fixture
def short_turns() -> Iterator[None]:
    """Let threads take turns as in the server."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    yield
    sys.setswitchinterval(before)


SORTED = "sort=content,color,-page_num"
FILTERED = "content__contains=nothing+of+this"


async def list_beside(asked_for: str, rows: int, requests: int) -> tuple[float, float]:
    """Return the longest pause of the loop, and the time it took, to list some of equal rows, in CPU time."""
    options: dict[str, Any] = {"data_dir": "memory:", **CHEAP_HASHING}
    app = create_app(Settings(_env_file=None, **options))
    async with app.router.lifespan_context(app):
        db: Library = app.state.db
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            await client.post("/api/auth/register", json={"email": "a@example.org", "password": PASSWORD})
            answer = await client.post("/api/auth/login", data={"username": "a@example.org", "password": PASSWORD})
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            user = db.users.where().all()[0]
            fields: Json = {"filename": "a.pdf", "total_pages": 3, "size": 1, "sha256": "0" * 64, "metadata": {}}
            document = db.documents.create(user_id=user.id, **fields)
            owned: Json = {"user_id": user.id, "document_id": document.id}
            db.annotations.insert_many(Annotation(**owned | MARK) for _ in range(rows))
            gc.collect()
            gc.disable()
            longest, begin = 0.0, time.process_time()
            path = f"/api/annotations?{asked_for}"
            asked = asyncio.gather(*(client.get(path) for _ in range(requests)))
            while not asked.done():
                last = time.process_time()
                await asyncio.sleep(0)
                longest = max(longest, time.process_time() - last)
            gc.enable()
            assert {answer.status_code for answer in await asked} == {200}
            return longest, time.process_time() - begin


@pytest.mark.parametrize(("asked_for", "requests"), [(SORTED, 3), (FILTERED, 8)])
def test_no_pause_is_as_long_as_the_work(short_turns: None, asked_for: str, requests: int) -> None:
    """Ensure that long sorts, and looks at many rows one by one, hold the loop up for a fraction of their time."""
    pause, work = 9.0, 9.0
    for _ in range(8):
        paused, worked = asyncio.run(list_beside(asked_for, 20_000, requests))
        pause, work = min(pause, paused), min(work, worked)
        if pause < 0.015 + work / 10:
            return
    raise AssertionError(f"a pause of {pause:.3f} s in {work:.3f} s")


@pytest.mark.memory_only("a server sorts by itself, beside what else it does")
def test_a_sort_keeps_no_writer_waiting(ann: Api, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that rows can be changed while a thread sorts, and that the sort has the rows of one state."""
    db = db_of(client)
    rows = fill(db, ann.upload(), 300)
    sorting, may_go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        sorting.set()
        assert may_go_on.wait(PATIENCE)
        return sort_rows(*arguments)

    monkeypatch.setattr(planner, "sort_rows", slow)
    query = db.annotations.where(Annotation.user_id == rows[0].user_id).order_by(Annotation.color)
    found: list[list[Annotation]] = []
    thread = threading.Thread(target=lambda: found.append(query.all()))
    thread.start()
    try:
        assert sorting.wait(PATIENCE)
        db.annotations.delete(rows[1].id)  # waits for no sort
    finally:
        may_go_on.set()
        thread.join()
    assert len(found[0]) == 300


@pytest.mark.memory_only("a server sorts by itself, beside what else it does")
def test_who_asks_for_many_waits_for_their_own(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that more than a share of sorts of one user is 503 with Retry-After, and plain lists never wait."""
    client = start()
    ann = Api(client).register()
    fill(db_of(client), ann.upload(), listing.MANY_ROWS + 1)
    resources: Resources = client.app.state.resources  # type: ignore[attr-defined]
    monkeypatch.setattr(resources, "sorting", FairQueue(0, waiting=100, share=0, patience=1))
    response = ann.get("/api/annotations", params={"sort": "color"})
    check_problem(response, 503)
    assert int(response.headers["retry-after"]) > 0
    for params in ({}, {"sort": "created_at,id"}, {"sort": "-created_at"}, {"color": "#1"}):
        assert ann.get("/api/annotations", params=params).status_code == 200
