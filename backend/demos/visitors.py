"""A demo that is open to the world: each visitor has a fork of its data, in memory, which is forgotten.

A fork shares its rows with the store that it comes of, so that a visit costs little until it changes something; and
nothing that a visitor does is ever written to the file.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snaptable import Database
from snaptable.web import Problem, problem_response
from snaptable.web.cookies import cookie_of

COOKIE = "snaptable_visitor"
MOST_VISITS = 50
"""Visits at a time; one more ends the one that was away longest."""
MOST_OF_ADDRESS = 10
"""Those of one address: who keeps no cookie can't end everybody's."""
IDLE_SECONDS = 3600.0
"""How long a visit is kept that nobody uses."""
MOST_BYTES = 1 << 20
"""Bytes that a visitor may send."""
MOST_ROWS = 5_000
"""Rows that a visit may have beside those that it began with."""
MOST_HISTORY = 4 << 20
"""Bytes of history that a visit may make: an undo of an undo sends nothing, and adds no row."""
MOST_BEGINNING = 5
"""Visits that may begin at the same time, one after the other: each takes a tenth of a second."""


@dataclass
class Visit:
    """A visitor's copy.

    Attributes:
        address: where the visitor is.
        db: the fork.
        app: the application on it.
        most_rows: rows that it may hold.
        last_used: by the clock.
        sent: bytes that the visitor sent.
    """

    address: str
    db: Database
    app: ASGIApp
    most_rows: int
    last_used: float
    sent: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it may grow no further."""
        status = self.db.status()
        history = 0 if status.history is None else status.history.bytes
        has_rows = sum(status.rows.values()) >= self.most_rows
        return self.sent >= MOST_BYTES or history >= MOST_HISTORY or has_rows


class Visitors:
    """ASGI application that answers each visitor, known by a cookie, by an application on a fork of their own.

    A visit begins with the page, at `/`; everything else belongs to one. What begins with `own` is answered by the
    application on the store itself: its admin page, which has a login.
    """

    def __init__(
        self,
        app: ASGIApp,
        db: Database,
        create: Callable[[Database], ASGIApp],
        *,
        own: str = "/admin",
        most: int = MOST_VISITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without visitors.

        Args:
            app: the application on the store, which opens it when it starts.
            db: the store.
            create: makes the application of a fork, which is open.
            own: the path below which the first application answers.
            most: visits at a time.
            clock: gives seconds.
        """
        self._app, self._db, self._create, self._own = app, db, create, own
        self._most, self._clock = most, clock
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        """By the cookie's text; the one that was away longest comes first."""
        self._turn = asyncio.Lock()
        self._beginning = 0

    def __len__(self) -> int:
        """Return how many visits there are."""
        return len(self._visits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                self._end_all()
            return
        self._end_old()
        key = cookie_of(scope, COOKIE) or ""
        if self._is_same_to_all(scope, key):
            await self._app(scope, receive, send)
            return
        try:
            if key not in self._visits:
                key = await self._begin_in_turn(scope)
                send = _with_cookie(send, key, is_secure=scope["scheme"] == "https")
            visit = self._use(scope, key)
        except Problem as problem:
            await problem_response(problem)(scope, receive, send)
            return
        await visit.app(scope, _counted(receive, visit), send)

    def _is_same_to_all(self, scope: Scope, key: str) -> bool:
        """Return whether a request is about no visit: the store's own pages; a style or a script, before a visit."""
        path = scope["path"]
        if path == self._own or path.startswith(f"{self._own}/"):
            return True
        is_file = scope["method"] in ("GET", "HEAD") and "." in path.rpartition("/")[2]
        return is_file and key not in self._visits

    def _use(self, scope: Scope, key: str) -> Visit:
        """Return a visit that a request belongs to, which is used now.

        Raises:
            Problem: 507, the request changes something, and the visit has changed as much as one may.
        """
        visit = self._visits[key]
        visit.last_used = self._clock()
        self._visits.move_to_end(key)
        if scope["method"] not in ("GET", "HEAD", "DELETE") and visit.is_full:
            raise Problem(507, "This visit has changed as much as one may. An hour without use ends it.")
        return visit

    async def _begin_in_turn(self, scope: Scope) -> str:
        """Begin a visit, when those have begun that were asked for before; return its key.

        Raises:
            Problem: 403, this is not the page, where visits begin; 503, too many wait for theirs.
        """
        if scope["path"] != "/":
            raise Problem(403, "Open the page first: a visit begins there, and ends after an hour without use.")
        if self._beginning >= MOST_BEGINNING:
            raise Problem(503, "Many visitors come just now; try again.", headers={"Retry-After": "2"})
        self._beginning += 1
        try:
            async with self._turn:
                return await self._begin(scope)
        finally:
            self._beginning -= 1

    async def _begin(self, scope: Scope) -> str:
        """Begin a visit; return its key."""
        fork = self._db.history.fork()
        try:
            app = await asyncio.to_thread(self._create, fork)
        except BaseException:
            fork.close()
            raise
        address = scope["client"][0] if scope.get("client") else ""
        of_address = [key for key, visit in self._visits.items() if visit.address == address]
        if len(of_address) >= MOST_OF_ADDRESS:
            self._end(of_address[0])
        while len(self._visits) >= self._most:
            self._end(next(iter(self._visits)))
        key = secrets.token_urlsafe(24)
        rows = sum(fork.status().rows.values())
        self._visits[key] = Visit(address, fork, app, rows + MOST_ROWS, self._clock())
        return key

    def _end_old(self) -> None:
        now = self._clock()
        while self._visits:
            key, visit = next(iter(self._visits.items()))
            if now - visit.last_used < IDLE_SECONDS:
                return
            self._end(key)

    def _end(self, key: str) -> None:
        self._visits.pop(key).db.close()

    def _end_all(self) -> None:
        for key in list(self._visits):
            self._end(key)


def _with_cookie(send: Send, key: str, *, is_secure: bool) -> Send:
    """Return a `send` that gives the visitor the cookie."""
    cookie = f"{COOKIE}={key}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if is_secure else ''}"

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode())]
        await send(message)

    return send_with


def _counted(receive: Receive, visit: Visit) -> Receive:
    """Return a `receive` that counts what the visitor sends."""

    async def receive_counted() -> Message:
        message = await receive()
        visit.sent += len(message.get("body", b""))
        return message

    return receive_counted
