"""The charset of a body: UTF-8, or 415 before a byte of it is read, on every kind of route that takes a body."""

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, Form
from starlette.testclient import TestClient
from starlette.types import Message

from snaptable.web import StrictRoute, install_problems

router = APIRouter(route_class=StrictRoute)


@router.post("/form")
async def take_form(text: Annotated[str, Form()]) -> str:
    """Return the field."""
    return text


@router.post("/json")
async def take_json(body: dict[str, str]) -> str:
    """Return the member."""
    return body["text"]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """Give an application with a route for forms and one for JSON."""
    app = FastAPI()
    app.include_router(router)
    install_problems(app)
    return app


FORM = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xc3\xa9\r\n--b--\r\n'
KINDS = {
    "multipart/form-data; boundary=b": ("/form", FORM),
    "application/x-www-form-urlencoded": ("/form", b"text=%C3%A9"),
    "application/json": ("/json", '{"text": "é"}'.encode()),
}
OTHERS = [
    "charset=punycode", "charset=idna", 'charset="punycode"', "Charset = Punycode", "charset=unicode_escape",
    "charset=utf-16", "charset=utf-7", "charset=utf_8_sig", "charset=latin-1", "charset=us-ascii", "charset=",
    "charset", "charset*=utf-8''punycode", "charset*0=puny; charset*1=code", "charset=utf-8; charset=punycode",
    "charset='utf-8'", 'charset="utf-8; charset=punycode"', "charset=utf-8x", "charset=xutf-8", "x=1;charset=idna;",
    'x="; charset=punycode', "boundary=" + "b" * 1000,
]  # fmt: skip


def status_unread(app: FastAPI, path: str, headers: list[tuple[bytes, bytes]]) -> int:
    """Return the status of a request whose body must not be read."""
    statuses: list[int] = []

    async def receive() -> Message:
        pytest.fail("the body was read")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "http_version": "1.1", "scheme": "http", "server": ("test", 80), "client": ("test", 1),
        "root_path": "",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return statuses[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parameter", OTHERS)
def test_another_charset_is_refused_unread(app: FastAPI, kind: str, parameter: str) -> None:
    """Ensure a body that names another charset, in whatever spelling, is 415 before it is read."""
    path, _ = KINDS[kind]
    assert status_unread(app, path, [(b"content-type", f"{kind}; {parameter}".encode())]) == 415


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_header_is_looked_at_as_well(app: FastAPI, kind: str) -> None:
    """Ensure that it does not matter which of several headers a parser would take."""
    path, _ = KINDS[kind]
    headers = [(b"content-type", kind.encode()), (b"content-type", b"text/plain; charset=punycode")]
    assert status_unread(app, path, headers) == 415


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "parameter", ["", "; charset=utf-8", ";charset=UTF-8", '; charset="utf-8"', "; charset=utf8 ; x=y", "; x=y"]
)
def test_utf8_is_taken(app: FastAPI, kind: str, parameter: str) -> None:
    """Ensure that UTF-8, said or not, is taken in every spelling in use."""
    path, body = KINDS[kind]
    response = TestClient(app).post(path, content=body, headers={"Content-Type": kind + parameter})
    assert (response.status_code, response.json()) == (200, "é")


def test_the_charset_of_a_part_is_not_used(app: FastAPI) -> None:
    """Ensure that neither a part's own type nor an encoded name of a file chooses a codec."""
    form = FORM.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=punycode\r\n\r\n", 1)
    named = form.replace(b'name="text"', b"name=\"text\"; filename*=punycode''abc; name*=idna''abc")
    for body in (form, named):
        response = TestClient(app).post("/form", content=body, headers={"Content-Type": next(iter(KINDS))})
        assert (response.status_code, response.json()) == (200, "é")
