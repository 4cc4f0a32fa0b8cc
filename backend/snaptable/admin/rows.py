"""Rows as the pages show them: fields by their kind, cells, labels of rows in links."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from html import escape
from typing import Any, Literal
from urllib.parse import quote_plus
from uuid import UUID

from markupsafe import Markup
from pydantic import BaseModel
from pydantic_core import to_json

from snaptable import Database, Row, Table, TableSchema, one_of
from snaptable.admin import words
from snaptable.conditions.constructors import is_orderable
from snaptable.secrets import MASK

LABEL_FIELDS = ("name", "title", "label", "email", "filename")
"""Fields that a row is called by, unless `mount_admin` was told otherwise; the first there is."""
CELL_CHARACTERS = 160
"""Of a text that a cell holds; how much of it is seen depends on its column's width."""
COLOR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")

Kind = Literal["text", "int", "number", "bool", "time", "choice", "list", "json", "secret"]


@dataclass(frozen=True)
class FieldView:
    """A field of a table, as pages show and edit it.

    Attributes:
        name: the field's.
        kind: what its values are, for people.
        nullable: whether it may be None.
        target: the table that it refers to; None for no reference.
        choices: the values of a choice, as JSON.
        index: the kind of the index over it alone; None for none.
        is_key: whether it is the primary key.
        is_set: whether the store sets it by itself, at each change.
        required: whether a new row must have it.
        sortable: whether rows can be sorted by it.
    """

    name: str
    kind: Kind
    nullable: bool
    target: str | None
    choices: tuple[object, ...]
    index: str | None
    is_key: bool
    is_set: bool
    required: bool
    sortable: bool

    @property
    def is_right(self) -> bool:
        """Whether its values stand at the right of their column."""
        return self.kind in ("int", "number") and self.target is None

    @property
    def word(self) -> str:
        """What its kind is called."""
        return "ref" if self.target else self.kind

    @property
    def editable(self) -> bool:
        """Whether it can be changed in an existing row."""
        return not (self.is_key or self.is_set or self.kind == "secret")


def fields_of(schema: TableSchema) -> list[FieldView]:
    """Return the fields of a table, in the order of its model."""
    targets = {reference.field: reference.target for reference in schema.references}
    indexes = {index.names[0]: index.kind for index in schema.indexes if len(index.names) == 1}
    return [_field(schema, name, targets.get(name), indexes.get(name)) for name in schema.columns]


def _field(schema: TableSchema, name: str, target: str | None, index: str | None) -> FieldView:
    column, info = schema.columns[name], schema.model.model_fields[name]
    types = column.types
    present = tuple(kind for kind in types or () if kind is not type(None))
    choices = tuple(json.loads(_json(each)) for each in column.choices or () if each is not None)
    kind: Kind = "secret" if name in schema.secrets else "choice" if choices else _kind_of(present)
    return FieldView(
        name,
        kind,
        nullable=types is None or type(None) in types,
        target=target,
        choices=choices,
        index=index,
        is_key=name == schema.key,
        is_set=name in schema.on_update,
        required=info.is_required() and not (name == schema.key and schema.numbered),
        sortable=name not in schema.secrets and is_orderable(column),
    )


def _kind_of(types: Sequence[type]) -> Kind:
    """Return the kind of values of these classes; None of them any more."""
    kinds: list[tuple[Kind, tuple[type, ...]]] = [
        ("bool", (bool,)),
        ("int", (int,)),
        ("number", (float, int, Decimal)),
        ("time", (datetime, date, time, timedelta)),
        ("text", (str, UUID, bytes)),
        ("list", (list, tuple, set, frozenset)),
    ]
    for kind, classes in kinds:
        if types and all(issubclass(each, classes) for each in types):
            return kind
    return "text" if types and all(_is_text(each) for each in types) else "json"


def _is_text(kind: type) -> bool:
    return not issubclass(kind, (dict, list, tuple, set, frozenset, BaseModel, int, float)) and kind is not object


def json_of(row: BaseModel) -> dict[str, object]:
    """Return a row as the JSON object that the file has, secrets and all; O(its size)."""
    shown: dict[str, object] = row.__pydantic_serializer__.to_python(row, mode="json")
    return shown


# ── labels ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Labels:
    """How rows are called in links.

    Attributes:
        fields: the field that is a row's label, by table; tables without one show the key.
    """

    fields: dict[str, str]

    @classmethod
    def of(cls, db: Database, given: Mapping[str, str]) -> "Labels":
        """Take what was given, and for other tables the first field that is a label by its name.

        Raises:
            ValueError: a field that the table lacks, or that is a secret.
        """
        fields: dict[str, str] = {}
        for name, table in db.tables.items():
            schema = table.schema
            wanted = given.get(name)
            if wanted is not None and (wanted not in schema.columns or wanted in schema.secrets):
                raise ValueError(f"mount_admin: {name} has no field {wanted!r} that a label could show")
            label = wanted or next((each for each in LABEL_FIELDS if _is_label(schema, each)), None)
            if label:
                fields[name] = label
        return cls(fields)

    def label(self, table: str, row: BaseModel, key: object) -> str:
        """Return what a row is called."""
        field = self.fields.get(table)
        value = getattr(row, field) if field else None
        return str(key) if value is None or value == "" else str(value)

    def of_keys(self, table: Table[Row], keys: Iterable[object]) -> dict[object, str]:
        """Return the labels of rows by their keys, as far as there are such rows; one look-up by index."""
        schema = table.schema
        wanted = {key for key in keys if key is not None}
        if not wanted:
            return {}
        column: object = schema.columns[schema.key]
        return {
            (key := getattr(row, schema.key)): self.label(table.name, row, key)
            for row in table.where(one_of(column, wanted)).all()
        }


