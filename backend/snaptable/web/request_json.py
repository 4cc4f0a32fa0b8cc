"""Bodies, read strictly: what another parser could read differently, or the store could not keep, is refused."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, ClassVar

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import JsonValue
from pydantic_core import from_json, to_json
from starlette.responses import Response
from starlette.types import Receive, Scope

from snaptable.values.json_faults import TOO_MANY_DIGITS, first_fault
from snaptable.values.strict_json import TOO_DEEP, NotStrict, depth_of, parse_strictly
from snaptable.web.body_errors import LEAST_BYTES, BodyErrors
from snaptable.web.problems import FieldError, Problem, pointer_to

MAX_DEPTH = 64
"""Nesting of a body; well under what the store takes in a row (100), so that a body that passes here can be stored."""


LARGE_BYTES = 64 * 1024
"""Bytes of a body from which on it is parsed beside the event loop: a megabyte may take a third of a second."""
MAX_CONTENT_TYPE = 1000
"""Bytes of a header Content-Type; the longest boundary of a form has 70."""
_UTF8 = re.compile(rb"""charset *= *(?:utf-?8|"utf-?8") *(?=;|\Z)""", re.IGNORECASE)


class StrictRequest(Request):
    """A request whose `json()` is strict.

    Attributes:
        caller: who makes it, if a subclass finds that out when it is admitted.
    """

    caller: Any = None

    def __init__(self, scope: Scope, receive: Receive, errors: BodyErrors | None = None) -> None:
        """Take what the server gives, and what bounds the errors that are told of a body."""
        super().__init__(scope, receive)
        self._errors = errors

    async def admit(self) -> None:
        """Do nothing; a subclass may refuse the request here, before its body is read.

        What a route needs to know of every request, such as who makes it, costs a third as much here as by a dependency
        that does nothing else: FastAPI works out the parameters of each at every request.
        """

    async def json(self) -> JsonValue:
        """Return the value of the body.

        Raises:
            Problem: 422, the body is not strict JSON, or has more errors than can be told.
        """
        body = await self.body()
        if len(body) < LARGE_BYTES:
            return self._value_of(body)
        return await asyncio.get_running_loop().run_in_executor(_large_bodies(), self._value_of, body)

    def _value_of(self, body: bytes) -> JsonValue:
        """Return the value of a body that has come; O(its size)."""
        try:
            value = parse_json(body)
        except NotStrictJson as error:
            raise Problem.invalid(FieldError(error.pointer, str(error))) from None
        if self._errors is not None and len(body) >= LEAST_BYTES:
            self._errors.check(value)
        return value


class StrictRoute(APIRoute):
    """A route whose bodies are in UTF-8, and whose JSON is parsed by `parse_json`.

    `APIRouter(route_class=StrictRoute)`. A body of another charset is answered 415 before it is read: a form would be
    decoded by whatever codec of Python's its sender names, and some of them take a time that grows with the square of
    the size.

    A subclass may name another `request_class`, such as one that finds out who asks before the body is read.
    """

    request_class: ClassVar[type[StrictRequest]] = StrictRequest
    """What endpoints are handed, as the parameter that is annotated as a request."""
    finds_caller: ClassVar[bool] = False
    """Whether these requests know their `caller`, so that routers don't have FastAPI work it out again."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[object, object, Response]]:
        """Return FastAPI's handler, handed a request whose `json()` is strict."""
        handler, make_request = super().get_route_handler(), self.request_class
        errors = None if self.body_field is None else BodyErrors(self.body_field.field_info.annotation)

        async def handle(request: Request) -> Response:
            """Answer the request."""
            _check_charset(request.scope)
            strict = make_request(request.scope, request.receive, errors)
            await strict.admit()
            return await handler(strict)

        return handle


def _check_charset(scope: Scope) -> None:
    """Refuse a body that says it is not in UTF-8.

    Raises:
        Problem: 415.
    """
    for name, value in scope["headers"]:
        if name != b"content-type" or value == b"application/json":
            continue
        # In whatever way a parameter is spelled, continued or encoded, its name stands there.
        if b"charset" in _UTF8.sub(b"", value).lower():
            raise Problem(415, "Send the body in UTF-8: the header Content-Type names another charset.")
        if len(value) > MAX_CONTENT_TYPE:
            raise Problem(415, f"The header Content-Type is longer than {MAX_CONTENT_TYPE} bytes.")


@cache
def _large_bodies() -> ThreadPoolExecutor:
    """Return the thread that parses large bodies, one after the other: it takes turns with the event loop."""
    return ThreadPoolExecutor(1, thread_name_prefix="large-bodies")


class NotStrictJson(ValueError):
    """A JSON text that is refused; the message repeats nothing of it.

    Attributes:
        pointer: a JSON pointer (RFC 6901) to the value that is not strict; "" for the whole text, if it is not JSON at
            all, or the value could not be found.
    """

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


def parse_json(data: bytes | str) -> JsonValue:
    """Return the JSON value of `data`.

    Raises:
        NotStrictJson: for anything but exactly one JSON text in UTF-8: duplicate keys, NaN and infinities, numbers
            that overflow, lone surrogates, nesting over `MAX_DEPTH`. A ValueError; it points at the value.
    """
    try:
        return parse_quickly(data) if isinstance(data, bytes) else _parse_strictly(data)
    except NeedsStrictParser:
        return _parse_strictly(data)


class NeedsStrictParser(Exception):
    """A JSON text of which only the slower, strict parser can tell whether it is strict."""


def parse_quickly(data: bytes) -> JsonValue:
    """Return the JSON value of an ordinary text as the strict parser does, in a half to a quarter of the time.

    Pydantic's parser is strict as well, except for duplicate keys, numbers beyond a float, and depth.

    Raises:
        NeedsStrictParser: it is not ordinary, or not strict.
    """
    try:
        value: JsonValue = from_json(data, allow_inf_nan=False)
        again = to_json(value)
    except ValueError:
        raise NeedsStrictParser from None
    # A value that lost a key has a colon less when it is written again; an escape could hide a colon from the count.
    if b"\\u" in data or again.count(b":") != data.count(b":") or b"Infinity" in again:
        raise NeedsStrictParser
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH < depth_of(value):
        raise NeedsStrictParser
    return value


def _parse_strictly(data: bytes | str) -> JsonValue:
    """Return the JSON value of `data`; the message of a refusal repeats nothing of it."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise NotStrictJson(f"This is not valid UTF-8, at byte {error.start}.") from None
    try:
        value: JsonValue = parse_strictly(text, MAX_DEPTH)
    except NotStrict as error:
        raise _located(text, error.reason) from None
    except json.JSONDecodeError as error:
        raise NotStrictJson(f"This is not valid JSON, at character {error.pos}.") from None
    except ValueError:  # Python's bound on the digits of an integer
        raise _located(text, TOO_MANY_DIGITS) from None
    return value


def _located(text: str, reason: str) -> NotStrictJson:
    """Return the error that points at the first value which is not strict, or tells the reason if that isn't found."""
    fault = first_fault(text, MAX_DEPTH)
    if fault is not None:
        reason = f"nested deeper than {MAX_DEPTH}" if fault.reason == TOO_DEEP else fault.reason
    return NotStrictJson(f"This can't be stored: {reason}.", pointer_to(*fault.path) if fault else "")
