"""The accepting of connections: paused while all places are taken; asyncio would log each failure and try again."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

from snaptable.web.server.guard import ConnectionGuard

BATCH = 8
"""Most connections that are accepted before requests have their turn: two milliseconds."""
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

SslContext = ssl.SSLContext | None


class Acceptor:
    """A listening socket whose connections go to protocols, as many as the guard has room for.

    What `asyncio` does itself when files run out: https://github.com/python/cpython/issues/151615
    """

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        guard: ConnectionGuard,
        ssl_context: SslContext = None,
    ) -> None:
        """Take a bound socket, what makes a protocol for each connection, and the guard of all."""
        self._listener = listener
        self._make_protocol = make_protocol
        self._guard = guard
        self._ssl = ssl_context
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_paused = True
        self._is_closed = False
        self._retry_at = 0.0

    def start(self) -> None:
        """Listen, and accept."""
        self._listener.settimeout(0)
        self._listener.listen(self._guard.limits.backlog)
        self._guard.on_room.append(self._resume)
        self._resume()

    def close(self) -> None:
        """Accept nothing more."""
        self._is_closed = True
        self._pause()

    async def wait_closed(self) -> None:
        """Wait for nothing: what was accepted is the server's."""

    def _accept(self) -> None:
        """Accept what waits."""
        for _ in range(BATCH):
            if self._guard.is_full and not self._guard.make_room():
                self._pause_for_room(f"All {self._guard.capacity} connections are in use: others wait")
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in OUT_OF_RESOURCES:
                    raise  # the loop logs it
                self._guard.make_room()
                self._retry_at = self._loop.time() + self._guard.limits.sweep_seconds
                self._pause_for_room(f"No connection can be accepted, others wait: {error.strerror}")
                return
            self._guard.connecting += 1
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket) -> None:
        """Hand a connection to a protocol of its own."""
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                connection,
                ssl=self._ssl,
                ssl_handshake_timeout=self._guard.limits.head_seconds if self._ssl else None,
            )
        except OSError:  # it went away, or its handshake failed: ssl.SSLError and TimeoutError are OSErrors
            connection.close()
        finally:
            self._guard.connecting -= 1

    def _pause_for_room(self, reason: str) -> None:
        """Accept nothing until a connection ends, or a second has passed."""
        self._guard.log.write("full", reason)
        self._pause()
        self._guard.keep_looking()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._loop.remove_reader(self._listener.fileno())

    def _resume(self) -> bool:
        """Accept again if there is room; return whether there is none yet."""
        if not self._is_paused or self._is_closed:
            return False
        is_full = self._guard.is_full and not self._guard.can_make_room()
        if is_full or self._loop.time() < self._retry_at:
            return True
        self._is_paused = False
        self._loop.add_reader(self._listener.fileno(), self._accept)
        return False
