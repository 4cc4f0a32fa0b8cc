"""`feed_router`: the place that is asked for, what the caller may see, and the stream."""

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from snaptable import Database, HistoryGone
from snaptable.contract import CommitSource
from snaptable.history import Feed
from snaptable.history.places import Place
from snaptable.web.feed.open_streams import OpenStreams
from snaptable.web.feed.stream import MEDIA_TYPE, EventStream, Still, StreamTerms
from snaptable.web.feed.visible import FeedTables, VisibleCommits
from snaptable.web.problems import FieldError, Problem, problems
from snaptable.web.rules import Rules

BOOKMARK_SECONDS = 15.0
MAX_STREAMS = 1000
MAX_STREAMS_OF_CALLER = 20
_EXAMPLE = """id: 4711-9f2c11aa
event: commit
data: {"sequence":4711,"at":"2026-11-28T09:00:00.000000Z","actor":"ann","note":null,"via":null,"changes":[{"table":\
"notes","key":"n1","kind":"insert","before":null,"after":{"id":"n1","text":"Hello"}}]}

"""


async def _nobody() -> None:
    """Return no caller: the feed is for everybody."""


def feed_router(
    db: Database,
    *,
    caller: Callable[..., object] | None = None,
    rules: Mapping[str, Rules] | None = None,
    still: Still | None = None,
    prefix: str = "",
    max_streams: int = MAX_STREAMS,
    max_streams_of_caller: int = MAX_STREAMS_OF_CALLER,
    bookmark_seconds: float = BOOKMARK_SECONDS,
) -> APIRouter:
    """Return the router of `GET /changes`: commits as server-sent events, as they become durable.

    Closed by default: a table is in the feed if `rules` name it, or a router of the same `caller` has rules for it.
    Transient tables never are, secrets and hidden fields are left out. A caller sees of each change the states of the
    row that the rule allows: what comes into sight is an insert, what leaves it a delete. Rules are asked at the
    beginning and at each bookmark.

    Args:
        db: the database; it may be opened later.
        caller: the dependency that gives the caller; None for a feed that is the same for everybody.
        rules: by table, in the place of those that routers gave: `read` is asked.
        still: asked with the caller, before each event and every two seconds, whether the stream may go on: a plain or
            a coroutine function. So nothing is told after a logout, and the stream ends soon.
        prefix: before `/changes`.
        max_streams: streams at once; beyond that 503.
        max_streams_of_caller: streams of one caller, known by `id` if it has one, at once. Of those who are not known,
            a quarter of all streams may come from one network: an IPv4 address, or a /64 of IPv6.
        bookmark_seconds: the pause between two bookmarks.

    Raises:
        ValueError: rules for a table that there is not, or is transient; a limit that is not above zero.
    """
    tables = FeedTables(db, rules or {}, caller)
    feeds = _Feeds(db, tables, OpenStreams(max_streams, max_streams_of_caller), still, bookmark_seconds)
    router = APIRouter(prefix=prefix, tags=["changes"], generate_unique_id_function=_name_of)
    _add_route(router, feeds, caller)
    return router


def _add_route(router: APIRouter, feeds: "_Feeds", caller: Callable[..., object] | None) -> None:
    errors = problems(*([401] if caller is not None else []), 410, 422, 503)
    content = {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}}

    @router.get(
        "/changes",
        response_class=Response,
        responses={200: {"description": "Events without end.", "content": content}, **errors},
        summary="Follow what changes, as server-sent events",
    )
    async def follow_changes(
        request: Request,
        me: Annotated[Any, Depends(caller or _nobody)],
        tables: Annotated[str | None, Query(description="Tables, by commas; all of the feed without.")] = None,
        since: Annotated[str | None, Query(description="Where to begin: the id of an event. Now, without.")] = None,
        last_event_id: Annotated[str | None, Header(description="The same, as browsers send it; it wins.")] = None,
    ) -> Response:
        """Send commits as events: `commit`, with the rows that you may see, and `bookmark` every 15 seconds.

        Come back with the id of the last event, and nothing is missing. 410: that is too long ago, or the database was
        put back since: read the lists again. `restart`: the server stops, come back; `gone`: as 410; `ended`: you may
        not see this any more.
        """
        wanted = feeds.wanted_tables(tables)
        address = None if request.client is None else request.client.host
        return await feeds.follow(me, address, wanted, _place_of(since, last_event_id))


class _Feeds:
    """The streams of one router."""

    def __init__(
        self, db: Database, tables: FeedTables, streams: OpenStreams, still: Still | None, bookmark_seconds: float
    ) -> None:
        self._db, self._tables, self._streams, self._still = db, tables, streams, still
        self._bookmark_seconds = bookmark_seconds
        self._unreadable = -1
        """The last commit that could not be told to somebody: places before it are gone."""

    def wanted_tables(self, text: str | None) -> list[str]:
        """Return the tables that a request names, or all there are.

        Raises:
            Problem: 422, one is not in the feed.
        """
        views = self._tables.views()
        if text is None:
            return list(views)
        names = [name.strip() for name in text.split(",")]
        if any(name not in views for name in names):
            known = f"it has {', '.join(views)}" if views else "it has none"
            raise Problem.invalid(FieldError("/tables", f"This feed has no such table; {known}.", "query"))
        return names

    async def follow(self, me: object, address: str | None, tables: list[str], place: Place | None) -> Response:
        """Return the stream of a caller, who asks from an address.

        Raises:
            Problem: 410, the place is gone; 503, there are too many streams.
        """
        visible = VisibleCommits(self._tables.views(), me, tables)
        close = self._streams.take(_identity(me), address)
        try:
            feed, source = await asyncio.to_thread(self._begin, tables, place)
        except HistoryGone as error:
            close()
            detail = "What came behind this place is not known any more, or it is of another history: read the lists."
            raise Problem(410, detail, members={"first": error.first}) from error
        except BaseException:
            close()
            raise
        terms = StreamTerms(self._bookmark_seconds, self._still, self._take_note_of_gone, close)
        return EventStream(feed, source, visible, terms)

    def _begin(self, tables: list[str], place: Place | None) -> tuple[Feed, CommitSource]:
        """Return a feed that begins behind a place, now without one; may read the journal."""
        source = self._db._opened().commits
        if place is not None:
            place.check(source)
            if place.sequence < self._unreadable:
                raise HistoryGone(f"commit {self._unreadable} can't be told any more", first=self._unreadable)
        return self._db.history.follow(None if place is None else place.sequence, tables=tables), source

    def _take_note_of_gone(self, sequence: int) -> None:
        self._unreadable = max(self._unreadable, sequence)


def _place_of(since: str | None, last_event_id: str | None) -> Place | None:
    """Return the place that a request names; the header wins: browsers come back to the same address with it.

    Raises:
        Problem: 422, it is not a place.
    """
    for text, name, where in ((last_event_id, "Last-Event-ID", "header"), (since, "since", "query")):
        if text:
            try:
                return Place.parse(text)
            except ValueError as error:
                raise Problem.invalid(FieldError(f"/{name}", f"{error}.", where)) from None
    return None


def _identity(me: object) -> Hashable | None:
    """Return what tells a caller from others: an `id`, or the caller itself if it is a plain value; else None."""
    identity = getattr(me, "id", me)
    return identity if isinstance(identity, str | int | bytes | UUID) else None


def _name_of(route: APIRoute) -> str:
    """Return the name of the route's function, by which generated clients call it."""
    return route.name
