"""Monitoring: strangers see the status only, latencies and errors by route, slow queries and the index to write."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import process_time
from timeit import timeit
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from snaptable import Count, Database, Index, Row, Secret, Table, contains, desc, inserted, one_of, starts_with, table
from snaptable.contract import Plan, Select
from snaptable.web import Problem, RequestMeter, install_problems, monitoring_router
from snaptable.web.monitoring.latencies import Latencies
from snaptable.web.monitoring.requests import MOST_ROUTES, RequestMeasurements

TOKEN = {"Authorization": "Bearer monitor-1"}
PATHS = ("/api/monitoring/database/health", "/api/monitoring/performance", "/metrics")


class Task(Row):
    """A row with something to ask for."""

    id: str
    owner: str = ""
    pages: int = 0
    tags: tuple[str, ...] = ()
    pin: Annotated[str, Secret()] = ""
    kind: Annotated[str, Index()] = "a"


class Tasks(Database):
    """The database."""

    tasks: Table[Task] = table(Index("kind", "pages", ordered=True))


@contextmanager
def monitored(url: str = "memory:", **options: Any) -> Iterator[tuple[TestClient, Tasks]]:
    """Give a client of an application with monitoring, and its database."""
    with Tasks(url, banner=False, fsync=False) as db:
        app = FastAPI()
        install_problems(app)
        app.add_middleware(RequestMeter, db=db)
        app.include_router(monitoring_router(db, **{"token": "monitor-1", **options}))
        others = APIRouter(prefix="/tasks")

        @others.get("/{key}")
        def get_task(key: str) -> str:
            if key == "bug":
                raise ZeroDivisionError
            if key == "missing":
                raise Problem(404)
            return key

        app.include_router(others, prefix="/api")
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client, db


def test_strangers_see_the_status_only(tmp_path: Any) -> None:
    """Ensure that neither numbers nor routes are told without the token, whatever is sent in its place."""
    with monitored(str(tmp_path / "data")) as (client, db):
        db.tasks.insert(Task(id="a"))
        for sent in (None, "Bearer wrong", "Basic monitor-1", "Bearer", ""):
            headers = {} if sent is None else {"Authorization": sent}
            assert client.get("/health", headers=headers).json() == {"status": "ok"}
            assert client.get(PATHS[0], headers=headers).json() == {"status": "ok"}
            for path in PATHS[1:]:
                response = client.get(path, headers=headers)
                assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert client.get("/health", headers=TOKEN).json()["rows"] == {"tasks": 1}
        health = client.get(PATHS[0], headers=TOKEN).json()
        assert list(health) == [
            "status", "engine", "sequence", "writable", "reason", "snapshot", "journal", "history", "pool", "replica",
            "circuit",
        ]  # fmt: skip
        assert (health["status"], health["sequence"], health["writable"]) == ("ok", 1, True)
        journal, syncs = health["journal"], db.status().syncs
        assert syncs is not None
        assert journal["bytes"] > 0
        assert datetime.fromisoformat(journal["last_sync_at"]) == syncs.last_at == next(iter(db.history)).at
        assert journal["sync_p99_ms"] == round(1000 * syncs.p99_seconds, 3)
        assert f"snaptable_sync_p99_seconds {syncs.p99_seconds}" in client.get("/metrics", headers=TOKEN).text
        assert health["history"]["first"] == 0
        assert health["pool"] is health["replica"] is health["circuit"] is None


def test_without_token_and_dependency_nobody_sees_more() -> None:
    """Ensure that details are closed by default, and opened by a dependency."""
    with monitored(token=None) as (client, _):
        assert [client.get(path, headers={"Authorization": "Bearer "}).status_code for path in PATHS] == [200, 401, 401]
    with monitored(token=None, details=lambda: True) as (client, _):
        assert [client.get(path).status_code for path in PATHS] == [200, 200, 200]
        health = client.get(PATHS[0]).json()
        assert health["snapshot"] is health["journal"] is None


def test_requests_are_counted_by_route(tmp_path: Any) -> None:
    """Ensure counts, errors and latencies by route as it was written, and that odd addresses make no new ones."""
    with monitored() as (client, _):
        for key in ("a", "b", "missing", "bug"):
            client.get(f"/api/tasks/{key}")
        for number in range(5):
            client.get(f"/nowhere/{number}")
        client.request("BREW", "/coffee")
        body = client.get(PATHS[1], headers=TOKEN).json()
        routes = {(each["method"], each["route"]): each for each in body["routes"]}
        assert set(routes) == {("GET", "/api/tasks/{key}"), ("GET", "(no route)"), ("*", "(no route)")}
        tasks = routes["GET", "/api/tasks/{key}"]
        assert (tasks["requests"], tasks["errors"]) == (4, 1)
        assert 0 < tasks["latency_ms"]["p50"] <= tasks["latency_ms"]["p90"] <= tasks["latency_ms"]["p99"]
        assert (body["requests"], body["errors"]) == (10, 1)


def test_routes_are_bounded() -> None:
    """Ensure that an application which makes routes without end doesn't take memory without end."""
    measurements = RequestMeasurements()
    for number in range(MOST_ROUTES * 3):
        measurements.add("GET", f"/{number}", 200, 0.001)
    assert len(measurements.routes) == MOST_ROUTES + 1
    assert sum(each.latencies.count for each in measurements.routes.values()) == MOST_ROUTES * 3


