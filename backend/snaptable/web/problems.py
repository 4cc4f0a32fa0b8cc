"""Every error answered as an RFC 9457 problem: one shape, a JSON pointer for each field, no value repeated."""

import http
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import JsonValue
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from snaptable import (
    ConstraintError,
    DatabaseClosed,
    DuplicateKey,
    ForeignKeyViolation,
    HistoryGone,
    HistoryPurged,
    InvalidCursor,
    InvalidKey,
    InvalidQuery,
    InvalidRow,
    OpenError,
    OutcomeUnknown,
    ReadOnlyStore,
    RowNotFound,
    SnaptableError,
    TransactionConflict,
    Unavailable,
    UndoConflict,
    UniqueViolation,
    WriteFailed,
)
from snaptable.web.request_ids import current_request_id

PROBLEM_MEDIA_TYPE = "application/problem+json"

# A body of a hundred thousand unknown fields must not earn an answer of the same size.
MAX_FIELD_ERRORS = 50
MAX_POINTER = 200
"""Characters of a pointer: who sent a name of a megabyte knows it."""
RETRY_AFTER_STORE = "5"
"""Seconds after which writing is worth another try."""
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")

logger = logging.getLogger("snaptable.web")


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a request."""

    pointer: str
    """A JSON pointer (RFC 6901): `/email`, or "" for the whole."""
    detail: str
    where: str = "body"
    """body, query, path or header."""

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the error as it stands in a problem's `errors`."""
        return {"pointer": self.pointer, "in": self.where, "detail": self.detail}


class Problem(HTTPException):
    """An answer that is not a success; raised anywhere below a route, it is sent."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, JsonValue] | None = None,
    ) -> None:
        """Take what is answered.

        Args:
            status: of HTTP.
            detail: a sentence for a person; None for the status's name.
            errors: the fields that are wrong; the first 50 are sent.
            headers: of the answer.
            members: extension members of the problem, by name.
        """
        super().__init__(status, detail, headers)
        self.errors = errors
        self.members = members or {}

    @classmethod
    def invalid(cls, *errors: FieldError) -> "Problem":
        """Return the 422 that points at these fields."""
        return cls(422, "The request is not valid.", errors=errors)


# ── answering ───────────────────────────────────────────────────────────────────────────────────────────────────────


def install_problems(app: FastAPI) -> None:
    """Let an application answer every error as a problem, and add the problem's schema to its OpenAPI document.

    Errors of the library become: `ConstraintError` 409, with `table` and `fields`; `RowNotFound` 404; `InvalidRow`,
    `InvalidQuery`, `InvalidCursor` 422; `UndoConflict` 409, with `conflicts`; `HistoryGone`, `HistoryPurged` 410;
    `ReadOnlyStore`, `WriteFailed`, `DatabaseClosed`, `OpenError`, `Unavailable`, `TransactionConflict` 503; any other
    500.
    No answer holds a value, a key or another row's data.
    """
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(SnaptableError, _on_store_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)
    _document_problems(app)


def problem_response(problem: HTTPException) -> Response:
    """Return the response for an HTTP exception, as `application/problem+json`."""
    content: dict[str, JsonValue] = {
        "type": "about:blank",
        "title": _title(problem.status_code),
        "status": problem.status_code,
        "detail": problem.detail,
    }
    if (request := current_request_id()) is not None:
        content["request_id"] = request
    if isinstance(problem, Problem):
        content |= problem.members
        if problem.errors:
            content["errors"] = [error.as_dict() for error in problem.errors[:MAX_FIELD_ERRORS]]
    # ASCII output: whatever a client managed to put into a pointer, this can always be encoded.
    body = json.dumps(content, separators=(",", ":")).encode("ascii")
    return Response(body, problem.status_code, problem.headers, PROBLEM_MEDIA_TYPE)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what a route or the router raised, with its headers (Allow, WWW-Authenticate, …)."""
    assert isinstance(error, HTTPException)  # what it is registered for
    if error.status_code == 405 and (methods := _allowed(request)):
        # The router names the methods of the first route that matched; there may be one route for each method.
        error = Problem(405, error.detail, headers={"Allow": ", ".join(methods)})
    return problem_response(error)


