"""The query string of a list, turned into a query: `?limit=&cursor=&sort=-upload_date,id&page__gte=2`.

What a stranger can ask is bounded: so many conditions and values that no query costs more than a few of its rows, and
always in the same order, so that few shapes of queries are prepared.
"""

import dataclasses
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import reduce
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from fastapi import Request
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from snaptable import InvalidCursor, Query, Row, asc, contains, desc, one_of, starts_with
from snaptable.contract import EVERYTHING
from snaptable.secrets import secret_fields
from snaptable.values import value_types
from snaptable.web.problems import FieldError, Problem, pointer_to

RowT = TypeVar("RowT", bound=Row)
T = TypeVar("T")

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
"""Rows of a page."""
PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of the rows of a page, which ends before, with a cursor, if they are large: what a client does not read stays
in memory."""
MAX_CONDITIONS = 50
"""Filters of one request."""
MAX_VALUES = 200
"""Values of one filter `__in`."""
LISTS = frozenset({"sort", "fields", "expand"})
"""Parameters that hold several names: by commas, or, as clients that are generated do, by coming several times."""
_PAGING = ("limit", "cursor", "sort")

_COMPARISONS: dict[str, Callable[..., bool]] = {
    "": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": one_of,
    "starts_with": starts_with,
    "contains": contains,
    "has": contains,
}
_DESCRIPTIONS = {
    "": "equal to.",
    "ne": "not equal to.",
    "gt": "greater than.",
    "gte": "greater than or equal to.",
    "lt": "less than.",
    "lte": "less than or equal to.",
    "in": f"one of these values, separated by commas; at most {MAX_VALUES}.",
    "isnull": "true for rows without a value, false for those with one.",
    "starts_with": "the text begins with this, case and all.",
    "contains": "the text contains this, case and all.",
    "has": "one of the items is this.",
}
MANY_ROWS = 1_000
"""Rows from which on a sort is worth a thread."""
MANY_FILTERED_ROWS = 5_000
"""Rows from which on it is worth a thread to look at them one by one."""
_NUMBER = re.compile(r"\s*[-+]?[0-9._]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LAST_MOMENT = time(23, 59, 59, 999_999, fold=1)
"""Of a day; where clocks are put back at midnight, the second one."""
_EQUALITIES = ("", "ne", "in", "isnull")
_ORDERS = ("gt", "gte", "lt", "lte")
_ORDERED_TYPES = (int, float, str, datetime, date, time, timedelta, Decimal)


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

    def is_slow(self, query: Query[RowT]) -> bool:
        """Return whether the page takes a sort of many rows, or a look at very many: about a millisecond. O(log n).

        `await asyncio.to_thread(listing.page_json, query)` keeps nobody waiting for it.
        """
        if not (self.has_sort or self.conditions):
            return False
        if query._source.engine.count(EVERYTHING) <= MANY_ROWS:
            return False  # O(1), where a plan takes 10 µs
        plan = self._of(query).explain()
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
        self.fields = {name: _Field(model, name, zone, ignore_case=ignore_case) for name in fields}
        self.sorts = {name: _readable(model, name) for name in (fields if sorts is None else sorts)}
        self.sort, self.max_limit = sort, max_limit
        self._named = (*_PAGING, *others)
        self._default_order = self._order(sort)

    def read(self, request: Request) -> Listing[RowT]:
        """Return what the query string asks for.

        Raises:
            Problem: 422, naming every parameter that is wrong.
        """
        if request.scope["query_string"].count(b"&") >= MAX_CONDITIONS + len(self._named):
            raise Problem.invalid(FieldError("", f"A list takes at most {MAX_CONDITIONS} filters.", "query"))
        errors: list[FieldError] = []
        filters = _Filters(self.fields)
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
        return Listing(filters.conditions(), order, limit, cursor, filters.equals, has_sort, paging)

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


class _Filters:
    """The filters of one request, as conditions."""

    def __init__(self, fields: dict[str, "_Field"]) -> None:
        """Begin without any; `fields` are those that may be asked for."""
        self._fields = fields
        self._conditions: dict[tuple[str, str], bool] = {}
        self.equals: dict[str, tuple[object, ...]] = {}
        """As in `Listing`."""
        self._among: dict[str, tuple[object, ...]] = {}
        """The values of the filters `__in`, by parameter: one that comes several times has those of all."""
        self._equal_to: dict[str, object] = {}
        """The value of the first equality of each field."""
        self.count = 0
        """How many there are; each day of several is one."""

    def conditions(self) -> tuple[bool, ...]:
        """Return them in one order, whatever the request's: queries are prepared by shape, and cursors fit theirs."""
        if len(self._conditions) < 2:
            return tuple(self._conditions.values())
        return tuple([self._conditions[key] for key in sorted(self._conditions)])

    def add(self, parameter: str, text: str) -> None:
        """Add one.

        Raises:
            ValueError: there is no such filter, or its value means nothing.
        """
        name, _, suffix = parameter.partition("__")
        field = self._fields.get(name)
        if field is None or suffix not in field.operators or parameter.endswith("__"):
            raise ValueError("There is no such parameter.")
        days = field.condition_of_days(suffix, text) if field.is_moment else None
        self.count += 1 if days is None else 1 + text.count(",")
        if suffix == "isnull":
            self._conditions[parameter, text] = field.is_null(text)
        elif days is not None:
            self._add_days(parameter, text, days)
        elif suffix == "in":
            self._add_values(parameter, field, field.parse_many(text))
        elif suffix:
            self._conditions[parameter, text] = field.compare(suffix, field.parse(text))
        else:
            self._add_equality(name, field.column, field.parse(text))

    def _add_values(self, parameter: str, field: "_Field", values: tuple[object, ...]) -> None:
        """Add that a field is one of some values, or of those that were given before.

        Raises:
            ValueError: they are more than `MAX_VALUES`.
        """
        self.equals[field.name] = self.equals.get(field.name, ()) + values
        values = self._among[parameter] = self._among.get(parameter, ()) + values
        if len(values) > MAX_VALUES:
            raise ValueError(f"This takes at most {MAX_VALUES} values.")
        self._conditions[parameter, ""] = one_of(field.column, values)

    def _add_days(self, parameter: str, text: str, days: bool) -> None:  # noqa: FBT001  # a condition
        """Add a condition of days; of a filter `__in` that comes several times, any of them may hold."""
        if parameter.endswith("__in"):
            text, earlier = "days", self._conditions.get((parameter, "days"))
            days = days if earlier is None else earlier | days
        self._conditions[parameter, text] = days

    def _add_equality(self, name: str, column: object, value: object) -> None:
        """Add that a field equals a value; however often it is asked, it is one condition."""
        self.equals[name] = (*self.equals.get(name, ()), value)
        if (name, "") not in self._conditions:
            self._conditions[name, ""] = _COMPARISONS[""](column, value)
            self._equal_to[name] = value
        elif self._equal_to[name] != value:
            self._conditions[name, ""] = one_of(column, ())  # nothing equals two values


