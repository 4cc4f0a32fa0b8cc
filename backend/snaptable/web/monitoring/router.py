"""`monitoring_router`: health, performance and metrics, in full for those who may know."""

import hmac
import logging
from collections.abc import Callable, Mapping
from functools import partial
from math import ceil
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import AwareDatetime, BaseModel, JsonValue
from starlette.responses import Response

from snaptable import Database, Query, Unavailable
from snaptable.changes.retention import HistoryStatus
from snaptable.contract import ServerStatus, Status
from snaptable.web.health import Health, PlainHealth, SnapshotHealth, health, plain_health, without_paths
from snaptable.web.monitoring.latencies import Latencies
from snaptable.web.monitoring.queries import SlowQueries, SlowQuery
from snaptable.web.monitoring.requests import RequestMeasurements, request_measurements
from snaptable.web.problems import Problem, problems

SLOW_SECONDS = 0.01
CHALLENGE = {"WWW-Authenticate": "Bearer"}

logger = logging.getLogger("snaptable.web.queries")


class JournalHealth(BaseModel):
    """The journal: its size, and how many commits the snapshot does not have yet.

    And when it was synced last, and the milliseconds that 99 of 100 of the last commits did not exceed; null before
    the first.
    """

    bytes: int
    behind: int
    last_sync_at: AwareDatetime | None = None
    sync_p99_ms: float | None = None


class HistoryHealth(BaseModel):
    """How far back the past can be seen, and what it takes."""

    first: int
    since: AwareDatetime | None
    bytes: int


class PoolHealth(BaseModel):
    """The connections of this process to the server: open, of these idle, calls that wait for one, and the most."""

    connections: int
    idle: int
    waiting: int
    most: int


class ReplicaHealth(BaseModel):
    """The standby that reads with `stale=True` go to: how many seconds it is behind, null if it doesn't say."""

    lag_seconds: float | None


class DatabaseStatus(BaseModel):
    """Whether the database is well: `ok`, `degraded` without a fresh snapshot, `read-only` when writes are refused."""

    status: Literal["ok", "degraded", "read-only"]


class DatabaseHealth(DatabaseStatus):
    """The database's health in full; what an engine lacks is null."""

    engine: str
    sequence: int
    writable: bool
    reason: str | None
    snapshot: SnapshotHealth | None
    journal: JournalHealth | None
    history: HistoryHealth | None
    pool: PoolHealth | None = None
    replica: ReplicaHealth | None = None
    circuit: Literal["closed"] | None = None
    """That of a server which answers; the 503 of one that doesn't says `open` once calls are no longer sent to it."""


class LatencyMs(BaseModel):
    """Milliseconds until answers began, to within a tenth; null without any."""

    p50: float | None
    p90: float | None
    p99: float | None


class RoutePerformance(BaseModel):
    """One route: requests, answers of 500 and above, and how long they took."""

    method: str
    route: str
    requests: int
    errors: int
    latency_ms: LatencyMs


class SlowQueryOut(BaseModel):
    """Queries of one shape that took long: how many, milliseconds on average, and the index to write."""

    query: str
    plan: str
    ms: float
    count: int
    suggestion: str | None


class Performance(BaseModel):
    """Requests since the start, null without `RequestMeter`, and slow queries, the most costly first."""

    requests: int | None
    errors: int | None
    latency_ms: LatencyMs
    routes: list[RoutePerformance]
    slow_queries: list[SlowQueryOut]


async def _no_details() -> bool:
    """Return that only the status may be seen."""
    return False


