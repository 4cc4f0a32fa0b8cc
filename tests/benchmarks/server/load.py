"""A load: 32 connections kept open, each sending its next request as soon as it has the answer to the one before."""

import gc
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter

CLIENTS = 32
HOST = "127.0.0.1"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """What one load measured; times in milliseconds."""

    rate: float
    p50: float
    p99: float


def load(port: int, requests: Sequence[bytes], seconds: float) -> Sample:
    """Send the requests in turn for some seconds, by wrk if it is installed.

    Raises:
        RuntimeError: an answer was not a 2xx.
    """
    return _wrk(port, requests, seconds) if shutil.which("wrk") else _own(port, requests, seconds)


class Connection:
    """A client; it reads no more of an answer than its status and its length."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = b""
        self.missing = 0
        self.sent = 0.0

    def send(self, request: bytes) -> None:
        self.sent = perf_counter()
        self.socket.sendall(request)

    def is_answered(self) -> bool:
        data = self.socket.recv(262_144)
        if self.missing:
            self.missing -= len(data)
            return not self.missing
        self.head += data
        end = self.head.find(b"\r\n\r\n")
        if end < 0 and data:
            return False
        length = LENGTH.search(self.head, 0, end)
        if length is None or self.head[9:10] != b"2":
            raise RuntimeError(f"refused: {self.head[:300]!r}")
        self.missing = end + 4 + int(length[1]) - len(self.head)
        self.head = b""
        return not self.missing


def _own(port: int, requests: Sequence[bytes], seconds: float) -> Sample:
    following = cycle(requests).__next__
    took: list[float] = []
    gc.disable()
    with selectors.DefaultSelector() as selector:
        for connection in [Connection(port) for _ in range(CLIENTS)]:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(following())
        begin = perf_counter()
        while selector.get_map():
            for key, _ in selector.select():
                connection = key.data
                if connection.is_answered():
                    now = perf_counter()
                    if now - begin < seconds or not took:  # a slow server answers once at least
                        took.append(now - connection.sent)
                        connection.send(following())
                    else:
                        selector.unregister(connection.socket)
                        connection.socket.close()
    gc.enable()
    took.sort()
    return Sample(len(took) / seconds, 1000 * took[len(took) // 2], 1000 * took[len(took) * 99 // 100])


SCRIPT = """
local requests, at = {%s}, 0
request = function() at = at %% #requests + 1; return requests[at] end
done = function(summary, latency)
  local failed = summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("seen %%d %%d %%f %%f %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), failed))
end
"""


def _wrk(port: int, requests: Sequence[bytes], seconds: float) -> Sample:
    texts = ",".join('"' + "".join(f"\\{byte:03d}" for byte in request) + '"' for request in requests)
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "load.lua"
        script.write_text(SCRIPT % texts)
        command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
        run = subprocess.run([*command, f"http://{HOST}:{port}"], capture_output=True, text=True, check=True)
    count, microseconds, p50, p99, failed = map(float, run.stdout.rpartition("seen ")[2].split())
    if failed:
        raise RuntimeError(f"{failed:.0f} requests failed")
    return Sample(count / microseconds * 1e6, p50 / 1000, p99 / 1000)