def _is_label(schema: TableSchema, name: str) -> bool:
    column = schema.columns.get(name)
    return column is not None and name not in schema.secrets and str in (column.types or ())


# ── cells ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Cells:
    """What shows the values of one table's rows, as HTML: put together here, since a template takes thrice the time."""

    def __init__(
        self, fields: Sequence[FieldView], row_url: Callable[[str, object], str], tables: Collection[str]
    ) -> None:
        """Take the fields, what gives the address of a row, and the tables that have pages."""
        self.fields = fields
        targets = {each.target for each in fields if each.target in tables}
        self._addresses = {target: escape(row_url(target, "")) for target in targets if target is not None}
        """By table, what stands before a row's key in its address."""

    def show(self, field: FieldView, value: object, labels: Mapping[object, str] | None = None) -> Markup:
        """Return a value as it stands in a cell or in a row.

        Args:
            field: which.
            value: of Python.
            labels: of the rows that this field refers to, by key.
        """
        return Markup(self.html(field, value, labels or {}))  # noqa: S704  # every value in it was escaped

    def html(self, field: FieldView, value: object, labels: Mapping[object, str]) -> str:
        """Return the same as a plain text."""
        if field.kind == "secret":
            return f'<span class="faint">{MASK if value is not None else "null"}</span>'
        if value is None:
            return '<i class="null">null</i>'
        if field.target in self._addresses:
            label = labels.get(value)
            shown = words.short_key(value) if label is None else label[:CELL_CHARACTERS]
            address = self._addresses[field.target] + quote_plus(str(value))
            return f'<a class="ref" href="{address}" title="{escape(str(value))}">{escape(shown)}</a>'
        if field.is_key:
            shown = words.short_key(value) or "(empty)"
            return f'<span class="mono" title="{escape(str(value))}">{escape(shown)}</span>'
        return _plain(field, value)


def _plain(field: FieldView, value: object) -> str:
    """Return the HTML of a value that is neither a key, nor a reference, nor a secret."""
    match value:
        case str():
            if field.kind == "choice":
                return f'<span class="tag">{escape(value)}</span>'
            shown = escape(value[:CELL_CHARACTERS] + ("…" if len(value) > CELL_CHARACTERS else ""))
            return f'{_SWATCH.format(shown)}<span class="mono">{shown}</span>' if COLOR.fullmatch(value) else shown
        case datetime():
            full = value.isoformat()
            return f'<time datetime="{full}" title="{full}">{words.moment(value)}</time>'
        case Enum():
            return f'<span class="tag">{escape(str(value.value))}</span>'
        case bool():
            return f'<span class="bool">{"true" if value else "false"}</span>'
        case list() | tuple() | set() | frozenset() if all(isinstance(each, str) for each in value):
            return " ".join(f'<span class="item">{escape(each[:40])}</span>' for each in list(value)[:12])
        case int() | float() | Decimal():
            return escape(str(value))
    text = str(value) if isinstance(value, (UUID, date, time)) else _json(value)
    text = text[:CELL_CHARACTERS] + ("…" if len(text) > CELL_CHARACTERS else "")
    return f'<span class="mono dim">{escape(text)}</span>'


def _json(value: object) -> str:
    return to_json(value, bytes_mode="base64", serialize_unknown=True).decode()


_SWATCH = (
    '<svg class="swatch" aria-hidden="true" viewBox="0 0 10 10"><rect width="10" height="10" rx="2" fill="{}"/></svg>'
)


def json_text(value: object) -> str:
    """Return a value of JSON as text, on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


class ShownTable:
    """A table, with what its pages know of it: worked out once."""

    def __init__(self, table: Table[Any]) -> None:
        """Take a table."""
        self.table: Table[Row] = table
        self.schema = table.schema
        self.name = table.name

    @cached_property
    def fields(self) -> list[FieldView]:
        """Its fields, in the order of its model."""
        return fields_of(self.schema)

    @cached_property
    def by_name(self) -> dict[str, FieldView]:
        """Its fields by name."""
        return {field.name: field for field in self.fields}

    def parse_key(self, text: str) -> object | None:
        """Return the key that a text spells; None if no key of this table is spelled so."""
        try:
            return self.schema.parse_key(text)
        except ValueError:
            return None
