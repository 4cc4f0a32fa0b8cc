"""Serve on a socket, say where, and stop soon when asked to, whatever clients are doing."""

import socket
import sys
from types import FrameType

import uvicorn

from app.application import create_app
from app.backend import Backend


class Server(uvicorn.Server):
    """Be uvicorn, with another idea of how to stop."""

    announcement = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell where."""
        await super().startup(sockets)
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


def serve(backend: Backend, listener: socket.socket) -> None:
    """Serve an open backend until SIGINT or SIGTERM; it is closed afterwards."""
    settings = backend.settings
    config = uvicorn.Config(
        create_app(backend=backend),
        lifespan="on",
        log_config=None,
        log_level="info" if settings.access_log else "warning",
        access_log=settings.access_log,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    server = Server(config)
    server.announcement = _announcement(backend, listener)
    server.run(sockets=[listener])


def _announcement(backend: Backend, listener: socket.socket) -> str:
    """Tell where the API, the docs and the data are."""
    host, port = listener.getsockname()[:2]
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    directory = backend.db.directory
    data = f"{directory} (db_snapshot.json, blobs/)" if directory else "in memory only: gone at the end"
    return f"\nThe backend is ready; Ctrl+C stops it.\n  API   {base}/api\n  Docs  {base}/docs\n  Data  {data}\n\n"
