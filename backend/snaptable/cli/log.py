"""`snaptable log [TABLE [KEY]]`: what was committed, the newest first."""

from collections.abc import Iterator
from itertools import islice

from snaptable import HistoryGone
from snaptable.cli.commits_shown import write_next
from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, UsageError, output
from snaptable.cli.looking import check_table, key_in, looking_at
from snaptable.cli.output import Output
from snaptable.control.shapes import commit_shape
from snaptable.history import Commit, Moment
from snaptable.maintenance.point_in_time import CommitsAgo
from snaptable.maintenance.raw_store import NoHistory

SHOWN = 20
"""Commits that a terminal shows, if nothing else is said."""


def run(
    *,
    table: str | None,
    key: str | None,
    store: str | None,
    since: Moment | CommitsAgo | None,
    until: Moment | CommitsAgo | None,
    actor: str | None,
    limit: int | None,
) -> int:
    """Write commits; return 1 if there are none."""
    out = output()
    is_program = out.as_json or out.as_lines or not out.is_terminal
    most = limit if limit is not None else 0 if is_program else SHOWN
    with looking_at(store) as contents:
        if table is not None and not contents.has_table(table):
            check_table(contents, table)
        name = key_in(contents, table, key) if table is not None and key is not None else None
        try:
            commits = contents.commits(table, name, since=since, until=until, actor=actor)
        except NoHistory:
            raise
        except (ValueError, HistoryGone) as error:
            raise UsageError(str(error)) from error
        count = _write_document(out, commits, most) if out.as_json else _write_lines(out, commits, most)
    return EXIT_SOUND if count else EXIT_FAILED


def _write_document(out: Output, commits: Iterator[Commit], most: int) -> int:
    """Write commits as one document, with the sequence of the next one; return how many, 0 of `most` being all."""
    some = list(islice(commits, most or None))
    following = next(commits, None)
    behind = None if following is None else following.sequence
    out.document({"items": [commit_shape(commit) for commit in some], "next": behind})
    return len(some)


def _write_lines(out: Output, commits: Iterator[Commit], most: int) -> int:
    """Write commits one by one; return how many, 0 of `most` being all."""
    count = 0
    for commit in islice(commits, most or None):
        count += 1
        write_next(out, commit)
    if out.is_terminal and most and next(commits, None) is not None:
        out.say(out.styled(f"The {most} newest; -n shows more.", "dim"))
    return count
