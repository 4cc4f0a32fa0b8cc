"""Health, for probes and people."""

from app.api.dependencies import BackendDep
from snaptable.web import Health, Router, health, problems

router = Router(tags=["health"])


@router.get("/health", responses=problems(503))
async def get_health(backend: BackendDep) -> Health:
    """Tell whether the store takes writes, and how old its snapshot is; 503 when writes are refused."""
    return health(backend.db)
