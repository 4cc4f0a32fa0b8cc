"""The commits that one sync makes durable, and everybody who waits for that: threads on locks, tasks on futures.

Threads wake one another, each the next as it goes on: woken all at once they would only queue for the interpreter's
lock, and the leader behind them.
"""

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from snaptable.changes import Commit

if TYPE_CHECKING:
    import asyncio


class CommitBatch:
    """Collect commits until a leader closes it; then be durable, or failed, for all of them at once."""

    __slots__ = ("_gate", "_tasks", "_threads", "_unclaimed", "commits", "done", "error", "scheduled", "undo")

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.undo: dict[Any, dict[Any, Any]] = {}
        """What the engine hides from readers until this batch is durable."""
        self.error: Exception | None = None
        self.done = False
        """Whether it is durable, or failed."""
        self.scheduled = False
        """Whether an event loop will see to it, at the end of its tick, that somebody leads."""
        self._unclaimed = threading.Lock()
        self._gate = threading.Lock()
        self._threads: deque[threading.Lock] = deque()
        self._tasks: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}

    def claim(self) -> bool:
        """Return True to the first caller only: it leads."""
        return self._unclaimed.acquire(blocking=False)

    def wait(self, seconds: float) -> bool:
        """Return whether the batch is done, at the latest after so many seconds."""
        woken = threading.Lock()
        woken.acquire()
        with self._gate:
            if self.done:
                return True
            self._threads.append(woken)
        in_time = False
        try:
            in_time = woken.acquire(timeout=seconds)
        finally:
            self._go_on(woken, in_time=in_time)
        return self.done

    def _go_on(self, woken: threading.Lock, *, in_time: bool) -> None:
        """Wake the next thread, where this one was woken; else leave the line, so that nobody wakes it in vain."""
        if not in_time:
            with self._gate:
                if woken in self._threads:
                    self._threads.remove(woken)
                    return
        self._wake_next()

    def _wake_next(self) -> None:
        try:
            self._threads.popleft().release()
        except IndexError:
            return  # that was the last one

    def future(self, loop: "asyncio.AbstractEventLoop") -> "asyncio.Future[None]":
        """Return a future of the loop that is done when the batch is."""
        future = loop.create_future()
        with self._gate:
            if self.done:
                future.set_result(None)
            else:
                self._tasks.setdefault(loop, []).append(future)
        return future

    def finish(self, error: Exception | None = None) -> None:
        """Wake everybody: the batch is durable, or has failed. One call into a loop, for all that wait there."""
        with self._gate:
            self.error = error
            self.done = True
            tasks, self._tasks = self._tasks, {}
        self._wake_next()
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
