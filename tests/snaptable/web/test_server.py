"""The server's limits, against a real process and raw sockets: what is over one ends, and the honest notice nothing."""

import asyncio
import contextlib
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
import uvicorn
from tests.snaptable.web.served_app import app

from snaptable.web.server import GuardedProtocol, GuardedServer, ServerLimits, bind, server_settings
from snaptable.web.server.open_files import connections_within, raise_soft_limit

T = TypeVar("T")
PROGRAM = Path(__file__).with_name("served_app.py")
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_HELD = HELD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
LAST_GET = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
ANSWERED = b"GET 0 1"
PATIENCE = 60.0
"""Seconds that a test waits for what is to happen at once: a busy machine may let a process wait for many."""
PROMPT = 0.5
"""Seconds in which a client has sent its request: half of what the most impatient server here gives it."""
ATTEMPTS = 50


class Served:
    """A server process, and what is asked of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.port = int(process.stdout.readline())
        self.log = ""

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        """Return a connection, which waits long for anything, but not for ever."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def ask(self, request: bytes = GET) -> bytes:
        """Return all that is answered until the connection ends, if the client sends no more."""
        with self.asking(request) as connection:
            return rest(connection)

    def asking(self, request: bytes, *, receive_buffer: int = 0) -> socket.socket:
        """Return a connection on which something was sent at once; another one if this process was kept from that."""
        for _ in range(ATTEMPTS):
            begin, connection = time.monotonic(), self.connect(receive_buffer=receive_buffer)
            send(connection, request)
            if time.monotonic() - begin < PROMPT:
                return connection
            connection.close()
        raise AssertionError("this process was too slow for a client, again and again")

    def is_well(self) -> bool:
        """Return whether an honest request is answered."""
        with self.asking(GET) as connection:
            return answer(connection).endswith(ANSWERED)

    def holding(self, request: bytes = HELD) -> socket.socket:
        """Return a connection on which an answer has begun, and ends when it is released."""
        connection = self.asking(request)
        received = b""
        while not received.endswith(b"held"):
            piece = connection.recv(1)
            assert piece, received
            received += piece
        return connection

    def release(self) -> None:
        """Let the answers end that are held."""
        self.process.send_signal(signal.SIGUSR1)

    def wait_for_log(self, words: str) -> None:
        """Wait until a line of the log has some words."""
        assert self.process.stdout is not None
        with self._at_most_patience():
            while words not in self.log:
                line = self.process.stdout.readline()
                assert line, f"it ended without {words!r}: {self.log}"
                self.log += line

    def memory(self) -> int:
        """Return the bytes of memory in use."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024

    def descriptors(self) -> int:
        """Return the number of open files."""
        return len([*Path(f"/proc/{self.process.pid}/fd").iterdir()])

    def stop(self) -> str:
        """Stop in order, and return the log."""
        assert self.process.stdout is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with self._at_most_patience():
            self.log += self.process.stdout.read()
        self.process.wait(PATIENCE)
        return self.log

    @contextmanager
    def _at_most_patience(self) -> Iterator[None]:
        """Let reading its output end after a while, whatever it does."""
        killer = threading.Timer(PATIENCE, self.process.kill)
        killer.start()
        try:
            yield
        finally:
            killer.cancel()


@contextmanager
def serving(*, open_files: int | None = None, **limits: object) -> Iterator[Served]:
    """Run a server within limits."""

    def bound() -> None:
        if open_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    process = subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps(limits)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=bound,
    )  # fmt: skip
    try:
        served = Served(process)
        assert served.is_well()
        yield served
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def usual() -> Iterator[Served]:
    """Give a server with the default limits."""
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def quick() -> Iterator[Served]:
    """Give a server that waits for no client longer than a second."""
    with serving(head_seconds=1, body_seconds=1, body_rate=10_000, reader_seconds=1) as served:
        yield served


def send(connection: socket.socket, data: bytes) -> None:
    """Send as much as the server takes."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(data)


def answer(connection: socket.socket) -> bytes:
    """Return one answer that has a length, and leave the next."""
    with connection.makefile("rb", buffering=0) as stream:
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            if not (line := stream.readline()):
                raise ConnectionError(f"ended after {received!r}")
            received += line
        length = re.search(rb"content-length: (\d+)", received)
        for _ in range(int(length[1]) if length else 0):
            received += stream.read(1) or b""
    return received


