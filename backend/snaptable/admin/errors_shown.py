"""Errors as pages, and for scripts as JSON: what, where, and what to do."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from snaptable import DatabaseClosed, SnaptableError
from snaptable.admin.access import Session
from snaptable.admin.site import COOKIE, Site, Visit
from snaptable.web.cookies import cookie_of
from snaptable.web.problems import Problem, problem_of

logger = logging.getLogger("snaptable.admin")
Handler = Callable[[Request, Exception], Awaitable[Response]]


def on_refusal(site: Site) -> Handler:
    """Return what answers an error of HTTP."""

    async def answer(request: Request, error: Exception) -> Response:
        """Answer it."""
        assert isinstance(error, HTTPException)
        return await shown(site, request, error.status_code, error.detail, dict(error.headers or {}))

    return answer


def on_store_error(site: Site) -> Handler:
    """Return what answers an error of the store that no page expected; an admin is told in its own words."""

    async def answer(request: Request, error: Exception) -> Response:
        """Answer it."""
        assert isinstance(error, SnaptableError)
        status = problem_of(error).status_code
        return await shown(site, request, status, str(error), is_closed=isinstance(error, DatabaseClosed))

    return answer


def on_failure(site: Site) -> Handler:
    """Return what answers a defect of ours; the server logs it."""

    async def answer(request: Request, error: Exception) -> Response:
        """Answer it."""
        detail = f"The admin page failed ({type(error).__name__}); the log has the details."
        return await shown(site, request, 500, detail)

    return answer


async def shown(
    site: Site,
    request: Request,
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    *,
    is_closed: bool = False,
) -> Response:
    """Return an error as a page, within the frame for an admin, or as JSON for a script."""
    title = HTTPStatus(status).phrase
    session: Session | None = None
    try:
        session = await site.access.session_of(request, cookie_of(request.scope, COOKIE))
    except (SnaptableError, Problem):
        logger.warning("an error is shown without the frame: who asks can't be told", exc_info=True)
    visit = Visit(site, request, session)
    if visit.wants_json:
        answer = visit.json({"title": title, "detail": detail}, status)
    else:
        template = "error.html" if session else "error_outside.html"
        answer = await run_in_threadpool(
            lambda: visit.render(template, status, heading=title, detail=detail, is_closed=is_closed)
        )
    answer.headers.update(headers or {})
    return answer