class _Field:
    """A field that a list can be filtered by: its operators, and the parser of its values."""

    def __init__(self, model: type[Row], name: str, zone: tzinfo | None, *, ignore_case: bool = False) -> None:
        self.column = _readable(model, name)
        kind = _without_null(model.model_fields[name].annotation)
        item = value_types.element(kind)
        self.name = name
        self.operators = _operators(kind) if item is None else ("has", "isnull")
        kind = kind if item is None else item
        self._ignores_case = ignore_case
        self.is_moment = isinstance(kind, type) and issubclass(kind, datetime)
        """Whether its values are times with a date, so that a date alone means a day."""
        self._adapter = _adapter(kind)
        self._is_time = isinstance(kind, type) and issubclass(kind, (date, time, timedelta))
        self._zone = zone

    def compare(self, suffix: str, value: Any) -> bool:
        """Return the condition of a filter that compares with one value."""
        if suffix == "contains" and self._ignores_case:
            return contains(self.column, value, ignore_case=True)
        return _COMPARISONS[suffix](self.column, value)

    def is_null(self, text: str) -> bool:
        """Return the condition that the field is None, or that it isn't.

        Raises:
            ValueError: the text is neither true nor false.
        """
        if text not in ("true", "false"):
            raise ValueError("This must be true or false.")
        condition: bool = (self.column == None) if text == "true" else (self.column != None)  # noqa: E711  # a column
        return condition

    def condition_of_days(self, suffix: str, text: str) -> bool | None:
        """Return the condition of a filter by days, `2026-11-28`; None if the text names none.

        A day is all of its moments, from the first to the last in the zone of times without an offset: on it (equal),
        not on it, after it (greater), at its begin or later, before it, at its end or earlier.

        Raises:
            ValueError: there is no such day, or they are more than `MAX_CONDITIONS`.
        """
        parts = _values_of(text) if suffix == "in" else [text]
        if not any(map(_DAY.fullmatch, parts)):
            return None
        if len(parts) > MAX_CONDITIONS:
            raise ValueError(f"This takes at most {MAX_CONDITIONS} values if one of them is a day.")
        if suffix in ("", "ne", "in"):
            among: bool = reduce(operator.or_, map(self._at, parts))
            return ~among if suffix == "ne" else among  # type: ignore[return-value]  # a condition
        first, last = self._day(text)
        return _COMPARISONS[suffix](self.column, last if suffix in ("gt", "lte") else first)

    def _at(self, text: str) -> bool:
        """Return the condition that the field is on a day, or at a moment."""
        if not _DAY.fullmatch(text):
            return _COMPARISONS[""](self.column, self.parse(text))
        first, last = self._day(text)
        return (self.column >= first) & (self.column <= last)  # type: ignore[no-any-return]  # a condition

    def _day(self, text: str) -> tuple[datetime, datetime]:
        """Return the first and the last moment of a day."""
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise ValueError("There is no such day.") from None
        zone = self._zone
        return datetime.combine(day, time.min, tzinfo=zone), datetime.combine(day, _LAST_MOMENT, tzinfo=zone)

    def parse_many(self, text: str) -> tuple[object, ...]:
        """Return the values of a text that separates them by commas.

        Raises:
            ValueError: one is not of the field's type, or there are more than `MAX_VALUES`.
        """
        return tuple(map(self.parse, _values_of(text)))

    def parse(self, text: str) -> object:
        """Return the value of a text, of the field's type.

        Raises:
            ValueError: it is not one.
        """
        try:
            return self._parse(text)
        except ValueError:
            before, blank, after = text.rpartition(" ")
            if blank and self._is_value(f"{before}+{after}"):
                detail = "A `+` in an address means a blank: write `%2B` for it, as in 2026-11-28T10:00:00%2B01:00."
                raise ValueError(detail) from None
            raise

    def _is_value(self, text: str) -> bool:
        try:
            self._parse(text)
        except ValueError:
            return False
        return True

    def _parse(self, text: str) -> object:
        if self._is_time and _NUMBER.fullmatch(text):
            # Pydantic would take it for seconds since 1970; in an address it is a mistake.
            raise ValueError("This is a number, not a time in ISO 8601.")
        try:
            value = self._adapter.validate_strings(text)
        except ValidationError as error:
            raise ValueError(error.errors(include_input=False, include_url=False)[0]["msg"]) from None
        if self._zone is not None and isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=self._zone)
        return value

    def parameters(self) -> Iterator[JsonValue]:
        """Yield the OpenAPI description of each filter of this field."""
        schema: dict[str, JsonValue] = self._adapter.json_schema()
        note = ""
        if self.is_moment:
            schema = {"anyOf": [{"type": "string", "format": form} for form in ("date-time", "date")]}
            note = f" A date alone means the whole day{f' in {self._zone}' if self._zone else ''}; write `+` as `%2B`."
        for suffix in self.operators:
            name = f"{self.name}__{suffix}" if suffix else self.name
            description = f"Filter: {_DESCRIPTIONS[suffix]}"
            if suffix == "contains" and self._ignores_case:
                description = "Filter: the text contains this, whatever its case."
            if suffix == "isnull":
                yield parameter_of(name, {"type": "boolean"}, description)
            elif suffix == "in":
                values: dict[str, JsonValue] = {
                    "type": "array",
                    "items": schema,
                    "minItems": 1,
                    "maxItems": MAX_VALUES,
                }
                yield by_commas(parameter_of(name, values, description + note))
            else:
                yield parameter_of(name, schema, description + note)