def rest(connection: socket.socket) -> bytes:
    """Return what comes until the connection ends."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return received


def ends(connection: socket.socket) -> bool:
    """Return whether the connection ends before the client loses patience."""
    try:
        rest(connection)
    except TimeoutError:
        return False
    return True


def chunked(*, trailer: bytes = b"") -> bytes:
    """Return a request with a body in chunks."""
    return b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + trailer + b"\r\n"


# ── heads ───────────────────────────────────────────────────────────────────────────────────────────────────────────

BEGIN = b"GET / HTTP/1.1\r\nHost: x\r\n"
ENDLESS = {
    "header lines": (BEGIN, b"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"),
    "short lines": (BEGIN, b"a:\r\n"),
    "one value": (BEGIN + b"a: ", b"x" * 1024),
    "one name": (BEGIN, b"x" * 1024),
    "the URL": (b"GET /", b"x" * 1024),
    "the query": (b"GET /?", b"x" * 1024),
    "trailers": (chunked()[:-2], b"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"),
    "one trailer": (chunked()[:-2] + b"a: ", b"x" * 1024),
    "a chunk's extension": (chunked()[:-12] + b"3;", b"x" * 1024),
    "behind another request": (GET + BEGIN, b"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"),
    "blank lines": (b"\r\n", b"\r\n" * 512),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_head_ends_and_takes_no_memory(usual: Served, kind: str) -> None:
    """200 MiB of a head: refused after some hundred KiB, in the server's memory a few MiB at most."""
    begin, piece = ENDLESS[kind]
    piece *= 65536 // len(piece)
    before = usual.memory()
    sent = 0
    with usual.connect() as connection, contextlib.suppress(ConnectionError, TimeoutError):
        connection.sendall(begin)
        while sent < 200 * 1024 * 1024:
            connection.sendall(piece)
            sent += len(piece)
    assert sent < 40 * 1024 * 1024 or kind == "blank lines"
    assert usual.memory() - before < 16 * 1024 * 1024
    assert usual.is_well()


