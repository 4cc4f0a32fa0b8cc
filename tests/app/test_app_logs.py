"""The log: one line a request with its id and nothing secret, as text or as JSON, whatever a client sends.

Ensures it over a real server, and for any ids, messages and exceptions.
"""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send
from tests.app.support import PASSWORD, Api, Process, check_problem

from app.logs import JsonLines, TextLines
from snaptable.web import RequestLog
from snaptable.web.request_ids import CURRENT, LONGEST_ID, RequestRecord, TrustedPeers

GIVEN = re.compile(r"[0-9a-f]{8}-[0-9a-f]+")
REQUESTS = "snaptable.web.requests"


# ── over a real server ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give what a server logged, as JSON, of some requests; of clients and of what they got."""
    directory: Path = tmp_path_factory.mktemp("logs") / "data"
    process = Process(directory, "--access-log", "--log-format=json", "--trusted-proxies=127.0.0.1", "--no-admin")
    try:
        process.start()
        with process.client() as http:
            told = requests(http)
        assert process.stop() == 0
    finally:
        process.end()
    lines = [line for line in process.output.splitlines() if line.startswith("{")]
    return {**told, "text": "\n".join(lines), "lines": [json.loads(line) for line in lines]}


def requests(http: httpx2.Client) -> dict[str, Any]:
    """Send some requests; return what is known of them."""
    ann = Api(http)
    ann.register()
    user = ann.get("/api/auth/me").json()
    document = ann.upload(name="private-name.pdf")
    found = ann.get(f"/api/documents/{document['id']}", headers={"X-Request-ID": "front-17.a"})
    missing = ann.get("/api/documents/no-such-row?content=private-words", headers={"X-Request-ID": "x y\tz"})
    head = http.head(f"/api/documents/{document['id']}", headers=ann.headers)
    refused = http.get("/api/documents", headers={"Authorization": "Bearer private-token"})
    forwarded = http.get("/health", headers={"X-Forwarded-For": "192.0.2.77"})
    http.post("/api/auth/login", data={"username": ann.email, "password": "private-password"})
    return {
        "ann": ann, "user": user, "document": document, "found": found, "missing": missing, "refused": refused,
        "head": head, "forwarded": forwarded,
    }  # fmt: skip


def lines_of(story: dict[str, Any], response: httpx2.Response) -> list[dict[str, Any]]:
    """Return the lines of the request that was answered so."""
    return [line for line in story["lines"] if line.get("request_id") == response.headers["x-request-id"]]


def test_each_request_has_one_line(story: dict[str, Any]) -> None:
    """Ensure method, route as it was written, status, time, bytes, caller by key, and the client's address."""
    (line,) = lines_of(story, story["found"])
    assert line["logger"] == REQUESTS
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/documents/{document_id}", 200)
    assert line["bytes"] == len(story["found"].content)
    assert line["caller"] == story["user"]["id"]
    assert (line["address"], line["ms"] > 0) == ("127.0.0.1", True)
    (head,) = lines_of(story, story["head"])
    assert (head["method"], head["route"], head["bytes"]) == ("HEAD", "/api/documents/{document_id}", 0)
    (forwarded,) = lines_of(story, story["forwarded"])
    assert (forwarded["address"], forwarded["caller"]) == ("192.0.2.77", "")
    counted = [line for line in story["lines"] if line["logger"] == REQUESTS]
    assert len({line["request_id"] for line in counted}) == len(counted) == 10


def test_an_id_of_a_trusted_proxy_is_taken_if_it_is_one(story: dict[str, Any]) -> None:
    """Ensure that what a proxy gives is in the answer, the line and problems; and that strange ones are replaced."""
    assert story["found"].headers["x-request-id"] == "front-17.a"
    problem = check_problem(story["missing"], 404)
    assert GIVEN.fullmatch(problem["request_id"])
    assert problem["request_id"] == story["missing"].headers["x-request-id"]


def test_security_events_have_the_id_of_their_request(story: dict[str, Any]) -> None:
    """Ensure that the event and the request are found together."""
    event, line = lines_of(story, story["refused"])
    assert (event["logger"], event["event"], line["status"]) == ("app.security", "token refused", 401)
    assert check_problem(story["refused"], 401)["request_id"] == event["request_id"]


def test_nothing_secret_is_in_the_log(story: dict[str, Any]) -> None:
    """Ensure that neither passwords, tokens, addresses of people, names of files nor queries are."""
    token = story["ann"].headers["Authorization"].split()[1]
    for secret in (PASSWORD, token, "private-", "@", "example.org", "no-such-row", story["document"]["id"]):
        assert secret not in story["text"]


