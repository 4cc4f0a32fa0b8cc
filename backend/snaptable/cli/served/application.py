"""The application that `snaptable serve` serves: REST for every table, a feed, monitoring, the admin where it is."""

import html
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext

from fastapi import APIRouter, FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from snaptable import Database, Table, TableSchema
from snaptable.web import (
    ALL,
    BodyLimit,
    ListParams,
    Problem,
    Rules,
    SecurityHeaders,
    add_api_page,
    crud_router,
    feed_router,
    install_problems,
    monitoring_router,
    problem_response,
)
from snaptable.web.listing import RowT

LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
"""Pages of a program that is developed on this machine may read and write."""
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
BODY_BYTES = 16 << 20
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STYLE = "<style>body{font:15px/24px system-ui;max-width:40em;margin:4em auto;padding:0 1em}a{color:#0b6e62}</style>"


class LocalPages:
    """ASGI middleware that lets no page of another site write: no login would keep it out."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and not _is_local(origin, headers.get("host", "")):
                await problem_response(Problem(403, "A page of another site may not write here."))(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _is_local(origin: str, host: str) -> bool:
    import re

    return origin.partition("://")[2] == host or re.fullmatch(LOCAL_ORIGIN, origin) is not None


def application(db: Database, *, title: str, hosts: Sequence[str], admin: bool) -> tuple[FastAPI, str | None]:
    """Return the application of a database, which opens it, and the address of the admin's entrance, None without it.

    Args:
        db: the database; opened when the application starts, if it isn't open.
        title: what it is called.
        hosts: the names that it may be asked by besides this machine's; "*" for any.
        admin: whether to mount the admin page, where it is installed.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        """Keep the database open, if it isn't."""
        with nullcontext() if db.is_open else db:
            yield

    app = FastAPI(title=title, version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    install_problems(app)
    entrance = _mount_admin(app, db, title) if admin else None
    app.add_api_route("/", _front_page(db, title, has_admin=entrance is not None), include_in_schema=False)
    for table in db.tables.values():
        app.include_router(_router(table))
    kept = {name: Rules() for name, table in db.tables.items() if not table.schema.transient}
    app.include_router(feed_router(db, rules=kept))
    app.include_router(monitoring_router(db, details=_anybody))
    add_api_page(app)
    app.add_middleware(BodyLimit, limit_of=lambda _: BODY_BYTES)
    app.add_middleware(LocalPages)
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=LOCAL_ORIGIN,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["ETag", "Link", "Location"],
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOCAL_HOSTS, *hosts], www_redirect=False)
    app.add_middleware(SecurityHeaders)
    return app, entrance


async def _anybody() -> bool:
    """Let whoever reaches the server see how it is doing: it listens on this machine."""
    return True


def _router(table: Table[RowT]) -> APIRouter:
    """Return a table's routes: every field that lists can be asked for, every relation, and the past."""
    schema = table.schema
    filters = [name for name in schema.columns if name not in schema.secrets and _can_be_asked_for(table, name)]
    allow = ALL if schema.transient else ALL | {"history", "restore"}
    expand = [name for name in _relations(schema) if _can_be_expanded(table, name)]
    return crud_router(table, allow=allow, filters=filters, expand=expand)


def _can_be_asked_for(table: Table[RowT], name: str) -> bool:
    try:
        ListParams(table.model, [name, table.schema.key], table.schema.key)
    except Exception:  # noqa: BLE001 - a type that no text of an address stands for
        return False
    return True


def _can_be_expanded(table: Table[RowT], name: str) -> bool:
    try:
        crud_router(table, expand=[name])
    except TypeError:
        return False
    return True


def _relations(schema: TableSchema) -> list[str]:
    """Return the names that relations of a table may have: what it refers to, and what refers to it."""
    there = [name for each in schema.references for name in (each.field.removesuffix("_id"), each.field)]
    return list(dict.fromkeys([*there, *(each.table for each in schema.referenced_by)]))


def _mount_admin(app: FastAPI, db: Database, title: str) -> str | None:
    try:
        from snaptable.admin import mount_admin
    except ModuleNotFoundError:
        return None
    return mount_admin(app, db, title=title, announce=False).link


def _front_page(db: Database, title: str, *, has_admin: bool) -> Callable[[], Awaitable[HTMLResponse]]:
    async def front_page() -> HTMLResponse:
        """Show what there is."""
        rows = "".join(
            f'<li><a href="/{name}">/{html.escape(name)}</a> {table.count():,} rows</li>'
            for name, table in db.tables.items()
        )
        others = {
            "/docs": "every route",
            "/changes": "what changes, as server-sent events",
            "/health": "how it is doing",
        }
        others |= {"/admin/": "look at it, change it, take it back"} if has_admin else {}
        links = "".join(f'<li><a href="{path}">{path}</a> {words}</li>' for path, words in others.items())
        name = html.escape(title)
        page = f"<!doctype html><title>{name}</title>{STYLE}<h1>{name}</h1><ul>{rows}</ul><ul>{links}</ul>"
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    return front_page
