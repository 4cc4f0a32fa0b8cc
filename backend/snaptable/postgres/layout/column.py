"""One field's column: how it lies in its table, and its values on their way there and back."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Literal, cast

from pydantic import ConfigDict, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import CoreConfig

from snaptable.codec import sorting
from snaptable.conditions.columns import Column
from snaptable.postgres.layout.names import name_of, quoted
from snaptable.postgres.server.adapt import RawJson
from snaptable.values.normal_form import normal_datetime

Family = Literal[
    "text", "int", "float", "bool", "decimal", "aware", "naive", "moment", "date", "time", "interval", "uuid",
    "bytes", "enum", "array", "json",
]  # fmt: skip
INT8 = range(-(2**63), 2**63)
MOST_DIGITS, MOST_SCALE = 131072, 16383
"""Of a numeric: before and after the point."""
_UTC_OFFSET = timedelta(0)


class Unstorable(Exception):
    """A value that PostgreSQL has no place for; the message says why, without the value."""


class StoredColumn:
    """One field's column.

    Attributes:
        name: the field's.
        column: the field in conditions; None for the items of an array.
        family: how its values are compared.
        sql: the type of its values.
        nullable: whether None is a value.
        choices: the members of an enum.
        collection: the class of an array's values.
        item: an array's items as a column.
        quoted: its name in SQL.
        twin: the column that says which moments are aware, in SQL; "" for a column that holds one kind.
    """

    def __init__(self, name: str, column: Column | None, family: Family, sql: str, *, nullable: bool) -> None:
        self.name, self.column, self.family, self.sql, self.nullable = name, column, family, sql, nullable
        self.choices: tuple[Enum, ...] = ()
        self.collection: type = list
        self.item: StoredColumn | None = None
        self.stored_name = name_of(name)
        self.quoted = quoted(self.stored_name)
        self.twin_name = name_of(name, "aware$") if family == "moment" else ""
        self.twin = quoted(self.twin_name) if self.twin_name else ""

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The columns in SQL that order its values: the twin first, if there is one."""
        return (self.twin, self.quoted) if self.twin else (self.quoted,)

    # ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def dump(self, value: object) -> object:
        """Return the parameter for a value.

        Raises:
            Unstorable: PostgreSQL has no place for it.
        """
        if value is None:
            return None
        try:
            return _DUMPS[self.family](self, value)
        except (TypeError, AttributeError):
            raise Unstorable(f"a {type(value).__name__} is not what the field's type says") from None

    def exception(self, value: Any) -> bytes | None:
        """Return the JSON of a value that its column would not give back as it is; None if it would."""
        if value is None:
            return None
        if self.family in ("aware", "moment") and value.tzinfo is not None and not _is_utc(value):
            return self.to_json(value)
        if self.family == "decimal":
            sign, _, exponent = value.as_tuple()
            if exponent > 0 or (sign and not value):
                return self.to_json(value)
        return None

    # ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def load(self) -> Callable[[Any], object] | None:
        """The function from what psycopg gives for a value to the value; None where they are the same."""
        if self.family == "json":
            return self.from_json
        if self.family == "enum":
            return {member.value: member for member in reversed(self.choices)}.__getitem__
        if self.family == "array" and self.collection is not list:
            return self.collection
        if self.family == "int" and self.sql == "numeric":
            return int
        return None

    def loaded(self, raw: object) -> object:
        """Return the value for what psycopg gives."""
        return raw if raw is None or self.load is None else self.load(raw)

    @cached_property
    def adapter(self) -> TypeAdapter[object]:
        """What writes and reads the field's JSON, as its model does."""
        assert self.column is not None
        info = self.column.model.model_fields[self.name]
        annotation: Any = info.annotation
        constraints = [item for item in info.metadata if type(item).__module__.partition(".")[0] != "snaptable"]
        for item in constraints:
            annotation = Annotated[annotation, item]
        try:
            return TypeAdapter(annotation, config=self._settings)
        except PydanticUserError:  # a model, which has a configuration of its own
            return TypeAdapter(annotation)

    @cached_property
    def _settings(self) -> ConfigDict:
        assert self.column is not None
        config, given = ConfigDict(), self.column.model.model_config
        if "ser_json_bytes" in given:
            config["ser_json_bytes"] = given["ser_json_bytes"]
        if "val_json_bytes" in given:
            config["val_json_bytes"] = given["val_json_bytes"]
        return config

    def to_json(self, value: object) -> bytes:
        """Return the JSON of a value."""
        return self._to_json(value, round_trip=True, by_alias=False)

    @cached_property
    def _to_json(self) -> Callable[..., bytes]:
        # Without the adapter's own function around it, which costs as much again.
        serializer = sorting(self.adapter.core_schema, cast("CoreConfig", self._settings)) or self.adapter.serializer
        return serializer.to_json

    def from_json(self, text: bytes | str) -> object:
        """Return the value that a JSON text holds."""
        value = self._read_json(text, by_alias=False, by_name=True)
        return normal_datetime(value) if isinstance(value, datetime) else value

    @cached_property
    def _read_json(self) -> Callable[..., object]:
        return self.adapter.validator.validate_json