def test_a_large_head_is_told_its_reason(usual: Served) -> None:
    """431 as a problem, in one piece or many, although the client sends its head to the end before it reads."""
    for request in (
        BEGIN + b"a: " + b"x" * 65_536 + b"\r\n\r\n",
        BEGIN + b"a: " + b"x" * 1_000_000 + b"\r\n\r\n",
        BEGIN + b"a: b\r\n" * 256 + b"\r\n",
        b"GET /" + b"x" * 65_536 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        head, _, body = usual.ask(request).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert b"connection: close" in head
        assert b"content-type: application/problem+json" in head
        assert json.loads(body)["status"] == 431


def test_a_cookie_full_of_escapes_is_refused(usual: Served) -> None:
    """Ensure a head that Python's own parser of cookies takes seconds for does not come to an application."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: %b\r\n\r\n"
    for escape in (b"\\1", b'\\"', b"\\\\"):
        assert b" 431 " in usual.ask(head % (b'a="%b"' % (escape * 20_000))).partition(b"\r\n")[0]
        assert b" 200 " in usual.ask(head % (b'a="%b"' % (escape * 50))).partition(b"\r\n")[0]
    assert b" 200 " in usual.ask(head % (b"a=" + b"x" * 40_000)).partition(b"\r\n")[0]
    assert usual.is_well()


def test_a_head_within_the_limits_is_answered(usual: Served) -> None:
    """64 KiB and 256 lines are no limit for the honest, also where the head came in pieces, with a body behind."""
    near = BEGIN + b"a: b\r\n" * 200 + b"c: " + b"x" * 63_000 + b"\r\n"
    body = b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000
    assert b"GET 0 202" in usual.ask(near + b"Connection: close\r\n\r\n").replace(b"203", b"202")
    with usual.connect() as connection:
        for request in (near + body, GET):
            for begin in range(0, len(request), 7_777):
                connection.sendall(request[begin : begin + 7_777])
            assert answer(connection).startswith(b"HTTP/1.1 200")


def test_trailers_are_no_headers(usual: Served) -> None:
    """An application sees none of them, so they can't pass for headers that a proxy has checked."""
    request = chunked(trailer=b"Authorization: x\r\nHost: y\r\n").replace(b"Host", b"Connection: close\r\nHost", 1)
    assert usual.ask(request).endswith(b"POST 3 3")


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", 200),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_is_no_request_is_400(usual: Served, lines: bytes, status: int) -> None:
    """One Host for HTTP/1.1 (RFC 9112, 3.2), and one answer to each mistake."""
    assert re.findall(rb"HTTP/1.1 (\d+) ", usual.ask(lines)) == [b"%d" % status]


# ── the honest ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pipelined_requests_are_answered_in_order(usual: Served) -> None:
    """Three thousand at once: all are answered, and what waits is not parsed before its turn."""
    requests = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (n, n % 50, b"x" * (n % 50))
        for n in range(3_000)
    )
    before = usual.memory()
    with usual.connect() as connection:
        connection.sendall(requests + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answers = re.findall(rb"POST (\d+) 2", rest(connection))
    assert [int(answer) for answer in answers] == [n % 50 for n in range(3_000)]
    assert usual.memory() - before < 16 * 1024 * 1024


def test_a_refused_request_waits_for_the_answers_before_it(usual: Served) -> None:
    """Garbage behind requests that are being answered doesn't break into their answers."""
    answers = usual.ask(b"GET /slow?1 HTTP/1.1\r\nHost: x\r\n\r\n" + GET + b"nonsense\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200"]
    assert answers.endswith(ANSWERED)


def test_a_body_may_come_in_chunks_or_after_100_continue(usual: Served) -> None:
    """And the connection is there for the next request, of any method."""
    with usual.connect() as connection:
        connection.sendall(chunked())
        assert answer(connection).endswith(b"POST 3 2")
        expecting = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(expecting)
        assert answer(connection) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert answer(connection).endswith(b"PUT 3 3")
        connection.sendall(GET.replace(b"GET", b"HEAD"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert head.endswith(b"content-length: 8\r\n\r\n")
        connection.sendall(b"\r\n" + GET)
        assert answer(connection).endswith(ANSWERED)


def test_an_upgrade_is_answered_as_any_request(usual: Served) -> None:
    """No WebSocket, no HTTP/2, no line in the log; and what is pipelined behind is answered too."""
    upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
    requests = upgrade % b"websocket" + upgrade % b"h2c" + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"GET 0 (\d)", usual.ask(requests)) == [b"3", b"3", b"2"]


def test_a_slow_upload_passes(quick: Served) -> None:
    """Three windows of a body at the least rate and somewhat more."""

    def upload(note: Callable[[], None]) -> bytes:
        with quick.asking(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n") as connection:
            for _ in range(20):
                note()
                time.sleep(0.15)
                connection.sendall(b"x" * 5_000)
            return answer(connection)

    assert unhindered(upload).endswith(b"POST 100000 2")


def test_a_slow_reader_that_reads_gets_all(quick: Served) -> None:
    """64 MB in ten windows, with a pause in each."""

    def read(note: Callable[[], None]) -> int:
        received = pauses = 0
        with quick.connect(receive_buffer=65536) as connection:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while received < 64_000_000:
                note()
                piece = connection.recv(1_000_000)
                if not piece:
                    raise ConnectionError(f"ended after {received} bytes")
                received += len(piece)
                if received > pauses * 6_000_000:
                    pauses += 1
                    time.sleep(0.3)
            received += len(rest(connection))
        assert pauses > 8
        return received

    assert 64_000_000 < unhindered(read) < 64_001_000


def test_a_request_may_take_its_time_in_the_application() -> None:
    """The windows are for clients: an answer that is slow to be made, and a client that waits for it, are no fault."""
    with serving(head_seconds=1, body_seconds=1, reader_seconds=1) as served:

        def wait(note: Callable[[], None]) -> bytes:
            head = b"POST /slow?1.5 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
            with served.asking(head) as connection:
                assert answer(connection) == b"HTTP/1.1 100 Continue\r\n\r\n"
                note()
                connection.sendall(b"abc")
                note()
                return answer(connection)

        assert unhindered(wait).endswith(b"POST 3 3")


def unhindered(client: Callable[[Callable[[], None]], T]) -> T:
    """Return what a client gets who lets no half second pass between the moments that it notes.

    It is refused rightly if this process was kept from running for so long: then it comes again.
    """
    for _ in range(ATTEMPTS):
        moments: list[float] = []
        try:
            return client(lambda moments=moments: moments.append(time.monotonic()))  # type: ignore[misc]
        except (ConnectionError, AssertionError):
            moments.append(time.monotonic())
            if all(later - earlier < PROMPT for earlier, later in pairwise(moments)):
                raise
    raise AssertionError("this process was too slow for a client, again and again")


# ── deadlines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def drip(connection: socket.socket, piece: bytes) -> bytes:
    """Send a piece ten times a second until the connection ends, and return what was answered."""
    end = time.monotonic() + PATIENCE
    connection.settimeout(0.1)
    received = b""
    while time.monotonic() < end:
        try:
            connection.sendall(piece)
            data = connection.recv(1000)
        except TimeoutError:
            continue
        except ConnectionError:
            return received
        if not data:
            return received
        received += data
    raise AssertionError("the connection did not end")


STALLING: dict[str, tuple[bytes, bytes, int | None]] = {
    "nothing": (b"", b"", None),
    "one byte": (b"G", b"", 408),
    "half a head": (BEGIN, b"", 408),
    "lines that drip": (BEGIN, b"a: b\r\n", 408),
    "a value that drips": (BEGIN + b"a: ", b"b", 408),
    "blank lines": (b"", b"\r\n", 408),
    "a second head that drips": (GET + BEGIN, b"a: b\r\n", 408),
    "blank lines after a request": (GET, b"\r\n", 408),
    "a body that stands still": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"", 408),
    "a body that drips": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"x", 408),
    "chunks that drip": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 408),
    "trailers that drip": (chunked()[:-2], b"a: b\r\n", 408),
}
"""What a client begins with, what it sends ten times a second from then on, and how it is answered."""


