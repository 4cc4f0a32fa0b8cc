"""The commits that one sync makes durable, and everybody who waits for that: threads on an event, tasks on futures."""

import asyncio
import threading
from typing import Any

from snaptable.changes import Commit


class Batch:
    """Collect commits until a leader closes it; then be durable, or failed, for all of them at once."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.veils: dict[Any, dict[Any, Any]] = {}
        """What the engine hides from readers until this batch is durable."""
        self.error: Exception | None = None
        self.done = threading.Event()
        self.scheduled = False
        """Whether an event loop will see to it, at the end of its tick, that somebody leads."""
        self._claimed = False
        self._gate = threading.Lock()
        self._tasks: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}

    def claim(self) -> bool:
        """Return True to the first caller only: it leads."""
        with self._gate:
            first, self._claimed = not self._claimed, True
            return first

    def future(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """Return a future of the loop that is done when the batch is."""
        future = loop.create_future()
        with self._gate:
            if self.done.is_set():
                future.set_result(None)
            else:
                self._tasks.setdefault(loop, []).append(future)
        return future

    def finish(self, error: Exception | None = None) -> None:
        """Wake everybody: the batch is durable, or has failed. One call into a loop, for all that wait there."""
        with self._gate:
            self.error = error
            self.done.set()
            tasks, self._tasks = self._tasks, {}
        for loop, futures in tasks.items():
            try:
                loop.call_soon_threadsafe(_resolve, futures)
            except RuntimeError:
                continue  # the loop was closed while its tasks waited; nobody is left to tell

    def result(self) -> None:
        """Return when it became durable.

        Raises:
            WriteFailed: it did not. A new error for each caller, so that tracebacks don't pile up in one.
        """
        if self.error is not None:
            raise type(self.error)(*self.error.args) from self.error.__cause__


def _resolve(futures: "list[asyncio.Future[None]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
