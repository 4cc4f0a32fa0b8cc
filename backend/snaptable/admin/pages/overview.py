"""The overview: rows by table, what is on the disk and in memory, what just happened, which queries were slow."""

import os
import time
from itertools import islice
from pathlib import Path

from starlette.responses import Response

from snaptable import HistoryError
from snaptable.admin import past, words
from snaptable.admin.activity import Activity
from snaptable.admin.site import NavItem, Site, Visit
from snaptable.history import Commit
from snaptable.web.monitoring.queries import SlowQueries, SlowQuery

COMMITS = 10
"""Commits that the overview shows."""
SLOW_QUERIES = 5
SLOW_SECONDS = 0.01

Line = tuple[str, str, str, str]
"""A name, a figure, what it means, and how it is meant: "", "good", "changed" or "removed"."""


def add_to(site: Site) -> None:
    """Add the page, and what it does."""
    site.add_nav(NavItem("overview", "Overview", "/", "home", 10))
    if site.db._query_observer is None:
        site.db._observe_queries(SlowQueries(site.db.__schemas__, SLOW_SECONDS))
    activity = Activity(site.db)
    site.get("/", lambda visit: overview(visit, activity))
    site.post("/check", check)
    site.post("/restart", restart)
    site.post("/try-again", try_again)


def overview(visit: Visit, activity: Activity) -> Response:
    """Show it."""
    with visit.timed("history"):
        changed, commits = activity.lines()
        last = _last_commits(visit)
    return visit.render(
        "overview.html",
        active="overview",
        tables=[(table, changed.get(table.name, [])) for table in visit.site.tables.values()],
        activity=commits,
        commits=last,
        lines=_lines(visit),
        slow=_slow_queries(visit),
    )


def check(visit: Visit) -> Response:
    """Verify every index and constraint, and show what is wrong."""
    began = time.perf_counter()
    problems = visit.db.check()
    took = time.perf_counter() - began
    return visit.render("checked.html", active="overview", problems=problems, seconds=took)


def restart(visit: Visit) -> Response:
    """Close the database and open it again, and show what came back."""
    db, began = visit.db, time.perf_counter()
    before = db.status().rows
    db.close()
    db.open()
    took = time.perf_counter() - began
    return visit.render("restarted.html", active="overview", before=before, after=db.status().rows, seconds=took)


def try_again(visit: Visit) -> Response:
    """Make writes work again, by a new snapshot in a new file; or open a database that is closed, or read on."""
    if visit.db.is_open and visit.db.read_only:
        visit.db.refresh()
    elif visit.db.is_open:
        visit.db.persist()
    else:
        visit.db.open()
    return visit.back("/")


def _last_commits(visit: Visit) -> list[tuple[Commit, int]]:
    """Return the last commits, each with its first change to a table that is shown, and how many there are."""
    tables = visit.site.shown
    try:
        return [past.shown(commit, tables, 1) for commit in islice(visit.db.history.commits(), COMMITS)]
    except HistoryError:
        return []


def _lines(visit: Visit) -> list[Line]:
    """Return what is on the disk, and in memory."""
    status, directory = visit.db.status(), visit.db.directory
    lines: list[Line] = []
    if status.snapshot_bytes is not None:
        is_whole = status.snapshot_sequence == status.sequence
        meaning = f"holds sequence {status.snapshot_sequence:,}" + (", all of it" if is_whole else ", the rest follows")
        if stored := sum(status.rows.values()):
            meaning += f", {words.size(round(status.snapshot_bytes / stored))} a row"
        level = "removed" if status.snapshot_error else "good" if is_whole else ""
        lines.append(("db_snapshot.json", words.size(status.snapshot_bytes), status.snapshot_error or meaning, level))
    if status.history is not None:
        first = status.history.first
        reach = "history from the first commit on" if first == 0 else f"history from #{first + 1:,} on"
        since = f", since {words.moment(status.history.since)}" if status.history.since else ""
        lines.append(("db_journal/" if directory else "history", words.size(status.history.bytes), reach + since, ""))
    if status.syncs is not None:
        meaning = f"99 of 100 of the last commits took no longer; the last was {words.ago(status.syncs.last_at)}"
        lines.append(("sync", f"{1000 * status.syncs.p99_seconds:,.1f} ms", meaning, ""))
    memory = _memory()
    rows = sum(status.rows.values())
    if memory is not None:
        lines.append(("memory", words.size(memory), f"of the whole process, {words.plural(rows, 'row')}", ""))
    if directory is not None:
        lines.append(_quarantine(directory))
    return lines + [line for add in visit.site.overview if (line := add(visit)) is not None]


def _memory() -> int | None:
    """Return the bytes of memory that this process has; None where the system doesn't say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _quarantine(directory: Path) -> Line:
    try:
        kept = sum(1 for _ in (directory / "quarantine").iterdir())
    except OSError:
        kept = 0
    if kept:
        return ("quarantine/", words.plural(kept, "file"), "set aside, and waiting for a look", "changed")
    return ("quarantine/", "empty", "nothing was ever set aside", "good")


def _slow_queries(visit: Visit) -> list[SlowQuery]:
    observer = visit.db._query_observer
    return observer.worst()[:SLOW_QUERIES] if isinstance(observer, SlowQueries) else []
