"""Entity tags: a change that somebody else made meanwhile is never written over, in an application of any kind."""

import asyncio
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.testclient import TestClient

from snaptable import Database, Row, Table
from snaptable.web import IfMatch, Problem, RowResponder, SecurityHeaders, etag_of, install_problems, is_known


class Counter(Row):
    id: str
    count: int = 0


class Counters(Database):
    counters: Table[Counter]


respond = RowResponder(Counter, Counter)


@pytest.fixture
def client() -> Iterator[TestClient]:
    """Give an application with one counter."""
    app = FastAPI()
    install_problems(app)
    app.add_middleware(SecurityHeaders)
    with Counters("memory:") as db:
        db.counters.create(id="a")

        @app.get("/a")
        async def read(request: Request) -> Response:
            return respond.one(db.counters["a"], request=request)

        @app.put("/a/{count}")
        async def write(request: Request, count: int) -> Response:
            check = respond.if_match(request)

            def change(db: Counters) -> Counter:
                check(db.counters["a"])
                return db.counters.update("a", count=count)

            return respond.one(await db.run(change))

        yield TestClient(app, raise_server_exceptions=False)


def test_a_row_has_the_tag_of_what_it_holds(client: TestClient) -> None:
    """Ensure that the tag is strong, the same for the same row, and another for another."""
    first = client.get("/a").headers["etag"]
    assert first == client.get("/a").headers["etag"]
    assert first.startswith('"')
    written = client.put("/a/1").headers["etag"]
    assert written == client.get("/a").headers["etag"] != first
    assert client.put("/a/0").headers["etag"] == first


def test_a_stale_tag_is_412(client: TestClient) -> None:
    """Ensure that the condition is judged on what is there, that the answer tells its tag, and nothing is changed."""
    tag = client.get("/a").headers["etag"]
    for matching in (tag, f'"x", {tag}', f'W/"y",{tag}', '"a,b" , ' + tag, "*", " * "):
        assert client.put("/a/0", headers={"If-Match": matching}).status_code == 200, matching
    assert client.put("/a/0", headers=[("If-Match", '"x"'), ("If-Match", tag)]).status_code == 200
    assert client.put("/a/1", headers={"If-Match": tag}).status_code == 200
    present = client.get("/a").headers["etag"]
    for stale in (tag, '"x"', f"W/{present}", present.strip('"'), "", ",", '"', f'"x{present}'):
        response = client.put("/a/2", headers={"If-Match": stale})
        assert response.status_code == 412, stale
        assert response.headers["content-type"] == "application/problem+json"
        assert (response.headers["etag"], response.json()["etag"]) == (present, present)
    assert client.get("/a").json()["count"] == 1


def test_what_is_known_is_304(client: TestClient) -> None:
    """Ensure no body for a tag that the client has, weak ones and lists included, and a body for any other."""
    tag = client.get("/a").headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        response = client.get("/a", headers={"If-None-Match": known})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)
    for other in ('"x"', tag.strip('"'), ""):
        assert client.get("/a", headers={"If-None-Match": other}).status_code == 200


@given(st.lists(st.sampled_from([b'"', b"W/", b",", b" ", b"*", b"a", b'"a"', etag_of(b"").encode()]), max_size=12))
def test_any_header_is_read(parts: list[bytes]) -> None:
    """Ensure that no list of tags, well-formed or not, is an error, and no other tag than the one in it matches."""
    header = b"".join(parts)
    scope = {"headers": [(b"if-match", header), (b"if-none-match", header)]}
    is_known(scope, etag_of(b""))
    if header.strip() != b"*":
        assert not is_known(scope, etag_of(b"other"))
        with pytest.raises(Problem) as raised:
            IfMatch(scope).check(etag_of(b"other"))
        assert raised.value.status_code == 412


def test_answers_carry_the_headers_of_security(client: TestClient) -> None:
    """Ensure no-store and nosniff on JSON, problems and answers without a body, and no frames around pages."""
    for response in (client.get("/a"), client.get("/none"), client.put("/a/x"), client.get("/openapi.json")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
    page = client.get("/docs")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"


def test_what_is_set_already_stays() -> None:
    """Ensure that an answer's own headers are neither changed nor doubled."""
    own = [(b"cache-control", b"private"), (b"x-content-type-options", b"nosniff"), (b"content-type", b"a/json")]
    sent = []

    async def app(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": own})  # type: ignore[operator]

    async def send(message: object) -> None:
        sent.append(message)

    asyncio.run(SecurityHeaders(app)({"type": "http"}, None, send))  # type: ignore[arg-type]
    assert sent[0]["headers"] == own  # type: ignore[index]
