"""The application: its routes, its problems, its limits, and what is opened and closed with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Scope

from app.api import admin, auth, documents, health
from app.api.annotations import annotations_router
from app.api.changes import changes_router
from app.api.docs import add_docs
from app.api.entrance import Entrance
from app.api.extractions import extractions_router
from app.api.problems import install_service_problems
from app.resources import Resources
from app.settings import Settings
from snaptable.web import install_problems, monitoring_router

FORM_OVERHEAD = 1024 * 1024 + 64 * 1024
"""Bytes that the form around a document, and its metadata, may add."""

TAGS = [
    {"name": "auth", "description": "Begin here: register, log in, and send the token with every other request."},
    {"name": "documents", "description": "PDFs: upload, list, download, delete."},
    {"name": "extractions", "description": "Named pieces of text taken from a page of a document."},
    {"name": "annotations", "description": "Marks on a page of a document."},
    {"name": "changes", "description": "What changes of your rows, as it happens."},
    {"name": "health", "description": "For probes and people."},
]
"""In the order of /docs."""

CORS_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
CORS_HEADERS = ("Authorization", "Content-Type", "If-Match", "If-None-Match", "If-Range", "Range")
CORS_EXPOSED = ("Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "ETag", "Retry-After")
"""What a page may ask and read. Cookies are never sent: a token is all that logs in."""


class Backend(FastAPI):
    """FastAPI behind its entrance: what that does, and CORS, holds for the answer to a defect of ours too."""

    resources: Resources

    def build_middleware_stack(self) -> ASGIApp:
        """Return the middleware, these around all: `add_middleware` puts it inside of what answers a 500."""
        settings = self.resources.settings
        stack = Entrance(super().build_middleware_stack(), _BodyLimits(settings), self.resources.db)
        if not settings.origins:
            return stack
        return CORSMiddleware(
            stack,
            allow_origins=settings.origins,
            allow_methods=CORS_METHODS,
            allow_headers=CORS_HEADERS,
            expose_headers=CORS_EXPOSED,
        )


def create_app(settings: Settings | None = None, resources: Resources | None = None) -> FastAPI:
    """Return the application; the store is opened when it starts, unless `resources` are open already."""
    resources = resources or Resources(settings or Settings())
    app = Backend(
        title="Services",
        version="1",
        description="Users, documents, extractions and annotations, on snaptable.",
        openapi_tags=TAGS,
        docs_url=None,  # see `add_docs`
        redoc_url=None,
        redirect_slashes=False,  # a redirect would follow the header Host to wherever it says
        # Nothing here collects OpenTelemetry's data; to look for a collector takes FastAPI 10 µs at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=_lifespan,
        # The routes themselves: those of an included router are looked for twice at every request, a seventh of what
        # a read costs. (What this gives up: `app.dependency_overrides` does not reach them; pass `resources` instead.)
        routes=[route for router in _routers(resources) for route in router.routes],
    )
    app.resources = resources
    app.state.resources = resources
    app.state.db = resources.db
    add_docs(app)
    app.state.admin = admin.add_admin(app, resources)
    install_problems(app)
    install_service_problems(app)
    return app


def _routers(resources: Resources) -> list[APIRouter]:
    """Return the routers, in the order in which their routes are tried: the busiest first."""
    logged = resources.settings.slow_query_ms / 1000 or None
    monitoring = monitoring_router(
        resources.db,
        details=health.may_see_details,
        health_path=None,
        log_slow_seconds=logged,
        measures=partial(_cache_measures, resources),
    )
    return [
        annotations_router(resources),
        extractions_router(resources),
        documents.router,
        auth.router,
        health.router,
        changes_router(resources),
        monitoring,
    ]


def _cache_measures(resources: Resources) -> dict[str, float]:
    """Return what became of reads that the cache might have answered, by the names of metrics."""
    measures = {} if resources.cache is None else resources.cache.measures()
    return {f"backend_cache_{name}": value for name, value in measures.items()}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the resources, and close them at the end."""
    resources: Resources = app.state.resources
    if resources.db.is_on_server:
        await asyncio.to_thread(resources.open)
    else:
        resources.open()
    tending = asyncio.create_task(resources.tend())
    try:
        yield
    finally:
        tending.cancel()
        await asyncio.wait([tending])
        await resources.close()


class _BodyLimits:
    """The limit of a request's body: an upload may be larger than any other, a login need not be large."""

    def __init__(self, settings: Settings) -> None:
        self.upload = settings.max_upload + FORM_OVERHEAD
        self.other = settings.max_body
        self.login = min(settings.max_body, settings.max_login_body)

    def __call__(self, scope: Scope) -> int:
        """Return the limit in bytes."""
        path = scope["path"]
        if path == "/api/documents" and scope["method"] == "POST":
            return self.upload
        if path.startswith(f"{admin.PATH}/"):
            return self.upload  # a file to import; the page's forms have a limit of their own, behind the login
        return self.login if path.startswith("/api/auth/") else self.other
