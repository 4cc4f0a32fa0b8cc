"""Queries that took long, by their shape: how often, how long, by which plan, and what would help."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from snaptable.contract import Plan, Select
from snaptable.errors import SnaptableError
from snaptable.schema.tables import TableSchema
from snaptable.web.monitoring.advice import index_to_write

MOST_QUERIES = 100
"""Shapes that are remembered; beyond that the one that took the least in all gives way to a new one."""
LOG_PAUSE = 60.0
"""Seconds between two lines in the log for queries of one shape."""


@dataclass
class SlowQuery:
    """The queries of one shape that took long.

    Attributes:
        table: the table.
        shape: conditions without their values, and the order.
        plan: how the first of them was answered.
        suggestion: the `Index(…)` to write; None if none would help.
        count: how many there were.
        seconds: what they took in all.
        log_again_at: when the next one may be written to the log.
    """

    table: str
    shape: Select
    plan: str
    suggestion: str | None
    count: int = 0
    seconds: float = 0.0
    log_again_at: float = 0.0


@dataclass
class SlowQueries:
    """The queries of a database that took long: what its engine tells of them; from any thread.

    Attributes:
        schemas: of its tables.
        slow_seconds: how long a query takes at least to be remembered.
        log_seconds: how long until `log` is called with one and its seconds, once a minute for each shape; None: never.
        log: writes it to the log.
    """

    schemas: Mapping[str, TableSchema]
    slow_seconds: float
    log_seconds: float | None = None
    log: Callable[[SlowQuery, float], None] | None = None
    _known: dict[object, SlowQuery] = field(default_factory=dict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def slow(self, table: str, wanted: Select, seconds: float, explain: Callable[[], Plan]) -> None:
        """Take note of a query; O(1), and explaining it if its shape is new."""
        shape = (table, wanted.where, wanted.order, wanted.limit is None)
        known = self._known.get(shape)
        if known is None:
            try:
                known = self._new(table, wanted, explain())
            except SnaptableError:
                return  # the database was closed meanwhile
        with self._mutex:
            known = self._known.setdefault(shape, known)
            known.count += 1
            known.seconds += seconds
            is_logged = self._is_logged(known, seconds)
            if len(self._known) > MOST_QUERIES:
                others = (each for each in self._known if each != shape)
                del self._known[min(others, key=lambda each: self._known[each].seconds)]

        if is_logged and self.log is not None:
            self.log(known, seconds)

    def _is_logged(self, query: SlowQuery, seconds: float) -> bool:
        if self.log_seconds is None or seconds < self.log_seconds or monotonic() < query.log_again_at:
            return False
        query.log_again_at = monotonic() + LOG_PAUSE
        return True

    def _new(self, table: str, wanted: Select, plan: Plan) -> SlowQuery:
        shape = Select(where=wanted.where, order=wanted.order)  # without values: they may be secrets
        return SlowQuery(table, shape, str(plan), index_to_write(self.schemas[table], wanted, plan))

    def worst(self) -> list[SlowQuery]:
        """Return what is remembered, what took the most in all first."""
        with self._mutex:
            return sorted(self._known.values(), key=lambda each: -each.seconds)

    @property
    def count(self) -> int:
        """How many queries of the shapes that are remembered took long."""
        return sum(each.count for each in self.worst())
