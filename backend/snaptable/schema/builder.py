"""From models to table schemas: all of a database is checked when its class is made, before there is any data."""

import inspect
import keyword
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import get_type_hints
from uuid import UUID

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo

from snaptable.conditions.columns import Column, column_of
from snaptable.errors import SchemaError
from snaptable.schema.markers import ForeignKey, Index, Marker, PrimaryKey, Unique, not_numbered
from snaptable.schema.on_update import OnUpdate, marks_of
from snaptable.schema.row import Row, apply_marks
from snaptable.schema.tables import Declaration, IndexKind, IndexSchema, ReferenceSchema, TableSchema, defined_again
from snaptable.secrets import Secret, secret_fields
from snaptable.values import bulk_validator, core_schemas, lasting, value_types

Declarations = Mapping[str, Declaration]
"""What a Database class says of its tables, by their names."""

DROP_A_COLUMN = (
    "to drop a column, take its values out of the file as well: "
    "jq '.{table} |= map_values(del(.column))' db_snapshot.json, then `snaptable accept`"
)


def build(database: str, declared: Declarations, namespace: Mapping[str, object]) -> dict[str, TableSchema]:
    """Return the schemas of a database's tables, in declared order, after checking all of them.

    Args:
        database: name of the Database class, for messages.
        declared: what its tables hold.
        namespace: where forward references are looked up.

    Raises:
        SchemaError: naming the table and the field.
    """
    tables = {name: _build_table(name, declaration, namespace) for name, declaration in declared.items()}
    for schema in tables.values():
        schema.references = tuple(_references(schema, tables, database))
    for schema in tables.values():
        every = (reference for other in tables.values() for reference in other.references)
        schema.referenced_by = tuple(reference for reference in every if reference.target == schema.name)
    return tables


def _build_table(name: str, declaration: Declaration, namespace: Mapping[str, object]) -> TableSchema:
    model = declaration.model
    _check_model(name, model, namespace)
    bulk_validator.warm_key_layout(model)
    for field_name in model.model_fields:
        _check_field(name, model, field_name)
    _check_values(name, model)
    key = _find_key(name, model)
    key_type, is_numbered = _key_type(name, model, key)
    columns = {field_name: Column(model, field_name) for field_name in model.model_fields}
    schema = TableSchema(name, model, key, key_type, is_numbered, columns=columns, transient=declaration.transient)
    schema.indexes = tuple(_indexes(schema, declaration.indexes))
    schema.secrets, schema.on_update = _secrets(schema), dict(_moving_fields(schema))
    return schema


def _error(table: str, field: str | None, reason: str) -> SchemaError:
    place = table if field is None else f"{table}.{field}"
    return SchemaError(f"{place}: {reason}", table=table, fields=() if field is None else (field,))


# ── the model and its fields ────────────────────────────────────────────────────────────────────────────────────────


def _check_model(table: str, model: type[BaseModel], namespace: Mapping[str, object]) -> None:
    name = model.__name__
    try:
        model.model_rebuild(_types_namespace=dict(namespace))
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise _error(table, None, f"{name} is not complete: {error}") from error
    apply_marks(model)
    if not issubclass(model, Row):
        raise _error(table, None, f"{name} is not a Row; make it `class {name}(Row)`")
    if not model.model_config.get("frozen"):
        raise _error(table, None, f"{name} is mutable; rows are frozen, leave `frozen` as Row has it")
    if model.model_config.get("extra") != "forbid":
        raise _error(
            table,
            None,
            f"{name} takes unknown fields; leave `extra` as Row has it ('forbid'); {DROP_A_COLUMN.format(table=table)}",
        )
    if model.__private_attributes__:
        private = next(iter(model.__private_attributes__))
        raise _error(table, private, "a private attribute would be lost at a restart; make it a field")
    if getattr(model, "__pydantic_root_model__", False):
        raise _error(table, None, f"{name} is a RootModel; a row has fields")


def _check_field(table: str, model: type[BaseModel], name: str) -> None:
    info = model.model_fields[name]
    if keyword.iskeyword(name) or not name.isidentifier():
        raise _error(table, name, "not a name that can be written after a dot; use an alias for it")
    if info.exclude:
        raise _error(table, name, "an excluded field would be lost at a restart")
    if column_of(getattr(model, name, None)) is None:
        # `copy`, `register`, …: something inherited has the name. The class's own attribute comes before it.
        type.__setattr__(model, name, Column(model, name).as_seen())
    reason = lasting.never_survives(info.annotation)
    if reason:
        raise _error(table, name, reason)
    if lasting.lossless(info.annotation)[0]:
        return
    from snaptable.values.json_support import why_not  # 40 ms to import, and ordinary fields never get here

    reason = why_not(info.annotation, model)
    if reason:
        raise _error(table, name, f"its type can't survive JSON: {reason}")


