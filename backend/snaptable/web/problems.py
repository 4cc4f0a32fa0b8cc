"""Answer every error as an RFC 9457 problem: one shape, a JSON pointer per field, no value repeated."""

import http
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import compile_path

from snaptable import (
    ConstraintError,
    DatabaseClosed,
    InvalidCursor,
    InvalidQuery,
    InvalidRow,
    ReadOnlyStore,
    RowNotFound,
    SnaptableError,
    WriteFailed,
)

PROBLEM_MEDIA_TYPE = "application/problem+json"

# A body of a hundred thousand unknown fields must not earn an answer of the same size.
MAX_FAULTS = 50
RETRY_AFTER_STORE = "5"

logger = logging.getLogger("snaptable.web")


@dataclass(frozen=True)
class FieldError:
    """Point at one field of a request, and say what is wrong with it."""

    pointer: str
    detail: str
    where: str = "body"

    def as_dict(self) -> dict[str, str]:
        """Return the fault as it appears in a problem's `errors`."""
        return {"pointer": self.pointer, "in": self.where, "detail": self.detail}


class Problem(HTTPException):
    """Be raised anywhere below a route to answer with this problem."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the status and the sentence a person reads; `members` are extension members."""
        super().__init__(status, detail, headers)
        self.errors = errors
        self.members = members or {}

    @classmethod
    def invalid(cls, *faults: FieldError) -> "Problem":
        """Make the 422 that points at these fields."""
        return cls(422, "The request is not valid.", errors=faults)


def problem_response(problem: HTTPException) -> Response:
    """Render any HTTP exception as `application/problem+json`."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(problem.status_code),
        "status": problem.status_code,
        "detail": problem.detail,
    }
    if isinstance(problem, Problem):
        content |= problem.members
        if problem.errors:
            content["errors"] = [fault.as_dict() for fault in problem.errors[:MAX_FAULTS]]
    # ASCII output: whatever a client managed to put into a pointer, this can always be encoded.
    body = json.dumps(content, separators=(",", ":")).encode("ascii")
    return Response(body, problem.status_code, problem.headers, PROBLEM_MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Let every error of `app` be answered as a problem, the library's own included."""
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(SnaptableError, _on_store_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)


def problem_of(error: SnaptableError) -> Problem:
    """Choose the problem that tells a client what the library refused."""
    match error:
        case InvalidCursor():
            return Problem.invalid(FieldError("/cursor", "This cursor is damaged or belongs to another list.", "query"))
        case InvalidQuery():
            return Problem.invalid(FieldError("", "This list can't be filtered or sorted like that.", "query"))
        case InvalidRow():
            return Problem.invalid(FieldError("", "The store can't keep this value as it was sent."))
        case RowNotFound():
            return Problem(404, "There is no such row.")
        case ConstraintError():
            return Problem(409, "This clashes with what is stored.")
        case ReadOnlyStore() | WriteFailed() | DatabaseClosed():
            logger.warning("Write refused: %s", error)
            headers = {"Retry-After": RETRY_AFTER_STORE}
            return Problem(503, "The store takes no writes at the moment; nothing was changed.", headers=headers)
    logger.error("Unexpected error of the store", exc_info=error)
    return Problem(500, "The server failed to answer this request.")


def faults_of(errors: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """Turn Pydantic's errors into faults, leaving out every value that was sent."""
    return [_fault(error) for error in errors]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document these statuses as problems, for a route's `responses`."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _title(status), "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def document_problems(app: FastAPI) -> None:
    """Add the schema that `problems(...)` refers to, to the OpenAPI document of `app`."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "A problem as of RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "in", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "A JSON pointer to the field, such as `/email`."},
                    "in": {"type": "string", "description": "body, query, path or header"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what a route or the router raised, with its headers (Allow, WWW-Authenticate, …)."""
    assert isinstance(error, HTTPException)  # what it is registered for
    if error.status_code == 405 and (methods := _allowed(request)):
        # The router names the methods of the first route that matched; there may be one route a method.
        error = Problem(405, error.detail, headers={"Allow": ", ".join(sorted(methods))})
    return problem_response(error)


def _allowed(request: Request) -> set[str]:
    """Return the methods of every route on the request's path."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path and route.methods and compile_path(route.path)[0].match(request.scope["path"]):
            methods |= route.methods
    return methods


async def _on_invalid_request(_request: Request, error: Exception) -> Response:
    """Answer a request that the route's models refused."""
    assert isinstance(error, RequestValidationError)  # what it is registered for
    return problem_response(Problem.invalid(*faults_of(error.errors())))


async def _on_store_error(_request: Request, error: Exception) -> Response:
    """Answer an error of the library that no route expected."""
    assert isinstance(error, SnaptableError)  # what it is registered for
    return problem_response(problem_of(error))


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    """Answer a client that has gone: nobody reads it, but it is no defect of ours to be logged as one."""
    return problem_response(Problem(400, "The request ended before its body did."))


async def _on_bug(_request: Request, _error: Exception) -> Response:
    """Answer a defect of ours without telling its details; the server logs them."""
    return problem_response(Problem(500, "The server failed to answer this request."))


def _fault(error: Mapping[str, Any]) -> FieldError:
    """Turn one of Pydantic's errors into a fault."""
    where, *path = error["loc"] or ("body",)
    if error["type"] == "json_invalid":
        path = []
    pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
    return FieldError(pointer, _detail(error), str(where))


def _detail(error: Mapping[str, Any]) -> str:
    """Return Pydantic's sentence, except where it quotes what was sent."""
    message = str(error["msg"])
    if "email address" in message:
        return "This is not a valid e-mail address."
    return message.removeprefix("Value error, ")


def _title(status: int) -> str:
    """Return the status's name as HTTP gives it."""
    return http.HTTPStatus(status).phrase