def stall(served: Served, begin: bytes, piece: bytes) -> list[int]:
    """Stall, and return the statuses that were answered when the connection has ended."""
    is_kept = begin.startswith(GET)
    with served.asking(GET if is_kept else begin) as connection:
        if is_kept:
            assert answer(connection).endswith(ANSWERED)
            send(connection, begin[len(GET) :])
        received = drip(connection, piece) if piece else rest(connection)
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", received)]


def test_a_client_that_stalls_is_ended(quick: Served) -> None:
    """Heads and bodies, on fresh and on kept connections, that stand still or drip: 408 to those who asked."""
    before = quick.descriptors()
    with ThreadPoolExecutor(len(STALLING)) as pool:
        running = {kind: pool.submit(stall, quick, begin, piece) for kind, (begin, piece, _) in STALLING.items()}
        answered = {kind: future.result() for kind, future in running.items()}
    assert answered == {kind: [] if status is None else [status] for kind, (_, _, status) in STALLING.items()}
    wait_until(lambda: quick.descriptors() <= before)


def test_an_answer_that_is_not_read_ends(quick: Served) -> None:
    """Its connection is cut, and its memory free, whether it is read not at all or a little."""
    before = quick.descriptors()
    with ExitStack() as stack:
        request = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
        readers = [stack.enter_context(quick.asking(request, receive_buffer=4096)) for _ in range(5)]
        assert readers[0].recv(100)
        assert all(reader.recv(100, socket.MSG_PEEK) for reader in readers)  # each answer has begun; none is taken
        wait_until(lambda: quick.descriptors() <= before)
    assert quick.is_well()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_an_idle_connection_ends() -> None:
    """One kept for a next request that doesn't come, silently; and one whose next request comes in time is answered."""
    with serving(keep_alive_seconds=1, head_seconds=2) as served:

        def come_back(note: Callable[[], None]) -> bytes:
            with served.asking(GET) as connection:
                note()
                for _ in range(3):
                    assert answer(connection).endswith(ANSWERED)
                    time.sleep(0.3)
                    connection.sendall(GET)
                    note()
                assert answer(connection).endswith(ANSWERED)
                return rest(connection)

        assert unhindered(come_back) == b""


# ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("plain", [False, True])
def test_half_open_connections_keep_nobody_out(plain: bool) -> None:
    """With 256 files at most, 400 that wait: an honest client is answered at once, and the log stays small."""
    with serving(open_files=256, plain=plain) as served, ExitStack() as stack:
        for number in range(400):
            connection = stack.enter_context(served.connect())
            send(connection, BEGIN if number % 2 else b"")
            if number % 50 == 0:
                assert served.is_well()
        assert served.is_well()
        assert served.descriptors() < 256
        log = served.stop()
    assert len(log) < 10_000
    assert "Traceback" not in log


def test_accepting_pauses_while_all_are_busy() -> None:
    """Who can't be answered waits, and is answered when another has been; one line says so."""
    with serving(connections=4) as served, ExitStack() as stack:
        # The first ones are being answered before others come: a connection whose head is not read yet would give way.
        held = [stack.enter_context(served.holding(LAST_HELD)) for _ in range(4)]
        waiting = [stack.enter_context(served.asking(LAST_GET)) for _ in range(4)]
        served.wait_for_log("connections are in use")
        served.release()
        assert all(rest(connection) == b" end" for connection in held)
        assert all(rest(connection).endswith(b"GET 0 2") for connection in waiting)
        log = served.stop()
    assert log.count("connections are in use") == 1


