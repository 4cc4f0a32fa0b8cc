"""Turn the query string of a list into a query: `?limit=&cursor=&sort=-upload_date,id&page__gte=2`."""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import ConfigDict, TypeAdapter, ValidationError

from snaptable import InvalidCursor, Query, Row, asc, desc, one_of, starts_with
from snaptable.web.problems import FieldError, Problem

RowT = TypeVar("RowT", bound=Row)

MAX_LIMIT = 200
DEFAULT_LIMIT = 50

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
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
    """Hold what a request asked of a list, checked."""

    conditions: tuple[Any, ...]
    order: tuple[Any, ...]
    limit: int
    cursor: str | None
    equals: dict[str, tuple[Any, ...]]
    """The values a field was asked to equal, by `field=` or `field__in=`."""

    def page_json(self, query: Query[RowT]) -> tuple[bytes, str | None]:
        """Return the page of `query` that was asked for, as `Query.page_json`; 422 for a cursor of another list."""
        if self.conditions:
            query = query.where(*self.conditions)
        try:
            return query.order_by(*self.order).page_json(limit=self.limit, after=self.cursor)
        except InvalidCursor:
            fault = FieldError("/cursor", "This cursor is damaged or belongs to another list.", "query")
            raise Problem.invalid(fault) from None


class ListParams(Generic[RowT]):
    """Be a dependency that reads the list parameters of one row model.

    `fields` may be filtered and sorted by; `sort` is the order when none is asked for. Pass `openapi` to the
    route's `openapi_extra`: the parameters are parsed here, not by FastAPI, which would build dozens each request.
    """

    def __init__(self, model: type[RowT], fields: Sequence[str], sort: str, zone: tzinfo | None = UTC) -> None:
        """Prepare a parser for each field; a time without an offset is taken to be in `zone`."""
        self.fields = {name: _Field(model, name, zone) for name in fields}
        self.sort = sort
        self._default_order = tuple(self._order(sort))

    async def __call__(self, request: Request) -> Listing[RowT]:
        """Parse the query string; every fault of it is reported at once."""
        faults: list[FieldError] = []
        conditions: list[Any] = []
        equals: dict[str, tuple[Any, ...]] = {}
        plain = {"limit": "", "cursor": "", "sort": ""}
        # What `request.query_params` does, without the three collections it makes of it.
        for name, text in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
            try:
                if name in plain:
                    plain[name] = _once(plain[name], text)
                else:
                    conditions.append(self._condition(name, text, equals))
            except ValueError as error:
                faults.append(_query_fault(name, str(error)))
        limit = _checked(faults, "limit", _limit, plain["limit"])
        order = _checked(faults, "sort", lambda text: tuple(self._order(text)), plain["sort"])
        if faults:
            raise Problem.invalid(*faults)
        return Listing(
            tuple(conditions), order or self._default_order, limit or DEFAULT_LIMIT, plain["cursor"] or None, equals
        )

    @property
    def openapi(self) -> dict[str, Any]:
        """Return the parameters as OpenAPI describes them."""
        names = "|".join(self.fields)
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        sort = {"type": "string", "pattern": f"^-?({names})(,-?({names}))*$", "default": self.sort}
        parameters = [
            _parameter("limit", limit, "How many rows a page holds."),
            _parameter("cursor", {"type": "string", "minLength": 1}, "The `next_cursor` of the page before."),
            _parameter("sort", sort, "Fields to sort by; `-` before one means descending."),
        ]
        for field in self.fields.values():
            parameters.extend(field.parameters())
        return {"parameters": parameters}

    def _condition(self, parameter: str, text: str, equals: dict[str, tuple[Any, ...]]) -> Any:
        """Build the condition of one filter, noting the values it asks to be equal to."""
        name, _, suffix = parameter.partition("__")
        field = self.fields.get(name)
        if field is None or suffix not in field.operators or parameter.endswith("__"):
            raise ValueError("There is no such parameter.")
        value = field.parse(suffix, text)
        if suffix in ("", "in"):
            equals[name] = equals.get(name, ()) + (tuple(value) if suffix else (value,))
        return _COMPARISONS[suffix](field.column, value)

    def _order(self, text: str) -> Iterator[Any]:
        """Yield the ordering for each comma-separated name, the first time it comes."""
        seen: set[str] = set()
        for part in text.split(","):
            name = part.removeprefix("-")
            if name not in self.fields:
                raise ValueError("There is no such field to sort by.")
            if name not in seen:
                seen.add(name)
                yield (desc if part.startswith("-") else asc)(self.fields[name].column)


