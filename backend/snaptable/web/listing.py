"""The query string of a list, turned into a query: `?limit=&cursor=&sort=-upload_date,id&page__gte=2`.

What a stranger can ask is bounded: so few conditions and values that no query costs more than a few of its rows, and
always in the same order, so that few shapes of queries are prepared.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Generic, TypeVar

from fastapi import Request
from pydantic import JsonValue

from snaptable import InvalidCursor, Query, Row, asc, desc
from snaptable.contract import EVERYTHING
from snaptable.web.list_filters import MAX_CONDITIONS, Field, Filters, by_commas, parameter_of, readable
from snaptable.web.problems import FieldError, Problem, pointer_to

RowT = TypeVar("RowT", bound=Row)
T = TypeVar("T")

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
"""Rows of a page."""
PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of the rows of a page, which ends before, with a cursor, if they are large: what a client does not read stays
in memory."""
LISTS = frozenset({"sort", "fields", "expand"})
"""Parameters that hold several names: by commas, or, as clients that are generated do, by coming several times."""
_PAGING = ("limit", "cursor", "sort")

MANY_ROWS = 1_000
"""Rows from which on a sort is worth a thread."""
MOST_SHAPES = 512
"""Shapes of lists that are remembered."""
MANY_FILTERED_ROWS = 5_000
"""Rows from which on it is worth a thread to look at them one by one."""


@dataclass(slots=True)
class Listing(Generic[RowT]):
    """A page of a list as a request asked for it, checked; never changed (`frozen` would double the cost of one)."""

    conditions: tuple[bool, ...]
    """Conditions for `Query.where`: one for each filter."""
    order: tuple[object, ...]
    """Orderings for `Query.order_by`."""
    limit: int
    cursor: str | None
    equals: dict[str, tuple[object, ...]]
    """The values a field was asked to equal, by `field=` or `field__in=`; a whole day is none."""
    has_sort: bool = False
    """Whether the request asked for an order of its own."""
    others: dict[str, str] = dataclasses.field(default_factory=dict)
    """The texts of the other parameters that were sent."""
    _asked: tuple[Query[RowT], Query[RowT]] | None = dataclasses.field(default=None, compare=False, repr=False)
    _in_order: set[object] = dataclasses.field(default_factory=set, compare=False, repr=False)
    """Shapes of queries whose rows an index has in order, and no others: whatever their values, they take no time."""

    def is_slow(self, query: Query[RowT]) -> bool:
        """Return whether the page takes a sort of many rows, or a look at very many: about a millisecond. O(log n).

        `await asyncio.to_thread(listing.page_json, query)` keeps no other request waiting.
        """
        if not (self.has_sort or self.conditions):
            return False
        return self.takes_long(query)

    def takes_long(self, query: Query[RowT]) -> bool:
        """Return whether the page of any list takes as much, though nothing was chosen; O(log n).

        O(1) of a small table, and by an index that has the order.
        """
        asked = self._of(query)
        select = asked._select
        shape = None if select.keep is not None else (query._source.schema.name, select.where, select.order)
        if shape in self._in_order or query._source.engine.count(EVERYTHING) <= MANY_ROWS:
            return False  # O(1), where a plan takes 10 µs
        plan = asked.explain()
        if shape is not None and not plan.sorts and plan.filters == 0:
            if len(self._in_order) >= MOST_SHAPES:
                self._in_order.clear()
            self._in_order.add(shape)
        return (plan.sorts and plan.rows > MANY_ROWS) or (plan.filters > 0 and plan.rows > MANY_FILTERED_ROWS)

    def page_json(self, query: Query[RowT], max_bytes: int = PAGE_BYTES) -> tuple[bytes, str | None]:
        """Return the page of `query` that was asked for, as `Query.page_json`; it ends at `max_bytes`.

        Raises:
            Problem: 422, the cursor is damaged or was given out for another list.
        """
        asked = self._of(query)
        try:
            return asked.page_json(limit=self.limit, after=self.cursor, max_bytes=max_bytes)
        except InvalidCursor:
            raise _other_list() from None

    def page(self, query: Query[RowT], limit: int | None = None) -> tuple[list[RowT], str | None]:
        """Return the rows of the page of `query` that was asked for, and the next cursor, as `page_json`.

        Args:
            query: the list.
            limit: most rows; None for as many as were asked for.
        """
        asked = self._of(query)
        try:
            page = asked.page(limit=self.limit if limit is None else limit, after=self.cursor)
        except InvalidCursor:
            raise _other_list() from None
        return page.items, page.next_cursor

    def _of(self, query: Query[RowT]) -> Query[RowT]:
        """Return the list's query narrowed and sorted; made once, though it is explained before it is asked."""
        if self._asked is None or self._asked[0] is not query:
            narrowed = query.where(*self.conditions) if self.conditions else query
            self._asked = query, narrowed.order_by(*self.order)
        return self._asked[1]


