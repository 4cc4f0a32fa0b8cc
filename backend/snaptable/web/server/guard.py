"""All connections of a server: how many there are, whose, and which of them has had its time."""

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from snaptable.client_networks import client_ip, client_network, listed_networks
from snaptable.web.server.limits import ServerLimits
from snaptable.web.server.occasional_log import OccasionalLog
from snaptable.web.server.open_files import connections_within, raise_soft_limit

logger = logging.getLogger("snaptable.web")

LOOPBACK = ("127.0.0.0/8", "::1/128")
"""Addresses of this machine: a proxy here speaks for many, so its connections are not counted together."""

LOOKS = 256
"""Connections that are looked at in a row: less than a millisecond."""


class GuardedConnection(Protocol):
    """What the guard asks of a connection."""

    address: str | None
    """Whose it is; None if that is not counted."""

    def waits_since(self) -> float | None:
        """Return since when nothing but a request's head is waited for; None while a request is being answered."""

    def has_unread(self) -> bool:
        """Return whether something has come that was not read yet, such as a head."""

    def sweep(self, now: float) -> None:
        """End the connection if its time is up."""

    def give_way(self) -> None:
        """End the connection, for all places are taken."""


class ConnectionGuard:
    """The connections of one server process, within their number, each looked at once a second.

    A look at all of them takes the place of a timer a request: a request costs nothing here, a connection a few
    microseconds, and a second about one microsecond a connection.
    """

    def __init__(
        self, limits: ServerLimits, loop: asyncio.AbstractEventLoop, *, uncounted: Iterable[str] = LOOPBACK
    ) -> None:
        """Raise the soft limit of open files, and see how many connections that allows.

        Args:
            limits: what a client may take.
            loop: the loop that serves.
            uncounted: addresses and networks that many clients share, such as trusted proxies.
        """
        self.limits = limits
        self.log = OccasionalLog(logger, loop.time)
        self.capacity = connections_within(limits.connections, raise_soft_limit(limits.open_files))
        self.connecting = 0
        """Connections that were accepted and are not in `connections` yet, such as in a TLS handshake."""
        self.connections: set[GuardedConnection] = set()
        self.on_room: list[Callable[[], bool]] = []
        """Called when there is room again, and at every look; they return whether they still wait for it."""
        self._loop = loop
        self._per_address = min(limits.connections_per_address, max(1, self.capacity // 2))
        self._of_address: Counter[str] = Counter()
        self._uncounted = listed_networks(uncounted)
        self._timer: asyncio.Handle | None = None

    @property
    def is_full(self) -> bool:
        """Whether no further connection may be accepted."""
        return len(self.connections) + self.connecting >= self.capacity

    def add(self, connection: GuardedConnection) -> bool:
        """Count a connection; False if its address, or the server, has too many that can't give way."""
        has_room = len(self.connections) < self.capacity or self.make_room()
        admitted = has_room and self._count_address(connection)
        if not admitted:
            connection.address = None
        self.connections.add(connection)
        self.keep_looking()
        return admitted

    def remove(self, connection: GuardedConnection) -> None:
        """Forget a connection that ended; do nothing if it is forgotten already."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        if connection.address is not None:
            self._of_address[connection.address] -= 1
            if self._of_address[connection.address] <= 0:
                del self._of_address[connection.address]
        for notify in self.on_room:
            notify()

    def address_of(self, host: str | None) -> str | None:
        """Return whom a connection counts for: an IPv4 address, the /64 of an IPv6 one, or none in particular."""
        if host is None or not self._per_address:
            return None
        address = client_ip(host)
        if address is None or any(address in network for network in self._uncounted):
            return None
        return client_network(address)

    def make_room(self, address: str | None = None) -> bool:
        """Let those give way that have waited for a head the longest, of one address if it is given.

        One whose head has come, and was not read yet, waits for us: it stays. A thirty-second of as many as may be
        gives way, so that a stranger who opens connections without end costs little for each; O(connections).
        """
        waiting = [
            (since, id(connection), connection)
            for connection in self.connections
            if (address is None or connection.address == address) and (since := connection.waits_since()) is not None
        ]
        most = self.capacity if address is None else self._per_address
        left = max(1, most // 32)
        heapq.heapify(waiting)
        has_room = False
        while waiting and left:
            _, _, connection = heapq.heappop(waiting)
            if not connection.has_unread():
                connection.give_way()
                self.remove(connection)
                has_room, left = True, left - 1
        return has_room

    def can_make_room(self) -> bool:
        """Return whether a connection waits for a head, and could give way; O(connections)."""
        return any(connection.waits_since() is not None for connection in self.connections)

    def keep_looking(self) -> None:
        """Look at all connections regularly, as long as there are any, or one waits for room."""
        if self._timer is None:
            self._timer = self._loop.call_later(self.limits.sweep_seconds, self._look)

    def _look(self) -> None:
        """End what has had its time."""
        self._look_at(list(self.connections), self._loop.time())

    def _look_at(self, left: list[GuardedConnection], now: float) -> None:
        """Look at the next of those that are left, let requests have their turn, and come back for the others."""
        for connection in left[-LOOKS:]:
            if connection in self.connections:
                self._sweep(connection, now)
        del left[-LOOKS:]
        if left:
            self._timer = self._loop.call_soon(self._look_at, left, now)
            return
        self._timer = None
        still_waiting = [notify() for notify in self.on_room]
        if self.connections or any(still_waiting):
            self.keep_looking()

    def _sweep(self, connection: GuardedConnection, now: float) -> None:
        """End one connection that has had its time."""
        try:
            connection.sweep(now)
        except Exception:  # a defect of ours must not keep the others for ever
            logger.exception("A connection was cut, for its time could not be judged.")
            connection.give_way()

    def _count_address(self, connection: GuardedConnection) -> bool:
        """Count a connection for its address; False, and not counted, if the address has as many as it may."""
        address = connection.address
        if address is None:
            return True
        if self._of_address[address] >= self._per_address and not self.make_room(address):
            self.log.write("address", f"An address has all {self._per_address} connections that one may have.")
            return False
        self._of_address[address] += 1
        return True