class _Field:
    """Know how to parse one field's filter values."""

    def __init__(self, model: type[Row], name: str, zone: tzinfo | None) -> None:
        """Look the field up in the model."""
        annotation: Any = model.model_fields[name].annotation
        self.name = name
        self.column: Any = getattr(model, name)
        self.adapter: TypeAdapter[Any] = _adapter(annotation)
        self.operators = _operators(annotation)
        self.is_time = isinstance(annotation, type) and issubclass(annotation, (date, time, timedelta))
        self.zone = zone

    def parse(self, suffix: str, text: str) -> Any:
        """Return the value, or the list of values for `in`."""
        if suffix == "in":
            return [self._value(part) for part in text.split(",")]
        return self._value(text)

    def _value(self, text: str) -> Any:
        """Read one value as the field's type."""
        if self.is_time and _NUMBER.fullmatch(text):
            # Pydantic would take it for seconds since 1970; in an address it is a mistake.
            raise ValueError("This is a number, not a time in ISO 8601.")
        try:
            value = self.adapter.validate_strings(text)
        except ValidationError as error:
            raise ValueError(error.errors(include_input=False, include_url=False)[0]["msg"]) from None
        if self.zone is not None and isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=self.zone)
        return value

    def parameters(self) -> Iterator[dict[str, Any]]:
        """Yield the OpenAPI description of each filter of this field."""
        schema = self.adapter.json_schema()
        if schema.get("format") == "date-time":
            schema = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
        for suffix in self.operators:
            name = f"{self.name}__{suffix}" if suffix else self.name
            if suffix == "in":
                values = {"type": "array", "items": schema, "minItems": 1}
                parameter = _parameter(name, values, "Filter: one of these values, separated by commas.")
                yield parameter | {"style": "form", "explode": False}
            else:
                yield _parameter(name, schema, f"Filter: {suffix or 'equal to'}.".replace("_", " "))


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    """Make the parser of a field's type; a model's own configuration would clash with ours."""
    if annotation is float:
        return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))
    return TypeAdapter(annotation)


def _operators(annotation: Any) -> tuple[str, ...]:
    """Choose the operators that make sense for a type."""
    kind = annotation if isinstance(annotation, type) else object
    ordered = annotation is not bool and issubclass(kind, _ORDERED_TYPES)
    operators = _EQUALITIES + (_ORDERS if ordered else ())
    return (*operators, "starts_with") if kind is str else operators


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    """Describe one query parameter."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _once(before: str, text: str) -> str:
    """Refuse a parameter that comes twice or empty: which one was meant can't be told."""
    if before:
        raise ValueError("This parameter is given twice.")
    if not text:
        raise ValueError("This parameter is empty.")
    return text


def _limit(text: str) -> int:
    """Read the limit, a plain number from 1 to `MAX_LIMIT`."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ValueError(f"This must be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def _checked(faults: list[FieldError], name: str, parse: Callable[[str], Any], text: str) -> Any:
    """Parse a plain parameter if it came, noting its fault."""
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        faults.append(_query_fault(name, str(error)))
        return None


def _query_fault(name: str, detail: str) -> FieldError:
    """Point at a query parameter by its name."""
    return FieldError("/" + name.replace("~", "~0").replace("/", "~1"), detail, "query")