@given(st.lists(st.floats(0, 90), min_size=1, max_size=200), st.floats(0.01, 1))
def test_percentiles_are_right_to_within_a_tenth(durations: list[float], share: float) -> None:
    """Ensure that the percentile of buckets is that of a sorted list, a bucket further at most."""
    latencies = Latencies()
    for seconds in durations:
        latencies.add(seconds)
    found = latencies.percentile(share)
    rank = next(number for number in range(1, len(durations) + 1) if share * len(durations) <= number)
    exact = sorted(durations)[rank - 1]
    assert found is not None
    assert max(exact, 0.0001) * 0.999 <= found <= max(exact, 0.0001) * 1.1
    assert [count for _, count in latencies.cumulative()] == [
        sum(seconds < bound for seconds in durations) for bound, _ in latencies.cumulative()
    ]


OWNER_AND_PAGES = 'Index("owner", "pages", ordered=True)'
QUERIES: list[tuple[Callable[[Tasks], object], str | None]] = [
    (lambda db: db.tasks.where(Task.owner == "x").all(), 'Index("owner")'),
    (lambda db: db.tasks.where(Task.owner == "x").count(), 'Index("owner")'),
    (lambda db: db.tasks.where(Task.owner == "x").aggregate(n=Count()), 'Index("owner")'),
    (lambda db: db.tasks.where(Task.owner == "x", Task.pages > 3).all(), OWNER_AND_PAGES),
    (lambda db: db.tasks.where(Task.owner == "x").order_by(desc(Task.pages)).all(), OWNER_AND_PAGES),
    (lambda db: db.tasks.where(Task.owner == "x").order_by(Task.pages).page(), OWNER_AND_PAGES),
    (lambda db: db.tasks.where().order_by(Task.pages, Task.id).limit(3).all(), 'Index("pages", ordered=True)'),
    (lambda db: db.tasks.where(starts_with(Task.owner, "x")).all(), 'Index("owner", ordered=True)'),
    (lambda db: db.tasks.where(one_of(Task.owner, ["x", "y"])).all(), 'Index("owner")'),
    (lambda db: db.tasks.where(contains(Task.tags, "x")).all(), 'Index("tags", each=True)'),
    (lambda db: db.tasks.where(Task.kind == "x", Task.owner == "y").all(), 'Index("kind", "owner")'),
    (lambda db: db.tasks.where(Task.kind == "x").order_by(Task.pages).all(), None),
    (lambda db: db.tasks.where(contains(Task.owner, "x")).all(), None),
    (lambda db: db.tasks.order_by(Task.pages, desc(Task.owner)).all(), None),
    (lambda db: db.tasks.where().order_by(desc(inserted())).all(), None),
    (lambda db: db.tasks.where(id="x").all(), None),
    (lambda db: db.tasks.where(Task.owner != "x").all(), None),
]


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_slow_query_is_listed_with_the_index_to_write(number: int) -> None:
    """Ensure its plan and count, no value, and that with the index it suggests the query is answered by that."""
    ask, suggestion = QUERIES[number]
    with monitored(slow_seconds=0) as (client, db):
        db.tasks.insert_many(Task(id=str(each), owner=f"o{each % 10}") for each in range(100))
        assert client.get(PATHS[1], headers=TOKEN).json()["slow_queries"] == []
        for _ in range(3):
            ask(db)
        (listed,) = client.get(PATHS[1], headers=TOKEN).json()["slow_queries"]
    assert list(listed) == ["query", "plan", "ms", "count", "suggestion"]
    assert (listed["count"], listed["suggestion"]) == (3, suggestion)
    assert listed["query"].startswith("tasks: ")
    assert "'x'" not in str(listed)
    if suggestion is not None:
        plan = plan_with(eval(suggestion), ask)
        assert plan.index in {*re.findall(r'"(\w+)"', suggestion), suggested_name(suggestion)}
        assert not plan.sorts


