"""A record of a file to a row of a table, or to what is wrong with it, field by field."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from snaptable.codec import Codec
from snaptable.errors import ImportFault, InvalidRow
from snaptable.interchange.cells import fields_of, parsed_again, row_json
from snaptable.interchange.parsed import Record
from snaptable.interchange.text import MAX_RECORD_BYTES, TOO_LONG
from snaptable.schema.tables import TableSchema
from snaptable.secrets import MASK
from snaptable.values.row_lines import Key

MAX_REASON = 300
"""Characters of what a validator says."""
MAX_FAULTS_A_ROW = 20


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A record that became a row.

    Attributes:
        row: it.
        data: its JSON.
        has_key: whether the file gave it its key; else the table numbers it.
    """

    row: BaseModel
    data: bytes
    has_key: bool


class RowReader:
    """What makes rows of one table of the records of a file."""

    def __init__(self, schema: TableSchema, mapping: Mapping[str, str]) -> None:
        """Take the table, and which field each of the file's names means; "" for none.

        Raises:
            ValueError: a name is mapped to what is not a field.
        """
        self.schema, self.codec = schema, schema.derive(Codec)
        self.fields = fields_of(schema)
        aliases = {
            alias: name
            for name, info in schema.model.model_fields.items()
            for alias in (info.alias, info.validation_alias)
            if isinstance(alias, str) and alias not in self.fields
        }
        self._names = aliases | dict(mapping)
        info = schema.model.model_fields[schema.key]
        kind: Any = schema.key_type if schema.numbered else info.annotation
        self._key: TypeAdapter[Key] = TypeAdapter(Annotated[(kind, *info.metadata)] if info.metadata else kind)
        for given, name in mapping.items():
            if name and name not in self.fields:
                raise ValueError(f"{given}={name}: {schema.name} has no field {name!r}; its fields: {self._all_names}")

    @property
    def _all_names(self) -> str:
        return ", ".join(self.fields)

    # ── a record's values ───────────────────────────────────────────────────────────────────────────────────────────

    def values_of(self, record: Record) -> tuple[dict[str, object], list[str], list[ImportFault]]:
        """Return a record's values by field, the names that are no fields, and what is wrong already."""
        if record.fault is not None:
            return {}, [], [ImportFault(record.line, None, record.fault)]
        values: dict[str, object] = {}
        unknown: list[str] = []
        faults: list[ImportFault] = []
        for given, value in record.values.items():
            name = self._names.get(given, given)
            field = self.fields.get(name)
            if field is None:
                unknown += [given] if name else []
            elif name in values:
                faults.append(ImportFault(record.line, name, f"is given twice, the second time as {given[:80]!r}"))
            elif record.kind == "text":
                values[name] = field.from_text(value if value is None else str(value))
            else:
                values[name] = field.exactly(field.from_sql(value) if record.kind == "sql" else value)
        self._add_key(values, record)
        return values, unknown, faults

    def _add_key(self, values: dict[str, object], record: Record) -> None:
        """Take the key that stands beside a row without one; where a table numbers its keys, an empty one is none."""
        name = self.schema.key
        if self.schema.numbered and values.get(name) in (None, ""):
            values.pop(name, None)
        if name not in values and record.key is not None:
            values[name] = parsed_again(record.key) if self.schema.key_type is int else record.key

    def key_of(self, value: object) -> Key | None:
        """Return the key that the value of a record's key field is, as the model reads it; None if it is none."""
        try:
            return self._key.validate_json(row_json(value))
        except (ValidationError, UnicodeEncodeError):
            return None

    def drop_masked(self, values: dict[str, object]) -> list[str]:
        """Leave out secrets that are masked in the file, and return their names."""
        dropped = [name for name in self.schema.secrets if values.get(name) == MASK]
        for name in dropped:
            del values[name]
        return dropped

    # ── a row ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, values: dict[str, object], record: Record) -> ReadRow | list[ImportFault]:
        """Return the row of field values, validated as a write is, or what is wrong with it."""
        has_key = self.schema.key in values
        complete = values if has_key or not self.schema.numbered else {**values, self.schema.key: 1}
        try:
            data = row_json(complete)
        except UnicodeEncodeError:
            return [ImportFault(record.line, None, "a text holds half of a surrogate pair, which is not UTF-8")]
        if len(data) > MAX_RECORD_BYTES:
            return [ImportFault(record.line, None, f"is {TOO_LONG}")]
        try:
            row, written = self.codec.complete(data)
        except InvalidRow as error:
            again = self._second_try(complete, record)
            if again is None:
                return self._faults_of(data, complete, record, error)
            row, written = again
        return ReadRow(row, written, has_key)

    def _second_try(self, values: dict[str, object], record: Record) -> tuple[BaseModel, bytes] | None:
        """Return the row, and its JSON, whose cells are JSON where their texts are no values: as of a bool's `1`."""
        if record.kind == "json":
            return None
        again = {name: parsed_again(value) if self.fields[name].is_text else value for name, value in values.items()}
        if again == values:
            return None
        for one in [{**values, name: again[name]} for name in values if again[name] != values[name]] + [again]:
            try:
                return self.codec.complete(row_json(one))
            except (InvalidRow, UnicodeEncodeError):
                continue
        return None

    def _faults_of(
        self, data: bytes, values: dict[str, object], record: Record, refusal: InvalidRow
    ) -> list[ImportFault]:
        try:
            self.schema.model.__pydantic_validator__.validate_json(data, by_alias=False, by_name=True)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False, include_context=False)
            return [self._fault_of(one["loc"], one["msg"], values, record) for one in errors[:MAX_FAULTS_A_ROW]]
        field = refusal.fields[0] if refusal.fields else None
        return [ImportFault(record.line, field, str(refusal).partition(": ")[2] or str(refusal))]

    def _fault_of(
        self, place: tuple[int | str, ...], message: str, values: dict[str, object], record: Record
    ) -> ImportFault:
        field = ".".join(map(str, place)) or None
        name = str(place[0]) if place else ""
        if name in self.schema.secrets:
            message = "is not valid"
        elif record.kind == "text" and values.get(name) == "" and len(place) == 1:
            message = f"is empty, and the field is not optional ({message})"
        elif record.kind == "sql" and isinstance(values.get(name), list) and not self.fields[name].is_optional:
            message = f"{message} (the file may hold bytes there)"
        return ImportFault(record.line, field, message[:MAX_REASON])

    # ── what it is beside the stored row ────────────────────────────────────────────────────────────────────────────

    def merged(self, stored: BaseModel, values: dict[str, object]) -> dict[str, object]:
        """Return the JSON values of a stored row with those of a record in their place."""
        return {**json.loads(self.codec.dump(stored)), **values}


def suggested_mapping(schema: TableSchema, columns: tuple[str, ...]) -> dict[str, str]:
    """Return which field each name of a file seems to mean, for those that are no field's name themselves.

    >>> from snaptable import Database, Row, Table
    >>> class User(Row):
    ...     id: str
    ...     last_name: str
    >>> class People(Database):
    ...     users: Table[User]
    >>> suggested_mapping(People("memory:").users.schema, ("ID", "lastName", "age"))
    {'ID': 'id', 'lastName': 'last_name'}
    """
    plain = {_plain(name): name for name in schema.columns}
    alike, there = {column: plain[_plain(column)] for column in columns if _plain(column) in plain}, set(columns)
    return {column: name for column, name in alike.items() if column not in schema.columns and name not in there}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
