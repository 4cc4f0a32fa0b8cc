"""Read JSON bodies strictly: what another parser could read differently, or we could not store, is refused."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from snaptable.strictjson import NotStrict, parse_strictly
from snaptable.web.problems import Fault, Problem

# Well under what the store takes in a row (100), so that a body that passes here can be stored.
MAX_DEPTH = 64


def parse_json(data: bytes | str) -> Any:
    """Return the JSON value of `data`.

    Raises:
        ValueError: for anything but exactly one JSON text in UTF-8: duplicate keys, NaN and infinities, numbers
            that overflow, lone surrogates, nesting over `MAX_DEPTH`. The message repeats nothing of the data.
    """
    try:
        return parse_strictly(data, MAX_DEPTH)
    except NotStrict as error:
        raise ValueError(f"This can't be stored: {error.reason}.") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"This is not valid UTF-8, at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not valid JSON, at character {error.pos}.") from None
    except ValueError:  # Python's bound on the digits of an integer
        raise ValueError("A number has too many digits.") from None


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