class ListParams(Generic[RowT]):
    """The list parameters of one row model.

    Pass `openapi` to the route's `openapi_extra`, and call `read` in the endpoint: FastAPI would parse and validate
    each of some fifty possible parameters at every request, here only those that were sent are.
    """

    def __init__(
        self,
        model: type[RowT],
        fields: Sequence[str],
        sort: str,
        zone: tzinfo | None = UTC,
        *,
        sorts: Sequence[str] | None = None,
        max_limit: int = MAX_LIMIT,
        others: Sequence[str] = (),
        ignore_case: bool = False,
    ) -> None:
        """Prepare a parser for each field.

        Args:
            model: the rows of the list.
            fields: names of the fields that may be filtered by.
            sort: the order of a request without `sort`, written as there.
            zone: the zone of times without an offset; None to leave them naive.
            sorts: names of the fields that may be sorted by; None for those of `fields`.
            max_limit: most rows of a page.
            others: names of parameters that are left to the caller; each at most once, and not empty.
            ignore_case: whether `__contains` ignores case.
        """
        self.fields = {name: Field(model, name, zone, ignore_case=ignore_case) for name in fields}
        self.sorts = {name: readable(model, name) for name in (fields if sorts is None else sorts)}
        self.sort, self.max_limit = sort, max_limit
        self._named = (*_PAGING, *others)
        self._default_order = self._order(sort)
        self._in_order: set[object] = set()

    def read(self, request: Request) -> Listing[RowT]:
        """Return what the query string asks for.

        Raises:
            Problem: 422, naming every parameter that is wrong.
        """
        if request.scope["query_string"].count(b"&") >= MAX_CONDITIONS + len(self._named):
            raise Problem.invalid(FieldError("", f"A list takes at most {MAX_CONDITIONS} filters.", "query"))
        errors: list[FieldError] = []
        filters = Filters(self.fields)
        paging = dict.fromkeys(self._named, "")
        texts: dict[str, str] = {}
        for name, text in request.query_params.multi_items():
            try:
                if name in paging:
                    paging[name] = _only_value("" if name in LISTS else paging[name], text)
                    if name in LISTS and texts.setdefault(name, text) is not text:
                        paging[name] = texts[name] = f"{texts[name]},{text}"
                else:
                    filters.add(name, text)
            except ValueError as error:
                errors.append(_query_error(name, error))
        limit, order = min(DEFAULT_LIMIT, self.max_limit), self._default_order
        if paging["limit"]:
            limit = _parsed("limit", paging["limit"], self._limit, errors) or limit
        if paging["sort"]:
            order = _parsed("sort", paging["sort"], self._order, errors) or order
        if filters.count > MAX_CONDITIONS:
            errors.append(FieldError("", f"A list takes at most {MAX_CONDITIONS} filters.", "query"))
        if errors:
            raise Problem.invalid(*errors)
        cursor = paging["cursor"] or None
        has_sort = bool(paging["sort"])
        return Listing(
            filters.conditions(), order, limit, cursor, filters.equals, has_sort, paging, None, self._in_order
        )

    @property
    def openapi(self) -> dict[str, JsonValue]:
        """Return the parameters as OpenAPI describes them."""
        most = self.max_limit
        limit: dict[str, JsonValue] = {"type": "integer", "minimum": 1, "maximum": most}
        limit["default"] = min(DEFAULT_LIMIT, most)
        ways: list[JsonValue] = [*self.sorts, *(f"-{name}" for name in self.sorts)]
        default: list[JsonValue] = [*self.sort.split(",")]
        items: dict[str, JsonValue] = {"type": "string", "enum": ways}
        sort: dict[str, JsonValue] = {"type": "array", "items": items, "minItems": 1, "default": default}
        parameters: list[JsonValue] = [
            parameter_of("limit", limit, "How many rows a page holds at most."),
            parameter_of("cursor", {"type": "string", "minLength": 1}, "The `next_cursor` of the page before."),
            by_commas(parameter_of("sort", sort, "Fields to sort by; `-` before one means descending.")),
        ]
        for field in self.fields.values():
            parameters.extend(field.parameters())
        return {"parameters": parameters}

    def _order(self, text: str) -> tuple[object, ...]:
        """Return the ordering of each name; of names that are repeated, the first counts."""
        orders: dict[str, object] = {}
        if text.count(",") >= MAX_CONDITIONS:
            raise ValueError(f"A list is sorted by at most {MAX_CONDITIONS} fields.")
        for part in text.split(","):
            name = part.removeprefix("-")
            if name not in self.sorts:
                raise ValueError("There is no such field to sort by.")
            orders.setdefault(name, (desc if part.startswith("-") else asc)(self.sorts[name]))
        return tuple(orders.values())

    def _limit(self, text: str) -> int:
        """Return the limit: digits, from 1 to the most."""
        limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 1 <= limit <= self.max_limit:
            raise ValueError(f"This must be a whole number from 1 to {self.max_limit}.")
        return limit


def _other_list() -> Problem:
    """Return the 422 of a cursor that doesn't fit."""
    return Problem.invalid(FieldError("/cursor", "This cursor is damaged or belongs to another list.", "query"))


def _only_value(previous: str, text: str) -> str:
    """Return the text; a parameter that comes twice or empty is refused, as it does not tell what was meant."""
    if previous:
        raise ValueError("This parameter is given twice.")
    if not text:
        raise ValueError("This parameter is empty.")
    return text


def _parsed(name: str, text: str, parse: Callable[[str], T], errors: list[FieldError]) -> T | None:
    """Return the value of a parameter; None if it is wrong, which is added to the errors."""
    try:
        return parse(text)
    except ValueError as error:
        errors.append(_query_error(name, error))
        return None


def _query_error(name: str, error: ValueError) -> FieldError:
    """Return the error of a query parameter."""
    return FieldError(pointer_to(name), str(error), "query")
