"""Columns: how each field lies in its table, and its values on their way there and back.

A field whose type has an exact equal in PostgreSQL is a column of that type; any other is `json`, as the model writes
it. What a typed column would not give back as it was (an offset other than UTC, a negative zero of a Decimal) stands
beside it, in the row's hidden column `_exact`. Such an exception counts only while it equals its column, so that who
changes the column with other tools is not overruled.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import cached_property
from typing import Annotated, Any, Literal, cast, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import CoreConfig

from snaptable.codec import Codec, sorting
from snaptable.columns import Column
from snaptable.postgres.layout.names import name_of, quoted
from snaptable.postgres.server.adapt import OUT_OF_RANGE, RawJson
from snaptable.postgres.server.dialect import Dialect
from snaptable.values import lasting, value_types
from snaptable.values.normal_form import normal_datetime

Family = Literal[
    "text", "int", "float", "bool", "decimal", "aware", "naive", "moment", "date", "time", "interval", "uuid",
    "bytes", "enum", "array", "json",
]  # fmt: skip
INT8 = range(-(2**63), 2**63)
MOST_DIGITS, MOST_SCALE = 131072, 16383
"""Of a numeric: before and after the point."""
_SCALARS: dict[object, tuple[Family, str]] = {
    str: ("text", "text"), int: ("int", "int8"), float: ("float", "float8"), bool: ("bool", "bool"),
    Decimal: ("decimal", "numeric"), date: ("date", "date"), time: ("time", "time"),
    timedelta: ("interval", "interval"),
    UUID: ("uuid", "uuid"), bytes: ("bytes", "bytea"), datetime: ("moment", "timestamptz"),
}  # fmt: skip
_ITEMS: dict[object, tuple[Family, str]] = {kind: _SCALARS[kind] for kind in (str, int, bool, UUID, date)}
"""Types of items whose collections are arrays."""
_TIMES: dict[str | None, tuple[Family, str]] = {
    "aware": ("aware", "timestamptz"), "naive": ("naive", "timestamp"), None: ("moment", "timestamptz"),
}  # fmt: skip
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
        self._config: Mapping[str, Any] = {}

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
    def load(self) -> Callable[[Any], Any] | None:
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
    def adapter(self) -> TypeAdapter[Any]:
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
    def _read_json(self) -> Callable[..., Any]:
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


def stored_column(column: Column, dialect: Dialect, found: str | None = None) -> StoredColumn:
    """Return how a field lies in its table.

    Args:
        column: the field.
        dialect: what the server can do.
        found: the type that its column has in the database already; None if there is none yet.
    """
    nullable = value_types.is_optional(column.annotation)
    kinds = [kind for kind in value_types.members(column.annotation) if kind is not type(None)]
    if len(kinds) == 1:
        made = _of_kind(column, kinds[0], found, nullable=nullable)
        if made is not None:
            return made
    return StoredColumn(column.name, column, "json", dialect.json, nullable=nullable)


def _of_kind(column: Column, kind: Any, found: str | None, *, nullable: bool) -> StoredColumn | None:
    """Return the typed column for the values of one class; None if none is exact."""
    if kind is datetime:
        family, sql = _TIMES[column.time_kind]
        if family == "moment" and found == "timestamp":
            family, sql = _TIMES["naive"]
        return StoredColumn(column.name, column, family, sql, nullable=nullable)
    if isinstance(kind, type) and kind in _SCALARS:
        family, sql = _SCALARS[kind]
        if family == "int" and found == "numeric":
            sql = "numeric"
        return StoredColumn(column.name, column, family, sql, nullable=nullable)
    if isinstance(kind, type) and issubclass(kind, Enum) and not issubclass(kind, Flag):
        return _enum_column(column, kind, nullable=nullable)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (list, set, frozenset) or (origin is tuple and args[1:] == (Ellipsis,)):
        if not args or args[0] not in _ITEMS:
            return None
        family, sql = _ITEMS[args[0]]
        made = StoredColumn(column.name, column, "array", f"{sql}[]", nullable=nullable)
        made.collection, made.item = origin, StoredColumn("item", None, family, sql, nullable=False)
        return made
    return None


def _enum_column(column: Column, kind: type[Enum], *, nullable: bool) -> StoredColumn | None:
    values = {type(member.value) for member in kind}
    if values == {str} and not any("\0" in member.value for member in kind):
        made = StoredColumn(column.name, column, "enum", "text", nullable=nullable)
    elif values == {int} and all(member.value in INT8 for member in kind):
        made = StoredColumn(column.name, column, "enum", "int8", nullable=nullable)
    else:
        return None
    made.choices = tuple(kind)
    return made


class StoredColumns:
    """The columns of one table, and its rows on their way there and back.

    Attributes:
        by_name: the columns by field.
        keeps_image: whether each row stands in `_exact` as a whole, and is read from there: its model has code of its
            own that reads or writes its fields. The columns then serve queries.
        targets: every column that is written and read, in SQL, with its type.
    """

    def __init__(self, codec: Codec, dialect: Dialect, found: Mapping[str, str]) -> None:
        """Take the types that columns have in the database already, by name; empty before the table is made."""
        self.codec = codec
        fields = codec.model.model_fields
        self.by_name = {
            name: stored_column(column, dialect, found.get(name_of(name)))
            for name, column in codec.schema.columns.items()
        }
        if codec.schema.numbered:
            self.by_name[codec.key].nullable = False
        self.keeps_image = not codec.plain or any(
            not lasting.only_constrains(item) for info in fields.values() for item in info.metadata
        )
        self._json_type = dialect.json
        self.twins = [column for column in self.by_name.values() if column.twin]
        self.targets = [(column.quoted, column.sql) for column in self.by_name.values()]
        self.targets += [(column.twin, "bool") for column in self.twins]
        self.targets += [(quoted("_exact"), dialect.json)]
        self.select_list = ", ".join(name for name, _ in self.targets)

    @property
    def key(self) -> StoredColumn:
        """The primary key's column."""
        return self.by_name[self.codec.key]

    def params(self, row: BaseModel, image: bytes) -> list[object]:
        """Return the parameters for `targets`: a row that is ready to be stored, and its JSON.

        Raises:
            Unstorable: with the field's name as its second argument.
        """
        values = row.__dict__
        given: list[object] = []
        exact: dict[str, str] = {}
        for name, column in self.by_name.items():
            value = values[name]
            try:
                given.append(column.dump(value))
            except Unstorable as error:
                raise Unstorable(str(error), name) from None
            if not self.keeps_image and (exception := column.exception(value)) is not None:
                exact[name] = exception.decode()
        given += [None if (value := values[column.name]) is None else value.tzinfo is not None for column in self.twins]
        if self.keeps_image:
            given.append(self.json_param(image))
        else:
            given.append(self.json_param(json.dumps(exact).encode()) if exact else None)
        if self._json_type == "text":
            given = [part.decode() if isinstance(part, RawJson) else part for part in given]
        return given

    def json_param(self, text: bytes) -> object:
        """Return the parameter for JSON."""
        return text.decode() if self._json_type == "text" else RawJson(text)

    def row(self, record: tuple[Any, ...]) -> BaseModel:
        """Return the row of a record of `targets`."""
        exact = record[-1]
        if self.keeps_image and exact is not None:
            return self.codec.decode(exact)
        values = self._values(*record)
        if exact is not None:
            self._put_exceptions(values, exact)
        return self.codec.assemble(values)

    @cached_property
    def _values(self) -> Callable[..., dict[str, Any]]:
        """The function from a record to the values of its fields, but for exceptions.

        It is compiled for the table, as one expression: what is to be done with a value was decided with its column,
        and most need nothing.
        """
        names = [f"v{place}" for place in range(len(self.targets))]
        scope: dict[str, object] = {}
        parts = []
        twins = {column.name: len(self.by_name) + place for place, column in enumerate(self.twins)}
        for place, (name, column) in enumerate(self.by_name.items()):
            value = names[place]
            if column.load is not None:
                scope[f"load{place}"] = column.load
                value = f"(None if {value} is None else load{place}({value}))"
            elif name in twins:
                value = f"({value}.replace(tzinfo=None) if {names[twins[name]]} is False else {value})"
            parts.append(f"{name!r}: {value}")
        source = f"lambda {', '.join(names)}: {{{', '.join(parts)}}}"
        values: Callable[..., dict[str, Any]] = eval(source, scope)  # noqa: S307 - made of fields' names alone
        return values

    def _put_exceptions(self, values: dict[str, Any], exact: bytes | str) -> None:
        """Put what columns don't give back as it was in the place of what they give, where that is equal."""
        for name, text in json.loads(exact).items():
            column = self.by_name.get(name)
            if column is None:
                continue
            value = column.from_json(text)
            if values[name] is OUT_OF_RANGE or values[name] == value:
                values[name] = value
