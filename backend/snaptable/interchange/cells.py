"""The values of a field, as CSV and sqlite have them, and as its JSON has them.

A field whose values are of one scalar type stands in a cell as its text; any other as JSON. So "01234" stays the text
it is for a field of texts, and is a number for a field of numbers.
"""

import base64
import json
from decimal import Decimal
from enum import Enum
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from snaptable.interchange.json_files import parse_value
from snaptable.interchange.sqlite_files import SqlValue, fits
from snaptable.schema.tables import TableSchema
from snaptable.values import value_types


class Field:
    """One field of a table, as files see it."""

    def __init__(self, name: str, annotation: object) -> None:
        """Work out what its cells hold."""
        self.name = name
        self.is_optional = value_types.is_optional(annotation)
        types = value_types.value_types(annotation)
        kinds = None if types is None else tuple(kind for kind in types if kind is not type(None))
        self.takes_text = kinds is None or any(issubclass(kind, str) for kind in kinds)
        """Whether a text may be its value."""
        self.is_text = _is_one_scalar(annotation, kinds)
        """Whether a cell is the text of its value, rather than its JSON."""
        self._is_bytes = kinds == (bytes,)
        self._wants_decimals = _mentions(annotation, Decimal, set())

    # ── from a file ─────────────────────────────────────────────────────────────────────────────────────────────────

    def from_text(self, cell: str | None) -> object:
        """Return the JSON value that a CSV cell means; None, an empty cell, is null where the field is optional."""
        if cell is None:
            return None if self.is_optional else ""
        return cell if self.is_text else _parsed_or_text(cell)

    def from_sql(self, value: object) -> object:
        """Return the JSON value that a value of sqlite means."""
        if isinstance(value, bytes):
            # What is no bytes field refuses a number of bytes in words; a text of them it might take.
            return base64.urlsafe_b64encode(value).decode() if self._is_bytes else list(value[:1])
        if isinstance(value, str) and not self.is_text:
            return _parsed_or_text(value)
        return value

    def exactly(self, value: object) -> object:
        """Return a JSON value whose numbers lose nothing: those that no float says go to Decimals as text."""
        if self._wants_decimals:
            return _with_texts(value)
        return value

    # ── to a file ───────────────────────────────────────────────────────────────────────────────────────────────────

    def to_text(self, value: object) -> str | None:
        """Return the cell of a JSON value; None for an empty one."""
        if value is None:
            return None
        return value if self.is_text and isinstance(value, str) else _dumps(value)

    def to_sql(self, value: object) -> SqlValue:
        """Return what sqlite keeps for a JSON value."""
        if value is None:
            return None
        if self._is_bytes and isinstance(value, str):
            return base64.urlsafe_b64decode(value)
        if self.is_text and isinstance(value, str):
            return value
        if self.is_text and isinstance(value, (int, float)) and _is_kept(value):
            return value
        return _dumps(value)

    @property
    def sql_type(self) -> str:
        """What its column is declared as: TEXT, or nothing, which converts nothing."""
        return "TEXT" if self.takes_text and self.is_text else ""


def fields_of(schema: TableSchema) -> dict[str, Field]:
    """Return a table's fields by name, in the order of its model."""
    return {name: Field(name, column.annotation) for name, column in schema.columns.items()}


def _is_one_scalar(annotation: object, kinds: tuple[type, ...] | None) -> bool:
    if kinds is None or len(kinds) != 1 or not issubclass(kinds[0], value_types.immutable_scalars()):
        return False
    choices = value_types.choices(annotation)
    values = [choice.value if isinstance(choice, Enum) else choice for choice in choices or ()]
    has_choices = issubclass(kinds[0], Enum) or bool(values) or _has_literal(annotation)
    return not has_choices or (bool(values) and all(isinstance(value, str) for value in values))


def _has_literal(annotation: object) -> bool:
    return any(get_origin(part) is Literal for part in value_types.alternatives(annotation))


def _mentions(annotation: object, kind: type, seen: set[object]) -> bool:
    """Return whether a class stands anywhere in an annotation."""
    for part in value_types.alternatives(annotation):
        if part is kind:
            return True
        if isinstance(part, type) and issubclass(part, BaseModel) and part not in seen:
            seen.add(part)
            if any(_mentions(info.annotation, kind, seen) for info in part.model_fields.values()):
                return True
        if any(_mentions(inner, kind, seen) for inner in get_args(part) if get_origin(part) is not Literal):
            return True
    return False


def _with_texts(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_with_texts(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_texts(item) for name, item in value.items()}
    return value


def _parsed_or_text(text: str) -> object:
    try:
        return parse_value(text)
    except ValueError:
        return text


def parsed_again(value: object) -> object:
    """Return the value of a text that is JSON, else the text: for what a field didn't take as a text."""
    return _parsed_or_text(value) if isinstance(value, str) else value


def _is_kept(value: float) -> bool:
    """Return whether sqlite keeps a number as it is; the sign of a zero it doesn't."""
    return fits(value) if isinstance(value, int) else bool(value) or repr(value) == "0.0"


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# ── rows as JSON ────────────────────────────────────────────────────────────────────────────────────────────────────


def row_json(values: object) -> bytes:
    """Return the JSON of a value, of a row's by field, numbers as they were written.

    Raises:
        UnicodeEncodeError: a text holds half of a surrogate pair.
    """
    try:
        return _dumps(values).encode("utf-8")
    except TypeError:
        return _written(values).encode("utf-8")


def _written(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_dumps(name)}:{_written(item)}" for name, item in value.items()) + "}"
    return _dumps(value)
