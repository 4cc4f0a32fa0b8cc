"""Read JSON bodies strictly: what another parser could read differently, or we could not store, is refused."""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from snaptable.web.problems import Fault, Problem

# Well under what the store takes in a row (100), so that a body that passes here can be stored.
MAX_DEPTH = 64


def parse_json(data: bytes | str) -> Any:
    """Return the JSON value of `data`.

    Raises:
        ValueError: for anything but exactly one JSON text in UTF-8: duplicate keys, NaN and infinities, numbers
            that overflow, lone surrogates, nesting over `MAX_DEPTH`. The message repeats nothing of the data.
    """
    text = data if isinstance(data, str) else _decode(data)
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(text)
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not valid JSON, at character {error.pos}.") from None
    except _Refused:
        raise
    except ValueError:  # Python's bound on the digits of an integer
        raise ValueError("A number has too many digits.") from None
    if "\\u" in text:
        _check_surrogates(value)
    return value


class _Refused(ValueError):
    """Say why JSON that a parser would take is refused."""


class StrictRoute(APIRoute):
    """Be the route class whose JSON bodies are parsed by `parse_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler so that it sees a request with a strict `json()`."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    """Be a request whose `json()` is strict."""

    async def json(self) -> Any:
        """Return the body's value, or answer 422."""
        try:
            return parse_json(await self.body())
        except ValueError as error:
            raise Problem.invalid(Fault("", str(error))) from None


def _decode(data: bytes) -> str:
    """Decode UTF-8 strictly; a byte order mark is no part of JSON."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"This is not valid UTF-8, at byte {error.start}.") from None


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the recursive parser meets it."""
    depth = 0
    inside = escaped = False
    for character in text:
        if inside:
            inside = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"This is nested deeper than {MAX_DEPTH} levels.")
        elif character in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, refusing a key that comes twice."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _Refused("An object has the same key twice.")
    return result


def _constant(_text: str) -> NoReturn:
    """Refuse NaN, Infinity and -Infinity, which are not JSON."""
    raise _Refused("NaN and infinities are not valid JSON.")


def _float(text: str) -> float:
    """Refuse a number so large that it would become infinite."""
    number = float(text)
    if not math.isfinite(number):
        raise _Refused("A number is too large.")
    return number


def _check_surrogates(value: Any) -> None:
    """Refuse half of a surrogate pair, which no UTF-8 file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("A text holds half of a surrogate pair.") from None
