"""The filters of a list: `page__gte=2&type__in=note,arrow&at=2026-11-28`, as conditions of a query."""

import operator
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import reduce
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from snaptable import Row, contains, one_of, starts_with
from snaptable.secrets import secret_fields
from snaptable.values import value_types

MAX_CONDITIONS = 50
"""Filters of one request."""
MAX_VALUES = 200
"""Values of one filter `__in`."""

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
_NUMBER = re.compile(r"\s*[-+]?[0-9._]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LAST_MOMENT = time(23, 59, 59, 999_999, fold=1)
"""Of a day; where clocks are put back at midnight, the second one."""
_EQUALITIES = ("", "ne", "in", "isnull")
_ORDERS = ("gt", "gte", "lt", "lte")
_ORDERED_TYPES = (int, float, str, datetime, date, time, timedelta, Decimal)


class Filters:
    """The filters of one request, as conditions."""

    def __init__(self, fields: dict[str, "Field"]) -> None:
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
            ValueError: no such filter exists, or its value means nothing.
        """
        name, _, suffix = parameter.partition("__")
        field = self._fields.get(name)
        if field is None or suffix not in field.operators or parameter.endswith("__"):
            raise ValueError("There is no such parameter.")
        days = field.condition_of_days(suffix, text) if field.is_moment and suffix != "isnull" else None
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

    def _add_values(self, parameter: str, field: "Field", values: tuple[object, ...]) -> None:
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


class Field:
    """A field that a list can be filtered by: its operators, and the parser of its values."""

    def __init__(self, model: type[Row], name: str, zone: tzinfo | None, *, ignore_case: bool = False) -> None:
        self.column = readable(model, name)
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
            ValueError: no such day exists, or they are more than `MAX_CONDITIONS`.
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


def readable(model: type[Row], name: str) -> Any:
    """Return the column of a field that a list may be filtered or sorted by.

    Raises:
        TypeError: it is secret.
    """
    if name in secret_fields(model):
        raise TypeError(f"{model.__name__}.{name} is secret: a list can't be filtered by it, that would tell it")
    return getattr(model, name)


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