def _check_values(table: str, model: type[BaseModel]) -> None:
    """Check that the store will open again: no type's values expire, and each default is a value of its field."""
    for path, reason in core_schemas.short_lived(model):
        raise _error_at(table, path, reason)
    for path, reason in core_schemas.invalid_defaults(model):
        raise _error_at(table, path, f"its default is not a value of its type: {reason}")


def _error_at(table: str, path: tuple[str, ...], reason: str) -> SchemaError:
    return SchemaError(f"{'.'.join((table, *path))}: {reason}", table=table, fields=path[:1])


def _markers(info: FieldInfo) -> list[Marker]:
    # `Unique` without parentheses is an easy slip that would otherwise pass unnoticed.
    given = [item() if item in (Unique, Index, PrimaryKey, Secret) else item for item in info.metadata]
    return [item for item in given if isinstance(item, Marker)]


# ── the primary key ─────────────────────────────────────────────────────────────────────────────────────────────────


def _find_key(table: str, model: type[BaseModel]) -> str:
    marked = [
        name
        for name, info in model.model_fields.items()
        if any(isinstance(marker, PrimaryKey) for marker in _markers(info))
    ]
    if len(marked) > 1:
        raise _error(table, None, f"{' and '.join(marked)} are both marked PrimaryKey(); a table has one key")
    if marked:
        return marked[0]
    if "id" not in model.model_fields:
        raise _error(table, None, f"{model.__name__} has no field `id`; mark another one with PrimaryKey()")
    return "id"


def _key_type(table: str, model: type[BaseModel], key: str) -> tuple[type[str] | type[int] | type[UUID], bool]:
    """Return the type of a table's keys, and whether the table numbers them."""
    types = set(value_types.value_types(model.model_fields[key].annotation) or ())
    optional = type(None) in types
    types.discard(type(None))
    if len(types) != 1 or (key_type := types.pop()) not in (str, int, UUID):
        raise _error(table, key, "a primary key is a str, an int or a UUID")
    if optional and key_type is not int:
        raise _error(table, key, "only an int key may be None (it is then numbered by the table)")
    numbered = [name for name, info in model.model_fields.items() if info.default_factory is not_numbered]
    for name in numbered:
        if name != key or key_type is not int:
            raise _error(table, name, "numbered() is for a primary key that is an int")
    return key_type, optional or bool(numbered)


# ── secrets, and fields that move ───────────────────────────────────────────────────────────────────────────────────


def _secrets(schema: TableSchema) -> frozenset[str]:
    secrets = secret_fields(schema.model)
    if schema.key in secrets:
        raise _error(schema.name, schema.key, "a primary key can't be Secret(): it names its row everywhere")
    return secrets


def _moving_fields(schema: TableSchema) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, info in schema.model.model_fields.items():
        marks = marks_of(info)
        if OnUpdate in info.metadata:
            raise _error(schema.name, name, "OnUpdate takes the function that gives the new value: OnUpdate(utc_now)")
        if len(marks) > 1:
            raise _error(schema.name, name, "a field has one OnUpdate() at the most")
        if not marks and value_types.is_marked(info.annotation, OnUpdate):
            raise _error(schema.name, name, "OnUpdate() marks a whole field: Annotated[datetime | None, OnUpdate(…)]")
        if marks and name == schema.key:
            raise _error(schema.name, name, "a primary key never changes, so OnUpdate() has no meaning")
        if marks:
            yield name, marks[0].function


# ── indexes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _indexes(schema: TableSchema, compound: Iterable[Unique | Index]) -> list[IndexSchema]:
    indexes: list[IndexSchema] = []
    for name, info in schema.model.model_fields.items():
        indexes += _field_indexes(schema, name, _markers(info))
    indexes += [_index(schema, marker, marker.names) for marker in compound]
    shapes = [(index.kind, index.names) for index in indexes]
    for position, (kind, names) in enumerate(shapes):
        if (kind, names) in shapes[:position]:
            raise _error(schema.name, None, f"the {kind} index over {', '.join(names)} is declared twice")
    given = [index.name for index in indexes]
    return [
        index if given.count(index.name) == 1 else IndexSchema(f"{index.name} {index.kind}", index.kind, index.names)
        for index in indexes
    ]


def _field_indexes(schema: TableSchema, name: str, markers: list[Marker]) -> list[IndexSchema]:
    """Return the indexes that a field's markers ask for; a foreign key asks for one if no other is of use to it."""
    indexes: list[IndexSchema] = []
    for marker in markers:
        if isinstance(marker, (Unique, Index)):
            if marker.names and marker.names != (name,):
                raise _error(schema.name, name, f"an index over {marker.names} goes into table(…)")
            indexes.append(_index(schema, marker, (name,)))
    foreign = any(isinstance(marker, ForeignKey) for marker in markers)
    if foreign and all(index.kind == "each" for index in indexes):
        indexes.append(_index(schema, Index(), (name,)))
    return indexes


