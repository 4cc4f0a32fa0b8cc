"""Which problem a client is told for what a service refused."""

import logging

from fastapi import FastAPI, Request
from starlette.responses import Response

from app.api.dependencies import CHALLENGE
from app.errors import (
    ContentDamaged,
    ContentMissing,
    EmailTaken,
    FieldRefused,
    NotFound,
    QuotaExceeded,
    ServiceError,
    SessionEnded,
    StorageFailed,
    TooBusy,
    TooLarge,
    TooManyAttempts,
    TooManyRows,
    WrongPassword,
)
from snaptable.web import FieldError, Problem, problem_response

logger = logging.getLogger("app")


def install_service_problems(app: FastAPI) -> None:
    """Answer the services' refusals as problems."""
    app.add_exception_handler(ServiceError, _answer)


async def _answer(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # what it is registered for
    return problem_response(_problem_of(error))


def _problem_of(error: ServiceError) -> Problem:
    """Return the problem that tells a client what was refused."""
    match error:
        case NotFound():
            return Problem(404, str(error))
        case EmailTaken():
            return Problem(409, "Somebody has registered with this e-mail address.")
        case WrongPassword():
            return Problem(401, "E-mail address and password don't belong together.", headers=CHALLENGE)
        case SessionEnded():
            return Problem(401, "This session has been ended; log in again.", headers=CHALLENGE)
        case FieldRefused():
            return Problem.invalid(FieldError(f"/{error.field}", str(error)))
        case TooManyRows():
            return Problem(409, str(error))
        case QuotaExceeded():
            return Problem(507, str(error))
        case TooLarge():
            return Problem(413, "The document is too large.")
        case TooManyAttempts():
            headers = {"Retry-After": str(error.seconds)}
            return Problem(429, f"Too many attempts; try again in {error.seconds} seconds.", headers=headers)
        case TooBusy():
            headers = {"Retry-After": str(error.seconds)}
            return Problem(503, "The server is busy; try again in a moment.", headers=headers)
        case StorageFailed():
            logger.error("Upload failed: %s", error)
            return Problem(503, "The document could not be stored; nothing was changed.", headers={"Retry-After": "30"})
        case ContentMissing():
            logger.error("%s", error)
            return Problem(500, "The bytes of this document are missing on the server.")
        case ContentDamaged():
            logger.error("%s", error)
            return Problem(500, "The bytes of this document are damaged on the server; upload it again.")
    raise error
