"""What to write for rows that don't fit today's models. A rename is never guessed: it is suggested, to be pasted."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args, get_origin

from snaptable.migrations.raw import RawDatabase, RawTable
from snaptable.schema.tables import TableSchema

KINDS: dict[type, str] = {
    str: "str", int: "int", float: "float", bool: "bool", list: "list", dict: "dict", type(None): "None",
}  # fmt: skip
EMPTY: dict[str, str] = {
    "str": '""', "int": "0", "float": "0.0", "bool": "False", "list": "[]", "dict": "{}", "None": "None",
}  # fmt: skip
"""A value of each kind, as code."""
_PROBLEM = re.compile(r"(?:line \d+: )?(\w+)\[.*?\]\.(\w+)", re.DOTALL)


def advice(schemas: Mapping[str, TableSchema], db: RawDatabase, problems: Sequence[str]) -> list[str]:
    """Return the lines for every table; O(rows)."""
    lines = list(_about_tables(schemas, db))
    for name, schema in schemas.items():
        rows = db.get(name)
        if rows:
            lines += _about_fields(name, schema, rows, _wrong_fields(name, problems))
    return lines


def _about_tables(schemas: Mapping[str, TableSchema], db: RawDatabase) -> Iterator[str]:
    """Yield what may have become of tables that hold rows and that the models lack."""
    gone = [name for name in db if name not in schemas and db[name]]
    new = [name for name in schemas if name not in db or not db[name]]
    for old in gone:
        count = _rows(len(db[old]))
        alike = [name for name in new if _common_fields(schemas[name], db[old])]
        for name in alike:
            renamed, dropped = f'rename_table("{old}", to="{name}")', f'drop_table("{old}")'
            yield f"{old} is gone and {name} is new ({count}). Renamed?  {renamed}   Dropped?  {dropped}"
        if not alike:
            yield f'{old} is gone ({count}). Dropped?  drop_table("{old}")'


def _common_fields(schema: TableSchema, rows: RawTable) -> bool:
    """Return whether the rows have more than the key in common with a model, or that if it is all there is."""
    fields = {name for row in rows.values() for name in row}
    common = fields & schema.columns.keys() - {schema.key}
    return bool(common) or fields == {schema.key}


def _about_fields(table: str, schema: TableSchema, rows: RawTable, wrong: Sequence[str]) -> Iterator[str]:
    """Yield what may have become of the fields of a table."""
    there = {name: None for row in rows.values() for name in row}
    gone = [name for name in there if name not in schema.columns]
    new = [name for name in schema.columns if name not in there]
    for old in gone:
        kind, count = _kind_of(rows, old), _rows(sum(old in row for row in rows.values()))
        alike = [name for name in new if _kind_of_field(schema, name) in (kind, None) or kind == "None"]
        for name in alike:
            both = "" if kind == "None" else f"both {kind}, "
            renamed = f'rename("{table}.{old}", to="{name}")'
            dropped = f'drop("{table}.{old}"), {_added(table, schema, name)}'
            yield f"{table}: {old} is gone and {name} is new ({both}{count}). Renamed?  {renamed}   Dropped?  {dropped}"
        if not alike:
            yield f'{table}: {old} is gone ({count}). Dropped?  drop("{table}.{old}")'
    for name in new:
        if schema.model.model_fields[name].is_required():
            yield f"{table}: {name} is new, and has no default. {_added(table, schema, name)}"
    for name in wrong:
        if name in there and name in schema.columns:
            if schema.model.model_fields[name].is_required() and any(name not in row for row in rows.values()):
                yield f'{table}: {name} is missing in some rows. fill("{table}.{name}", {_value(schema, name)})'
            expected = _kind_of_field(schema, name)
            using = expected if expected in ("str", "int", "float", "bool") else "…"
            yield f'{table}: {name} is of another type now. retype("{table}.{name}", using={using})'


def _added(table: str, schema: TableSchema, name: str) -> str:
    return f'add("{table}.{name}", {_value(schema, name)})'


def _value(schema: TableSchema, name: str) -> str:
    return EMPTY.get(_kind_of_field(schema, name) or "", "…")


def _kind_of(rows: RawTable, name: str) -> str:
    """Return what kind a field's values are, None left out if there are others; "mixed" for several kinds."""
    kinds = {KINDS.get(type(row[name]), "mixed") for row in rows.values() if name in row}
    kinds = kinds - {"None"} or kinds
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _kind_of_field(schema: TableSchema, name: str) -> str | None:
    """Return the kind that a field's values have in JSON, as far as its type says; None if it doesn't."""
    return _kind_of_type(schema.model.model_fields[name].annotation)


def _kind_of_type(annotation: object) -> str | None:
    if isinstance(annotation, type):
        for kind, name in KINDS.items():
            if annotation is kind:
                return name
        if issubclass(annotation, str):
            return "str"
    origin = get_origin(annotation)
    if origin in (list, tuple, set, frozenset):
        return "list"
    if origin is dict:
        return "dict"
    kinds = {_kind_of_type(each) for each in get_args(annotation) if each is not type(None)}
    return kinds.pop() if len(kinds) == 1 else None


def _wrong_fields(table: str, problems: Sequence[str]) -> list[str]:
    """Return the fields of a table that problems name."""
    named = (_PROBLEM.match(problem) for problem in problems)
    return list(dict.fromkeys(match[2] for match in named if match and match[1] == table))


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"
