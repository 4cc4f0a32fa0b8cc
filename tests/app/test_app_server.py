"""The backend's server: within the library's limits, which are settings; each limit itself is tested there."""

import asyncio
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from tests.app.support import PATIENCE, Api, Process, serving

from app import server as server_module
from app.server import Server, limits
from app.settings import Settings
from snaptable.web.server import bind, server_settings

HEAD_SECONDS = 1.5
LAST_GET = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Give a server that waits for no client long."""
    options = [f"--head-seconds={HEAD_SECONDS}", "--body-seconds=1", "--body-rate=1000", "--reader-seconds=1"]
    with serving(tmp_path_factory.mktemp("server") / "data", *options) as process:
        yield process


def ask(process: Process, request: bytes) -> bytes:
    """Send bytes, and return all that is answered until the server ends the connection."""
    received = b""
    with asking(process, request) as connection:
        while data := connection.recv(65536):
            received += data
    return received


def asking(process: Process, request: bytes) -> socket.socket:
    """Return a connection on which something was sent at once; another one if this process was kept from that."""
    address = ("127.0.0.1", int(process.base.rsplit(":", 1)[1]))
    while True:
        begin, connection = time.monotonic(), socket.create_connection(address, timeout=PATIENCE)
        connection.sendall(request)
        if time.monotonic() - begin < HEAD_SECONDS / 2:
            return connection
        connection.close()


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (b"", []),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n", [408]),
        (b"POST /api/auth/register HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{", [408]),
        (b"GET /health HTTP/1.1\r\nHost: x\r\na: " + b"x" * 70_000 + b"\r\n\r\n", [431]),
        (b"GET /health HTTP/1.1\r\n\r\n", [400]),
    ],
)
def test_what_a_stranger_may_not_do_ends(impatient: Process, request_: bytes, statuses: list[int]) -> None:
    """Ensure an end to half-open connections, stalled bodies, large heads: as problems, where anything is answered."""
    received = ask(impatient, request_)
    assert [int(status) for status in re.findall(rb"^HTTP/1.1 (\d+)", received, re.MULTILINE)] == statuses
    assert received.count(b"application/problem+json") == len(statuses)
    assert ask(impatient, LAST_GET).startswith(b"HTTP/1.1 200 ")


def test_an_upgrade_is_a_request_like_any_other(impatient: Process) -> None:
    """Ensure that it is answered, and nothing is logged about libraries for WebSockets."""
    head = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    assert ask(impatient, head).startswith(b"HTTP/1.1 200 ")


def test_a_stalled_upload_leaves_neither_a_row_nor_an_error(tmp_path: Path) -> None:
    """Ensure that what was begun is dropped, and the log has a line for people, not a traceback."""
    with serving(tmp_path / "data", "--body-seconds=3") as process, process.client() as http:
        ann = Api(http).register()
        head = f"POST /api/documents HTTP/1.1\r\nHost: x\r\nAuthorization: {ann.headers['Authorization']}\r\n"
        head += "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99999\r\n\r\n--x\r\n"
        assert ask(process, head.encode()).startswith(b"HTTP/1.1 408 ")
        assert ann.get("/api/documents").json()["items"] == []
        assert process.stop() == 0
    assert "Traceback" not in process.output
    assert process.output.count("was answered 408") == 1


def test_a_worker_that_ends_waits_for_who_has_just_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a client is answered whose request comes later than the pause that each end has."""
    monkeypatch.setattr(server_module, "hide_from_collector", lambda: None)
    monkeypatch.setattr(server_module, "SWITCH_SECONDS", sys.getswitchinterval())
    monkeypatch.setattr(server_module, "LONGEST_LINGER_SECONDS", PATIENCE)

    async def end(listener: socket.socket) -> bytes:
        config = uvicorn.Config(FastAPI(), lifespan="off", log_config=None, **server_settings())
        config.load()
        ending = Server(config)
        ending.lifespan, ending.linger, ending.tell = config.lifespan_class(config), 0.01, lambda _: None
        await ending.startup([listener])
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        stop = asyncio.create_task(ending.shutdown([listener]))
        await asyncio.sleep(0.2)
        writer.write(LAST_GET)
        answer = await reader.read()
        writer.close()
        await stop
        return answer

    with bind("127.0.0.1", 0) as listener:
        assert asyncio.run(end(listener)).startswith(b"HTTP/1.1 404 ")


def test_the_limits_are_settings() -> None:
    """Ensure that each has an option, and that what is no limit is refused."""
    chosen = limits(Settings(_env_file=None, max_connections=7, body_rate=99, shutdown_seconds=0))
    assert (chosen.connections, chosen.body_rate, chosen.stop_seconds) == (7, 99, 0)
    for name in ("max_connections", "head_seconds", "body_seconds", "body_rate", "reader_seconds"):
        with pytest.raises(ValidationError, match=name):
            Settings.model_validate({name: 0})
