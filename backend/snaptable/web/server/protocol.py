"""Uvicorn's protocol of HTTP/1.1 with bounds: on heads, on waiting for clients, on what they may leave unread."""

import asyncio
import contextlib
import enum
from collections.abc import Iterable
from typing import ClassVar, NoReturn
from weakref import WeakKeyDictionary

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from snaptable.web.problems import Problem, problem_response
from snaptable.web.server.guard import LOOPBACK, ConnectionGuard
from snaptable.web.server.limits import ServerLimits
from snaptable.web.server.reader_progress import acknowledged_bytes, is_readable

PIECE_BYTES = 16 * 1024
"""Most bytes that are parsed at once: between two pieces it is seen whether a head is too large, and whether requests
wait for an answer, of which a piece holds some hundred at most."""
LARGE_HEAD_BYTES = 4 * 1024
MOST_ESCAPES = 500
"""Escapes in the cookies of a large head: Python's parser takes the square of them (see `snaptable.web.cookies`)."""
LINGER_SECONDS = 2.0
"""How long a client that was refused may go on sending, so that it reads the answer before the connection breaks."""
LINGER_BYTES = 4 * 1024 * 1024

BEGINS_WITH_THE_NEXT_SWEEP = 0.0

INVALID = "This is not a valid HTTP request."
LARGE_HEAD = "The head of the request is larger than this server accepts."
NO_HOST = "An HTTP/1.1 request has exactly one Host header."
SLOW_HEAD = "The head of the request took too long."
SLOW_BODY = "The body of the request took too long."
NO_ROOM = "The server has too many connections; try again in a moment."


class Stage(enum.Enum):
    """Where a connection is within what it receives."""

    BETWEEN = enum.auto()
    """No byte of the next head has come."""
    HEAD = enum.auto()
    BODY = enum.auto()
    REFUSED = enum.auto()
    """Answered for good; what still comes is discarded."""


class HoldingFlow(FlowControl):
    """Flow control that reads nothing while what was read before waits to be parsed."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Take the transport to pause."""
        super().__init__(transport)
        self.is_held = False

    def resume_reading(self) -> None:
        """Read on, unless held."""
        if not self.is_held:
            super().resume_reading()