# ── for any request ─────────────────────────────────────────────────────────────────────────────────────────────────


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, or fail."""
    if scope["path"] == "/bug":
        raise ZeroDivisionError
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask(app: RequestLog, peer: str | None, path: str = "/", sent: bytes | None = None) -> str | None:
    """Send a request in a task of its own; return the id that the answer has."""
    heads: list[Message] = []

    async def send(message: Message) -> None:
        heads.append(message)

    headers = [] if sent is None else [(b"x-request-id", sent)]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "client": peer and (peer, 1)}
    asyncio.run(app(scope, lambda: asyncio.sleep(0), send))  # type: ignore[arg-type,return-value]
    return next((value.decode() for name, value in heads[0]["headers"] if name == b"x-request-id"), None)


@given(st.binary(max_size=80) | st.from_regex(rb"[A-Za-z0-9._-]{1,70}", fullmatch=True), st.booleans())
def test_any_id_that_is_sent_is_bounded_and_plain(sent: bytes, trusted: bool) -> None:
    """Ensure that only a trusted peer's id is taken, and only if it can break out of nothing."""
    app = RequestLog(answer, trusted_proxies=["10.0.0.0/8", "not an address"], lines=False)
    found = ask(app, "10.2.3.4" if trusted else "192.0.2.1", sent=sent)
    assert found is not None
    if trusted and re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", sent):
        assert found.encode() == sent
    else:
        assert GIVEN.fullmatch(found)
    assert len(found) <= LONGEST_ID


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["*", "10.0.0.0/8", "::1", "proxy", "", "10.1.2.3/8"])), st.text(max_size=20) | st.none()
)
def test_any_peer_is_trusted_only_if_it_is_named(listed: list[str], peer: str | None) -> None:
    """Ensure that names that are no addresses trust nobody else, and what is no address is no error."""
    assert (peer in TrustedPeers(listed)) == ("*" in listed or (peer is not None and peer in listed and peer != ""))
    assert ("10.9.9.9" in TrustedPeers(listed)) == bool({"*", "10.0.0.0/8", "10.1.2.3/8"} & set(listed))


def test_a_defect_has_a_line_and_an_id(caplog: pytest.LogCaptureFixture) -> None:
    """Ensure that an application that fails is counted as 500, with the id that its traceback will have."""
    caplog.set_level(logging.INFO, REQUESTS)
    with pytest.raises(ZeroDivisionError):
        ask(RequestLog(answer), "192.0.2.1", "/bug")
    assert caplog.records[-1].getMessage().startswith("GET (no route) 500 ")


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(), st.text() | st.none(), st.dictionaries(st.text(max_size=12), st.text() | st.integers() | st.none()))
def test_each_record_is_one_line_of_json(message: str, failure: str | None, fields: dict[str, Any]) -> None:
    """Ensure that no message, exception or field breaks out of its line, or takes another's name."""
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "%s", (message,), None)
    if failure is not None:
        record.exc_info = (ValueError, ValueError(failure), None)
    record.request_id, record.fields = "r-1", {**fields, "level": "FORGED", "request_id": "FORGED"}
    line = JsonLines().format(record)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    parsed = json.loads(line)
    assert (parsed["level"], parsed["request_id"], parsed["message"]) == ("INFO", "r-1", message)
    assert ("traceback" in parsed) == (failure is not None or "traceback" in fields) or "traceback" in fields


def test_long_lines_are_cut() -> None:
    """Ensure that what nobody bounded is."""
    record = logging.LogRecord("app", logging.ERROR, __file__, 1, "x" * 10**6, (), None)
    record.exc_info = (ValueError, ValueError("y" * 10**6), None)
    assert len(JsonLines().format(record)) < 50_000


def test_text_lines_end_in_the_id_of_the_request() -> None:
    """Ensure that people find it too, in front of a traceback, and that other lines have none."""
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "hello", (), None)
    assert TextLines("%(message)s").format(record) == "hello"
    record.request_id = "r-1"
    assert TextLines("%(message)s").format(record) == "hello request=r-1"
    record.exc_info = (ValueError, ValueError("no"), None)
    assert TextLines("%(message)s").format(record) == "hello request=r-1\nValueError: no"


def test_the_id_goes_with_a_request_into_threads() -> None:
    """Ensure that what a thread logs for a request has its id too."""

    async def seen() -> RequestRecord | None:
        CURRENT.set(RequestRecord("r-2"))
        return await asyncio.to_thread(CURRENT.get)

    record = asyncio.run(seen())
    assert record is not None
    assert record.id == "r-2"