def suggested_name(suggestion: str) -> str:
    """Return the name that an index is given."""
    return ",".join(re.findall(r'"(\w+)"', suggestion))


class Plans:
    """An observer that keeps plans."""

    slow_seconds = 0.0

    def __init__(self) -> None:
        self.plans: list[Plan] = []

    def slow(self, table: str, wanted: Select, seconds: float, explain: Callable[[], Plan]) -> None:
        self.plans.append(explain())


def plan_with(index: Index, ask: Callable[[Any], object]) -> Plan:
    """Return how a query is answered with an index more."""

    class Better(Database):
        tasks: Table[Task] = table(index)

    with Better("memory:") as better:
        better.tasks.insert_many(Task(id=str(each), owner=f"o{each % 10}") for each in range(100))
        observer = Plans()
        better._observe_queries(observer)
        ask(better)
        return observer.plans[0]


def test_slow_queries_are_bounded_and_outlive_a_reopening() -> None:
    """Ensure that shapes without end are not remembered without end, and that a database opened again is measured."""
    with monitored(slow_seconds=0) as (client, db):
        for number in range(300):
            db.tasks.where(one_of(Task.owner, ["a"]), *[Task.pages != each for each in range(number)]).all()
        assert len(client.get(PATHS[1], headers=TOKEN).json()["slow_queries"]) == 100
        db.close()
        db.open()
        db.tasks.where(Task.pin == "s3cret").all()
        text = client.get(PATHS[1], headers=TOKEN).text
        assert "pin" in text
        assert "s3cret" not in text


def test_a_slow_query_is_logged_once_a_minute_without_its_values(caplog: pytest.LogCaptureFixture) -> None:
    """Ensure one line for each shape, with its plan, however often it comes; and none below the threshold."""
    with monitored(slow_seconds=0, log_slow_seconds=0) as (_, db):
        for number in range(20):
            db.tasks.where(Task.pin == f"s3cret{number}").all()
            db.tasks.where(Task.owner == f"s3cret{number}").count()
    lines = [record for record in caplog.records if record.name == "snaptable.web.queries"]
    assert len(lines) == 2
    assert all("scan of tasks" in line.getMessage() and "s3cret" not in line.getMessage() for line in lines)
    assert list(lines[0].__dict__["fields"]) == ["query", "query_ms", "plan"]
    caplog.clear()
    with monitored(slow_seconds=0, log_slow_seconds=60) as (_, db):
        db.tasks.where(Task.pin == "x").all()
    assert not caplog.records


def test_queries_cost_nothing_while_nothing_measures_them() -> None:
    """Ensure that the class's own methods answer, and are back when the observer goes."""
    with Tasks("memory:") as db:
        engine = db._opened().tables["tasks"]
        assert not {"_select", "count", "aggregate"} & set(vars(engine))
        db._observe_queries(Plans())
        assert {"_select", "count", "aggregate"} <= set(vars(engine))
        db._observe_queries(None)
        assert not {"_select", "count", "aggregate"} & set(vars(engine))
        assert timeit(lambda: db.tasks.where(Task.owner == "x").count(), timer=process_time, number=10) < 1


def test_prometheus_reads_the_metrics(tmp_path: Any) -> None:
    """Ensure that its own parser finds what there is, whatever the routes are called."""
    with monitored(str(tmp_path / "data")) as (client, db):
        db.tasks.insert(Task(id="a"))
        client.get("/api/tasks/a")
        client.get("/api/tasks/bug")
        response = client.get("/metrics", headers=TOKEN)
        assert response.headers["content-type"].startswith("text/plain; version=")
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(response.text)
            for sample in family.samples
        }
    place = (("method", "GET"), ("route", "/api/tasks/{key}"))
    assert samples["snaptable_sequence",] == 1
    assert samples["snaptable_writable",] == 1
    assert samples["snaptable_rows", ("table", "tasks")] == 1
    assert samples["snaptable_http_requests_total", *place, ("status", "500")] == 1
    assert samples["snaptable_http_request_seconds_count", *place] == 2
    assert samples["snaptable_http_request_seconds_bucket", ("le", "+Inf"), *place] == 2
    assert samples["snaptable_history_bytes",] > 0


def test_prometheus_is_imported_when_it_is_asked() -> None:
    """Ensure that an application that nobody scrapes doesn't pay for it: imported by a route alone."""
    import subprocess

    code = "import sys, snaptable.web; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
