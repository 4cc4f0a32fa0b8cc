"""Uvicorn on a socket: says where it serves, and stops soon when asked to, whatever clients are doing."""

import gc
import socket
import sys
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from app.api.application import create_app
from app.resources import Resources
from app.settings import Settings

COLLECTIONS = (5_000, 10, 1_000)
"""Thresholds of the garbage collector. Rows are not garbage, and their number grows: with Python's own thresholds a
full collection looks through all of them every thousand writes, which takes 50 ms at 20,000 rows; with these, 8 ms."""


class Server(uvicorn.Server):
    """Uvicorn, with another way of stopping, and with pauses so short that no request waits for them."""

    announcement = ""
    """Written to standard output once it serves."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell where."""
        await super().startup(sockets)
        hide_from_collector()
        if self.started:
            sys.stdout.write(self.announcement)
            sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a handler
        """Ask the server to stop.

        A second signal changes nothing: uvicorn would leave out the shutdown, and with it the last snapshot. Open
        connections are waited for no longer than the setting says, so there is nothing to be impatient about.
        """
        self.should_exit = True


def hide_from_collector() -> None:
    """Let the garbage collector ignore all that a start leaves: modules, routes, the rows that were loaded.

    They stay until the end, and every full collection would look through all of them while requests wait: 20,000 rows
    are 190,000 objects, and take 50 ms or more; hidden, they take nothing. The library never does this by itself: only
    the application knows whether other objects of the process will be garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


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


def serve(resources: Resources, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; the resources are open, and closed afterwards."""
    server = Server(configuration(create_app(resources=resources), resources.settings))
    server.announcement = _announcement(resources, listener)
    server.run(sockets=[listener])


def configuration(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn is to serve an application."""
    return uvicorn.Config(
        app,
        # Not uvloop, if it is installed: it answers reads no faster, and keeps the thread that syncs waiting for the
        # interpreter: a fifth fewer writes.
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="info" if settings.access_log else "warning",
        access_log=settings.access_log,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


def _announcement(resources: Resources, listener: socket.socket) -> str:
    """Return the text that tells where the API, the docs and the data are."""
    host, port = listener.getsockname()[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    directory = resources.db.directory
    data = f"{directory} (db_snapshot.json, blobs/)" if directory else "in memory only: gone at the end"
    return f"\nThe backend is ready; Ctrl+C stops it.\n  API   {base}/api\n  Docs  {base}/docs\n  Data  {data}\n\n"
