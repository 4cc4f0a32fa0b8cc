"""What Prometheus reads: the store's state, requests by route, slow queries; written by prometheus-client."""

from collections.abc import Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from snaptable import Database
from snaptable.contract import ServerStatus, Status
from snaptable.web.monitoring.queries import SlowQueries
from snaptable.web.monitoring.requests import RequestMeasurements, request_measurements

__all__ = ["CONTENT_TYPE_LATEST", "metrics_text"]


def metrics_text(db: Database, status: Status | None, queries: SlowQueries, measures: Mapping[str, float]) -> bytes:
    """Return all metrics in Prometheus' text format; O(tables + routes).

    Args:
        db: the database.
        status: how it is doing; None if its server doesn't answer.
        queries: the slow ones.
        measures: figures of the application, by name: counters end in `_total`.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(db, status, queries, measures))
    return generate_latest(registry)


class _Metrics(Collector):
    """The metrics of a database and of the application that serves it."""

    def __init__(
        self, db: Database, status: Status | None, queries: SlowQueries, measures: Mapping[str, float]
    ) -> None:
        self._db, self._status, self._queries, self._measures = db, status, queries, measures

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is shows when it is collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        answers = float(self._status is not None)
        yield GaugeMetricFamily("snaptable_reachable", "1 while the store can be read.", answers)
        if self._status is not None:
            yield from _of_store(self._status)
        measurements = request_measurements(self._db)
        process = None if measurements is None else measurements.process
        names, values = ([], []) if process is None else (["process"], [process])
        if self._status is not None and self._status.server is not None:
            yield from _of_server(self._status.server, names, values)
        for name, value in self._measures.items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            measure = family(name.removesuffix("_total"), "Of the application.", labels=names)
            measure.add_metric(values, value)
            yield measure
        slow = CounterMetricFamily("snaptable_slow_queries", "Queries that took long.", labels=names)
        slow.add_metric(values, self._queries.count)
        yield slow
        if measurements is not None:
            yield from _of_requests(measurements)


def _of_store(status: Status) -> Iterator[Metric]:
    yield GaugeMetricFamily("snaptable_writable", "1 while writes are accepted.", float(status.writable))
    yield GaugeMetricFamily("snaptable_sequence", "The last durable commit.", status.sequence)
    rows = GaugeMetricFamily("snaptable_rows", "Rows by table.", labels=["table"])
    for table, count in status.rows.items():
        rows.add_metric([table], count)
    yield rows
    failed = float(status.snapshot_error is not None)
    yield GaugeMetricFamily("snaptable_snapshot_failed", "1 while the last snapshot could not be saved.", failed)
    if status.snapshot_sequence is not None:
        yield GaugeMetricFamily("snaptable_snapshot_sequence", "The last commit in it.", status.snapshot_sequence)
    if status.snapshot_bytes is not None:
        yield GaugeMetricFamily("snaptable_snapshot_bytes", "Size of the snapshot.", status.snapshot_bytes)
    if status.snapshot_saved_at is not None:
        at = status.snapshot_saved_at.timestamp()
        yield GaugeMetricFamily("snaptable_snapshot_timestamp_seconds", "When it was saved.", at)
    if status.syncs is not None:
        at, p99 = status.syncs.last_at.timestamp(), status.syncs.p99_seconds
        yield GaugeMetricFamily("snaptable_sync_timestamp_seconds", "When the journal was synced last.", at)
        yield GaugeMetricFamily("snaptable_sync_p99_seconds", "What 99 of 100 of the last commits took to sync.", p99)
    if status.history is not None:
        yield GaugeMetricFamily("snaptable_history_bytes", "What the past takes.", status.history.bytes)
        yield GaugeMetricFamily("snaptable_history_first", "The earliest moment kept.", status.history.first)


def _of_server(server: ServerStatus, names: list[str], values: list[str]) -> Iterator[Metric]:
    open_ = GaugeMetricFamily("snaptable_pool_connections", "Open connections.", labels=[*names, "state"])
    open_.add_metric([*values, "idle"], server.idle)
    open_.add_metric([*values, "used"], server.connections - server.idle)
    yield open_
    waiting = GaugeMetricFamily("snaptable_pool_waiting", "Calls that wait for a connection.", labels=names)
    waiting.add_metric(values, server.waiting)
    yield waiting
    if server.lag_seconds is not None:
        lag = GaugeMetricFamily("snaptable_replica_lag_seconds", "How far the standby is behind.", labels=names)
        lag.add_metric(values, server.lag_seconds)
        yield lag


def _of_requests(measurements: RequestMeasurements) -> Iterator[Metric]:
    process = [] if measurements.process is None else [measurements.process]
    names = ["method", "route", *(["process"] if process else [])]
    requests = CounterMetricFamily(
        "snaptable_http_requests", "Requests, by how they were answered.", labels=[*names, "status"]
    )
    seconds = HistogramMetricFamily("snaptable_http_request_seconds", "Time until the answer began.", labels=names)
    for (method, route), measured in measurements.routes.items():
        for status, count in measured.statuses.items():
            requests.add_metric([method, route, *process, str(status)], count)
        latencies = measured.latencies
        buckets = [(f"{bound:g}", float(count)) for bound, count in latencies.cumulative()]
        seconds.add_metric([method, route, *process], [*buckets, ("+Inf", float(latencies.count))], latencies.seconds)
    yield requests
    yield seconds
