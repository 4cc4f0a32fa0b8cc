"""What an operator asks of a running application: health, latencies, slow queries and the indexes they want, metrics.

app.add_middleware(RequestMeter, db=db)
app.include_router(monitoring_router(db, token="…"))

latencies   durations in buckets, and their percentiles
requests    `RequestMeter`: how many requests, how many errors, how long, by route
queries     the queries that took long, with their plans
advice      the `Index(…)` that a query wants
metrics     all of it, and the store's state, for Prometheus
router      `monitoring_router`
"""

from snaptable.web.monitoring.requests import RequestMeter
from snaptable.web.monitoring.router import monitoring_router

__all__ = ["RequestMeter", "monitoring_router"]
