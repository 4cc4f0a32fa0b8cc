"""Requests by route: how many, answered how, and how long it took until the answer began."""

from collections import Counter
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snaptable import Database
from snaptable.web.monitoring.latencies import Latencies

MOST_ROUTES = 300
"""Routes that are told apart, each for each method; the others count together."""
OTHERS = ("*", "(others)")
NO_ROUTE = "(no route)"
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
NO_ANSWER = 499
"""Counted for a client that left before its answer began."""


class RouteMeasurements:
    """The requests of one route.

    Attributes:
        statuses: how many answers there were of each status.
        latencies: how long it took until the answer began.
    """

    __slots__ = ("latencies", "statuses")

    def __init__(self) -> None:
        """Begin without any."""
        self.statuses: Counter[int] = Counter()
        self.latencies = Latencies()

    @property
    def errors(self) -> int:
        """How many were answered 500 or above."""
        return sum(count for status, count in self.statuses.items() if status >= 500)


class RequestMeasurements:
    """The requests of an application, by method and route; at most `MOST_ROUTES`.

    Attributes:
        process: what tells this process from others that serve the same address, a label of its metrics; None if it is
            alone.
    """

    process: str | None = None

    def __init__(self) -> None:
        """Begin without any."""
        self.routes: dict[tuple[str, str], RouteMeasurements] = {}

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; O(1)."""
        place = (method if method in METHODS else "*", route)
        measured = self.routes.get(place)
        if measured is None:
            if len(self.routes) >= MOST_ROUTES:
                place = OTHERS
            measured = self.routes.setdefault(place, RouteMeasurements())
        measured.statuses[status] += 1
        measured.latencies.add(seconds)


def request_measurements(db: Database) -> RequestMeasurements | None:
    """Return the requests of the application that serves a database; None if no `RequestMeter` counts them."""
    measurements: RequestMeasurements | None = vars(db).get("_request_measurements")
    return measurements


def measurements_for(db: Database) -> RequestMeasurements:
    """Return the same, begun if nothing counts them yet: for a middleware that does."""
    measurements: RequestMeasurements = vars(db).setdefault("_request_measurements", RequestMeasurements())
    return measurements


class RequestMeter:
    """ASGI middleware that counts requests for `monitoring_router(db)`: `app.add_middleware(RequestMeter, db=db)`.

    A request costs about 3 µs. What is counted lasts as long as the process.
    """

    def __init__(self, app: ASGIApp, db: Database) -> None:
        """Wrap an application."""
        self.app = app
        self._measurements = measurements_for(db)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and take the time until its answer begins."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = perf_counter()
        status, seconds = NO_ANSWER, -1.0

        async def send_measured(message: Message) -> None:
            """Take the time of the first part of the answer."""
            nonlocal status, seconds
            if seconds < 0:
                status, seconds = message.get("status", status), perf_counter() - begun
            await send(message)

        try:
            await self.app(scope, receive, send_measured)
        except Exception:
            status = 500 if seconds < 0 else status
            raise
        finally:
            seconds = perf_counter() - begun if seconds < 0 else seconds
            self._measurements.add(scope["method"], route_of(scope), status, seconds)


def route_of(scope: Scope) -> str:
    """Return the route's path as it was written: addresses themselves are as many as clients like."""
    # FastAPI keeps an included router's routes as they were made; the whole path is in a context of its own.
    context = scope["fastapi"].get("effective_route_context") if "fastapi" in scope else None
    path = getattr(context, "path_format", None) if context is not None else None
    path = path or getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else NO_ROUTE
