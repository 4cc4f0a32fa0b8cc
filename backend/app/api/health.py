"""Health, for probes and people."""

import hmac
import os
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import AwareDatetime, BaseModel

from app.api.dependencies import ResourcesDep
from app.api.routing import new_router
from app.resources import Resources
from app.services import sessions
from app.services.backups import BackupReport
from snaptable.web import Health, PlainHealth, health, plain_health, problems
from snaptable.web.health import without_paths

router = new_router("health")


class BackupHealth(BaseModel):
    """The newest backup, why the last attempt failed, and when the next is due."""

    last_at: AwareDatetime | None
    last_sequence: int | None
    bytes: int | None
    error: str | None
    error_at: AwareDatetime | None
    next_at: AwareDatetime


class ProcessHealth(BaseModel):
    """The process that answered, of those that serve the address: each counts requests and slow queries of its own."""

    pid: int
    number: int
    of: int


class BackendHealth(Health):
    """The store's health, and that of its backups: `degraded`, too, while the last one failed."""

    backup: BackupHealth | None
    process: ProcessHealth


async def may_see_details(request: Request, resources: ResourcesDep) -> bool:
    """Return whether the request brings the token of the settings, or that of a session."""
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() != "bearer" or not token:
        return False
    return is_health_token(resources, token) or await resources.db.read(sessions.of_token, token) is not None


def is_health_token(resources: Resources, token: str) -> bool:
    """Return whether a token is that of the settings, in a time that doesn't tell how much of it is right."""
    wanted = resources.settings.health_token
    return bool(wanted) and hmac.compare_digest(wanted.encode(), token.encode("utf-8", "surrogatepass"))


@router.get("/health", responses=problems(503), summary="Tell whether the store takes writes")
async def get_health(
    resources: ResourcesDep, details: Annotated[bool, Depends(may_see_details)]
) -> BackendHealth | PlainHealth:
    """Return whether the store is well; 503 if writes are refused.

    With a token, of a login or that of the setting `health_token`: also its rows, the age of its snapshot, its backups.
    """
    backup = None if resources.backups is None else _backup_health(resources.backups.report)
    if not details:
        plain = await resources.db.read(plain_health)
        return PlainHealth(status="degraded") if backup and backup.error else plain
    process = ProcessHealth(pid=os.getpid(), number=resources.place.number, of=resources.place.of)
    report = BackendHealth(**(await resources.db.read(health)).model_dump(), backup=backup, process=process)
    return report.model_copy(update={"status": "degraded"}) if backup and backup.error else report


def _backup_health(report: BackupReport) -> BackupHealth:
    return BackupHealth(
        last_at=report.last_at,
        last_sequence=report.last_sequence,
        bytes=report.last_bytes,
        error=report.error and without_paths(report.error),
        error_at=report.error_at,
        next_at=report.next_at,
    )
