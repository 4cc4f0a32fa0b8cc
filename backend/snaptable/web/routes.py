"""Routes: documented and checked by FastAPI, with a short way for plain requests, which most are.

FastAPI works out for each request anew what the endpoint wants. That takes 25 to 35 µs, as much as everything else
between the socket and the store. Where the endpoint wants texts of the path, dependencies on the request and a JSON
body, and the body is valid, it is handed the very same values here. All else, an invalid body included, goes FastAPI's
way: the short way has no answers of its own.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, fields
from enum import Enum
from inspect import iscoroutinefunction, signature
from typing import Any

from fastapi import APIRouter, FastAPI, Request, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import Response

from snaptable.web.problems import FieldError, Problem
from snaptable.web.request_json import parse_json

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """Be the route class whose JSON bodies are parsed by `parse_json`."""

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler so that it sees a request with a strict `json()`, and only where it is needed."""
        handler = super().get_route_handler()
        short = _ShortWay.of(self)

        async def strict(request: Request) -> Response:
            request = _StrictRequest(request.scope, request.receive)
            values = await short.values(request) if short else None
            return await handler(request) if values is None else await self.endpoint(**values)

        return strict


class Router(APIRouter):
    """Be a router of strict routes; operations are named after their functions, as generated clients read well."""

    def __init__(self, prefix: str = "", tags: list[str | Enum] | None = None) -> None:
        """Take the prefix of every path."""
        super().__init__(
            prefix=prefix, tags=tags, route_class=StrictRoute, generate_unique_id_function=lambda route: route.name
        )


def add_routes(app: FastAPI, *routers: APIRouter) -> None:
    """Put the routes of these routers before the application's other ones; they are tried in this order.

    Not by `include_router`: a router within a router is searched twice, each of its routes at several times the cost.
    """
    app.router.routes[:0] = [route for router in routers for route in router.routes]


class _StrictRequest(Request):
    """Be a request whose `json()` is strict."""

    async def json(self) -> Any:
        """Return the body's value, or answer 422."""
        try:
            return parse_json(await self.body())
        except ValueError as error:
            raise Problem.invalid(FieldError("", str(error))) from None


@dataclass(frozen=True)
class _ShortWay:
    """Know what a plain endpoint wants."""

    texts: tuple[str, ...]
    """Parameters that are a part of the path, as text."""
    found: tuple[tuple[str, str, Callable[..., Awaitable[Any]]], ...]
    """Parameters that a dependency finds: its name, what it calls the request, and itself."""
    body: tuple[str, Callable[..., tuple[Any, list[Any]]]] | None
    """The parameter that is the body, and its validator."""

    @classmethod
    def of(cls, route: APIRoute) -> "_ShortWay | None":
        """Return the short way to an endpoint, None where it is not plain."""
        wanted = route.dependant
        plain = (
            _wants_only(wanted, "path_params", "dependencies", "body_params")
            and all(
                field.field_info.annotation is str and not field.field_info.metadata for field in wanted.path_params
            )
            and all(_is_plain_dependency(dependency) for dependency in wanted.dependencies)
            and _is_plain_body(wanted)
            and iscoroutinefunction(route.endpoint)
            and signature(route.endpoint).return_annotation is Response
        )
        if not plain:
            return None
        return cls(
            tuple(field.name for field in wanted.path_params),
            tuple((str(one.name), str(one.request_param_name), one.call) for one in wanted.dependencies if one.call),
            next(((field.name, field.validate) for field in wanted.body_params), None),
        )

    async def values(self, request: Request) -> dict[str, Any] | None:
        """Return the endpoint's arguments, None where FastAPI is to look at the request."""
        values: dict[str, Any] = {}
        given: Any = None
        if self.body is not None:
            # Parsed first, validated last, as FastAPI does: which of two errors is told must not depend on the way.
            if request.headers.get("content-type") != "application/json" or not await request.body():
                return None
            given = await request.json()
        for name in self.texts:
            values[name] = request.path_params[name]
        for name, argument, find in self.found:
            values[name] = await find(**{argument: request})
        if self.body is not None:
            name, validate = self.body
            values[name], errors = validate(given, {}, loc=("body",))
            if errors:
                return None
        return values


_BLANK = Dependant()


def _wants_only(dependant: Dependant, *members: str) -> bool:
    """Return whether a dependant asks for nothing but these: what FastAPI learns to offer later is not plain."""
    # `scope` says when a generator is closed, and plain ones are none.
    known = {"name", "call", "path", "scope", *members}
    values = (
        (getattr(dependant, field.name), getattr(_BLANK, field.name))
        for field in fields(_BLANK)
        if field.name not in known
    )
    return all(value == blank or value == [] for value, blank in values)


def _is_plain_dependency(dependant: Dependant) -> bool:
    """Return whether a dependency is a coroutine function of the request."""
    call = dependant.call
    is_coroutine = iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)
    return is_coroutine and dependant.request_param_name is not None and _wants_only(dependant, "request_param_name")


def _is_plain_body(dependant: Dependant) -> bool:
    """Return whether there is no body, or one that is a JSON value as a whole."""
    infos = [field.field_info for field in dependant.body_params]
    return not infos or (len(infos) == 1 and type(infos[0]) is params.Body and not infos[0].embed)
