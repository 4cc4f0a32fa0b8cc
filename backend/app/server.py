"""The server of the library on a socket: says where it serves, and never pauses for long."""

import asyncio
import gc
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.resources import Resources
from app.settings import Settings
from snaptable.admin import Site
from snaptable.engines import shown_url
from snaptable.web import RequestLog
from snaptable.web.monitoring.requests import measurements_for
from snaptable.web.server import GuardedServer, ServerLimits, server_settings

COLLECTIONS = (5_000, 10, 1_000)
"""Thresholds of the garbage collector. Rows are not garbage, and their number grows: with Python's own thresholds a
full collection looks through all of them every thousand writes, which takes 50 ms at 20,000 rows; with these, 8 ms."""


LINGER_SECONDS = 0.25
LONGEST_LINGER_SECONDS = 3.0
"""How long a worker that ends waits for the request of a client who has just connected: others would have taken it. The
longer time is for who has connected and is late with it."""
LOOK_SECONDS = 0.02
SWITCH_SECONDS = 0.001
"""How long a thread may keep the interpreter while another waits for it: with Python's own 5 ms, every read or write of
a socket beside a thread that parses a large body would cost a request as much."""


def write(announcement: str) -> None:
    """Write where the server serves to standard output."""
    sys.stdout.write(announcement)
    sys.stdout.flush()


class Server(GuardedServer):
    """The server, with pauses so short that no request waits for them."""

    announcement = ""
    """Told once it serves."""
    tell: Callable[[str], None] = staticmethod(write)

    linger = 0.0
    """Seconds between the last connection that is accepted and the end of those that are idle."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell where."""
        await super().startup(sockets)
        hide_from_collector()
        sys.setswitchinterval(SWITCH_SECONDS)
        if self.started:
            self.tell(self.announcement)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, answer what was sent on connections that have just been accepted, then stop."""
        if self.linger:
            for acceptor in self.servers:
                acceptor.close()
            longest = asyncio.get_running_loop().time() + LONGEST_LINGER_SECONDS
            await asyncio.sleep(self.linger)
            while self.awaits_request and asyncio.get_running_loop().time() < longest:  # noqa: ASYNC110 - no event
                await asyncio.sleep(LOOK_SECONDS)
        await super().shutdown(sockets)


def hide_from_collector() -> None:
    """Let the garbage collector ignore all that a start leaves: modules, routes, the rows that were loaded.

    They stay until the end, and every full collection would look through all of them while requests wait: 20,000 rows
    are 190,000 objects, and take 50 ms or more; hidden, they take nothing. The library never does this by itself: only
    the application knows whether other objects of the process will be garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def serve(app: FastAPI, listener: socket.socket, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; the application's resources are open, and closed afterwards.

    Args:
        app: what is served.
        listener: a bound socket.
        tell: called, once it serves, with the words that say where.
    """
    resources: Resources = app.state.resources
    if resources.place.of > 1:
        measurements_for(resources.db).process = str(resources.place.number)
    server = Server(configuration(app, resources.settings))
    server.tell = tell
    server.linger = LINGER_SECONDS if resources.place.of > 1 else 0.0
    server.announcement = _announcement(resources, listener, app.state.admin)
    server.run(sockets=[listener])


def configuration(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn is to serve an application."""
    proxies = list(settings.proxies)
    given = server_settings(limits(settings), trusted_proxies=proxies)
    given["proxy_headers"] = False  # they are read inside of what asks who really connected
    served = ProxyHeadersMiddleware(app, proxies) if proxies else app  # type: ignore[arg-type]  # as uvicorn wraps it
    return uvicorn.Config(
        RequestLog(served, trusted_proxies=proxies, lines=settings.access_log),  # type: ignore[arg-type]
        lifespan="on",
        log_config=None,
        log_level="info" if settings.access_log else "warning",
        access_log=False,  # `RequestLog` has a line for each request, without the addresses of rows and their queries
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
        **given,
    )


def check_tls(settings: Settings) -> None:
    """Do nothing if HTTPS is off, or its certificate and key can be used.

    Raises:
        OSError: saying which file can't be.
    """
    if not settings.tls_certificate:
        return
    for path in (settings.tls_certificate, settings.tls_key):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise OSError(f"cannot serve HTTPS: {path}: {error.strerror}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except ssl.SSLError as error:
        files = f"{settings.tls_certificate} and {settings.tls_key}"
        raise OSError(f"cannot serve HTTPS: {files} are no certificate with its key in PEM: {error.reason}") from error


def limits(settings: Settings) -> ServerLimits:
    """Return what a client may take."""
    return ServerLimits(
        connections=settings.max_connections,
        connections_per_address=settings.address_connections,
        head_seconds=settings.head_seconds,
        body_seconds=settings.body_seconds,
        body_rate=settings.body_rate,
        reader_seconds=settings.reader_seconds,
        stop_seconds=settings.shutdown_seconds,
    )


def _announcement(resources: Resources, listener: socket.socket, admin: Site | None) -> str:
    """Return the text that tells where the API, the docs and the data are."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if resources.settings.tls_certificate else "http"
    base = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    directory = resources.db.directory
    data = f"{directory} (db_snapshot.json, blobs/)" if directory else "in memory only: gone at the end"
    if resources.db.is_on_server:
        data = f"{shown_url(resources.db.url)}, {resources.uploads.blobs.directory}"
    lines = [f"API   {base}/api", f"Docs  {base}/docs", *_admin_lines(base, admin), f"Data  {data}"]
    return "\nThe backend is ready; Ctrl+C stops it.\n" + "".join(f"  {line}\n" for line in lines) + "\n"


def _admin_lines(base: str, admin: Site | None) -> list[str]:
    """Return where the admin page is, and the link for the first admin while there is none."""
    if admin is None:
        return []
    if admin.link is None:
        return [f"Admin {base}{admin.path}/"]
    return [f"Admin {base}{admin.link}", f"      {admin.link_note}"]
