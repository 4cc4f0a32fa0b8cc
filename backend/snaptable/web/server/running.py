"""A server for any ASGI application: `serve`, or the settings for a uvicorn of one's own."""

import asyncio
import socket
import sys
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any, TypedDict

import uvicorn
from starlette.types import ASGIApp

from snaptable.control.server import ControlSocket, control_of, db_socket
from snaptable.database.lookup import open_databases
from snaptable.web.server.accepting import Acceptor
from snaptable.web.server.guard import LOOPBACK
from snaptable.web.server.limits import ServerLimits
from snaptable.web.server.protocol import GuardedProtocol, guarded_protocol
from snaptable.web.stopping import announce_stops


class ServerSettings(TypedDict):
    """Arguments of `uvicorn.Config` and `uvicorn.run`."""

    http: type[GuardedProtocol]
    ws: str
    loop: str
    backlog: int
    timeout_keep_alive: int
    timeout_graceful_shutdown: int
    server_header: bool
    proxy_headers: bool
    forwarded_allow_ips: list[str]


def server_settings(limits: ServerLimits | None = None, *, trusted_proxies: Iterable[str] = ()) -> ServerSettings:
    """Return what to give uvicorn so that strangers can't stop the server: `uvicorn.run(app, **server_settings())`.

    Every limit of `ServerLimits` holds. When there are too many connections, those over the number are answered 503;
    `serve` lets them wait instead. WebSockets are off: a request to become one is answered as any other.

    Args:
        limits: what a client may take; the defaults of `ServerLimits` if left out.
        trusted_proxies: addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, and whose
            connections are not counted together; `*` believes everybody.
    """
    limits = limits or ServerLimits()
    proxies = list(trusted_proxies)
    everybody = ("0.0.0.0/0", "::/0") if "*" in proxies else ()
    return {
        "http": guarded_protocol(limits, (*LOOPBACK, *proxies, *everybody)),
        "ws": "none",
        # Not uvloop, if it is installed: it answers no faster here, and keeps the thread that syncs a store waiting for
        # the interpreter: a fifth fewer writes.
        "loop": "asyncio",
        "backlog": limits.backlog,
        "timeout_keep_alive": limits.keep_alive_seconds,
        "timeout_graceful_shutdown": limits.stop_seconds,
        "server_header": False,
        "proxy_headers": bool(proxies),
        "forwarded_allow_ips": proxies,
    }


def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: ServerLimits | None = None,
    trusted_proxies: Iterable[str] = (),
    **options: Any,
) -> None:
    """Serve an application until SIGINT or SIGTERM, within limits that a stranger can't get around.

    A stop ends streams (`feed_router`), waits `limits.stop_seconds` for requests that are being answered, then runs the
    application's shutdown, which writes the last snapshot of a store; a second signal doesn't cut that short. While it
    serves, the command `snaptable` writes to the stores that are open then, by their sockets (`snaptable.control`).

    Args:
        app: any ASGI application.
        host: address to listen on.
        port: port to listen on; 0 takes any free one.
        limits: what a client may take; the defaults of `ServerLimits` if left out.
        trusted_proxies: addresses or networks whose `X-Forwarded-For` is believed.
        options: further arguments of `uvicorn.Config`, such as `ssl_certfile`, `access_log` or `ws`.

    Raises:
        OSError: saying that the address can't be used.
    """
    settings: dict[str, Any] = {**server_settings(limits, trusted_proxies=trusted_proxies), **options}
    with bind(host, port) as listener:
        GuardedServer(uvicorn.Config(app, host=host, port=port, **settings)).run(sockets=[listener])


class GuardedServer(uvicorn.Server):
    """Uvicorn that pauses accepting while all places are taken, and whose stop is announced, and never cut short."""

    _stopping: asyncio.Event | None = None
    _control_sockets: Sequence[ControlSocket] = ()
    _has_started = _is_starting = False

    @property
    def started(self) -> bool:
        """Whether clients can connect: another thread may wait for that, to say where."""
        return self._has_started and not self._is_starting

    @started.setter
    def started(self, value: bool) -> None:  # uvicorn sets it, before there is any socket of ours
        self._has_started = value

    @property
    def awaits_request(self) -> bool:
        """Whether a client has connected whose first request has not come, or one has come in part; O(connections)."""
        return any(isinstance(each, GuardedProtocol) and each.is_reading_head for each in self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept on sockets that are bound already; without any, as uvicorn does."""
        if self.config.loaded:  # and the lifespan made with it, whose state requests are handed
            self._stopping = announce_stops(self.lifespan.state)
        if sockets is None or sys.platform == "win32" or not self._is_guarded():
            await super().startup(sockets)
            return
        self._is_starting = True
        await super().startup(sockets=[])
        for listener in sockets:
            self._accept_on(listener)
        self._control_sockets = [db_socket(db) for db in open_databases() if control_of(db) is None]
        self._is_starting = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell streams to end, then stop as uvicorn does."""
        if self._stopping is not None:
            self._stopping.set()
        await super().shutdown(sockets)
        for control in self._control_sockets:
            await asyncio.to_thread(control.close)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a handler
        """Ask the server to stop.

        A second signal changes nothing: uvicorn would leave out the application's shutdown, and with it the last
        snapshot. Open connections are waited for no longer than the settings say.
        """
        self.should_exit = True

    def _is_guarded(self) -> bool:
        """Return whether the configuration's protocol is ours."""
        if not self.config.loaded:
            self.config.load()
        return issubclass(self.config.http_protocol_class, GuardedProtocol)

    def _accept_on(self, listener: socket.socket) -> None:
        """Begin to accept on a socket."""
        config = self.config
        protocol_class = config.http_protocol_class
        assert issubclass(protocol_class, GuardedProtocol)

        def make_protocol() -> GuardedProtocol:
            """Return what speaks HTTP on a new connection."""
            return protocol_class(config, self.server_state, self.lifespan.state)

        guard = protocol_class.guard_of(self.server_state, asyncio.get_running_loop())
        acceptor = Acceptor(listener, make_protocol, guard, config.ssl)
        acceptor.start()
        self.servers.append(acceptor)  # type: ignore[arg-type]  # closed and waited for like asyncio's own


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet: a client that can connect can also be answered.

    Raises:
        OSError: saying that the address can't be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(f"cannot listen on {host}: {error.strerror or error}") from error
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror or error}; try another --port") from error
    return listener
