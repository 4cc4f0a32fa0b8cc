"""Bound the size of request bodies, declared or streamed, before anything else sees them."""

import asyncio
import logging
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snaptable.web.problems import Problem, problem_response

# A client that is still sending sees our answer only when we go on reading; so much is read and thrown away.
DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0

logger = logging.getLogger("snaptable.web")


class BodyLimit:
    """Answer 413 to a body over the limit that `limit_of(scope)` gives; memory use stays bounded."""

    def __init__(self, app: ASGIApp, limit_of: Callable[[Scope], int]) -> None:
        """Wrap `app`; `limit_of` is asked once a request."""
        self.app = app
        self.limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`, unless its Content-Length already tells enough."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limit_of(scope)
        if _declared(scope) > limit:
            # Who sent `Expect: 100-continue` has not begun to send, and need not.
            if Headers(scope=scope).get("expect", "").lower() != "100-continue":
                await _drain(receive)
            await problem_response(_too_large(limit))(scope, receive, send)
            return
        await self.app(scope, _Counting(receive, limit), send)


class _Counting:
    """Be a `receive` that raises the problem 413 once more than `limit` bytes came."""

    def __init__(self, receive: Receive, limit: int) -> None:
        """Count from zero."""
        self.receive = receive
        self.limit = limit
        self.total = 0

    async def __call__(self) -> Message:
        """Hand on the next message while the limit holds."""
        message = await self.receive()
        self.total += len(message.get("body", b""))
        if self.total > self.limit:
            if message.get("more_body", False):
                await _drain(self.receive)
            raise _too_large(self.limit)
        return message


def _declared(scope: Scope) -> int:
    """Return the Content-Length; the server has already refused one that is no number."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0


def _too_large(limit: int) -> Problem:
    """Make the problem that names the limit."""
    return Problem(413, f"The request body is larger than {limit} bytes.", headers={"Connection": "close"})


async def _drain(receive: Receive) -> None:
    """Read and forget what a client still sends, up to a bound in bytes and seconds."""
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        logger.info("Closed a connection that went on sending a body over the limit.")
