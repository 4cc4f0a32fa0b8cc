"""What every request meets first and its answer last, in one pass: HEAD, bodies, headers, the count."""

from collections.abc import Awaitable, Callable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.content import IS_HEAD
from snaptable import Database
from snaptable.web.body_limit import CountingReceive, declared_bytes, refuse_body
from snaptable.web.monitoring.requests import NO_ANSWER, measurements_for, route_of
from snaptable.web.security_headers import complete_headers


class Entrance:
    """ASGI middleware around all others, which does what four of them did: each costs a request some microseconds.

    - HEAD is answered as GET, without the body.
    - `BodyLimit`: a body over its limit is answered 413.
    - `SecurityHeaders`: every answer has them, that to a defect of ours too.
    - `RequestMeter`: every request is counted, with the time until its answer began.
    """

    def __init__(self, app: ASGIApp, limit_of: Callable[[Scope], int], db: Database) -> None:
        """Wrap an application.

        Args:
            app: what requests are passed on to.
            limit_of: gives the limit of a request's body in bytes.
            db: whose `monitoring_router` shows the counts.
        """
        self.app = app
        self._limit_of = limit_of
        self._measurements = measurements_for(db)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"
        asked = {**scope, "method": "GET", IS_HEAD: True} if is_head else scope
        answer = _Answer(send, is_head=is_head, is_secure=scope["scheme"] == "https")
        limit = self._limit_of(asked)
        try:
            if declared_bytes(asked) > limit:
                await refuse_body(limit, asked, receive, answer.send)
            else:
                await self.app(asked, CountingReceive(receive, limit), answer.send)
        except Exception:
            answer.fail()
            raise
        finally:
            self._measurements.add(asked["method"], route_of(asked), answer.status, answer.seconds())
            if is_head:  # which route answered is known outside, too
                scope.update({name: asked[name] for name in ("route", "fastapi") if name in asked})


class _Answer:
    """The answer to one request, on its way out.

    Attributes:
        status: its status, once it has begun.
    """

    __slots__ = ("_begun", "_is_head", "_is_secure", "_seconds", "_send", "status")

    def __init__(self, send: Send, *, is_head: bool, is_secure: bool) -> None:
        self._send, self._is_head, self._is_secure = send, is_head, is_secure
        self._begun, self._seconds = perf_counter(), -1.0
        self.status = NO_ANSWER

    def send(self, message: Message) -> Awaitable[None]:
        """Return what sends a part of the answer, its head with the headers that it lacks."""
        if message["type"] == "http.response.start":
            self.status, self._seconds = message["status"], perf_counter() - self._begun
            complete_headers(message, is_secure=self._is_secure)
        elif self._is_head:
            return _nothing()
        return self._send_head(message) if self._is_head else self._send(message)

    async def _send_head(self, message: Message) -> None:
        """Send a head and an end: bodies are left out, their length stays in the headers."""
        await self._send(message)
        await self._send({"type": "http.response.body", "body": b""})

    def fail(self) -> None:
        """Take note of a defect."""
        if self._seconds < 0:
            self.status = 500

    def seconds(self) -> float:
        """Return how long it took until the answer began; until now, if it never did."""
        return perf_counter() - self._begun if self._seconds < 0 else self._seconds


async def _nothing() -> None:
    """Send nothing."""
