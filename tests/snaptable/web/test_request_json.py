"""JSON bodies, read strictly, on a route and by themselves."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from starlette.testclient import TestClient

from snaptable.web import NotStrictJson, StrictRoute, install_problems, parse_json
from snaptable.web.problems import pointer_to
from snaptable.web.request_json import MAX_DEPTH, NeedsStrictParser, parse_quickly


class Note(BaseModel):
    """A strict body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    page: int = 1


@pytest.fixture(scope="module")
def client() -> TestClient:
    """Give an application with a route that takes a JSON body."""
    router = APIRouter(route_class=StrictRoute)

    @router.post("/notes")
    async def add(body: Note) -> Note:
        return body

    app = FastAPI()
    app.include_router(router)
    install_problems(app)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/x+json"])
def test_an_ordinary_body_is_taken(client: TestClient, content_type: str) -> None:
    """Ensure that strictness refuses nothing that is plain JSON, under any of JSON's types."""
    response = client.post("/notes", content=b'{"text": "a", "page": 2}', headers={"Content-Type": content_type})
    assert (response.status_code, response.json()) == (200, {"text": "a", "page": 2})


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"text": "a", "text": "b"}', "/text"), (b'{"text": NaN}', "/text"), (b'{"text": "\\ud800"}', "/text"),
        (b"\xff", ""), (b"{", ""), (b'{"text": "a"} {}', ""), (b"NaN", ""), (b"[[NaN]]", "/0/0"), (b'"\\udc00"', ""),
        (b'{"text": ' + b"[" * 65 + b"]" * 65 + b"}", "/text" + "/0" * 63),
        (b'{"text": ' + b"[" * 500_000, "/text" + "/0" * 63),
        (b'{"text": {"a/b": [1, {"c~d": -Infinity}]}}', "/text/a~1b/1/c~0d"), (b'{"page": 1e400}', "/page"),
        (b'{"page": [0, ' + b"9" * 4301 + b"]}", "/page/1"),
        (b'{"text": [{}, {"a": 1, "b": 2, "\\u0061": 3}]}', "/text/1/a"),
        (b'{"text": {"\\ud800": 1}}', "/text"), (b'{"' + b"k" * 1_000_000 + b'": NaN}', "/" + "k" * 199),
        (b'{"text": "a", "' + b"~" * 1_000_000 + b'": 1}', ("/" + "~0" * 100)[:199]),
        (b'{"text": 1}', "/text"), (b'{"text": "a", "page": 2.5}', "/page"), (b'{"text": "a", "b/c": 1}', "/b~1c"),
        (b"[]", ""), (b"null", ""), (b"", ""), (b"{}", "/text"),
    ],
)  # fmt: skip
def test_any_other_body_is_422(client: TestClient, body: bytes, pointer: str) -> None:
    """Ensure a problem that points at the field, or at the whole if it is not strict JSON, and repeats no value."""
    response = client.post("/notes", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


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


FAULTS = [
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"9" * 4301,
    b'"\\ud8' + b'00"',
    b"[" * 65 + b"]" * 65,
    b'{"x":1,"y":{},"x":2}',
]


@given(
    st.lists(st.sampled_from(["a", "", "~", "/", "é", '"', "[", ":", "NaN", "a,b"]) | st.integers(0, 3), max_size=4),
    st.sampled_from(FAULTS),
    st.booleans(),
)
def test_a_pointer_leads_to_the_value(path: list[str | int], fault: bytes, spaced: bool) -> None:
    """Ensure that a value which is not strict is found wherever it stands, whatever stands before and behind it."""
    value: Any = "FAULT"
    for step in reversed(path):
        siblings = [{"n": ["{[", 1.5, None]}, True, '\\"']
        if isinstance(step, str):
            value = {"before": siblings, step: value, "behind": siblings}
        else:
            value = [*(siblings * 2)[:step], value, "FAULTS"]
    text = json.dumps(value, ensure_ascii=False, indent=1 if spaced else None)
    data = text.encode().replace(b'"FAULT"', fault)
    with pytest.raises(NotStrictJson) as raised:
        parse_json(data)
    expected = pointer_to(*path)
    if fault[:1] == b"[":  # the list that is too deep
        assert raised.value.pointer.startswith(expected)
        assert len(raised.value.pointer.split("/")) - 1 == MAX_DEPTH
    else:
        assert raised.value.pointer == expected + ("/x" if fault[:1] == b"{" else "")


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
