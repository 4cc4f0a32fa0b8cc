"""The short way of plain requests: nobody can tell it from FastAPI's own, but by the clock."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Body, Depends, FastAPI, Query, Request
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient
from tests.app.support import Api, annotation, problem
from typing_extensions import TypedDict

from app.api import annotations, auth, documents, extractions
from app.api.schemas import AnnotationOut, UserOut
from app.tables import Annotation, Document, User
from snaptable import Row
from snaptable.web import Problem, Router, RowResponder, add_routes, install_problems, parse_json, routes
from snaptable.web.request_json import NeedsStrictParser, parse_quickly

JSON = "application/json"


class Note(BaseModel):
    """A strict body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    page: int = 1


class Changes(TypedDict, total=False):
    """A body that is no model."""

    text: str


async def who(request: Request) -> str:
    """Find the caller, or answer 401."""
    name = request.headers.get("x-name")
    if name is None:
        raise Problem(401, "Who are you?", headers={"WWW-Authenticate": "Name"})
    return name


NameDep = Annotated[str, Depends(who)]


def told(**values: Any) -> Response:
    """Answer with the arguments of an endpoint, and their types."""
    plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in values.items()}
    return JSONResponse([plain, {name: type(value).__name__ for name, value in values.items()}])


def build() -> FastAPI:
    """Return an application with plain endpoints, and some that are not."""
    router = Router(prefix="/notes")

    @router.get("/fail")
    async def fail(name: NameDep) -> Response:
        raise Problem(409, f"No, {name}.")

    @router.get("/{key}")
    async def show(name: NameDep, key: str) -> Response:
        return told(name=name, key=key)

    @router.get("/{key}/{number}")
    async def number(key: str, number: int, wide: Annotated[bool, Query()] = False) -> Response:
        return told(key=key, number=number, wide=wide)

    @router.post("/{key}")
    async def add(key: str, name: NameDep, body: Note) -> Response:
        return told(key=key, name=name, body=body)

    @router.patch("/{key}")
    async def change(key: str, changes: Annotated[Changes, Body()]) -> Response:
        return told(key=key, changes=changes)

    app = FastAPI()
    add_routes(app, router)
    install_problems(app)
    return app


@pytest.fixture(scope="module")
def ways() -> tuple[TestClient, TestClient]:
    """Give the application, and the same without the short way."""
    short = TestClient(build(), raise_server_exceptions=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes._ShortWay, "of", lambda _route: None)
        long = TestClient(build(), raise_server_exceptions=False)
    return short, long


BODIES = [
    b'{"text": "a"}', b'{"text": "a", "page": 2}', b'{"text": 1}', b'{"text": "a", "other": 1}', b"{}", b"[]", b"null",
    b"7", b"", b" ", b"{", b'{"text": "a", "text": "b"}', b'{"text": NaN}', b'{"text": "\\ud800"}', b'"text"', b"\xff",
]  # fmt: skip
TYPES = [
    JSON,
    "application/json; charset=utf-8",
    "application/merge-patch+json",
    "text/plain",
    "Application/JSON",
    "x",
    "",
]


@pytest.mark.parametrize("content_type", [*TYPES, None])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_body_is_answered_the_same_on_both_ways(
    ways: tuple[TestClient, TestClient], method: str, body: bytes, content_type: str | None
) -> None:
    """Ensure status, headers and body, with and without a caller: which of two errors is told first as well."""
    for name in ({"X-Name": "ann"}, {}):
        headers = name | ({} if content_type is None else {"Content-Type": content_type})
        first, second = (way.request(method, "/notes/k", content=body, headers=headers) for way in ways)
        assert (first.status_code, first.headers, first.content) == (second.status_code, second.headers, second.content)


@pytest.mark.parametrize(
    "path", ["a", "%C3%A9%20%22", "a%2Fb", "fail", "k/7", "k/x", "k/7?wide=1", "k/7?wide=2", "a/", "", "a?b=c"]
)
def test_a_path_is_answered_the_same_on_both_ways(ways: tuple[TestClient, TestClient], path: str) -> None:
    """Ensure the same for parts of the path, query strings, and endpoints that raise."""
    for headers in ({"X-Name": "ann"}, {}):
        first, second = (way.get(f"/notes/{path}", headers=headers) for way in ways)
        assert (first.status_code, first.headers, first.content) == (second.status_code, second.headers, second.content)


