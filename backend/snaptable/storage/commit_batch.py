"""The commits that one sync makes durable, and those who wait for that: threads on locks, tasks on futures.

Threads wake one another, each the next when it runs: woken all at once, they would only queue for the interpreter's
lock, and the leader behind them.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from snaptable.changes.records import CommitRecord, Key

if TYPE_CHECKING:
    import asyncio


U = TypeVar("U")
"""What the engine keeps in a batch until that is durable; storage never looks at it."""


class CommitBatch(Generic[U]):
    """Commits that become durable, or fail, together; a leader closes it and writes it.

    Attributes:
        at: the time of its frame; None before that is written.
        commits: in sequence.
        undo: what the engine needs to take the batch back.
        error: why it failed; None while it did not.
        done: whether it is durable, or failed.
        scheduled: the event loop that will have it led at the end of its tick, the last one if there are several.
    """

    __slots__ = ("_mutex", "_tasks", "_threads", "_unclaimed", "at", "commits", "done", "error", "scheduled", "undo")

    def __init__(self, undo: U) -> None:
        self.at: str | None = None
        self.commits: list[CommitRecord] = []
        self.undo = undo
        self.error: Exception | None = None
        self.done = False
        self.scheduled: asyncio.AbstractEventLoop | None = None
        self._unclaimed = threading.Lock()
        self._mutex = threading.Lock()
        self._threads: deque[threading.Lock] = deque()
        self._tasks: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}

    @property
    def last_sequence(self) -> int:
        """Its last commit."""
        return self.commits[-1].sequence

    def claim(self) -> bool:
        """Return True to the first caller only: it leads."""
        return self._unclaimed.acquire(blocking=False)

    def unclaim(self) -> None:
        """Let another caller lead: an interruption keeps this one from it."""
        self._unclaimed.release()

    def wait(self, seconds: float) -> bool:
        """Return whether the batch is done, after at most `seconds`."""
        waker = threading.Lock()
        waker.acquire()
        with self._mutex:
            if self.done:
                return True
            self._threads.append(waker)
        woken = False
        try:
            woken = waker.acquire(timeout=seconds)
        finally:
            if woken:
                self._wake_next()
            else:
                self._leave(waker)
        return self.done

    def _leave(self, waker: threading.Lock) -> None:
        """Leave the queue, so that no thread wakes this one in vain; wake the next one if that just happened."""
        with self._mutex:
            if waker in self._threads:
                self._threads.remove(waker)
                return
        self._wake_next()

    def _wake_next(self) -> None:
        if self._threads:  # asked first: as a rule there is none, and an exception costs more than all the rest
            try:
                self._threads.popleft().release()
            except IndexError:
                return  # another thread took the last one

    def future(self, loop: "asyncio.AbstractEventLoop") -> "asyncio.Future[None]":
        """Return a future of the loop that is done when the batch is."""
        future = loop.create_future()
        with self._mutex:
            if self.done:
                future.set_result(None)
            else:
                self._tasks.setdefault(loop, []).append(future)
        return future

    def finish(self, error: Exception | None = None) -> None:
        """Wake all who wait: the batch is durable, or has failed. One call into a loop, for all its tasks."""
        try:
            self._finish(error)
        except BaseException:
            self._finish(error)  # it was interrupted; nobody is told by the half of it
            raise

    def _finish(self, error: Exception | None) -> None:
        with self._mutex:
            self.error = error
            self.done = True
        if self._threads:
            self._wake_next()
        if self._tasks:
            for loop, futures in self._tasks.items():
                try:
                    loop.call_soon_threadsafe(_resolve, futures)
                except RuntimeError:
                    continue  # the loop was closed while its tasks waited, so none of them is left
            self._tasks = {}

    def result(self) -> None:
        """Return if the batch became durable.

        Raises:
            WriteFailed: it did not. A new error for each caller, so that tracebacks don't pile up in one.
        """
        if self.error is not None:
            raise type(self.error)(*self.error.args) from self.error.__cause__


def _resolve(futures: "list[asyncio.Future[None]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


@dataclass(frozen=True)
class CommitCallbacks(Generic[U]):
    """What the engine is told about batches, and asked for.

    Attributes:
        durable: called with each batch that became durable, in order.
        failed: called with the batches that must be taken back, newest first; the last durable sequence; the error.
        new_undo: called for each new batch; returns what the engine keeps in it until it is durable.
        durable_rows: gives table, key and JSON of every row as of the last batch that became durable.
    """

    durable: Callable[[CommitBatch[U]], None]
    failed: Callable[[Iterable[CommitBatch[U]], int, Exception], None]
    new_undo: Callable[[], U]
    durable_rows: Callable[[], Iterable[tuple[str, Key, bytes]]]
