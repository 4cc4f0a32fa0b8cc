"""Health, for probes and people."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security.utils import get_authorization_scheme_param

from app.api.dependencies import ResourcesDep
from app.api.routing import new_router
from app.resources import Resources
from app.services import sessions
from snaptable.web import Health, PlainHealth, health, plain_health, problems

router = new_router("health")


async def may_see_details(request: Request, resources: ResourcesDep) -> bool:
    """Return whether the request brings the token of the settings, or that of a session."""
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() != "bearer" or not token:
        return False
    return is_health_token(resources, token) or sessions.of_token(resources.db, token) is not None


def is_health_token(resources: Resources, token: str) -> bool:
    """Return whether a token is that of the settings, in a time that doesn't tell how much of it is right."""
    wanted = resources.settings.health_token
    return bool(wanted) and hmac.compare_digest(wanted.encode(), token.encode("utf-8", "surrogatepass"))


@router.get("/health", responses=problems(503), summary="Tell whether the store takes writes")
async def get_health(
    resources: ResourcesDep, details: Annotated[bool, Depends(may_see_details)]
) -> Health | PlainHealth:
    """Return whether the store is well; 503 if writes are refused.

    With a token, of a login or that of the setting `health_token`: also its rows, and the age of its snapshot.
    """
    return health(resources.db) if details else plain_health(resources.db)