def monitoring_router(
    db: Database,
    *,
    token: str | None = None,
    details: Callable[..., object] | None = None,
    prefix: str = "",
    health_path: str | None = "/health",
    slow_seconds: float = SLOW_SECONDS,
    log_slow_seconds: float | None = None,
    measures: Callable[[], Mapping[str, float]] | None = None,
) -> APIRouter:
    """Return the router of `/health`, `/api/monitoring/database/health`, `/api/monitoring/performance`, `/metrics`.

    Strangers see the status; performance and metrics are 401 to them. Who may see the rest brings the token, or is let
    in by the dependency; without either none is. From now on the database's slow queries are measured: 0.5 µs a
    query. `app.add_middleware(RequestMeter, db=db)` counts requests.

    Args:
        db: the database; it may be opened later.
        token: what a monitor sends as `Authorization: Bearer …`.
        details: a dependency that says whether a request may see the rest.
        prefix: before all paths.
        health_path: where a probe asks; None leaves it to a route of the application's own.
        slow_seconds: how long a query takes at least to be listed.
        measures: returns figures of the application for `/metrics`, by name: counters end in `_total`.
        log_slow_seconds: how long to be written to the log as well, without its values, once a minute for each shape.
    """
    queries = SlowQueries(db.__schemas__, slow_seconds, log_slow_seconds, partial(_log_slow, db))
    db._observe_queries(queries)
    router = APIRouter(prefix=prefix, tags=["health"], generate_unique_id_function=_name_of)

    async def may_know(request: Request, allowed: Annotated[Any, Depends(details or _no_details)]) -> bool:
        """Return whether the caller may see details."""
        return bool(allowed) or _has_token(request, token)

    async def require_details(known: Annotated[bool, Depends(may_know)]) -> None:
        """Refuse a caller who may not."""
        if not known:
            raise Problem(401, "Send the monitor's token as `Authorization: Bearer …`.", headers=CHALLENGE)

    _add_health(router, db, may_know, health_path)
    _add_performance(router, db, queries, require_details)
    _add_metrics(router, db, queries, require_details, measures or dict)
    return router


def _add_health(router: APIRouter, db: Database, may_know: Callable[..., object], health_path: str | None) -> None:
    """Add the routes that strangers may ask, and are told the status alone."""
    if health_path is not None:

        @router.get(health_path, responses=problems(503), summary="Tell whether the store takes writes")
        async def get_health(known: Annotated[bool, Depends(may_know)]) -> Health | PlainHealth:
            """Return whether the store is well, 503 if writes are refused; with a token, also what it holds."""
            return await db.read(health if known else plain_health)

    @router.get("/api/monitoring/database/health", responses=problems(503), summary="Show how the database is doing")
    async def get_database_health(known: Annotated[bool, Depends(may_know)]) -> DatabaseHealth | DatabaseStatus:
        """Return whether it is well and, with a token, its engine, snapshot, journal and history.

        200 also while writes are refused: `status` and `reason` say so. A probe asks `/health`. 503 while its server
        is away, with a token also `circuit`: `open` once calls fail at once, `closed` while it is still waited for.
        """
        try:
            status = await db.read(lambda db: db.status(details=known))
        except Unavailable as error:
            raise _unreachable(error, known=known) from error
        full = _database_health(status, has_journal=db.directory is not None)
        return full if known else DatabaseStatus(status=full.status)


