"""Large JSON bodies are parsed beside the event loop: whatever one holds, others are served meanwhile.

Judged by the longest pause of the loop against the whole work, both in CPU time of all threads.
"""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from snaptable.web import StrictRoute, install_problems
from snaptable.web.request_json import LARGE_BYTES


def application() -> FastAPI:
    """Return an application that counts what it is sent."""
    app = FastAPI()
    install_problems(app)
    router = APIRouter(route_class=StrictRoute)

    @router.post("/")
    async def count(body: dict[str, Any]) -> int:
        return len(body)

    app.include_router(router)
    return app


@pytest.fixture(autouse=True)
def short_turns() -> Iterator[None]:
    """Let threads take turns as in the backend's server."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    yield
    sys.setswitchinterval(before)


def late_fault(size: int) -> bytes:
    """Return a body whose last value is refused, so that it is looked at several times."""
    return b'{"a":[' + b'{"a":1},' * (size // 8) + b"NaN]}"


def twice(size: int) -> bytes:
    """Return a body whose last key stands twice."""
    return b"{" + b",".join(b'"%d":1' % number for number in range(size // 10)) + b',"0":1}'


def right(size: int) -> bytes:
    """Return a body that is taken."""
    return b"{" + b",".join(b'"%d":1' % number for number in range(size // 10)) + b"}"


async def post(body: bytes) -> tuple[int, float]:
    """Return the status that a body is answered, and the longest pause of the event loop meanwhile."""
    transport = httpx2.ASGITransport(app=application())

    async def stream() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), 65536):
            yield body[begin : begin + 65536]
            await asyncio.sleep(0)

    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        headers = {"Content-Type": "application/json"}
        await client.post("/", content=b"{}", headers=headers)  # what the first request prepares
        asked = asyncio.ensure_future(client.post("/", content=stream(), headers=headers))
        longest = 0.0
        while not asked.done():
            begin = time.process_time()
            await asyncio.sleep(0)
            longest = max(longest, time.process_time() - begin)
        return (await asked).status_code, longest


@pytest.mark.parametrize(("make", "status"), [(late_fault, 422), (twice, 422), (right, 200)])
def test_a_pause_does_not_grow_with_the_work(make: Any, status: int) -> None:
    """Ensure that a body of a megabyte holds the loop up for a fraction of the time that its parsing takes."""
    body = make(1_000_000)
    least_pause, least_work = 9.0, 9.0
    for _ in range(6):
        gc.disable()
        begin = time.process_time()
        answered, pause = asyncio.run(post(body))
        work = time.process_time() - begin
        gc.enable()
        assert answered == status
        least_pause, least_work = min(least_pause, pause), min(least_work, work)
        if least_pause < 0.03 + least_work / 3:
            return
    raise AssertionError(f"a pause of {least_pause:.3f} s in {least_work:.3f} s")


@pytest.mark.parametrize("size", [LARGE_BYTES - 20, LARGE_BYTES + 20])
def test_bodies_around_the_bound_are_answered_alike(size: int) -> None:
    """Ensure the same answers on both sides of it."""
    assert asyncio.run(post(right(size)))[0] == 200
    assert asyncio.run(post(twice(size)))[0] == 422
    assert asyncio.run(post(b"x" * size))[0] == 422
