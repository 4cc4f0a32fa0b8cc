"""What every request meets: whatever answers, its headers are there, and it is counted once by its route."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from tests.app.support import Api

from app.api.entrance import Entrance
from snaptable import Database
from snaptable.web.monitoring.requests import request_measurements


class Empty(Database):
    """A database without tables."""


def asked(method: str, app: Any, **headers: str) -> tuple[list[Message], dict[tuple[str, str], Counter[int]]]:
    """Send a request through the entrance, and return what is answered and what is counted."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 20, "more_body": False}

    db = Empty("memory:")
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Scope = {"type": "http", "method": method, "path": "/", "scheme": "https", "headers": given}
    try:
        asyncio.run(Entrance(app, lambda _: 10, db)(scope, receive, send))
    except ZeroDivisionError:
        sent.append({"type": "defect"})
    measured = request_measurements(db)
    assert measured is not None
    return sent, {route: each.statuses for route, each in measured.routes.items()}


async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with two pieces."""
    assert scope["method"] == "GET"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await send({"type": "http.response.body", "body": b"b"})


async def break_down(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Have a defect."""
    raise ZeroDivisionError


async def never_answer(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Notice that the client has gone."""


@pytest.mark.parametrize(
    ("method", "app", "headers", "kinds", "counted"),
    [
        ("GET", answer, {}, ["start", "body", "body"], {("GET", "(no route)"): {200: 1}}),
        ("HEAD", answer, {}, ["start", "body"], {("GET", "(no route)"): {200: 1}}),
        ("POST", answer, {"content_length": "11"}, ["start", "body"], {("POST", "(no route)"): {413: 1}}),
        ("HEAD", answer, {"content_length": "11"}, ["start", "body"], {("GET", "(no route)"): {413: 1}}),
        ("GET", break_down, {}, ["defect"], {("GET", "(no route)"): {500: 1}}),
        ("GET", never_answer, {}, [], {("GET", "(no route)"): {499: 1}}),
    ],
)
def test_whatever_answers_it_is_counted_once_and_has_its_headers(
    method: str, app: Any, headers: dict[str, str], kinds: list[str], counted: dict[tuple[str, str], dict[int, int]]
) -> None:
    """Ensure one count a request, the headers on each head, and no body behind a HEAD's."""
    sent, statuses = asked(method, app, **headers)
    assert [message["type"].removeprefix("http.response.") for message in sent] == kinds
    assert statuses == counted
    for message in sent:
        if message["type"] == "http.response.start":
            assert {b"x-content-type-options", b"strict-transport-security", b"cache-control"} <= {
                *dict(message["headers"])
            }
        if method == "HEAD":
            assert not message.get("body")


def test_the_application_lets_everything_through_it(ann: Api, client: TestClient) -> None:
    """Ensure that answers of routes, of the router, of limits and of HEAD are all its own."""
    me = ann.get("/api/auth/me").json()
    answers = [
        ann.get("/api/documents"),
        ann.request("HEAD", "/api/documents"),
        ann.get(f"/api/documents/{me['id']}"),
        client.get("/nowhere"),
        client.post("/api/auth/login", content=b"x" * 20_000),
    ]
    assert [each.status_code for each in answers] == [200, 200, 404, 404, 413]
    assert all(each.headers["x-content-type-options"] == "nosniff" for each in answers)
    assert all(each.headers["cache-control"] == "no-store" for each in answers)
    assert answers[1].content == b""
