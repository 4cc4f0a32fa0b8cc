"""Query: what users ask of a table. Immutable and lazy; nothing is evaluated here."""

from collections.abc import Iterator
from typing import Any, Generic, Protocol

from snaptable.conditions import Order, PredicateTemplates
from snaptable.contract import M, Page, Plan, Select, TableEngine
from snaptable.errors import InvalidQuery, MultipleRows, RowNotFound


class Source(Protocol[M]):
    """The table that a query asks."""

    name: str

    @property
    def engine(self) -> TableEngine[M]:
        """The open engine's side of the table."""

    def resolve(
        self, conditions: tuple[object, ...], equals: dict[str, Any]
    ) -> tuple[PredicateTemplates, tuple[Any, ...]]:
        """Return conditions and keyword equalities as forms on the table's columns, checked, and their values."""

    def orders(self, keys: tuple[object, ...]) -> tuple[Order, ...]:
        """Return columns and orderings as orderings by the table's columns, checked."""


def _natural(name: str, value: int) -> int:
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidQuery(f"{name} takes an int, not a {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name} can't be negative: {value}")
    return value


class Query(Generic[M]):
    """Ask a table for rows. Immutable: each method that narrows it returns a new one; nothing runs until asked for.

    Without `order_by` the order is not promised. With it, ties are broken by the primary key, in the last direction.
    """

    __slots__ = ("_source", "_wanted")

    def __init__(self, source: Source[M], wanted: Select) -> None:
        self._source = source
        self._wanted = wanted

    def where(self, /, *conditions: bool | int, **equals: Any) -> "Query[M]":
        """Return the query narrowed to rows for which all the conditions hold as well."""
        forms, values = self._source.resolve(conditions, equals)
        asked = self._wanted
        return Query(
            self._source,
            Select(asked.where + forms, asked.values + values, asked.order, asked.limit, asked.offset),
        )

    def order_by(self, /, *keys: object) -> "Query[M]":
        """Return the query sorted by columns, `desc(column)` for the other direction; further keys break ties."""
        asked = self._wanted
        order = asked.order + self._source.orders(keys)
        return Query(self._source, Select(asked.where, asked.values, order, asked.limit, asked.offset))

    def limit(self, count: int, /) -> "Query[M]":
        """Return the query cut to at most `count` rows."""
        asked = self._wanted
        limit = _natural("limit", count)
        return Query(self._source, Select(asked.where, asked.values, asked.order, limit, asked.offset))

    def offset(self, count: int, /) -> "Query[M]":
        """Return the query without its first `count` rows; `page` is the cheaper way through many."""
        asked = self._wanted
        offset = _natural("offset", count)
        return Query(self._source, Select(asked.where, asked.values, asked.order, asked.limit, offset))

    def all(self) -> list[M]:
        """Return every row, as of one state of the database."""
        return self._source.engine.select(self._wanted)

    def __iter__(self) -> Iterator[M]:
        """Iterate over `all()`: later writes don't disturb it."""
        return iter(self.all())

    def first(self) -> M | None:
        """Return the first row, or None."""
        rows = self._source.engine.select(self._at_most(1))
        return rows[0] if rows else None

    def _at_most(self, count: int) -> Select:
        asked = self._wanted
        limit = count if asked.limit is None else min(count, asked.limit)
        return Select(asked.where, asked.values, asked.order, limit, asked.offset)

    def one(self) -> M:
        """Return the only row.

        Raises:
            RowNotFound: there is none.
            MultipleRows: there are several.
        """
        rows: list[M] = self._source.engine.select(self._at_most(2))
        if not rows:
            raise RowNotFound(f"no row of {self._source.name} matches")
        if len(rows) > 1:
            raise MultipleRows(f"more than one row of {self._source.name} matches; use first() or all()")
        return rows[0]

    def count(self) -> int:
        """Return how many rows `all()` would give."""
        return self._source.engine.count(self._wanted)

    def exists(self) -> bool:
        """Return whether there is any row."""
        return self.first() is not None

    def page(self, *, limit: int = 50, after: str | None = None) -> Page[M]:
        """Return up to `limit` rows after a cursor, and the cursor of the next page.

        The order is the query's, then the primary key: rows added or removed meanwhile neither repeat nor hide others.

        Raises:
            InvalidCursor: `after` is damaged, or comes from another query.
        """
        self._check_pages(limit)
        return self._source.engine.page(self._wanted, limit, after)

    def page_json(self, *, limit: int = 50, after: str | None = None) -> tuple[bytes, str | None]:
        """Return the rows of `page` as a JSON array, and the next cursor: what an API sends, without a copy of a row.

        Raises:
            InvalidCursor: `after` is damaged, or comes from another query.
        """
        self._check_pages(limit)
        return self._source.engine.page_json(self._wanted, limit, after)

    def _check_pages(self, limit: int) -> None:
        if self._wanted.offset or self._wanted.limit is not None:
            raise InvalidQuery("page() takes its own limit and a cursor; leave limit() and offset() out")
        if _natural("limit", limit) == 0:
            raise ValueError("a page holds at least one row: limit can't be 0")

    def explain(self) -> Plan:
        """Return how the query would be answered: the index, and the rows it expects to look at."""
        return self._source.engine.explain(self._wanted)

    def update(self, /, **changes: Any) -> int:
        """Update every row of the query in one transaction, each validated whole; return how many there were."""
        return self._source.engine.update_rows(self._wanted, changes)

    def delete(self) -> int:
        """Delete every row of the query in one transaction, cascades included; return how many of them there were."""
        return self._source.engine.delete_rows(self._wanted)