_METRICS: dict[str, JsonValue] = {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _add_performance(
    router: APIRouter, db: Database, queries: SlowQueries, require_details: Callable[..., object]
) -> None:
    @router.get(
        "/api/monitoring/performance",
        responses=problems(401),
        dependencies=[Depends(require_details)],
        summary="Show how long requests and queries take",
    )
    async def get_performance() -> Performance:
        """Return requests, errors and latencies by route since the start, and slow queries with the index to write."""
        return _performance(db, request_measurements(db), queries.worst())


def _add_metrics(
    router: APIRouter,
    db: Database,
    queries: SlowQueries,
    require_details: Callable[..., object],
    measures: Callable[[], Mapping[str, float]],
) -> None:
    @router.get(
        "/metrics",
        response_class=Response,
        responses={**problems(401, 503), 200: _METRICS},
        dependencies=[Depends(require_details)],
        summary="Give Prometheus its metrics",
    )
    async def get_metrics() -> Response:
        """Return the same, and the store's state, in the text format of Prometheus.

        Without the store's state while its server is away: `snaptable_reachable` is 0 then.
        """
        from snaptable.web.monitoring.metrics import CONTENT_TYPE_LATEST, metrics_text  # 30 ms that not all need

        try:
            status = await db.read(Database.status)
        except Unavailable:
            status = None
        text = metrics_text(db, status, queries, measures())
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _unreachable(error: Unavailable, *, known: bool) -> Problem:
    """Return the problem of a server that doesn't answer; for those who may know, with the state of the circuit."""
    headers = {"Retry-After": str(ceil(error.retry_after))}
    members: dict[str, JsonValue] = {"circuit": error.circuit} if known else {}
    return Problem(503, "The database's server can't be reached.", headers=headers, members=members)


def _has_token(request: Request, token: str | None) -> bool:
    """Return whether a request brings the token, in a time that doesn't tell how much of it is right."""
    scheme, sent = get_authorization_scheme_param(request.headers.get("authorization"))
    if not token or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(token.encode(), sent.encode("utf-8", "surrogatepass"))


def _database_health(status: Status, *, has_journal: bool) -> DatabaseHealth:
    history, server = status.history, status.server
    behind = status.sequence - (status.snapshot_sequence or 0)
    snapshot = SnapshotHealth(
        sequence=status.snapshot_sequence,
        saved_at=status.snapshot_saved_at,
        bytes=status.snapshot_bytes,
        error=status.snapshot_error and without_paths(status.snapshot_error),
    )
    return DatabaseHealth(
        status="read-only" if not status.writable else "degraded" if status.snapshot_error else "ok",
        engine=status.engine,
        sequence=status.sequence,
        writable=status.writable,
        reason=status.reason and without_paths(status.reason),
        snapshot=snapshot if has_journal else None,
        journal=_journal_health(status, history, behind) if has_journal and history is not None else None,
        history=None if history is None else HistoryHealth(**vars(history)),
        pool=None if server is None else PoolHealth(**_members(server, PoolHealth)),
        replica=None if server is None or not server.has_standby else ReplicaHealth(lag_seconds=server.lag_seconds),
        circuit=None if server is None else "closed",
    )


def _journal_health(status: Status, history: HistoryStatus, behind: int) -> JournalHealth:
    journal, syncs = JournalHealth(bytes=history.bytes, behind=behind), status.syncs
    if syncs is not None:
        journal.last_sync_at, journal.sync_p99_ms = syncs.last_at, round(1000 * syncs.p99_seconds, 3)
    return journal


def _members(server: ServerStatus, model: type[BaseModel]) -> dict[str, int]:
    return {name: getattr(server, name) for name in model.model_fields}


def _performance(db: Database, measured: RequestMeasurements | None, slow: list[SlowQuery]) -> Performance:
    routes = [] if measured is None else sorted(measured.routes.items(), key=lambda item: -item[1].latencies.seconds)
    return Performance(
        requests=None if measured is None else sum(each.latencies.count for _, each in routes),
        errors=None if measured is None else sum(each.errors for _, each in routes),
        latency_ms=_milliseconds(Latencies.sum_of(each.latencies for _, each in routes)),
        routes=[
            RoutePerformance(
                method=method,
                route=route,
                requests=each.latencies.count,
                errors=each.errors,
                latency_ms=_milliseconds(each.latencies),
            )
            for (method, route), each in routes
        ],
        slow_queries=[_slow_query(db, each) for each in slow],
    )


def _shown(db: Database, slow: SlowQuery) -> str:
    """Return a query as text, without its values."""
    return repr(Query(db.tables[slow.table]._source, slow.shape)).removeprefix("<Query ").removesuffix(">")


def _log_slow(db: Database, slow: SlowQuery, seconds: float) -> None:
    """Write a query that took long to the log."""
    fields = {"query": _shown(db, slow), "query_ms": round(1000 * seconds, 1), "plan": slow.plan}
    logger.warning("Slow query, %(query_ms).1f ms: %(query)s; %(plan)s", fields, extra={"fields": fields})


def _slow_query(db: Database, slow: SlowQuery) -> SlowQueryOut:
    query = _shown(db, slow)
    ms = round(1000 * slow.seconds / slow.count, 3)
    return SlowQueryOut(query=query, plan=slow.plan, ms=ms, count=slow.count, suggestion=slow.suggestion)


def _milliseconds(latencies: Latencies) -> LatencyMs:
    p50, p90, p99 = (latencies.percentile(share) for share in (0.5, 0.9, 0.99))
    return LatencyMs(
        **{
            name: None if value is None else round(1000 * value, 3)
            for name, value in (("p50", p50), ("p90", p90), ("p99", p99))
        }
    )


def _name_of(route: APIRoute) -> str:
    """Return the name of the route's function, by which generated clients call it."""
    return route.name
