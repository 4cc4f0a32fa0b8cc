"""Why a row is not stored, by table, key and field. No message repeats a value: it may be a secret."""

import math

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from snaptable.errors import InvalidRow
from snaptable.schema.tables import TableSchema
from snaptable.values.strict_json import MAX_DEPTH, depth_of, parse_strictly


class Refusals:
    """The errors about the rows of one table."""

    def __init__(self, schema: TableSchema) -> None:
        """Take the table."""
        self._schema, self._table = schema, schema.name
        self._serializer = schema.model.__pydantic_serializer__

    def shown(self, error: Exception) -> Exception | None:
        """Return the error as the cause of another; None if it may say what a secret is."""
        return None if self._schema.secrets else error

    def of(self, key: object, reason: str, *fields: str) -> InvalidRow:
        """Return the error that names a row, and the field if it is about one."""
        place = f"{self._table}[{_printable(key)}]" + (f".{fields[0]}" if fields else "")
        return InvalidRow(f"{place}: {reason}", table=self._table, key=key, fields=fields)

    def unwritable(self, row: BaseModel, error: Exception) -> InvalidRow:
        """Return the error that names the field: each is written alone until one fails by itself."""
        key = getattr(row, self._schema.key, None)
        for name in self._schema.columns:
            reason = self._field_problem(row, name)
            if reason:
                return self.of(key, f"{reason}; it was not written", name)
        detail = str(error).splitlines()[0] if not isinstance(error, InvalidRow) else str(error)
        return self.of(key, f"{_printable_text(detail)}; it was not written")

    def _field_problem(self, row: BaseModel, name: str) -> str | None:
        try:
            text = self._serializer.to_json(row, include={name}, round_trip=True, by_alias=False, warnings="error")
        except RecursionError:
            return "nested too deeply"
        except (PydanticSerializationError, ValueError, TypeError) as error:
            if "surrogate" in str(error):
                return "a lone surrogate is not UTF-8"
            return "it can't be written as JSON"
        try:
            plain = parse_strictly(text)
            if depth_of(plain) > MAX_DEPTH:
                return f"nested deeper than {MAX_DEPTH}"
        except (ValueError, RecursionError) as error:
            return _printable_text(str(error).splitlines()[0])
        return lossy(row.__dict__[name]) if _is_nan(row.__dict__[name]) else None

    def invalid(self, key: object, error: ValidationError) -> InvalidRow:
        """Return the error that says of each field why it does not validate."""
        parts: list[str] = []
        fields: dict[str, None] = {}
        for item in error.errors(include_url=False, include_input=False, include_context=False):
            place = "".join(f".{_printable_text(str(step))}" for step in item["loc"])
            message = _printable_text(item["msg"])
            if self._schema.secrets and (not item["loc"] or item["loc"][0] in self._schema.secrets):
                # A validator of the model's own may say what it was given, and a place inside may be a dict's key.
                place = f".{item['loc'][0]}" if item["loc"] else ""
                message = f"does not validate ({item['type']})"
            parts.append(f"{self._table}[{_printable(key)}]{place}: {message}")
            fields.update(dict.fromkeys(map(str, item["loc"][:1])))
        return InvalidRow("; ".join(parts), table=self._table, key=key, fields=tuple(fields))


def lossy(value: object) -> str:
    """Return what is wrong with a value that would not come back equal."""
    if _is_nan(value):
        return f"{value} has no JSON form"
    return f"this {type(value).__name__} would not come back equal from JSON"


def _is_nan(value: object) -> bool:
    """Return whether a value is a float that JSON has no number for: NaN or an infinity."""
    return isinstance(value, float) and not math.isfinite(value)


def _printable(key: object) -> str:
    return _printable_text(repr(key))


def _printable_text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