def _index(schema: TableSchema, marker: Unique | Index, names: tuple[str, ...]) -> IndexSchema:
    kind: IndexKind = "unique"
    if isinstance(marker, Index):
        kind = "ordered" if marker.ordered else "each" if marker.each else "hash"
    if not names:
        raise _error(schema.name, None, "an index in table(…) names its fields")
    if len(set(names)) != len(names):
        raise _error(schema.name, None, f"an index names a field twice: {', '.join(names)}")
    for name in names:
        if name not in schema.columns:
            raise _error(schema.name, name, f"an index names a field that {schema.model.__name__} doesn't have")
        reason = _not_indexable(kind, schema.columns[name].annotation, single=len(names) == 1)
        if reason:
            raise _error(schema.name, name, reason)
    return IndexSchema(",".join(names), kind, names)


def _not_indexable(kind: IndexKind, annotation: value_types.Annotation, *, single: bool) -> str | None:
    """Return why an index of a kind can't hold a field's values; None if it can."""
    item = value_types.element(annotation)
    if kind == "ordered":
        try:
            value_types.sort_key(annotation)
        except TypeError as error:
            return f"can't be in an ordered index: {error}"
    elif kind == "each":
        if not single:
            return "an index with an entry for each item has one field"
        if item is None or not value_types.is_hashable(item):
            return "Index(each=True) takes a list, set or tuple of plain values"
    elif not value_types.is_hashable(annotation):
        hint = "; use Index(each=True) for its items" if item is not None else ""
        return f"only plain values can be indexed{hint}"
    return None


# ── foreign keys ────────────────────────────────────────────────────────────────────────────────────────────────────


def _references(schema: TableSchema, tables: Mapping[str, TableSchema], database: str) -> Iterator[ReferenceSchema]:
    for name, info in schema.model.model_fields.items():
        keys = [marker for marker in _markers(info) if isinstance(marker, ForeignKey)]
        if len(keys) > 1:
            raise _error(schema.name, name, "a field has one foreign key at the most")
        for key in keys:
            target = _target(schema.name, name, key, tables, database)
            if target.transient and not schema.transient:
                raise _error(schema.name, name, f"{target.name} is transient: a past has none of its rows to refer to")
            _check_reference(schema, name, key, target)
            yield ReferenceSchema(schema.name, name, target.name, key.on_delete)


def _target(table: str, field: str, key: ForeignKey, tables: Mapping[str, TableSchema], database: str) -> TableSchema:
    if isinstance(key.target, str):
        if key.target not in tables:
            raise _error(table, field, f"{database} has no table named {key.target!r} to refer to")
        return tables[key.target]
    model = key.target.__name__
    holders = [schema for schema in tables.values() if schema.model is key.target]
    if not holders:
        again = (defined_again(schema.model, key.target) for schema in tables.values())
        raise _error(table, field, f"no table of {database} holds {model}{next(filter(None, again), '')}")
    if len(holders) > 1:
        names = " and ".join(repr(schema.name) for schema in holders)
        raise _error(table, field, f"{model} is in {names}; name the table: ForeignKey('{holders[0].name}')")
    return holders[0]


def _check_reference(schema: TableSchema, name: str, key: ForeignKey, target: TableSchema) -> None:
    annotation = schema.columns[name].annotation
    types = set(value_types.value_types(annotation) or (object,)) - {type(None)}
    if types != {target.key_type}:
        given = " | ".join(sorted(each.__name__ for each in types))
        raise SchemaError(
            f"{schema.name}.{name} is {given}, but the key {target.name}.{target.key} is {target.key_type.__name__}",
            table=schema.name,
            fields=(name,),
        )
    if key.on_delete == "set null" and not value_types.is_optional(annotation):
        raise _error(schema.name, name, 'on_delete="set null" needs a field that may be None')
    if key.on_delete == "set null" and name == schema.key:
        raise _error(schema.name, name, 'a primary key is never None, so on_delete="set null" has no meaning')


# ── the class statement ─────────────────────────────────────────────────────────────────────────────────────────────


def annotations_of(cls: type, depth: int = 2) -> tuple[dict[str, object], dict[str, object]]:
    """Return the evaluated annotations of a class's own body, and the scope they were evaluated in.

    The scope is that of the class statement, `depth` calls up, so that models made inside a function are known.

    Raises:
        SchemaError: a name is not defined there.
    """
    frame = sys._getframe(depth)
    scope = {**frame.f_globals, **frame.f_locals}
    own = {name: value for name, value in inspect.get_annotations(cls).items() if not name.startswith("__")}
    holder: Callable[..., object] = type("_Holder", (), {"__annotations__": own, "__module__": cls.__module__})
    try:
        return get_type_hints(holder, localns=scope, include_extras=True), scope
    except NameError as error:
        raise SchemaError(f"{cls.__name__}: {error}; is the model defined before the database?") from error
