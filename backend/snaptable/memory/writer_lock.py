"""The writer lock: one owner at a time, thread or asyncio task, which the lock outlives if it never comes back.

`threading.Lock` is not fair (of 64 threads the slowest waits a hundred times the median) and knows nothing of tasks.
Here the longest waiting one is next. A waiting thread is only woken, not given the lock: a running thread may take it
first. Handing it over would make everyone wait until the system runs the sleeper, and the queue would never drain. A
thread that has waited `FAIRNESS_DELAY` seconds, and a task at any time, is handed the lock.

No wait is without an end. Waiters look now and then whether the owner is still alive: a thread that died, or a task
that ended, with a transaction open must not block the store. They tell in the log who holds the lock, and give up after
a time (`memory.stalls` says when and why), because the owner may be waiting for them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from snaptable.errors import TransactionError
from snaptable.memory import stalls
from snaptable.memory.owner import Owner, on_event_loop

if TYPE_CHECKING:
    import asyncio

LIVENESS_INTERVAL = 0.1
"""Seconds between two looks at whether the owner is still alive."""
MOST_BETWEEN_LOOKS = 0.5
"""Seconds that count as waited between two looks, at most: if more went by, the process stood still, and so did the
owner. A stopped container or a suspended machine must not end every wait."""
FAIRNESS_DELAY = 0.02
"""Seconds after which a waiting thread is no longer overtaken."""


class _Waiter:
    """A place in the queue: a thread waits on a lock, a task on a future."""

    __slots__ = ("future", "looked", "observed", "owner", "since", "waited", "wake")

    def __init__(self, owner: Owner, wake: Callable[[], object], *, blocks_loop: bool) -> None:
        self.owner = owner
        self.wake = wake
        self.since = self.looked = time.monotonic()
        self.waited = 0.0
        self.observed = stalls.Observation(blocks_loop=blocks_loop)
        """What was seen of the owners that were waited for."""
        self.future: asyncio.Future[None] | None = None


class WriterLock:
    """The right to write: held by one owner at a time, by and large first come, first served."""

    def __init__(self, reap_dead_owner: Callable[[], None], timeout: float) -> None:
        """Begin with the lock free.

        Args:
            reap_dead_owner: rolls back what an owner that died left open.
            timeout: seconds after which whoever waits gives up.
        """
        self.owner: Owner | None = None
        self._timeout = timeout
        self._waiting: deque[_Waiter] = deque()
        self._handed_to: _Waiter | None = None
        self.gate = self._mutex = threading.Lock()
        """Held while the owner changes: as long as it is held, nobody becomes the owner. Taken before the latch."""
        self._reap_dead_owner = reap_dead_owner

    def held_by_me(self) -> bool:
        """Return whether the caller holds the lock; O(1)."""
        owner = self.owner
        return owner is not None and owner.is_caller()

    def acquire(self) -> Owner:
        """Take the lock; blocks the thread while another owner holds it. Return the owner, the caller.

        Raises:
            TransactionError: another task of this event loop has a transaction open across an await, the event loop
                would wait for another thread's transaction, or the owner did not release the lock in time.
        """
        me = Owner()
        try:
            with self._mutex:
                free = self.owner is None
                if free:
                    self.owner = me
            if not free:
                self._wait(me)
            me.started = True
        except BaseException:
            self.release_from(me)
            raise
        return me

    def try_acquire(self) -> Owner | None:
        """Take the lock if it is free, and return the owner, the caller; None if it isn't. O(1)."""
        if self.owner is not None:
            return None
        me = Owner()
        with self._mutex:
            if self.owner is not None:
                return None
            self.owner = me
        me.started = True
        return me

    async def acquire_async(self) -> Owner:
        """Take the lock without blocking the event loop while a thread holds it; return the owner, the present task.

        Raises:
            TransactionError: another task of this event loop has a transaction open across an await, or the owner
                did not release the lock in time.
        """
        me = Owner()
        await self._wait_async(me)
        me.started = True
        return me

    def release(self) -> None:
        """Pass the lock to the longest waiting one; does nothing if it was taken from a dead owner meanwhile."""
        with self._mutex:
            if self._waiting:
                self._pass_on()
            else:
                self.owner = None

    def release_from(self, owner: Owner | None) -> None:
        """Release the lock if it is an owner's, after an interruption between taking it and making use of it."""
        if owner is not None and self.owner is owner:
            self.release()

    # ── taking it ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _wait(self, me: Owner) -> None:
        woken = threading.Lock()
        woken.acquire()
        waiter = self._acquire_or_queue(me, woken.release, blocks_loop=True)
        try:
            while waiter is not None and self.owner is not me:
                if not woken.acquire(timeout=LIVENESS_INTERVAL):
                    self._replace_dead_owner()
                    self._check_stall(waiter)
                elif self._acquire_or_requeue(waiter):
                    return
        except BaseException:
            if waiter is not None:
                self._leave(waiter)
            raise

    async def _wait_async(self, me: Owner) -> None:
        import asyncio  # a program without tasks doesn't pay for it at its start

        loop = asyncio.get_running_loop()

        def resume() -> None:
            """Wake the task, in its own loop."""
            if waiter and waiter.future and not waiter.future.done():
                waiter.future.set_result(None)

        waiter = self._acquire_or_queue(me, lambda: loop.call_soon_threadsafe(resume), blocks_loop=False)
        try:
            while waiter is not None and self.owner is not me:
                waiter.future = loop.create_future()
                if self.owner is not me and not (await asyncio.wait((waiter.future,), timeout=LIVENESS_INTERVAL))[0]:
                    self._replace_dead_owner()
                    self._check_stall(waiter)
        except (asyncio.CancelledError, TransactionError):
            if waiter is not None:
                self._leave(waiter)
            raise

    def _check_stall(self, waiter: _Waiter) -> None:
        """Log a wait that takes long, and end one that would not.

        Raises:
            TransactionError: naming the owner, since when it holds the lock, and what to write instead.
        """
        now = time.monotonic()
        waiter.waited += min(now - waiter.looked, MOST_BETWEEN_LOOKS)
        waiter.looked = now
        owner = self.owner
        if owner is None or owner is waiter.owner:
            return
        reason = waiter.observed.look(owner, waiter.waited, self._timeout)
        if reason is not None:
            raise TransactionError(reason)

    def _acquire_or_queue(self, me: Owner, wake: Callable[[], object], *, blocks_loop: bool) -> _Waiter | None:
        """Take the lock, or return the place in the queue; None if the lock was taken."""
        with self._mutex:
            owner = self.owner
            if owner is not None and owner.is_dead():
                self._reap_dead_owner()
                owner = self.owner = None
            if owner is None:
                self.owner = me
                return None
            if owner.is_caller():
                # An interruption kept the caller from releasing it.
                self._reap_dead_owner()
                self.owner = me
                return None
            if owner.is_of_my_thread():
                if owner.started:
                    raise TransactionError(_ACROSS_AWAIT)
                if blocks_loop:
                    # The owner is a task that this very thread must run to wake up: it returns to the front.
                    assert self._handed_to is not None
                    self._waiting.appendleft(self._handed_to)
                    self.owner = me
                    return None
            waiter = _Waiter(me, wake, blocks_loop=blocks_loop and on_event_loop())
            self._waiting.append(waiter)
            return waiter

    def _acquire_or_requeue(self, waiter: _Waiter) -> bool:
        """Return whether a thread that was woken has the lock now; if it was overtaken, it is next again."""
        with self._mutex:
            if self.owner is None:
                self.owner = waiter.owner
            elif self.owner is not waiter.owner:
                self._waiting.appendleft(waiter)
                return False
            return True

    # ── passing it on ───────────────────────────────────────────────────────────────────────────────────────────────

    def _pass_on(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if waiter.owner.is_dead():
                continue
            if waiter.owner.task is None and time.monotonic() - waiter.since < FAIRNESS_DELAY:
                self.owner = None
                waiter.wake()
                return
            self.owner, self._handed_to = waiter.owner, waiter
            try:
                waiter.wake()
            except RuntimeError:
                continue  # its event loop was closed this very moment
            return
        self.owner = None

    def _replace_dead_owner(self) -> None:
        with self._mutex:
            if self.owner is not None and self.owner.is_dead():
                self._reap_dead_owner()
                self._pass_on()
            elif self.owner is None:
                # The thread that was woken to take the lock never did.
                self._pass_on()

    def _leave(self, waiter: _Waiter) -> None:
        """Leave the queue; a lock that was just handed to the waiter, or that it was woken for, is passed on."""
        with self._mutex:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif self.owner is waiter.owner or self.owner is None:
                self._pass_on()


_ACROSS_AWAIT = (
    "another task of this event loop holds a transaction open across an await; waiting for it here would block the "
    "loop it needs. Use `await db.run(fn, …)`, or don't await inside `with db.transaction()`"
)
