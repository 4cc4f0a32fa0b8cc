"""What the demos share: a page with a strict policy, a feed, and a server that says where it is."""

import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from snaptable import Database
from snaptable.admin import mount_admin
from snaptable.web import (
    BodyLimit,
    Problem,
    SecurityHeaders,
    add_api_page,
    install_problems,
    problem_response,
    server_settings,
)
from snaptable.web.server import GuardedServer

SHARED: Final = Path(__file__).parent / "web"
"""Where the style and the module are that all pages share."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""What a page may load: its own style and module, and nothing from another host."""
BODY_BYTES: Final = 256 * 1024
LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")
"""The names by which a demo is asked: a page of another site can't have its own name lead here."""
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class OwnPages:
    """ASGI middleware that lets no page of another site write: a demo has no login that would keep it out."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD") and _is_foreign(Headers(scope=scope)):
            refused = problem_response(Problem(403, "Another site may not write here."))
            await refused(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _is_foreign(headers: Headers) -> bool:
    """Return whether a browser says that a page of another site asks; programs say nothing."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    return origin is not None and origin.partition("://")[2] != host


def page_router(folder: Path) -> APIRouter:
    """Return the routes of a demo's page, `page.html` and `page.js` of its folder, and of what all pages share."""
    router = APIRouter(include_in_schema=False)
    for path, file in {
        "/": folder / "page.html",
        "/page.js": folder / "page.js",
        "/kit.js": SHARED / "kit.js",
        "/style.css": SHARED / "style.css",
        "/icon.svg": SHARED / "icon.svg",
    }.items():
        router.add_api_route(path, _file_route(file), methods=["GET", "HEAD"])
    return router


def _file_route(file: Path) -> Callable[[], Response]:
    """Return the function of a route that answers a file, read anew each time: it may be edited meanwhile."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "same-origin"}

    def answer() -> Response:
        """Return the file."""
        return Response(file.read_bytes(), media_type=_TYPES[file.suffix], headers=headers)

    return answer


def new_app(
    title: str, db: Database, routers: Iterable[APIRouter], *, hosts: Iterable[str] = LOCAL, admin: bool = True
) -> FastAPI:
    """Return an application that opens a database when it starts, and closes it when it stops; with its admin page.

    Args:
        title: of the OpenAPI document.
        db: a closed database.
        routers: what the application answers.
        hosts: the names that it may be asked by; `*` for any.
        admin: whether it has its admin page.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        """Keep the database open."""
        with db:
            yield

    app = FastAPI(title=title, version="1", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    install_problems(app)
    for router in routers:
        app.include_router(router)
    add_api_page(app)
    if admin:
        mount_admin(app, db, title=title)
    app.add_middleware(BodyLimit, limit_of=lambda _scope: BODY_BYTES)
    app.add_middleware(OwnPages)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*hosts], www_redirect=False)
    app.add_middleware(SecurityHeaders)
    return app


class Server(GuardedServer):
    """A server that says where it is, once it is there."""

    announce: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say where."""
        await super().startup(sockets)
        if self.started and self.announce is not None:
            self.announce()


def run(app: ASGIApp, listener: socket.socket, announce: Callable[[], None] | None = None) -> None:
    """Serve an application on a bound socket until SIGINT or SIGTERM.

    Args:
        app: any ASGI application.
        listener: a bound socket.
        announce: called once the server answers.
    """
    server = Server(uvicorn.Config(app, log_level="warning", access_log=False, **server_settings()))
    server.announce = announce
    server.run(sockets=[listener])