def _readable(model: type[Row], name: str) -> Any:
    """Return the column of a field that a list may be filtered or sorted by.

    Raises:
        TypeError: it is secret.
    """
    if name in secret_fields(model):
        raise TypeError(f"{model.__name__}.{name} is secret: a list can't be filtered by it, that would tell it")
    return getattr(model, name)


def _other_list() -> Problem:
    """Return the 422 of a cursor that doesn't fit."""
    return Problem.invalid(FieldError("/cursor", "This cursor is damaged or belongs to another list.", "query"))


def _values_of(text: str) -> list[str]:
    """Return the values of a text that separates them by commas.

    Raises:
        ValueError: there are more than `MAX_VALUES`.
    """
    if text.count(",") >= MAX_VALUES:
        raise ValueError(f"This takes at most {MAX_VALUES} values.")
    return text.split(",")


def _without_null(annotation: Any) -> Any:
    """Return a type without None: that a field is null is asked by `__isnull`, no text means it."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    return Union[tuple(part for part in get_args(annotation) if part is not NoneType)]  # noqa: UP007  # of a tuple


def _adapter(annotation: Any) -> TypeAdapter[object]:
    """Return the parser of a type; only float takes a configuration, as a model's own would clash with it."""
    if annotation is float:
        return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))
    return TypeAdapter(annotation)


def _operators(annotation: object) -> tuple[str, ...]:
    """Return the suffixes of the filters that make sense for a type."""
    kind = annotation if isinstance(annotation, type) else object
    ordered = kind is not bool and issubclass(kind, _ORDERED_TYPES)
    operators = _EQUALITIES + (_ORDERS if ordered else ())
    return (*operators, "starts_with", "contains") if kind is str else operators


def parameter_of(name: str, schema: dict[str, JsonValue], description: str) -> dict[str, JsonValue]:
    """Return the OpenAPI description of a query parameter."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def by_commas(parameter: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the description of a parameter whose values are separated by commas."""
    return parameter | {"style": "form", "explode": False}


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
