"""Columns: how each field lies in its table, and its values on their way there and back.

A field whose type has an exact equal in PostgreSQL is a column of that type; any other is `json`, as the model writes
it. What a typed column would not give back as it was (an offset other than UTC, a negative zero of a Decimal) stands
beside it, in the row's hidden column `_exact`. Such an exception counts only while it equals its column, so that who
changes the column with other tools is not overruled.
"""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import cached_property
from typing import Any, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

from snaptable.codec import Codec, FieldValues
from snaptable.conditions.columns import Column
from snaptable.postgres.layout.column import INT8, Family, StoredColumn, Unstorable
from snaptable.postgres.layout.names import name_of, quoted
from snaptable.postgres.server.adapt import OUT_OF_RANGE, RawJson, Record
from snaptable.postgres.server.dialect import Dialect
from snaptable.values import lasting, value_types

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


def stored_column(column: Column, dialect: Dialect, present: str | None = None) -> StoredColumn:
    """Return how a field lies in its table.

    Args:
        column: the field.
        dialect: what the server can do.
        present: the type that its column has in the database already; None if there is none yet.
    """
    nullable = value_types.is_optional(column.annotation)
    kinds = [kind for kind in value_types.members(column.annotation) if kind is not type(None)]
    if len(kinds) == 1:
        made = _of_kind(column, kinds[0], present, nullable=nullable)
        if made is not None:
            return made
    return StoredColumn(column.name, column, "json", dialect.json, nullable=nullable)


def _of_kind(column: Column, kind: Any, present: str | None, *, nullable: bool) -> StoredColumn | None:
    """Return the typed column for the values of one class; None if none is exact."""
    if kind is datetime:
        family, sql = _TIMES[column.time_kind]
        if family == "moment" and present == "timestamp":
            family, sql = _TIMES["naive"]
        return StoredColumn(column.name, column, family, sql, nullable=nullable)
    if isinstance(kind, type) and kind in _SCALARS:
        family, sql = _SCALARS[kind]
        if family == "int" and present == "numeric":
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

    def __init__(self, codec: Codec, dialect: Dialect, present: Mapping[str, str]) -> None:
        """Take the types that columns have in the database already, by name; empty before the table is made."""
        self.codec = codec
        fields = codec.model.model_fields
        self.by_name = {
            name: stored_column(column, dialect, present.get(name_of(name)))
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

    def row(self, record: Record) -> BaseModel:
        """Return the row of a record of `targets`."""
        if self.keeps_image and record[-1] is not None:
            return self.codec.decode(record[-1])
        return self.codec.assemble(self.values(record))

    def values(self, record: Record) -> FieldValues:
        """Return the values of the fields that the columns of a record of `targets` hold, with its exceptions."""
        values = self._values(*record)
        if record[-1] is not None and not self.keeps_image:
            self._put_exceptions(values, record[-1])
        return values

    @cached_property
    def _values(self) -> Callable[..., FieldValues]:
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
        values: Callable[..., FieldValues] = eval(source, scope)  # noqa: S307 - made of fields' names alone
        return values

    def _put_exceptions(self, values: FieldValues, exact: bytes | str) -> None:
        """Put what columns don't give back as it was in the place of what they give, where that is equal."""
        for name, text in json.loads(exact).items():
            column = self.by_name.get(name)
            if column is None:
                continue
            value = column.from_json(text)
            if values[name] is OUT_OF_RANGE or values[name] == value:
                values[name] = value
