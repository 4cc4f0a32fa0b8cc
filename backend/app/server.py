"""Serve on a socket, say where, and stop soon when asked to, whatever clients are doing."""

import gc
import socket
import sys
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from app.application import create_app
from app.services_container import Services
from app.settings import Settings

COLLECTIONS = (5_000, 10, 1_000)
"""Thresholds of the garbage collector. Rows are no garbage, and there are more and more of them: with Python's own
thresholds it looks through all of them every thousand writes, which takes 50 ms at 20,000 rows; with these, 8 ms."""


class Server(uvicorn.Server):
    """Be uvicorn, with another idea of how to stop, and with pauses so short that no request waits for them."""

    announcement = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell where."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what a start leaves is there to stay: modules, routes, the rows that were loaded
        gc.set_threshold(*COLLECTIONS)
        if self.started:
            sys.stdout.write(self.announcement)
            sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a handler
        """Ask the server to stop.

        A second signal changes nothing: uvicorn would leave out the shutdown, and with it the last snapshot. Open
        connections are waited for no longer than the setting says, so there is nothing to be impatient about.
        """
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet: who can connect can also be answered.

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


def serve(backend: Services, listener: socket.socket) -> None:
    """Serve an open backend until SIGINT or SIGTERM; it is closed afterwards."""
    server = Server(configuration(create_app(backend=backend), backend.settings))
    server.announcement = _announcement(backend, listener)
    server.run(sockets=[listener])


def configuration(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn is to serve an application."""
    return uvicorn.Config(
        app,
        # Not uvloop, where it is installed: it answers reads no faster, and keeps the thread that syncs waiting for the
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


def _announcement(backend: Services, listener: socket.socket) -> str:
    """Tell where the API, the docs and the data are."""
    host, port = listener.getsockname()[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    directory = backend.db.directory
    data = f"{directory} (db_snapshot.json, blobs/)" if directory else "in memory only: gone at the end"
    return f"\nThe backend is ready; Ctrl+C stops it.\n  API   {base}/api\n  Docs  {base}/docs\n  Data  {data}\n\n"
