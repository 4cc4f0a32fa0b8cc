"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a write that is sent again is answered again.

The answer is kept in the same commit as the write: both are durable, or neither is, so that a retry after a crash
neither repeats the write nor loses it. A write that was refused is not kept; a retry is a new attempt.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Annotated

from fastapi import Request
from pydantic import Field, JsonValue
from starlette.responses import Response

from snaptable import Database, Index, Row, Table, utc_now
from snaptable.web.problems import Problem
from snaptable.web.row_response import JsonResponse

KEPT = timedelta(hours=24)
REMOVED_AT_ONCE = 20
"""Answers that are too old and go with one write, so that none takes long."""
_KEY = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')
_KEPT_HEADERS = ("etag", "location")
IDEMPOTENCY_KEY: dict[str, JsonValue] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A new text for each write, such as a UUID: sent again within a day, it is done once.",
            "schema": {"type": "string", "maxLength": 255},
        }
    ]
}
"""For a route's `openapi_extra`."""

Kept = Callable[[Callable[[], Response]], Response]
"""Called in the transaction with what writes and answers: it gives that answer, or the one that was kept."""


class IdempotencyKey(Row):
    """An answer that was given to a request with an Idempotency-Key.

    A database that declares `idempotency: Table[IdempotencyKey] = table(transient=True)` has its routers take the
    header.
    """

    id: str
    """A digest of the caller and the key."""
    request: str
    """A digest of the request: its method, address and body."""
    status: int
    headers: dict[str, str]
    body: str
    created_at: Annotated[datetime, Index(ordered=True)] = Field(default_factory=utc_now)


class Idempotency:
    """The answers that are kept of one database."""

    def __init__(self, database: Database) -> None:
        """Find the table.

        Raises:
            TypeError: it is not transient: answers would be in history and feed.
        """
        tables = (table for table in database.tables.values() if issubclass(table.model, IdempotencyKey))
        self._table: Table[IdempotencyKey] | None = next(tables, None)
        self._running: set[str] = set()
        if self._table is not None and not self._table.schema.transient:
            raise TypeError(f"{self._table.name}: declare it as Table[IdempotencyKey] = table(transient=True)")

    @property
    def is_kept(self) -> bool:
        """Whether there is a table for answers."""
        return self._table is not None

    def is_asked_for(self, request: Request) -> bool:
        """Return whether a request has the header."""
        return b"idempotency-key" in [name for name, _ in request.scope["headers"]]

    async def answer(
        self, request: Request, caller: str | None, write: Callable[[Kept], Awaitable[Response]]
    ) -> Response:
        """Answer a request with the header, once for each key of a caller.

        Args:
            request: the request.
            caller: who sends it, as no other caller is called; None for anyone.
            write: carries the write out as a transaction, in which it calls what it is given.

        Raises:
            Problem: 400, the header can't be taken; 409, the same request is being answered; 422, the key was used for
                another one.
        """
        match = _KEY.fullmatch(request.headers["idempotency-key"])
        if self._table is None:
            detail = (
                "This server keeps no answers: leave Idempotency-Key out. (Its database declares no IdempotencyKey.)"
            )
            raise Problem(400, detail)
        if match is None:
            raise Problem(400, "Idempotency-Key takes 1 to 255 visible ASCII characters.")
        key = _digest(repr(caller).encode("utf-8", "replace"), match[1].encode())
        sent = _digest(request.method.encode(), request.url.path.encode("utf-8", "replace"), await request.body())
        if key in self._running:
            raise Problem(409, "A request with this Idempotency-Key is being answered.", headers={"Retry-After": "1"})
        self._running.add(key)
        try:
            return await write(lambda act: self._once(key, sent, act))
        finally:
            self._running.discard(key)

    def _once(self, key: str, sent: str, act: Callable[[], Response]) -> Response:
        """Return the answer that is kept, else write, and keep the answer; called in the transaction."""
        table = self._table
        assert table is not None  # or there is no key
        self._remove_old(table)
        kept = table.get(key)
        if kept is not None:
            if kept.request != sent:
                raise Problem(422, "This Idempotency-Key was used for another request.")
            return JsonResponse(kept.body.encode(), kept.status, {**kept.headers, "Idempotency-Replayed": "true"})
        response = act()
        headers = {name: value for name, value in response.headers.items() if name in _KEPT_HEADERS}
        body = bytes(response.body).decode()
        table.create(id=key, request=sent, status=response.status_code, headers=headers, body=body)
        return response

    def _remove_old(self, table: Table[IdempotencyKey]) -> None:
        old = table.where(IdempotencyKey.created_at < utc_now() - KEPT).order_by(IdempotencyKey.created_at)
        for row in old.limit(REMOVED_AT_ONCE).all():
            table.delete(row.id)


def _digest(*parts: bytes) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(b"%d:%b" % (len(part), part))
    return digest.hexdigest()
