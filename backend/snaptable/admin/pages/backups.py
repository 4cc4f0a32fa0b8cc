"""Backups: made now, or on the application's schedule; downloaded after the password was given again.

`mount_admin(…, backup_dir="backups")` keeps them in a folder; `backups=` is an object of the application that makes
them on a schedule (`ScheduledBackups`). Without either, a backup is made for the download alone.
"""

import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from snaptable import BackupError
from snaptable.admin import words
from snaptable.admin.pages.the_file import file_response
from snaptable.admin.site import NavItem, Site, Visit
from snaptable.admin.state import is_on_server
from snaptable.backup.naming import backups_in, parsed
from snaptable.storage.disk.files import Files

ON_SERVER = "A database on PostgreSQL is backed up by pg_dump, or by the server's own archive: no backup is made here."
MOST_SHOWN = 200


class ScheduledBackups(Protocol):
    """What an application that makes backups itself says of them."""

    @property
    def folder(self) -> Path | None:
        """Where they are; None while there are none."""

    @property
    def schedule(self) -> str:
        """When they are made and which are kept, in words."""

    @property
    def error(self) -> str | None:
        """Why the last one failed; None if it didn't."""

    @property
    def next_at(self) -> datetime | None:
        """When the next one is due."""

    def make(self) -> None:
        """Make one now."""


@dataclass(frozen=True)
class Kept:
    """A backup in the folder."""

    name: str
    at: datetime
    sequence: int
    size: int


def add_to(site: Site) -> None:
    """Add the page, a button and a line of the overview."""
    site.add_nav(NavItem("backups", "Backups", "/backups", "backup", 140))
    site.overview_actions.append(("Back up now", "backup", "/backups/make"))
    site.overview.append(_line)
    site.get("/backups", show)
    site.post("/backups/make", make)
    site.post("/backups/download", download)
    site.post("/backups/for-download", make_for_download)


def _scheduled(visit: Visit) -> ScheduledBackups | None:
    scheduled: ScheduledBackups | None = visit.site.options.get("backups")
    return scheduled


def _folder(visit: Visit) -> Path | None:
    scheduled, given = _scheduled(visit), visit.site.options.get("backup_dir")
    if scheduled is not None and scheduled.folder is not None:
        return scheduled.folder
    return Path(given) if given else None


def _kept(visit: Visit) -> list[Kept]:
    folder = _folder(visit)
    if folder is None or not folder.is_dir():
        return []
    kept = []
    for each in backups_in(Files(folder))[:MOST_SHOWN]:
        try:
            size = (folder / each.name).stat().st_size
        except OSError:
            continue
        kept.append(Kept(each.name, each.at, each.sequence, size))
    return kept


def _line(visit: Visit) -> tuple[str, str, str, str] | None:
    """Return the overview's line."""
    folder, scheduled = _folder(visit), _scheduled(visit)
    if folder is None:
        return None
    if scheduled is not None and scheduled.error:
        return ("backup", "failed", scheduled.error, "removed")
    kept = _kept(visit)
    if not kept:
        return ("backup", "none", "none was made yet", "changed")
    return ("backup", words.size(kept[0].size), f"#{kept[0].sequence:,}, {words.ago(kept[0].at)}", "good")


def show(visit: Visit) -> Response:
    """Show the backups that there are."""
    return _page(visit)


def _page(visit: Visit, status: int = 200, error: str | None = None, done: str | None = None) -> Response:
    scheduled = _scheduled(visit)
    return visit.render(
        "backups.html",
        status,
        active="backups",
        folder=_folder(visit),
        kept=_kept(visit),
        scheduled=scheduled,
        next_at=scheduled.next_at if scheduled is not None else None,
        error=error or (scheduled.error if scheduled is not None else None),
        done=done or visit.query.get("made"),
        can_download=_may_download(visit),
        on_server=ON_SERVER,
    )


def _may_download(visit: Visit) -> bool:
    return visit.site.shows_all


def make(visit: Visit) -> Response:
    """Make a backup now; without a folder, lead on to the download."""
    folder, scheduled = _folder(visit), _scheduled(visit)
    if is_on_server(visit.db):
        return _page(visit, 409, ON_SERVER)
    if folder is None:
        return visit.redirect("/backups")
    if scheduled is not None:
        scheduled.make()
        newest = next(iter(_kept(visit)), None)
        made = newest.name if newest is not None and not scheduled.error else None
        return visit.redirect("/backups", made=made)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        backup = visit.db.backup(folder)
    except (BackupError, OSError) as error:
        return _page(visit, 500, str(error))
    return visit.redirect("/backups", made=Path(backup.path).name)


async def download(visit: Visit) -> Response:
    """Give a backup; the password is asked for again."""
    folder, name = _folder(visit), visit.form.get("name", "")
    if not _may_download(visit):
        raise HTTPException(403, "Some tables are not shown here, so that backups can't be downloaded.")
    if folder is None or parsed(name) is None:
        raise HTTPException(404, "There is no such backup.")
    if not await visit.confirmed():
        return await run_in_threadpool(_page, visit, 403, "This is not your password.")
    return await file_response(folder / name, name)


async def make_for_download(visit: Visit) -> Response:
    """Make a backup that nothing is kept of, and give it."""
    if not _may_download(visit):
        raise HTTPException(403, "Some tables are not shown here, so that backups can't be downloaded.")
    if not await visit.confirmed():
        return await run_in_threadpool(_page, visit, 403, "This is not your password.")
    if is_on_server(visit.db):
        return await run_in_threadpool(_page, visit, 409, ON_SERVER)
    folder = tempfile.TemporaryDirectory(prefix="snaptable-backup-")
    try:
        backup = await run_in_threadpool(visit.db.backup, folder.name)
    except BackupError as error:
        folder.cleanup()
        return await run_in_threadpool(_page, visit, 500, str(error))
    path = Path(backup.path)
    answer = await file_response(path, path.name)
    assert isinstance(answer, StreamingResponse)
    inner = answer.body_iterator

    async def chunks() -> AsyncIterator[str | bytes | memoryview]:
        """Yield the file's bytes, then remove it."""
        try:
            async for chunk in inner:
                yield chunk
        finally:
            folder.cleanup()

    answer.body_iterator = chunks()
    return answer
