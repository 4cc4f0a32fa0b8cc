"""History: commits by day, the newest first, and new ones as they come. It is paged by commit, and never counted."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TypedDict

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response, StreamingResponse

from snaptable import HistoryGone, SnaptableError
from snaptable.admin import past
from snaptable.admin.filters import Chip
from snaptable.admin.moments import day_name, moment_of, sequence_at
from snaptable.admin.numbers import number_in
from snaptable.admin.past_shown import label_of
from snaptable.admin.site import COOKIE, NavItem, Site, Visit
from snaptable.history import Change, Commit
from snaptable.web.cookies import cookie_of
from snaptable.web.problems import Problem
from snaptable.web.stopping import stop_of

PAGE = 30
"""Commits of a page."""
CHANGES = 6
"""Changes of a commit that are shown; its own page has the others."""
LOOK_SECONDS = 0.4
"""How long a page is looked for, where few commits match; the next one goes on from there."""
FILTERS = ("table", "key", "field", "actor", "since", "until")
HEARTBEAT = 15.0
"""Seconds between two signs of life of a stream, and two looks whether its reader may still be there."""
MOST_STREAMS = 50


def add_to(site: Site) -> None:
    """Add the page, and the stream that keeps it fresh."""
    site.add_nav(NavItem("history", "History", "/history", "history", 20))
    streams = Streams()
    site.get("/history", show)
    site.get("/history/feed", streams.follow)


class ShownCommit(TypedDict):
    """A commit as the page shows it: its first changes with what their rows are called, and how many there are."""

    commit: Commit
    changes: list[Change]
    count: int
    labels: list[str]


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Asked:
    """What an address asks of the history.

    Attributes:
        filters: those that are set.
        before: the commit before which the page begins; None for the newest.
    """

    filters: dict[str, str]
    before: int | None

    @classmethod
    def in_address(cls, visit: Visit) -> "Asked":
        """Read an address."""
        filters = {name: text for name in FILTERS if (text := visit.query.get(name, "").strip())}
        return cls(filters, number_in(visit.query.get("before", "")))

    def without(self, name: str) -> dict[str, str]:
        """Return the filters but for one; a key is one of a table."""
        return {each: text for each, text in self.filters.items() if each != name and (each, name) != ("key", "table")}


def show(visit: Visit) -> Response:
    """Show a page; a filter that was typed first becomes a part of the address."""
    asked = Asked.in_address(visit)
    if "filter" in visit.query:
        return _with_filter(visit, asked)
    errors: dict[str, str] = {}
    with visit.timed("history"):
        commits, older = _page_of(visit, asked, errors)
    history = visit.db.history
    return visit.render(
        "history.html",
        active="history",
        days=[(day, list(of_day)) for day, of_day in groupby(commits, lambda each: day_name(each["commit"].at))],
        chips=_chips(visit, asked, errors),
        errors=errors,
        older=None if older is None else visit.url("/history", **asked.filters, before=older),
        newest=visit.url("/history", **asked.filters) if asked.before is not None else None,
        sequence=history.sequence,
        first=history.first,
        asked=asked,
    )


def _page_of(visit: Visit, asked: Asked, errors: dict[str, str]) -> tuple[list[ShownCommit], int | None]:
    """Return the commits of a page, and the commit before which the next one begins; None at the end."""
    try:
        commits = _commits(visit, asked, errors)
    except HistoryGone:
        return [], None
    if errors:
        return [], None
    shown: list[ShownCommit] = []
    began, last = time.perf_counter(), None
    for commit in commits:
        if len(shown) == PAGE or (time.perf_counter() - began > LOOK_SECONDS and last is not None):
            return shown, last
        last = commit.sequence
        changes, count = _shown_of(visit, asked, commit) if _is_by(commit, asked.filters.get("actor")) else ([], 0)
        if changes or (commit.migrations and not asked.filters):
            labels = [label_of(visit.site, change) for change in changes]
            shown.append({"commit": commit, "changes": changes, "count": count, "labels": labels})
    return shown, None


def _commits(visit: Visit, asked: Asked, errors: dict[str, str]) -> Iterator[Commit]:
    """Return the commits in whose changes to look, the newest first."""
    db, filters = visit.db, asked.filters
    moments: dict[str, int] = {}
    for name in ("since", "until"):
        if name in filters:
            try:
                moments[name] = sequence_at(filters[name], db)
            except (ValueError, SnaptableError) as error:
                errors[name] = str(error)
    until = min(moments.get("until", db.history.sequence), (asked.before or db.history.sequence + 1) - 1)
    since = max(moments.get("since", 0), db.history.first)
    table, key = filters.get("table"), None
    if table is not None and (table not in visit.site.shown or db.tables[table].schema.transient):
        errors["table"] = f"There is no table {table[:80]!r} with a history here."
        return iter(())
    if "key" in filters and table is None:
        errors["key"] = "Name the table too: a key is one of a table."
    elif table is not None and "key" in filters:
        key = filters["key"]
    return db.history.commits(table if key is not None else None, key, since=since, until=max(until, since))


def _shown_of(visit: Visit, asked: Asked, commit: Commit) -> tuple[list[Change], int]:
    """Return the first changes of a commit that are asked for, and how many there are; few of them are parsed."""
    filters = asked.filters
    if "key" in filters:
        part = past.of_row(commit, filters["table"], filters["key"])
        changes = [change for change in part.changes if _has_field(filters, change)]
        return changes, len(changes)
    tables = [filters["table"]] if "table" in filters else visit.site.shown
    part, count = past.shown(commit, tables, CHANGES if "field" not in filters else past.MOST)
    changes = [change for change in part.changes if _has_field(filters, change)]
    return changes[:CHANGES], count if "field" not in filters else len(changes)


def _has_field(filters: dict[str, str], change: Change) -> bool:
    """Return whether a change is of the field that is asked for, if one is."""
    field = filters.get("field")
    return field is None or (field in change.changed and change.kind == "replace")


def _is_by(commit: Commit, actor: str | None) -> bool:
    return actor is None or (commit.actor is not None and actor.casefold() in commit.actor.casefold())


def _chips(visit: Visit, asked: Asked, errors: dict[str, str]) -> list[tuple[Chip, str]]:
    """Return the filters, each with the address without it."""
    return [
        (
            Chip(name, text, name, "" if name in ("since", "until") else "=", text, errors.get(name, "")),
            visit.url("/history", **asked.without(name)),
        )
        for name, text in asked.filters.items()
    ]


def _with_filter(visit: Visit, asked: Asked) -> RedirectResponse:
    """Lead on to the address with one filter more, or to the commit that was named."""
    text = visit.query["filter"].strip()
    if text.startswith("#") and text[1:].isascii() and text[1:].isdigit():
        return visit.redirect(f"/commits/{text[1:]}")
    filters = dict(asked.filters)
    for part in text.split(",") if text else ():
        filters.update(_typed(part.strip(), visit))
    return visit.redirect("/history", **filters)


def _typed(part: str, visit: Visit) -> dict[str, str]:
    """Return the filter that a text means: `table = documents`, `since 09:00`, a table, a moment, a name."""
    name, _, rest = part.replace("=", " ", 1).partition(" ")
    if name in FILTERS and rest.strip():
        return {name: rest.strip().strip("\"'")}
    if part in visit.site.shown:
        return {"table": part}
    with suppress(ValueError, SnaptableError):
        moment_of(part, visit.db)
        return {"since": part} if part else {}
    return {"actor": part}


# ── new commits, as they come ───────────────────────────────────────────────────────────────────────────────────────


class Streams:
    """The streams that are open; each tells of commits by their numbers alone."""

    def __init__(self) -> None:
        self._open = 0

    async def follow(self, visit: Visit) -> Response:
        """Tell of every commit after `since`, until the reader has gone."""
        since = number_in(visit.query.get("since", ""))
        if since is None:
            raise HTTPException(422, "Name the commit to begin after.")
        if self._open >= MOST_STREAMS:
            raise Problem(503, "Too many pages follow the history.", headers={"Retry-After": "30"})
        return StreamingResponse(
            self._events(visit, since), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _events(self, visit: Visit, since: int) -> AsyncIterator[str]:
        self._open += 1
        try:
            with visit.db.history.follow(min(since, visit.db.history.sequence)) as feed:
                async for text in self._told(visit, aiter(feed)):
                    yield text
        except SnaptableError:
            yield "event: again\ndata: {}\n\n"
        finally:
            self._open -= 1

    async def _told(self, visit: Visit, commits: AsyncIterator[Commit]) -> AsyncIterator[str]:
        """Yield the events: a commit, or a comment to show that the stream is alive."""
        stop = stop_of(visit.request.scope)
        stopping = None if stop is None else asyncio.ensure_future(stop.wait())
        following = asyncio.ensure_future(_next_of(commits))
        try:
            yield "retry: 3000\n\n"
            while stopping is None or not stopping.done():
                watched = [following] if stopping is None else [following, stopping]
                await asyncio.wait(watched, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    if (
                        await visit.site.access.session_of(visit.request, cookie_of(visit.request.scope, COOKIE))
                        is None
                    ):
                        return
                    yield ": still here\n\n"
                    continue
                commit = following.result()
                if commit is None:
                    return
                if past.shown(commit, visit.site.shown, 0)[1] or commit.migrations:
                    yield f"event: commit\ndata: {json.dumps({'sequence': commit.sequence})}\n\n"
                following = asyncio.ensure_future(_next_of(commits))
        finally:
            for each in (following, stopping):
                if each is not None:
                    each.cancel()


async def _next_of(commits: AsyncIterator[Commit]) -> Commit | None:
    return await anext(commits, None)
