"""A database's health, for a probe: can it be written, and how old is its snapshot."""

import re
from typing import Literal

from pydantic import AwareDatetime, BaseModel

from snaptable import Database
from snaptable.web.problems import Problem

_PATH = re.compile(r"""'[^'/]*/[^']*'|"[^"/]*/[^"]*"|[^\s'"]*[/\\][^\s'"]*""")


class SnapshotHealth(BaseModel):
    """The snapshot on the disk, and why the last one could not be saved."""

    sequence: int | None
    saved_at: AwareDatetime | None
    bytes: int | None
    error: str | None


class PlainHealth(BaseModel):
    """The store's health: `ok`, or `degraded` when the last snapshot could not be saved."""

    status: Literal["ok", "degraded"]


class Health(PlainHealth):
    """The store's health, and what it holds."""

    engine: str
    sequence: int
    snapshot: SnapshotHealth
    rows: dict[str, int]


def plain_health(db: Database) -> PlainHealth:
    """Return the health of `db` for strangers: whether it is well, and nothing of what it holds or why it isn't.

    Raises:
        Problem: 503 when writes are refused.
    """
    status = db.status(details=False)
    if not status.writable:
        raise Problem(503, "Writes are refused.", headers={"Retry-After": "5"})
    return PlainHealth(status="degraded" if status.snapshot_error else "ok")


def health(db: Database) -> Health:
    """Return the health of `db`, with numbers of rows, for those who may know: reasons name no path of the machine.

    Raises:
        Problem: 503 when writes are refused, with the same members and the reason.
    """
    status = db.status()
    snapshot = SnapshotHealth(
        sequence=status.snapshot_sequence,
        saved_at=status.snapshot_saved_at,
        bytes=status.snapshot_bytes,
        error=status.snapshot_error and without_paths(status.snapshot_error),
    )
    state: Literal["ok", "degraded"] = "degraded" if status.snapshot_error else "ok"
    report = Health(status=state, engine=status.engine, sequence=status.sequence, snapshot=snapshot, rows=status.rows)
    if not status.writable:
        members = report.model_dump(mode="json", exclude={"status"})
        reason = f"Writes are refused: {without_paths(status.reason or 'the store is read-only')}"
        raise Problem(503, reason, headers={"Retry-After": "5"}, members=members)
    return report


def without_paths(reason: str) -> str:
    """Return a reason that tells strangers nothing of the machine's folders; the log has it in full."""
    return _PATH.sub("…", reason)
