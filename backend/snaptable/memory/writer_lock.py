"""Whose turn it is to write: a fair queue of threads and asyncio tasks, which outlives a holder that never comes back.

`threading.Lock` is not fair (with 64 threads the slowest waits a hundred times the median) and knows nothing of tasks.
Here the longest waiting one is next. A thread is only woken, and whoever runs already may go before it: handed the turn
while it sleeps it would hold up everybody until the system lets it run, and with them all waiting so it would stay. Who
has waited `STARVING` seconds, and a task, is handed it. Waiters look now and then whether the holder is still alive: a
thread that died, or a task that ended, with a transaction open must not wedge the store.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from snaptable.errors import TransactionError

if TYPE_CHECKING:
    import asyncio

PATIENCE = 0.1
"""Seconds between two looks at whether the holder still lives."""
FAIRNESS_DELAY = 0.02
"""Seconds after which a waiting thread is no longer overtaken."""


class Owner:
    """Be the thread, and on an event loop the task, that a transaction belongs to."""

    __slots__ = ("begun", "sole", "task", "thread")

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.task = current_task()
        self.begun = False
        """Whether a transaction is open; a task that was just handed the turn has yet to wake up."""
        self.sole = False
        """Whether it is inside a plain function, so that no other task of its thread can be running."""

    def is_me(self) -> bool:
        """Return whether the caller is the holder; a task that the holder started is not."""
        return self.thread is threading.current_thread() and (self.sole or self.task is current_task())

    def on_my_loop(self) -> bool:
        """Return whether the holder runs in the caller's own thread, so that waiting would be for ever."""
        return self.thread is threading.current_thread()

    def is_gone(self) -> bool:
        """Return whether the holder ended without giving its turn back."""
        if self.task is not None and (self.task.done() or self.task.get_loop().is_closed()):
            return True
        return not self.thread.is_alive()


def current_task() -> "asyncio.Task[Any] | None":
    """Return the asyncio task that is running, None outside an event loop."""
    # Where nobody imported asyncio, no loop runs; importing it here would cost every program without tasks 60 ms.
    asyncio: Any = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    return None if loop is None else asyncio.current_task(loop)


class _Waiter:
    """Wait in line: a thread on a lock, a task on a future."""

    __slots__ = ("holder", "since", "turn", "wake")

    def __init__(self, holder: Owner, wake: Callable[[], object]) -> None:
        self.holder = holder
        self.wake = wake
        self.since = time.monotonic()
        self.turn: asyncio.Future[None] | None = None


class WriterLock:
    """Give the turn to write to one holder at a time, by and large first come, first served."""

    def __init__(self, abandoned: Callable[[], None]) -> None:
        """Make a free queue; `abandoned` rolls back what a holder that is gone left open."""
        self.holder: Owner | None = None
        self._waiting: deque[_Waiter] = deque()
        self._granted: _Waiter | None = None
        self._gate = threading.Lock()
        self._abandoned = abandoned

    def mine(self) -> bool:
        """Return whether the caller holds the turn; O(1)."""
        holder = self.holder
        return holder is not None and holder.is_me()

    def take(self) -> None:
        """Take the turn, waiting for it in line.

        Raises:
            TransactionError: another task of this event loop has a transaction open across an await.
        """
        me = Owner()
        if not self._take_free(me):
            self._wait(me)

    def _wait(self, me: Owner) -> None:
        woken = threading.Lock()
        woken.acquire()
        waiter = self._take_or_queue(me, woken.release, blocks_loop=True)
        try:
            while waiter is not None and self.holder is not me:
                if not woken.acquire(timeout=PATIENCE):
                    self._replace_the_gone()
                elif self._take_or_requeue(waiter):
                    return
        except BaseException:
            if waiter is not None:
                self._leave(waiter)
            raise

    async def take_async(self) -> None:
        """Take the turn without holding the event loop while a thread has it."""
        me = Owner()
        if not self._take_free(me):
            await self._wait_async(me)

    def _take_free(self, me: Owner) -> bool:
        """Take the turn if nobody has it."""
        with self._gate:
            if self.holder is None:
                self.holder = me
                return True
            return False

    async def _wait_async(self, me: Owner) -> None:
        import asyncio  # a program without tasks doesn't pay for it at its start

        loop = asyncio.get_running_loop()

        def resume() -> None:
            if waiter and waiter.turn and not waiter.turn.done():
                waiter.turn.set_result(None)

        waiter = self._take_or_queue(me, lambda: loop.call_soon_threadsafe(resume), blocks_loop=False)
        try:
            while waiter is not None and self.holder is not waiter.holder:
                waiter.turn = loop.create_future()
                if self.holder is not waiter.holder and not (await asyncio.wait((waiter.turn,), timeout=PATIENCE))[0]:
                    self._replace_the_gone()
        except asyncio.CancelledError:
            assert waiter is not None
            self._leave(waiter)
            raise

    def give(self) -> None:
        """Give the turn to the longest waiting one; does nothing where it was taken away meanwhile."""
        with self._gate:
            self._pass_on()

    def _take_or_queue(self, me: Owner, wake: Callable[[], object], *, blocks_loop: bool) -> _Waiter | None:
        with self._gate:
            holder = self.holder
            if holder is not None and holder.is_gone():
                self._abandoned()
                holder = self.holder = None
            if holder is None:
                self.holder = me
                return None
            if holder.on_my_loop():
                if holder.begun:
                    raise TransactionError(_ACROSS_AWAIT)
                if blocks_loop:
                    # The holder is a task that this very thread must run to wake up: it goes back to the front.
                    assert self._granted is not None
                    self._waiting.appendleft(self._granted)
                    self.holder = me
                    return None
            waiter = _Waiter(me, wake)
            self._waiting.append(waiter)
            return waiter

    def _take_or_requeue(self, waiter: _Waiter) -> bool:
        """Return whether a thread that was woken has the turn now; where it was overtaken it is next again."""
        with self._gate:
            if self.holder is None:
                self.holder = waiter.holder
            elif self.holder is not waiter.holder:
                self._waiting.appendleft(waiter)
                return False
            return True

    def _pass_on(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.holder.is_gone():
                continue
            if waiter.holder.task is None and time.monotonic() - waiter.since < FAIRNESS_DELAY:
                self.holder = None
                waiter.wake()
                return
            self.holder, self._granted = waiter.holder, waiter
            try:
                waiter.wake()
            except RuntimeError:
                continue  # its event loop was closed this very moment
            return
        self.holder = None

    def _replace_the_gone(self) -> None:
        with self._gate:
            if self.holder is not None and self.holder.is_gone():
                self._abandoned()
                self._pass_on()
            elif self.holder is None:
                # Who was woken for it never came.
                self._pass_on()

    def _leave(self, waiter: _Waiter) -> None:
        """Give up waiting; a turn that was just handed over, or is to be taken, is passed on."""
        with self._gate:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif self.holder is waiter.holder or self.holder is None:
                self._pass_on()


_ACROSS_AWAIT = (
    "another task of this event loop holds a transaction open across an await; waiting for it here would block the "
    "loop it needs. Use `await db.run(fn, …)`, or don't await inside `with db.transaction()`"
)
