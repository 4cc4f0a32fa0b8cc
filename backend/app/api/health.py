"""Health, for probes and people."""

from app.api.dependencies import ResourcesDep
from app.api.routing import new_router
from snaptable.web import Health, health, problems

router = new_router("health")


@router.get("/health", responses=problems(503), summary="Tell whether the store takes writes")
async def get_health(resources: ResourcesDep) -> Health:
    """Return the state of the store and the age of its snapshot; 503 if writes are refused."""
    return health(resources.db)
