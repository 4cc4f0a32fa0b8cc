"""A bound on the size of request bodies, declared or streamed, in front of everything else."""

import asyncio
import logging
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snaptable.web.problems import Problem, problem_response

DRAIN_BYTES = 64 * 1024 * 1024
"""Most that is read and discarded of a body over the limit: a client sees the answer only once it has sent its body."""
DRAIN_SECONDS = 5.0

logger = logging.getLogger("snaptable.web")


class BodyLimit:
    """ASGI middleware that answers 413 to a body over a limit; memory use stays bounded."""

    def __init__(self, app: ASGIApp, limit_of: Callable[[Scope], int]) -> None:
        """Wrap an application.

        Args:
            app: what the request is passed on to.
            limit_of: gives the limit in bytes for a request; called once for each.
        """
        self.app = app
        self.limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`, unless its Content-Length is over the limit already."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limit_of(scope)
        if declared_bytes(scope) > limit:
            await refuse_body(limit, scope, receive, send)
        else:
            await self.app(scope, CountingReceive(receive, limit), send)


class CountingReceive:
    """A `receive` that raises the problem 413 once more than `limit` bytes came."""

    def __init__(self, receive: Receive, limit: int) -> None:
        """Count what `receive` gives, up to a limit in bytes."""
        self.receive = receive
        self.limit = limit
        self.total = 0

    async def __call__(self) -> Message:
        """Return the next message."""
        message = await self.receive()
        self.total += len(message.get("body", b""))
        if self.total > self.limit:
            if message.get("more_body", False):
                await _drain(self.receive)
            raise _too_large(self.limit)
        return message


def declared_bytes(scope: Scope) -> int:
    """Return the Content-Length, 0 without one; the server has refused one that is not a number."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0


async def refuse_body(limit: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 413 to a request whose declared body is over a limit."""
    # A client that sent `Expect: 100-continue` has not begun to send its body, and need not.
    if Headers(scope=scope).get("expect", "").lower() != "100-continue":
        await _drain(receive)
    await problem_response(_too_large(limit))(scope, receive, send)


def _too_large(limit: int) -> Problem:
    """Return the problem that names the limit."""
    return Problem(413, f"The request body is larger than {limit} bytes.", headers={"Connection": "close"})


async def _drain(receive: Receive) -> None:
    """Read and discard the rest of a body, up to a bound in bytes and seconds."""
    remaining = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while remaining > 0:
                message = await receive()
                remaining -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        logger.info("Closed a connection that did not stop sending a body over the limit.")
