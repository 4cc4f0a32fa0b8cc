"""Put the application together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import Scope

from app.api import annotations, auth, documents, extractions, health
from app.api.errors import install_errors
from app.services_container import Services
from app.settings import Settings
from snaptable.web import BodyLimit, add_routes, document_problems, install_problems

# What the form around a document and its metadata may add.
FORM_OVERHEAD = 1024 * 1024 + 64 * 1024


def create_app(settings: Settings | None = None, backend: Services | None = None) -> FastAPI:
    """Return the application; the store is opened when it starts, unless `backend` is open already."""
    backend = backend or Services(settings or Settings())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        backend.open()
        tending = asyncio.create_task(backend.tend())
        try:
            yield
        finally:
            tending.cancel()
            await backend.close()

    app = FastAPIOffline(
        title="Services",
        version="1",
        description="Users, documents, extractions and annotations, on snaptable.",
        lifespan=lifespan,
    )
    app.state.backend = backend
    app.state.db = backend.db
    # The busiest first.
    add_routes(app, *(module.router for module in (annotations, extractions, documents, auth, health)))
    install_problems(app)
    install_errors(app)
    document_problems(app)
    app.add_middleware(BodyLimit, limit_of=_BodyLimits(backend.settings))
    return app


class _BodyLimits:
    """Allow an upload more than any other request."""

    def __init__(self, settings: Settings) -> None:
        """Work the two limits out once."""
        self.upload = settings.max_upload + FORM_OVERHEAD
        self.other = settings.max_body

    def __call__(self, scope: Scope) -> int:
        """Return the limit of one request."""
        is_upload = scope["method"] == "POST" and scope["path"].rstrip("/") == "/api/documents"
        return self.upload if is_upload else self.other