def plain_text(text: str) -> str:
    """Return a text as a plain str: an enum's member is one too."""
    return text if type(text) is str else str.__str__(text)


def _is_utc(moment: datetime) -> bool:
    if moment.tzinfo is UTC:
        return True
    try:
        return moment.utcoffset() == _UTC_OFFSET and moment.astimezone(UTC) is not None
    except OverflowError:
        return False  # the first or last day of the calendar, where UTC has another year


def _dump_text(_: StoredColumn, value: str) -> str:
    text = plain_text(value)
    if "\0" in text:
        raise Unstorable("a NUL has no place in a text of PostgreSQL")
    return text


def _dump_int(column: StoredColumn, value: int) -> object:
    number = int(value)
    if column.sql == "numeric":
        return Decimal(number)
    if number not in INT8:
        raise Unstorable("a whole number beyond 64 bits has no place in an int8 of PostgreSQL")
    return number


def _dump_decimal(_: StoredColumn, value: Decimal) -> Decimal:
    if not fits_numeric(value):
        raise Unstorable("a Decimal of so many digits has no place in a numeric of PostgreSQL")
    return value


def fits_numeric(value: Decimal) -> bool:
    """Return whether a Decimal is a number that a numeric can hold exactly."""
    _, digits, exponent = value.as_tuple()
    return isinstance(exponent, int) and -exponent <= MOST_SCALE and len(digits) + exponent <= MOST_DIGITS


def _dump_aware(_: StoredColumn, value: datetime) -> datetime:
    if value.tzinfo is None:
        raise Unstorable("a time without an offset, in a column of times that have one (timestamptz)")
    return value


def _dump_naive(_: StoredColumn, value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise Unstorable("a time with an offset, in a column of times that have none (timestamp)")
    return value


def _dump_moment(_: StoredColumn, value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _dump_time(_: StoredColumn, value: time) -> time:
    if value.tzinfo is not None:
        raise Unstorable("a time of day with an offset has no equal in PostgreSQL")
    return value


def _dump_array(column: StoredColumn, value: Any) -> list[object]:
    item = column.item
    assert item is not None
    return [item.dump(each) for each in value]


def _as_it_is(_: StoredColumn, value: object) -> object:
    return value


_DUMPS: dict[Family, Callable[[StoredColumn, Any], object]] = {
    "text": _dump_text, "int": _dump_int, "float": _as_it_is, "bool": _as_it_is, "decimal": _dump_decimal,
    "aware": _dump_aware, "naive": _dump_naive, "moment": _dump_moment, "date": _as_it_is, "time": _dump_time,
    "interval": _as_it_is, "uuid": _as_it_is, "bytes": _as_it_is, "enum": lambda _, value: value.value,
    "array": _dump_array, "json": lambda column, value: RawJson(column.to_json(value)),
}  # fmt: skip