def test_what_most_requests_want_goes_the_short_way() -> None:
    """Ensure that reads, lists and writes of marks are plain, and what has a form or another answer is not."""
    found = {
        route.name
        for module in (annotations, extractions, documents, auth)
        for route in module.router.routes
        if routes._ShortWay.of(route)
    }
    marks = {f"{verb}_{kind}" for verb in ("create", "get") for kind in ("annotation", "extraction")}
    lists = {"list_annotations", "list_extractions", "list_documents"}
    assert found == marks | lists | {"change_annotation", "get_document"}


def test_only_documented_rows_are_sent() -> None:
    """Ensure that a row with a field more than its documented shape, or another type, can't be sent at all."""
    with pytest.raises(TypeError, match="User"):
        RowResponder(User, UserOut)

    class Other(AnnotationOut):
        page_num: str  # type: ignore[assignment]

    for model, shape in ((Annotation, Other), (Document, AnnotationOut)):
        with pytest.raises(TypeError):
            RowResponder(model, shape)


def test_a_type_within_itself_has_a_shape() -> None:
    """Ensure that rows with such a field can be sent, and that it is compared."""

    class Tree(Row):
        id: str
        parts: "dict[str, Tree]"

    class Branch(BaseModel):
        id: str
        parts: "dict[str, Branch]"

    class Leaf(BaseModel):
        id: str
        parts: dict[str, str]

    RowResponder(Tree, Branch)
    with pytest.raises(TypeError):
        RowResponder(Tree, Leaf)


def test_a_row_is_sent_as_its_documented_shape_would_be(ann: Api) -> None:
    """Ensure the bytes that the model of the OpenAPI document gives."""
    document = ann.upload()["id"]
    created = ann.post("/api/annotations", json=annotation(document, content="é\u2028\n", color=None))
    assert created.content == AnnotationOut.model_validate_json(created.content).model_dump_json().encode()
    listed = ann.get(f"/api/annotations?document_id={document}")
    assert listed.content == b'{"items":[%b],"next_cursor":null}' % created.content
    problem(ann.get("/api/annotations/none"), 404)


def both(data: bytes) -> tuple[Any, Any]:
    """Return what the quick and the strict parser say."""
    return _outcome(parse_quickly, data), _outcome(parse_json, data)


def _outcome(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return repr(parse(data))  # tells 1 from 1.0 and True, and -0.0 from 0.0
    except NeedsStrictParser:
        return NeedsStrictParser
    except ValueError:
        return ValueError


FRAGMENTS = [
    b"{", b"}", b"[", b"]", b":", b",", b'"a"', b'"b:"', b'"a":1', b'"a":', b'"\\u003a"', b'"\\u0061":2', b'"Infinity"',
    b"1e999", b"-1E400", b"NaN", b"-0", b"-0.0", b"1.5", b"01", b"12345678901234567890123", b"true", b"null", b" ",
    b'"\\ud800"', b'"\xff"', b"\xef\xbb\xbf", b"9" * 4301, b"[" * 64, b"]" * 64, b'"\x01"',
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9).map(b"".join))
@example(b'{"a":1,"a":2}')
@example(b'{"a":1,"a":"\\u003a"}')
@example(b'{"a":{"b":1,"b":2},"c":":"}')
@example(b"[" * 65 + b"]" * 65)
@example(b"[" * 64 + b"]" * 64)
@example(b"1.7976931348623159e308")
def test_what_is_parsed_quickly_is_what_the_strict_parser_says(data: bytes) -> None:
    """Ensure that the quick parser never takes what the strict one refuses, nor reads it differently."""
    quick, strict = both(data)
    assert quick in (NeedsStrictParser, strict)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_ordinary_json_is_parsed_quickly_and_right(value: Any, spaced: bool) -> None:
    """Ensure that the quick parser reads any value written without escapes, and exactly."""
    text = json.dumps(value, ensure_ascii=False, separators=None if spaced else (",", ":"))
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    quick, strict = both(data)
    assert strict == repr(json.loads(text))
    if b"\\u" not in data and b"Infinity" not in data:
        assert quick == strict
