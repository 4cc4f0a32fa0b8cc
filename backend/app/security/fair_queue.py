"""Places for slow work, given out by fair queueing: who asks often waits for their own work only."""

import asyncio
import threading
from collections import OrderedDict, deque
from concurrent.futures import Future

from app.errors import TooBusy

SHARE = 8
"""Callers of one client that may wait at a time."""
RETRY_SECONDS = 5


class _Waiter:
    """A caller who waits, until the future is done: granted a place, or displaced."""

    def __init__(self) -> None:
        self.future: Future[None] = Future()
        self.is_granted = False


class FairQueue:
    """A number of places, and for those who find none free, queues by client, served in rotation.

    If no room to wait is left, a client who has fewer callers waiting takes the room of the one who has most, so that
    none can fill it. A place may be given back by any thread, and callers of different event loops may wait.
    """

    def __init__(self, places: int, *, waiting: int, share: int = SHARE, patience: float) -> None:
        """Begin with every place free.

        Args:
            places: how many work at a time.
            waiting: how many callers may wait besides.
            share: how many callers of one client may.
            patience: seconds that a caller waits at most.
        """
        self._free = places
        self._room = waiting
        self._share = share
        self._patience = patience
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._lock = threading.Lock()

    async def take(self, client: str) -> None:
        """Wait for a place, which the caller gives back.

        Raises:
            TooBusy: too many wait, or too many of this client, or the wait was too long.
        """
        waiter = self._enter(client)
        if waiter is None:
            return
        try:
            await asyncio.wait_for(asyncio.wrap_future(waiter.future), self._patience)
        except BaseException as error:
            self._abandon(client, waiter)
            if isinstance(error, TimeoutError):
                raise TooBusy(RETRY_SECONDS) from None
            raise

    def give_back(self) -> None:
        """Hand a place to the next who waits: the longest waiting caller of the client who is next."""
        with self._lock:
            self._pass_on()

    def _enter(self, client: str) -> _Waiter | None:
        """Return the caller's place in the queue; None if a place to work was free."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            queue = self._queues.get(client, ())
            if len(queue) >= self._share or (self._room <= 0 and not self._displace(len(queue))):
                raise TooBusy(RETRY_SECONDS)
            waiter = _Waiter()
            self._queues.setdefault(client, deque()).append(waiter)
            self._room -= 1
            return waiter

    def _displace(self, waiting: int) -> bool:
        """Send away the last caller of the client who has most waiting, if they have two more than `waiting`."""
        client = max(self._queues, key=lambda name: len(self._queues[name]), default=None)
        if client is None or len(self._queues[client]) < waiting + 2:
            return False
        waiter = self._queues[client].pop()
        self._room += 1
        if waiter.future.set_running_or_notify_cancel():
            waiter.future.set_exception(TooBusy(RETRY_SECONDS))
        return True

    def _abandon(self, client: str, waiter: _Waiter) -> None:
        """Leave the queue, or pass on the place that was granted at the same moment."""
        with self._lock:
            if waiter.is_granted:
                self._pass_on()
            elif (queue := self._queues.get(client)) and waiter in queue:
                queue.remove(waiter)
                self._room += 1
                if not queue:
                    del self._queues[client]

    def _pass_on(self) -> None:
        while self._queues:
            client, queue = self._queues.popitem(last=False)
            waiter = queue.popleft()
            self._room += 1
            if queue:
                self._queues[client] = queue  # behind all others
            if waiter.future.set_running_or_notify_cancel():
                waiter.is_granted = True
                waiter.future.set_result(None)
                return
        self._free += 1
