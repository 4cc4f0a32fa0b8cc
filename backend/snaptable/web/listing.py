"""The query string of a list, turned into a query: `?limit=&cursor=&sort=-upload_date,id&page__gte=2`."""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Generic, TypeVar

from fastapi import Request
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from snaptable import InvalidCursor, Query, Row, asc, desc, one_of, starts_with
from snaptable.web.problems import FieldError, Problem, pointer_to

RowT = TypeVar("RowT", bound=Row)
T = TypeVar("T")

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
"""Rows of a page."""

_COMPARISONS: dict[str, Callable[..., bool]] = {
    "": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": one_of,
    "starts_with": starts_with,
}
_NUMBER = re.compile(r"\s*[-+]?[0-9._]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)
_EQUALITIES = ("", "ne", "in")
_ORDERS = ("gt", "gte", "lt", "lte")
_ORDERED_TYPES = (int, float, str, datetime, date, time, timedelta, Decimal)


@dataclass(frozen=True)
class Listing(Generic[RowT]):
    """A page of a list as a request asked for it, checked."""

    conditions: tuple[bool, ...]
    """Conditions for `Query.where`: one for each filter."""
    order: tuple[object, ...]
    """Orderings for `Query.order_by`."""
    limit: int
    cursor: str | None
    equals: dict[str, tuple[object, ...]]
    """The values a field was asked to equal, by `field=` or `field__in=`."""

    def page_json(self, query: Query[RowT]) -> tuple[bytes, str | None]:
        """Return the page of `query` that was asked for, as `Query.page_json`.

        Raises:
            Problem: 422, the cursor is damaged or was given out for another list.
        """
        if self.conditions:
            query = query.where(*self.conditions)
        try:
            return query.order_by(*self.order).page_json(limit=self.limit, after=self.cursor)
        except InvalidCursor:
            detail = "This cursor is damaged or belongs to another list."
            raise Problem.invalid(FieldError("/cursor", detail, "query")) from None


class ListParams(Generic[RowT]):
    """The list parameters of one row model.

    Pass `openapi` to the route's `openapi_extra`, and call `read` in the endpoint: FastAPI would parse and validate
    each of some fifty possible parameters at every request, here only those that were sent are.
    """

    def __init__(self, model: type[RowT], fields: Sequence[str], sort: str, zone: tzinfo | None = UTC) -> None:
        """Prepare a parser for each field.

        Args:
            model: the rows of the list.
            fields: names of the fields that may be filtered and sorted by.
            sort: the order of a request without `sort`, written as there.
            zone: the zone of times without an offset; None to leave them naive.
        """
        self.fields = {name: _Field(model, name, zone) for name in fields}
        self.sort = sort
        self._default_order = self._order(sort)

    def read(self, request: Request) -> Listing[RowT]:
        """Return what the query string asks for.

        Raises:
            Problem: 422, naming every parameter that is wrong.
        """
        errors: list[FieldError] = []
        conditions: list[bool] = []
        equals: dict[str, tuple[object, ...]] = {}
        paging = {"limit": "", "cursor": "", "sort": ""}
        for name, text in request.query_params.multi_items():
            try:
                if name in paging:
                    paging[name] = _only_value(paging[name], text)
                else:
                    conditions.append(self._condition(name, text, equals))
            except ValueError as error:
                errors.append(_query_error(name, error))
        limit = _parsed("limit", paging["limit"], _limit, errors) or DEFAULT_LIMIT
        order = _parsed("sort", paging["sort"], self._order, errors) or self._default_order
        if errors:
            raise Problem.invalid(*errors)
        return Listing(tuple(conditions), order, limit, paging["cursor"] or None, equals)

    @property
    def openapi(self) -> dict[str, JsonValue]:
        """Return the parameters as OpenAPI describes them."""
        names = "|".join(self.fields)
        limit: dict[str, JsonValue] = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        sort: dict[str, JsonValue] = {
            "type": "string",
            "pattern": f"^-?({names})(,-?({names}))*$",
            "default": self.sort,
        }
        parameters: list[JsonValue] = [
            _parameter("limit", limit, "How many rows a page holds."),
            _parameter("cursor", {"type": "string", "minLength": 1}, "The `next_cursor` of the page before."),
            _parameter("sort", sort, "Fields to sort by; `-` before one means descending."),
        ]
        for field in self.fields.values():
            parameters.extend(field.parameters())
        return {"parameters": parameters}

    def _condition(self, parameter: str, text: str, equals: dict[str, tuple[object, ...]]) -> bool:
        """Return the condition of one filter, and add the values it asks to be equal to."""
        name, _, suffix = parameter.partition("__")
        field = self.fields.get(name)
        if field is None or suffix not in field.operators or parameter.endswith("__"):
            raise ValueError("There is no such parameter.")
        value = field.parse_many(text) if suffix == "in" else field.parse(text)
        if suffix in ("", "in"):
            equals[name] = equals.get(name, ()) + (value if isinstance(value, tuple) else (value,))
        return _COMPARISONS[suffix](field.column, value)

    def _order(self, text: str) -> tuple[object, ...]:
        """Return the ordering of each name; of names that are repeated, the first counts."""
        orders: dict[str, object] = {}
        for part in text.split(","):
            name = part.removeprefix("-")
            if name not in self.fields:
                raise ValueError("There is no such field to sort by.")
            orders.setdefault(name, (desc if part.startswith("-") else asc)(self.fields[name].column))
        return tuple(orders.values())


class _Field:
    """A field that a list can be filtered by: its operators, and the parser of its values."""

    def __init__(self, model: type[Row], name: str, zone: tzinfo | None) -> None:
        annotation = model.model_fields[name].annotation
        self.name = name
        self.column: object = getattr(model, name)
        self.operators = _operators(annotation)
        self._adapter = _adapter(annotation)
        self._is_time = isinstance(annotation, type) and issubclass(annotation, (date, time, timedelta))
        self._zone = zone

    def parse_many(self, text: str) -> tuple[object, ...]:
        """Return the values of a text that separates them by commas."""
        return tuple(self.parse(part) for part in text.split(","))

    def parse(self, text: str) -> object:
        """Return the value of a text, of the field's type.

        Raises:
            ValueError: it is not one.
        """
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
        if schema.get("format") == "date-time":
            schema = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
        for suffix in self.operators:
            name = f"{self.name}__{suffix}" if suffix else self.name
            if suffix == "in":
                values: dict[str, JsonValue] = {"type": "array", "items": schema, "minItems": 1}
                parameter = _parameter(name, values, "Filter: one of these values, separated by commas.")
                yield parameter | {"style": "form", "explode": False}
            else:
                yield _parameter(name, schema, f"Filter: {suffix or 'equal to'}.".replace("_", " "))


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
    return (*operators, "starts_with") if kind is str else operators


def _parameter(name: str, schema: dict[str, JsonValue], description: str) -> dict[str, JsonValue]:
    """Return the OpenAPI description of a query parameter."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _only_value(previous: str, text: str) -> str:
    """Return the text; a parameter that comes twice or empty is refused, as it does not tell what was meant."""
    if previous:
        raise ValueError("This parameter is given twice.")
    if not text:
        raise ValueError("This parameter is empty.")
    return text


def _limit(text: str) -> int:
    """Return the limit: digits, from 1 to `MAX_LIMIT`."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ValueError(f"This must be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def _parsed(name: str, text: str, parse: Callable[[str], T], errors: list[FieldError]) -> T | None:
    """Return the value of a parameter; None if it was not sent, or is wrong, which is added to the errors."""
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        errors.append(_query_error(name, error))
        return None


def _query_error(name: str, error: ValueError) -> FieldError:
    """Return the error of a query parameter."""
    return FieldError(pointer_to(name), str(error), "query")
