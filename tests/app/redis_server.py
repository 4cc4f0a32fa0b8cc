"""A Redis or Valkey server for tests: in a temporary directory, on a socket of its own, killed and started at will."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("redis-server", "valkey-server")
MISSING = "there is no redis-server or valkey-server on the PATH: install Debian's redis-server, or Valkey"
START_SECONDS = 60


def program() -> str:
    """Return the server's program; without one the test is skipped, or fails where CI=true requires it."""
    found = next((path for path in map(shutil.which, PROGRAMS) if path is not None), None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return found


class RedisServer:
    """One server; what it holds is gone when it ends."""

    def __init__(self, directory: Path) -> None:
        """Take where its socket is made."""
        self._program, self._directory = program(), directory
        self.socket = directory / "socket"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"unix://{self.socket}"

    def start(self) -> "RedisServer":
        """Start, and return once it answers."""
        command = [
            self._program, "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
            "--dir", str(self._directory), "--save", "", "--appendonly", "no", "--maxmemory", "32mb",
            "--maxmemory-policy", "allkeys-lru",
        ]  # fmt: skip
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < end, (self._directory / "log").read_text()
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP makes it hang."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once; it does not tidy up."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a server for the length of a block."""
    # Directly in the temporary directory: the path of a socket may have some hundred bytes.
    directory = Path(tempfile.mkdtemp(prefix="snaptable-redis-"))
    server = None
    try:
        server = RedisServer(directory)
        yield server.start()
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(directory, ignore_errors=True)
