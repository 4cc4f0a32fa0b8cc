"""The errors of a body that has thousands of them, at the cost of the few that are shown.

Pydantic counts its errors in C, at a quarter of a microsecond each; as a list for Python each costs ten times that. A
body of a megabyte can have a hundred thousand.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from snaptable.web.problems import MAX_FIELD_ERRORS, FieldError, Problem, field_errors_of

MANY = 1_000
"""Errors that are made although only the first are shown."""
LEAST_BYTES = 4_096
"""Bytes of a body from which on it can have as many."""
_OF_CUTTING = ("too_short",)
"""Errors that a value may have because members were left out."""


class BodyErrors:
    """The check of a route's bodies for more errors than can be told; one that passes is validated by FastAPI."""

    def __init__(self, annotation: Any) -> None:
        """Take the type of the bodies; nothing is made of it before a body is large."""
        self._annotation = annotation

    @cached_property
    def _adapter(self) -> TypeAdapter[object]:
        return TypeAdapter(self._annotation)

    @cached_property
    def _names(self) -> frozenset[str]:
        """The names of fields anywhere in the type."""
        return frozenset(_property_names(self._adapter.json_schema()))

    def check(self, value: JsonValue) -> None:
        """Refuse a body with more than `MANY` errors, naming the first of them; O(its size), in C but for some hundred.

        Raises:
            Problem: 422.
        """
        number = self._count(value)
        if number <= MANY:
            return
        shown = self._errors_of(_cut(value, self._names))[: MAX_FIELD_ERRORS - 1]
        shown.append(FieldError("", f"There are {number:,} errors in all."))
        raise Problem.invalid(*shown)

    def _count(self, value: JsonValue) -> int:
        try:
            self._adapter.validate_python(value, from_attributes=True)
        except ValidationError as error:
            return error.error_count()
        return 0

    def _errors_of(self, value: JsonValue) -> list[FieldError]:
        """Return the errors of a value that was cut, without those that may come of it."""
        try:
            self._adapter.validate_python(value, from_attributes=True)
        except ValidationError as error:
            if error.error_count() <= MANY:
                errors = error.errors(include_url=False, include_input=False, include_context=False)
                for one in errors:
                    one["loc"] = ("body", *one["loc"])
                return field_errors_of(one for one in errors if one["type"] not in _OF_CUTTING)
        return []


def _cut(value: JsonValue, names: frozenset[str], *, is_outermost: bool = True) -> JsonValue:
    """Return a value with the first members of each object and array only, and those of an object that are fields."""
    most = MAX_FIELD_ERRORS if is_outermost else MAX_FIELD_ERRORS // 10
    if isinstance(value, dict):
        kept = [name for name in value if name in names]
        kept += [name for name, _ in zip((name for name in value if name not in names), range(most), strict=False)]
        return {name: _cut(value[name], names, is_outermost=False) for name in kept}
    if isinstance(value, list):
        return [_cut(member, names, is_outermost=False) for member in value[:most]]
    return value


def _property_names(schema: object) -> Iterator[str]:
    """Yield the names of the properties anywhere in a JSON schema."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for member in schema.values():
            yield from _property_names(member)
    elif isinstance(schema, list):
        for member in schema:
            yield from _property_names(member)