class GuardedProtocol(HttpToolsProtocol):
    """One connection whose client can't take more than its part: see `ServerLimits`.

    Uvicorn takes it as `http=`. The bounds are those of a subclass made by `guarded_protocol`, or the default ones.
    """

    limits: ClassVar[ServerLimits] = ServerLimits()
    uncounted: ClassVar[tuple[str, ...]] = LOOPBACK
    _guards: ClassVar[WeakKeyDictionary[ServerState, ConnectionGuard]] = WeakKeyDictionary()

    flow: HoldingFlow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn gives to each connection."""
        super().__init__(config, server_state, app_state, _loop)
        self.guard = self.guard_of(server_state, self.loop)
        self.address: str | None = None
        self.headers = []
        self.url = b""
        self._stage = Stage.HEAD
        self._since = 0.0
        """Begin of the stage; of a body, of the window in which it must make progress."""
        self._unparsed = 0
        """Bytes received since the last head, piece of a body or message that was complete."""
        self._body_bytes = 0
        """Bytes of bodies since the window began; of a refused request, bytes discarded."""
        self._held = b""
        """What came behind requests that wait for their answers."""
        self._refusal: Problem | None = None
        """Why the parser was stopped, if that was not its own decision."""
        self._taken: int | None = None
        """Bytes that the client had acknowledged, or that the transport held, when this window of reading began."""
        self._reading_since: float | None = None

    @classmethod
    def guard_of(cls, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> ConnectionGuard:
        """Return the guard of a server, made when it is first asked for."""
        guard = cls._guards.get(server_state)
        if guard is None:
            guard = cls._guards[server_state] = ConnectionGuard(cls.limits, loop, uncounted=cls.uncounted)
        return guard

    # ── the connection ──────────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin, unless there are too many connections."""
        super().connection_made(transport)
        self.flow = HoldingFlow(transport)
        self._since = self.loop.time()
        self.address = self.guard.address_of(self.client[0] if self.client else None)
        if not self.guard.add(self):
            self._refuse(Problem(503, NO_ROOM, headers={"Retry-After": "1"}), linger=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, however it came to that."""
        self.guard.remove(self)
        self._held = b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, or keep it while earlier requests wait for their answers."""
        stage = self._stage
        if stage is Stage.BETWEEN:
            self._stage = Stage.HEAD
            self._since = self.loop.time()
        elif stage is Stage.REFUSED:
            self._discard(data)
            return
        if self.pipeline or self.flow.is_held:
            self._hold(data)
        elif len(data) <= PIECE_BYTES:
            self._feed(data)
        else:
            self._feed_in_pieces(data)

    def _feed_in_pieces(self, data: bytes) -> None:
        """Parse until all is, or requests wait for their answers, or the connection ends."""
        for begin in range(0, len(data), PIECE_BYTES):
            if self.pipeline:
                self._hold(data[begin:])
                return
            self._feed(data[begin : begin + PIECE_BYTES])
            if self._stage is Stage.REFUSED or self.transport.is_closing():
                return

    def _hold(self, data: bytes) -> None:
        """Keep what came behind requests that wait for their answers, and read no more until they have them."""
        self._held += data
        self.flow.pause_reading()
        self.flow.is_held = True

    def _feed(self, data: bytes) -> None:
        """Parse a piece, and refuse a head or trailers that have grown too large without an end."""
        self._unparsed += len(data)
        while data:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserError:
                self._refuse(self._refusal or Problem(400, INVALID))
                return
            except httptools.HttpParserUpgrade as upgrade:
                if self._should_upgrade():
                    self.guard.remove(self)
                    self.handle_websocket_upgrade()
                    return
                data = data[upgrade.args[0] :]  # answered over HTTP/1.1, as RFC 9110, 7.8 allows
        if self._unparsed > self.limits.head_bytes or len(self.headers) > self.limits.head_lines:
            self._refuse(Problem(431, LARGE_HEAD))

    # ── the parser ──────────────────────────────────────────────────────────────────────────────────────────────────

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is refused."""
        headers = self.headers
        if len(headers) > self.limits.head_lines or (
            self._unparsed > self.limits.head_bytes and self._head_bytes() > self.limits.head_bytes
        ):
            self._stop(Problem(431, LARGE_HEAD))
        if self._unparsed > LARGE_HEAD_BYTES and self._escapes() > MOST_ESCAPES:
            self._stop(Problem(431, LARGE_HEAD))
        hosts = [name for name, _ in headers].count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            self._stop(Problem(400, NO_HOST))
        super().on_headers_complete()
        self._unparsed = 0
        self._stage = Stage.BODY
        self._since = BEGINS_WITH_THE_NEXT_SWEEP
        if self.ws_protocol_class is None:  # else uvicorn looks into them once more
            self.headers = []  # trailers are no headers: RFC 9110, 6.5.1

    def on_body(self, body: bytes) -> None:
        """Hand a piece of a body over."""
        self._unparsed = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next head."""
        super().on_message_complete()
        self._unparsed = 0
        self._stage = Stage.BETWEEN
        if self.cycle is not None and self.cycle.response_complete:
            self._since = self.loop.time()

    def on_response_complete(self) -> None:
        """Answer what waits; then parse what was held back.

        Uvicorn would set a timer for an idle connection: the guard's look at all of them takes its place.
        """
        if self.pipeline:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._since = self.loop.time()
        if self.flow.read_paused and not self.pipeline and not self.transport.is_closing():
            self._read_on()

    def _read_on(self) -> None:
        """Parse what was held back, then read again."""
        held, self._held = self._held, b""
        self.flow.is_held = False
        if self._stage is not Stage.REFUSED:
            self._feed_in_pieces(held)
        if not self.pipeline:
            self.flow.resume_reading()

    def _head_bytes(self) -> int:
        """Return the size of the head that was parsed, as it was sent without needless blanks."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _escapes(self) -> int:
        """Return how many escapes the cookies of the head have."""
        return sum(value.count(b"\\") for name, value in self.headers if name == b"cookie")

    # ── what the guard asks ─────────────────────────────────────────────────────────────────────────────────────────

    def waits_since(self) -> float | None:
        """Return since when nothing but a request's head is waited for; None while a request is being answered."""
        if self._is_answering() or self._stage is Stage.BODY or self.transport.get_write_buffer_size():
            return None
        return self._since

    @property
    def is_reading_head(self) -> bool:
        """Whether the head of a request is waited for that is the connection's first, or has begun."""
        return self._stage is Stage.HEAD

    def has_unread(self) -> bool:
        """Return whether something has come that was not read yet; a system call."""
        return bool(self._held) or is_readable(self.transport)

    def give_way(self) -> None:
        """End the connection: others need its place more."""
        self.transport.abort()

    def sweep(self, now: float) -> None:
        """End the connection if its client has had its time; called about once a second."""
        if self._leaves_unread(now):
            self._warn("unread", "did not take its answer")
            self.transport.abort()
        elif self._stage is Stage.HEAD:
            self._sweep_head(now)
        elif self._stage is Stage.BODY:
            self._sweep_body(now)
        elif not self._is_answering():
            seconds = LINGER_SECONDS if self._stage is Stage.REFUSED else self.limits.keep_alive_seconds
            if now - self._since >= seconds:
                self.transport.close()

    def _sweep_head(self, now: float) -> None:
        """End the wait for a head that took too long; one that never began gets no answer, for nothing was asked."""
        if self.flow.read_paused:
            self._since = now
        elif now - self._since >= self.limits.head_seconds:
            if self._unparsed:
                self._refuse(Problem(408, SLOW_HEAD))
            else:
                self._warn("idle", "sent nothing")
                self.transport.close()

    def _sweep_body(self, now: float) -> None:
        """End a body whose client sent less than the least rate in a window; the time that we don't read is ours."""
        cycle = self._newest_cycle()
        seconds = self.limits.body_seconds
        if self.flow.read_paused or cycle.waiting_for_100_continue:
            self._since = BEGINS_WITH_THE_NEXT_SWEEP
        elif self._since == BEGINS_WITH_THE_NEXT_SWEEP:
            self._since, self._body_bytes = now, 0
        elif now - self._since >= seconds:
            if self._body_bytes < self.limits.body_rate * seconds or cycle.response_complete:
                self._refuse(Problem(408, SLOW_BODY))
            else:
                self._since, self._body_bytes = now, 0

    def _leaves_unread(self, now: float) -> bool:
        """Return whether a client took less than the least rate, in a window, of an answer that waits for it."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting and not self.flow.write_paused:
            self._reading_since = None
            return False
        if self._reading_since is not None and now - self._reading_since < self.limits.reader_seconds:
            return False
        acknowledged = acknowledged_bytes(self.transport)
        before, self._taken = self._taken, waiting if acknowledged is None else acknowledged
        began, self._reading_since = self._reading_since, now
        if began is None or before is None:
            return False
        if acknowledged is None:
            return before == waiting
        return acknowledged - before < self.limits.reader_rate * self.limits.reader_seconds

    # ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_answering(self) -> bool:
        """Return whether a request is being answered, or waits for its turn."""
        return self.cycle is not None and not self.cycle.response_complete

    def _newest_cycle(self) -> RequestResponseCycle:
        """Return the request whose head came last."""
        return self.pipeline[0][0] if self.pipeline else self.cycle

    def _stop(self, problem: Problem) -> NoReturn:
        """Stop the parser, from one of its callbacks."""
        self._refusal = problem
        raise RefusedHead

    def _refuse(self, problem: Problem, *, linger: bool = True) -> None:
        """Answer with a problem, behind the answers that are due, and end the connection."""
        stage, self._stage = self._stage, Stage.REFUSED
        self._since, self._body_bytes, self._held = self.loop.time(), 0, b""
        self._warn(f"refused {problem.status_code}", f"was answered {problem.status_code}: {problem.detail[:-1]}")
        if stage is Stage.BODY and not self._drop_newest_request():
            self.transport.close()
        elif self._is_answering():
            self._newest_cycle().keep_alive = False
        else:
            self._answer(problem, linger=linger)

    def _drop_newest_request(self) -> bool:
        """Take back the request whose body broke off; False if its answer has begun."""
        cycle = self._newest_cycle()
        if cycle.response_started:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        if self.pipeline:
            self.pipeline.popleft()
        else:
            self.cycle = None  # type: ignore[assignment]  # as before the first request
        return True

    def _answer(self, problem: Problem, *, linger: bool) -> None:
        """Write a problem, then nothing more."""
        response = problem_response(problem)
        headers = [*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[problem.status_code] + head + b"\r\n" + bytes(response.body))
        if linger and self.transport.can_write_eof():
            with contextlib.suppress(OSError):  # it has gone, which the transport is about to notice
                self.transport.write_eof()
        else:
            self.transport.close()

    def _discard(self, data: bytes) -> None:
        """Read on for a moment: a connection that is closed with bytes unread may take the answer with it."""
        self._body_bytes += len(data)
        if self._body_bytes > LINGER_BYTES and not self._is_answering():
            self.transport.close()

    def _warn(self, kind: str, what: str) -> None:
        """Log, now and then, what a client did; nothing that it sent."""
        host = self.client[0] if self.client else "local socket"
        self.guard.log.write(kind, f"A client at {host} {what}.")


class RefusedHead(Exception):
    """Stops the parser; never seen outside this module."""


def guarded_protocol(limits: ServerLimits, uncounted: Iterable[str] = LOOPBACK) -> type[GuardedProtocol]:
    """Return the protocol with limits of its own.

    Args:
        limits: what a client may take.
        uncounted: addresses and networks that many clients share, such as trusted proxies.
    """
    return type("GuardedProtocol", (GuardedProtocol,), {"limits": limits, "uncounted": tuple(uncounted)})