def _allowed(request: Request) -> list[str]:
    """Return the methods of every route on the request's path; empty if it was not the router that refused."""
    methods = [
        method
        for method in _METHODS
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]
    return [] if request.method in methods else sorted(set(methods))


async def _on_invalid_request(_request: Request, error: Exception) -> Response:
    """Answer a request that the route's models refused."""
    assert isinstance(error, RequestValidationError)  # what it is registered for
    return problem_response(Problem.invalid(*field_errors_of(islice(error.errors(), MAX_FIELD_ERRORS))))


async def _on_store_error(_request: Request, error: Exception) -> Response:
    """Answer an error of the library that no route expected."""
    assert isinstance(error, SnaptableError)  # what it is registered for
    return problem_response(problem_of(error))


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    """Answer a client that has gone; the answer reaches no one, but a handled error is not logged as a defect."""
    return problem_response(Problem(400, "The request ended before its body did."))


async def _on_bug(_request: Request, _error: Exception) -> Response:
    """Answer a defect of ours without its details; the server logs them."""
    return problem_response(Problem(500, "The server failed to answer this request."))


# ── the library's errors ────────────────────────────────────────────────────────────────────────────────────────────


def problem_of(error: SnaptableError) -> Problem:
    """Return the problem that tells a client what the library refused."""
    match error:
        case ConstraintError():
            return _conflict(error)
        case InvalidKey():
            logger.warning("A wrong key was answered with 404: %s", error)
            return Problem(404, "There is no such row.")
        case RowNotFound():
            return Problem(404, "There is no such row.")
        case InvalidRow():
            detail = "The store can't keep this value as it was sent."
            return Problem.invalid(*(FieldError(pointer, detail) for pointer in _pointers(error.fields) or [""]))
        case InvalidCursor():
            return Problem.invalid(FieldError("/cursor", "This cursor is damaged or belongs to another list.", "query"))
        case InvalidQuery(times=(field, kind)):
            return Problem.invalid(FieldError(f"/{field}", _wrong_time(kind), "query"))
        case InvalidQuery():
            return Problem.invalid(FieldError("", "This list can't be filtered or sorted like that.", "query"))
        case OutcomeUnknown():
            return Problem(503, "The database went away just then; whether this was done is not known: look first.")
        case Unavailable():
            seconds = f"{error.retry_after:.0f}"
            return Problem(503, "The database can't be reached at the moment.", headers={"Retry-After": seconds})
        case TransactionConflict():
            return Problem(503, "Others were quicker each time; try again.", headers={"Retry-After": "1"})
        case ReadOnlyStore() | WriteFailed():
            return _unavailable(error, "The store takes no writes at the moment; nothing was changed.")
        case UndoConflict():
            return _undo_conflict(error)
        case HistoryGone() | HistoryPurged():
            return Problem(410, "What there was then is not kept any more.")
        case DatabaseClosed() | OpenError():
            return _unavailable(error, "The store is not open at the moment.")
    logger.error("Unexpected error of the store", exc_info=error)
    return Problem(500, "The server failed to answer this request.")


def _wrong_time(kind: str) -> str:
    """Return what is said of a time of the other kind than a field's times are."""
    detail = "The times of this field are {}, and this one is {}: write it {} an offset, as in {}."
    if kind == "naive":
        return detail.format("naive", "aware", "without", "2026-01-31T12:00:00")
    return detail.format("aware", "naive", "with", "2026-01-31T12:00:00Z")


def _unavailable(error: SnaptableError, detail: str) -> Problem:
    """Return the 503, and log the reason, which may hold paths."""
    logger.warning("%s: %s", detail.removesuffix("."), error)
    return Problem(503, detail, headers={"Retry-After": RETRY_AFTER_STORE})