def test_who_waits_for_room_gets_that_of_idle_connections() -> None:
    """Connections that were busy when another came give way to it once they are idle, not only when they end."""
    # A client gives up long before they end by themselves.
    with serving(connections=2, keep_alive_seconds=10 * PATIENCE) as served, ExitStack() as stack:
        held = [stack.enter_context(served.holding()) for _ in range(2)]
        last = stack.enter_context(served.asking(GET))
        served.wait_for_log("connections are in use")
        served.release()
        assert answer(last).endswith(ANSWERED)
        assert all(connection.recv(100) == b" end" for connection in held)


def test_a_client_beyond_the_number_is_answered_503_by_another_uvicorn() -> None:
    """With the settings alone, uvicorn accepts everybody: too many are told."""
    with serving(connections=4, plain=True) as served, ExitStack() as stack:
        held = [stack.enter_context(served.holding(LAST_HELD)) for _ in range(4)]
        with served.connect() as late:
            assert answer(late).startswith(b"HTTP/1.1 503")
        served.release()
        assert all(rest(connection) == b" end" for connection in held)


def test_one_address_has_its_share_only() -> None:
    """Of two connections of an address, one that waits gives way to a third; ones that are answered don't."""
    with serving(connections_per_address=2) as served, ExitStack() as stack:
        idle = stack.enter_context(served.connect())
        held = [stack.enter_context(served.holding(LAST_HELD)) for _ in range(2)]
        assert rest(idle) == b""
        fourth = stack.enter_context(served.connect())
        assert answer(fourth).startswith(b"HTTP/1.1 503")
        served.release()
        assert [rest(connection) for connection in held] == [b" end"] * 2


def test_files_that_run_out_are_told_in_one_line() -> None:
    """Files may be short in spite of the reserve: accepting pauses, and goes on when there are some again."""
    with serving(open_files=60) as served:
        # The capacity is made from the limit; take files away below it, as an application that opens many would.
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (served.descriptors(), 60))
        with ExitStack() as stack:
            waiting = [stack.enter_context(served.connect()) for _ in range(20)]
            for connection in waiting:
                connection.sendall(LAST_GET)
            served.wait_for_log("No connection can be accepted")
            time.sleep(1.5)  # and is tried again meanwhile
            resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (60, 60))
            assert all(rest(connection).endswith(b"GET 0 2") for connection in waiting)
        log = served.stop()
    assert log.count("No connection can be accepted") == 1
    assert "Traceback" not in log
    assert log.count("\n") <= 2


def test_a_flood_of_nonsense_is_a_line_a_minute(usual: Served) -> None:
    """And the line names the address."""
    with serving() as served:
        for _ in range(300):
            served.ask(b"nonsense\r\n\r\n")
        log = served.stop()
    assert log.count("\n") == 1
    assert "127.0.0.1" in log
    assert "nonsense" not in log


def test_a_server_has_started_once_clients_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for it in another thread, to tell where it is, is not told before its socket listens."""
    before: list[bool] = []
    accept_on = GuardedServer._accept_on

    def noted(server: GuardedServer, listener: socket.socket) -> None:
        before.append(server.started)
        accept_on(server, listener)

    async def start(listener: socket.socket) -> None:
        config = uvicorn.Config(app, lifespan="off", log_config=None, **server_settings())
        config.load()
        server = GuardedServer(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        assert server.started
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE):
            await server.shutdown([listener])

    monkeypatch.setattr(GuardedServer, "_accept_on", noted)
    with bind("127.0.0.1", 0) as listener:
        asyncio.run(start(listener))
    assert before == [False]


# ── settings ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_soft_limit_of_open_files_is_raised() -> None:
    """To what is wanted, or to the hard limit; and each connection is thought to need two files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert raise_soft_limit(300) == 300
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300
        assert raise_soft_limit(250) == 300
        assert raise_soft_limit(10**9) == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [connections_within(4096, files) for files in (20_000, 1_024, 256, 10)] == [4096, 496, 112, 1]


@pytest.mark.parametrize("name", ["head_bytes", "connections", "body_seconds", "reader_rate"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    """It would keep everybody out."""
    with pytest.raises(ValueError, match=name):
        ServerLimits(**{name: 0})


def test_the_settings_are_those_of_uvicorn() -> None:
    """They make a configuration, without a WebSocket and with our protocol."""
    config = uvicorn.Config(lambda: None, **server_settings(trusted_proxies=["10.0.0.1"]))
    assert issubclass(config.http_protocol_class if config.loaded else config.http, GuardedProtocol)  # type: ignore[arg-type]
    assert config.proxy_headers
    assert (config.ws, config.backlog, config.forwarded_allow_ips) == ("none", 128, ["10.0.0.1"])
