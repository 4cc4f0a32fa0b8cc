"""The feed: commits as they become durable, in order, without gaps, from any place that is kept.

A reader holds only its place, and pulls. It has no queue, so a slow reader costs nothing, and one that comes
back continues where it was.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import suppress
from datetime import datetime

from snaptable.contract import Engine
from snaptable.history.records import Commit
from snaptable.history.rewind import gone

CHECK_SECONDS = 1.0
"""How often a reader that waits looks whether the database was closed."""
BATCH = 256
"""Commits that are read at once."""
BATCH_BYTES = 2 << 20
"""Bytes of rows from which on no further commit is read at once: what a reader that is slow keeps in memory."""


class Feed:
    """The commits after a place, in order, and then each as it becomes durable; for `for` and `async for`.

    It ends when it, or the database, is closed.

    Attributes:
        place: the last commit that was given, or passed over.
        at: when that was made; None if none was passed yet.
    """

    def __init__(
        self,
        engine: Engine,
        is_open: Callable[[], bool],
        commit_of: Callable[[int, int], Iterator[Commit]],
        place: int,
        tables: Collection[str] | None,
    ) -> None:
        """Begin behind a place; see `History.follow`."""
        self.place = place
        self.at: datetime | None = None
        self._engine, self._is_open, self._commits, self._tables = engine, is_open, commit_of, tables
        self._closed = False
        self._news = threading.Event()
        self._wakers: set[Callable[[], None]] = {self._news.set}
        self._stop_listening = engine.on_durable(self._wake)

    def close(self) -> None:
        """End the feed; a reader that waits is told."""
        self._closed = True
        self._stop_listening()
        self._wake()

    def __enter__(self) -> "Feed":
        """Return the feed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the feed."""
        self.close()

    def _wake(self) -> None:
        for waker in tuple(self._wakers):
            waker()

    @property
    def _ended(self) -> bool:
        return self._closed or not self._is_open()

    def _read(self) -> list[Commit]:
        """Return the next commits that there are, up to a bound; raises HistoryGone if they are gone."""
        source = self._engine.commits
        until = min(source.sequence, self.place + BATCH)
        commits: list[Commit] = []
        size = 0
        for commit in self._commits(self.place, until) if until > self.place else ():
            if commit.sequence != self.place + 1 + len(commits) and not source.leaves_numbers_out:
                raise gone(source, self.place)
            commits.append(commit)
            size += commit.size
            if size >= BATCH_BYTES:
                return commits
        if source.leaves_numbers_out:
            if source.first > self.place:
                raise gone(source, self.place)
            if not commits:
                self.place = max(until, self.place)  # none of these numbers is a commit's
        elif self.place + len(commits) < until:
            raise gone(source, self.place)
        return commits

    @property
    def _has_news(self) -> bool:
        return self._engine.commits.sequence > self.place

    def _give(self, commits: list[Commit]) -> Iterator[Commit]:
        for commit in commits:
            self.place, self.at = commit.sequence, commit.at
            if commit.is_hidden:
                continue
            if self._tables is None or any(commit.touches(table) for table in self._tables):
                yield commit

    def __iter__(self) -> Iterator[Commit]:
        """Yield commits; waits for more. Raises HistoryGone if the next ones are gone."""
        while not self._ended:
            self._news.clear()
            commits = self._read()
            if commits:
                yield from self._give(commits)
            else:
                self._news.wait(CHECK_SECONDS)

    async def __aiter__(self) -> AsyncIterator[Commit]:
        """Yield commits; waits for more without holding the event loop. Raises as iteration does."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def waker() -> None:
            """Wake the loop that waits for commits."""
            # The loop may have been closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(news.set)

        self._wakers.add(waker)
        try:
            while not self._ended:
                news.clear()
                commits = await asyncio.to_thread(self._read) if self._has_news else []
                if commits:
                    for commit in self._give(commits):
                        yield commit
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), CHECK_SECONDS)
        finally:
            self._wakers.discard(waker)