def _conflict(error: ConstraintError) -> Problem:
    """Return the 409 that names table and fields.

    The row in the way and its key may be another user's, and the value may be a secret: they stay here.
    """
    detail, points_at_request = _conflict_detail(error)
    members: dict[str, JsonValue] = {}
    if error.table is not None:
        members = {"table": error.table, "fields": list(error.fields)}
    pointers = _pointers(error.fields) if points_at_request else []
    return Problem(409, detail, errors=[FieldError(pointer, detail) for pointer in pointers], members=members)


def _undo_conflict(error: UndoConflict) -> Problem:
    """Return the 409 that says what is in the way of an undo, by table, field and kind: no key, and no value."""
    places = dict.fromkeys((conflict.table, conflict.field, conflict.kind) for conflict in error.conflicts)
    conflicts = [{"table": table, "field": field, "kind": kind} for table, field, kind in places]
    detail = "This can't be taken back as things are now: rows that it changed have changed since, or others need them."
    return Problem(409, detail, members={"conflicts": cast(JsonValue, conflicts[:MAX_FIELD_ERRORS])})


def _conflict_detail(error: ConstraintError) -> tuple[str, bool]:
    """Return the sentence for a violation, and whether its fields are those of the row that was sent."""
    match error:
        case DuplicateKey():
            return "There is a row with this key already.", True
        case UniqueViolation():
            return "Another row has this value already.", True
        case ForeignKeyViolation() if error.other is not None:
            return "Other rows refer to this one.", False
        case ForeignKeyViolation():
            return "This refers to a row that does not exist.", True
    return "This clashes with what is stored.", True


def _pointers(fields: Iterable[str]) -> list[str]:
    return [pointer_to(field) for field in fields]


# ── the request's errors ────────────────────────────────────────────────────────────────────────────────────────────


def field_errors_of(errors: Iterable[ErrorDetails]) -> list[FieldError]:
    """Return Pydantic's errors as field errors, without any value that was sent."""
    return [_field_error(error) for error in errors]


def _field_error(error: ErrorDetails) -> FieldError:
    where, *path = error["loc"] or ("body",)
    if error["type"] == "json_invalid":
        path = []
    return FieldError(pointer_to(*path), _detail(error), str(where))


def _detail(error: ErrorDetails) -> str:
    """Return Pydantic's sentence, except if it quotes what was sent."""
    message = error["msg"]
    if "email address" in message:
        return "This is not a valid e-mail address."
    return message.removeprefix("Value error, ")


def pointer_to(*path: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of a path of names and positions, cut at `MAX_POINTER` characters."""
    steps = (str(step)[:MAX_POINTER].replace("~", "~0").replace("/", "~1") for step in path[:MAX_POINTER])
    return "".join(f"/{step}" for step in steps)[:MAX_POINTER].removesuffix("~")


# ── the OpenAPI document ────────────────────────────────────────────────────────────────────────────────────────────


def problems(*statuses: int) -> dict[int | str, dict[str, JsonValue]]:
    """Return the documentation of these statuses as problems, for a route's `responses`."""
    schema: JsonValue = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _title(status), "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def _document_problems(app: FastAPI) -> None:
    """Add the schema that `problems` refers to; replacing `app.openapi` is FastAPI's documented way to extend it."""
    generate = app.openapi

    def openapi() -> dict[str, JsonValue]:
        """Return FastAPI's document, with the schema."""
        document = generate()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        return document

    app.openapi = openapi  # type: ignore[method-assign]


PROBLEM_SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "title": "Problem",
    "description": "A problem as of RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string", "description": "What the server's log calls this request."},
        "etag": {"type": "string", "description": "Of a failed If-Match: the present ETag."},
        "table": {"type": "string", "description": "Of a conflict: the table whose constraint it would break."},
        "fields": {"type": "array", "items": {"type": "string"}, "description": "Of a conflict: that table's fields."},
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


def _title(status: int) -> str:
    """Return the status's name as HTTP gives it."""
    return http.HTTPStatus(status).phrase
