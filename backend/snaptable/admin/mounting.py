"""`mount_admin`: the admin page as a part of an application."""

import hashlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snaptable import Database, SnaptableError
from snaptable.admin import pages
from snaptable.admin.access import AdminAuth
from snaptable.admin.errors_shown import on_failure, on_refusal, on_store_error
from snaptable.admin.login import add_login
from snaptable.admin.session_file import FileSessions
from snaptable.admin.site import Site, make_site

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing of another host, in no frame."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
NO_STORE = (b"cache-control", b"no-store")
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def mount_admin(
    app: Starlette,
    db: Database,
    *,
    path: str = "/admin",
    auth: AdminAuth | None = None,
    title: str | None = None,
    tables: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    announce: bool = True,
    **options: Any,
) -> Site:
    """Add the admin page of a database to an application, and return its site.

    Without `auth` a link lets in that each start writes to standard error; its token is good until the process ends.
    With it, its admins log in by name and password, or come with a session of the application.

    Args:
        app: a FastAPI or Starlette application.
        db: the database; it may be opened later.
        path: where the page is, in the application.
        auth: who may enter.
        title: what it is called; None for the name of the database's class.
        tables: the names of the tables that it shows; None for all.
        labels: the field that a row is called by in links, by table; else the first of name, title, label, email and
            filename, or the key.
        announce: whether the start writes the link; without, ask the site for its `link`.
        options: what single pages take, such as `backup_dir`.

    Raises:
        ValueError: a path without a slash in front, or a table or field that there is not.

    >>> from snaptable.admin import mount_admin
    >>> from fastapi import FastAPI
    >>> mount_admin(FastAPI(), db, announce=False).title
    'Library'
    """
    if not path.startswith("/") or path.rstrip("/") == "":
        raise ValueError(f"mount_admin: path is where the page is, as in '/admin'; not {path!r}")
    path = path.rstrip("/")
    site = make_site(db, auth, title, tables, labels, options)
    site.path = path
    if auth is not None:  # who came by the link comes by that of the next start
        site.access.sessions = FileSessions(lambda: db.directory)
    add_login(site)
    for page in pages.ALL:
        page.add_to(site)
    app.router.routes.append(Route(path, _to_page, methods=["GET"], include_in_schema=False))
    app.mount(path, Guarded(_application(site)), name="admin")
    if announce:
        _announce_at_start(app, site)
    return site


async def _to_page(request: Request) -> Response:
    return RedirectResponse(f"{request.url.path}/", 308)


def _application(site: Site) -> Starlette:
    assets = _assets(site)
    app = Starlette(
        routes=[*assets, *site.routes],
        exception_handlers={
            HTTPException: on_refusal(site),
            SnaptableError: on_store_error(site),
            Exception: on_failure(site),
        },
    )
    app.router.redirect_slashes = False  # such a redirect follows the header Host to wherever it says
    return app


def _assets(site: Site) -> list[Route]:
    """Return the routes of what lies in `static/`; read once, and kept by browsers as long as it is the same."""
    routes = []
    for file in files("snaptable.admin").joinpath("static").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in MEDIA_TYPES:
            data = file.read_bytes()
            site.assets[file.name] = hashlib.sha256(data).hexdigest()[:12]
            routes.append(Route(f"/static/{file.name}", _asset(data, MEDIA_TYPES[suffix]), methods=["GET"]))
    return routes


def _asset(data: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        """Answer with a file."""
        return Response(data, headers={"Cache-Control": "private, max-age=31536000, immutable"}, media_type=media_type)

    return answer


class Guarded:
    """ASGI middleware that sets the page's headers on every answer, and lets nothing be kept that is not a file's."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and complete the head of the answer."""

        async def send_with_headers(message: Message) -> None:
            """Send a part of the answer."""
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                added = [*HEADERS, NO_STORE]
                message["headers"] = [*message["headers"], *(each for each in added if each[0] not in names)]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _announce_at_start(app: Starlette, site: Site) -> None:
    """Have the application's start write the link, once the database may be open."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Any) -> AsyncIterator[Any]:
        """Start as the application does, then tell where the page is."""
        async with inner(running) as state:
            link = await run_in_threadpool(lambda: site.link)  # whether there is an admin, a server may have to say
            if link is not None:
                sys.stderr.write(f"\n{site.title} admin: open {link} on this server. {site.link_note}\n\n")
                sys.stderr.flush()
            yield state

    app.router.lifespan_context = lifespan
