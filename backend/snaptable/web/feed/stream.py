"""One stream of a feed: commits as they become durable, a bookmark now and then, until one of the two sides ends it.

The stream asks for the next commit when the client has taken the last one: however slow a client is, there is one event
of its own in memory, and the batch of commits that was read with it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from math import inf

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from snaptable import HistoryError
from snaptable.contract import CommitSource
from snaptable.history import Commit, Feed
from snaptable.history.places import Place
from snaptable.web.feed.events import BEGIN, event
from snaptable.web.feed.visible import VisibleCommits
from snaptable.web.stopping import stop_of

MEDIA_TYPE = "text/event-stream"
STILL_SECONDS = 2.0
"""How often it is asked, at least, whether the stream may go on."""
LARGE_COMMIT = 64 * 1024
"""Bytes of rows from which on a commit is looked through in a thread, beside the event loop."""

logger = logging.getLogger("snaptable.web")

Still = Callable[[object], bool | Awaitable[bool]]
"""Says of a caller whether the stream may go on."""


@dataclass(frozen=True)
class StreamTerms:
    """What holds for a stream.

    Attributes:
        bookmark_seconds: the pause between two bookmarks.
        still: whether it may go on, asked before each event and every `STILL_SECONDS`; None for yes.
        on_gone: told of the commit that can't be told any more.
        close: called at the end, however it comes.
    """

    bookmark_seconds: float
    still: Still | None
    on_gone: Callable[[int], None]
    close: Callable[[], None]


class EventStream(Response):
    """The answer to who follows a feed. It has no end of its own."""

    media_type = MEDIA_TYPE

    def __init__(self, feed: Feed, source: CommitSource, visible: VisibleCommits, terms: StreamTerms) -> None:
        """Take a feed that has begun, what it reads from, what the caller may see of it, and the terms."""
        self.status_code = 200
        self.background = None
        # A proxy that buffered it would keep events to itself.
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._feed, self._source, self._visible, self._terms = feed, source, visible, terms
        self._handled: Place | None = None

    def init_headers(self, headers: dict[str, str] | None = None) -> None:  # type: ignore[override]
        """Set the headers; a body without an end has no length."""
        names = {"Content-Type": f"{MEDIA_TYPE}; charset=utf-8", **(headers or {})}
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in names.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client has gone, the server stops, the caller may see nothing any more, or nothing is left."""
        watched: dict[str, asyncio.Future[object]] = {"left": asyncio.ensure_future(_left(receive))}
        stop = stop_of(scope)
        if stop is not None:
            watched["stop"] = asyncio.ensure_future(stop.wait())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_all(send, watched)
        finally:
            self._feed.close()
            for waiting in watched.values():
                waiting.cancel()
            self._terms.close()
            await asyncio.gather(*watched.values(), return_exceptions=True)

    async def _send_all(self, send: Send, watched: dict[str, "asyncio.Future[object]"]) -> None:
        """Send events until there is a reason to end; `watched` is what is waited for beside commits."""
        loop, commits = asyncio.get_running_loop(), aiter(self._feed)
        await _emit(send, BEGIN + await self._bookmark())
        due = loop.time() + self._terms.bookmark_seconds
        pause = inf if self._terms.still is None else min(STILL_SECONDS, self._terms.bookmark_seconds)
        asked = loop.time() + pause
        following = watched["commit"] = asyncio.ensure_future(_next_of(commits))
        while True:
            await asyncio.wait(
                watched.values(), timeout=min(due, asked) - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
            if watched["left"].done():
                return
            if "stop" in watched and watched["stop"].done():
                await _emit(send, event("restart", {}), is_last=True)
                return
            if following.done() or loop.time() >= asked:
                if not await self._may_go_on():
                    await _emit(send, event("ended", {}), is_last=True)
                    return
                asked = loop.time() + pause
            if loop.time() >= due:
                self._visible.ask_rules()
                await _emit(send, await self._bookmark(is_waiting=not following.done()))
                due = loop.time() + self._terms.bookmark_seconds
            if following.done():
                data, is_last = await self._event_of(following)
                await _emit(send, data, is_last=is_last)
                if is_last:
                    return
                following = watched["commit"] = asyncio.ensure_future(_next_of(commits))

    async def _event_of(self, following: "asyncio.Future[object]") -> tuple[bytes, bool]:
        """Return the event for what the feed gave, and whether it is the last; b"" where the caller sees nothing."""
        try:
            commit = following.result()
            if not isinstance(commit, Commit):
                return event("restart", {}), True
            shape = self._visible.shape
            is_large = commit.size >= LARGE_COMMIT
            seen = await asyncio.to_thread(shape, commit) if is_large else shape(commit)
            self._handled = Place.behind(self._source, commit.sequence, commit.at)
            return (b"" if seen is None else event("commit", seen, self._handled)), False
        except HistoryError as error:
            self._terms.on_gone(self._feed.place)
            logger.info("A feed ends: %s", error)
            return event("gone", {"detail": "Read the lists again."}), True

    async def _bookmark(self, *, is_waiting: bool = False) -> bytes:
        """Return the bookmark of how far the feed has come.

        Args:
            is_waiting: whether all that the feed gave was handled, and it waits for more: then it may have passed over
                what is of no table that is wanted.
        """
        place = self._handled
        if is_waiting and self._feed.at is not None:
            place = Place.behind(self._source, self._feed.place, self._feed.at)
        if place is None:
            place = self._handled = await asyncio.to_thread(Place.behind, self._source, self._feed.place)
        return event("bookmark", {"sequence": place.sequence}, place)

    async def _may_go_on(self) -> bool:
        """Return whether the caller may see more."""
        if self._terms.still is None:
            return True
        answer = self._terms.still(self._visible.caller)
        return bool(await answer if isawaitable(answer) else answer)


async def _next_of(commits: object) -> object:
    """Return the next commit, None at the end: an exception of that kind can't pass a future."""
    with suppress(StopAsyncIteration):
        return await anext(commits)  # type: ignore[call-overload]
    return None


async def _emit(send: Send, data: bytes, *, is_last: bool = False) -> None:
    """Send some bytes of the stream."""
    await send({"type": "http.response.body", "body": data, "more_body": not is_last})


async def _left(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
