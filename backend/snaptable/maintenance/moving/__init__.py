"""Moving a database: from a directory to PostgreSQL, and back; proved row by row before it counts.

>>> from snaptable.maintenance.moving import move
"""

import os

from snaptable.database.database import Database
from snaptable.maintenance.moving.following import Following, follow
from snaptable.maintenance.moving.steps import Moved, MoveRefused, Report
from snaptable.maintenance.moving.to_directory import to_directory
from snaptable.maintenance.moving.to_postgres import to_postgres

__all__ = ["Following", "MoveRefused", "Moved", "Report", "follow", "is_url", "move"]


def is_url(text: str) -> bool:
    """Return whether a store is named by the URL of a PostgreSQL server."""
    return text.partition("://")[0].lower() in ("postgresql", "postgres") and "://" in text


def move(
    source: str,
    target: str,
    *,
    schema: type[Database],
    folders: str | os.PathLike[str] | None = None,
    running: bool = False,
    report: Report | None = None,
) -> Moved:
    """Copy every row of a database to another engine, prove it, and only then let it be there.

    Args:
        source: a directory, or the URL of a PostgreSQL server.
        target: the other one, with nothing in it.
        schema: the models.
        folders: where the folders beside a directory that belong to it (`backup_folders`) are copied to; None leaves
            them where they are.
        running: whether a directory may be open in another process; `follow` then brings what that commits.
        report: told of each step, and of the rows that are done.

    Returns:
        What was moved.

    Raises:
        MoveRefused: it can't be moved; nothing was written.
        OpenError: either of them can't be opened; StoreLocked: a process has the directory open.
        Unavailable: the server can't be reached, or went away: nothing was written, or all of it.
    """
    report = report or Report()
    if is_url(source) == is_url(target):
        raise MoveRefused("a move is from a directory to a postgresql:// URL, or from such a URL to a directory")
    if is_url(target):
        return to_postgres(source, target, schema, folders=folders, running=running, report=report)
    return to_directory(source, target, schema, report=report)
