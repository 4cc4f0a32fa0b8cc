"""`RequestLog`: an id for each request, and one line in the log for it."""

import logging
from collections.abc import Awaitable, Iterable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snaptable.web.monitoring.requests import METHODS, NO_ANSWER, route_of
from snaptable.web.request_ids import CURRENT, RequestRecord, TrustedPeers, new_record

HEADER = b"x-request-id"
LONGEST_ADDRESS = 64

logger = logging.getLogger("snaptable.web.requests")


class RequestLog:
    """ASGI middleware around all others: gives each request an id, and writes one line when its answer has ended.

        GET /api/documents/{document_id} 200 1.8 ms 431 bytes caller=5cf0… address=192.0.2.1

    The line has the route as it was written, never the address with its keys and queries, and the caller's key, never a
    name. The record's `fields` has the same by name. The id is in the answer's header `X-Request-ID`, in problems, and
    wherever `RequestIdFilter` shows it. One that the client sends counts only if it is a trusted proxy.
    """

    def __init__(self, app: ASGIApp, *, trusted_proxies: Iterable[str] = (), lines: bool = True) -> None:
        """Wrap an application.

        Args:
            app: the application.
            trusted_proxies: addresses and networks whose header `X-Request-ID` is taken; `*` takes everybody's.
            lines: whether a line is written for each request.
        """
        self.app, self._lines = app, lines
        self._trusted = TrustedPeers(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with an id; then write its line."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = new_record(self._sent_id(scope))
        CURRENT.set(record)  # for good: a request's task answers no other, and its defects are logged behind this
        header = (HEADER, record.id.encode("ascii"))
        status, size = NO_ANSWER, 0

        def send_with_id(message: Message) -> Awaitable[None]:
            """Return what sends a part of the answer."""
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            else:
                size += len(message.get("body", b""))
            return send(message)

        method, begun = scope["method"], perf_counter()
        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            status = 500 if status == NO_ANSWER else status
            raise
        finally:
            if self._lines and logger.isEnabledFor(logging.INFO):
                _write_line(scope, method, record, status, 1000 * (perf_counter() - begun), size)

    def _sent_id(self, scope: Scope) -> bytes | None:
        """Return the id that a trusted proxy sends; the peer is who connected, before any header was believed."""
        client = scope.get("client")
        if client is None or client[0] not in self._trusted:
            return None
        return next((value for name, value in scope["headers"] if name == HEADER), None)


def _write_line(scope: Scope, method: str, record: RequestRecord, status: int, ms: float, size: int) -> None:
    """Write the line of a request that was answered; O(1)."""
    client = scope.get("client")
    fields = {
        "method": method if method in METHODS else "*",
        "route": route_of(scope),
        "status": status,
        "ms": round(ms, 2),
        "bytes": size,
        "caller": record.caller,
        "address": str(client[0])[:LONGEST_ADDRESS] if client else "",
    }
    logger.info(
        "%(method)s %(route)s %(status)d %(ms).2f ms %(bytes)d bytes caller=%(caller)s address=%(address)s",
        fields,
        extra={"fields": fields},
    )
