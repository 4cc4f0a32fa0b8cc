"""Row, Unique, Index, ForeignKey, PrimaryKey: models become table schemas, checked whole before there is any data."""

import inspect
import keyword
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, dataclass_transform, get_args, get_type_hints
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from snaptable.conditions import Column
from snaptable.errors import SchemaError
from snaptable.values import bulk_validator, value_types

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

OnDelete = Literal["cascade", "restrict", "set null"]
Key = str | int | UUID


def new_id() -> str:
    """Return a new random UUID (version 4) as text."""
    return str(uuid4())


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field, PrivateAttr))
class _RowMeta(ModelMetaclass):
    """Let `User.email` be a Column: Pydantic keeps fields off the class, so the name is free."""

    def __new__(mcs, *args: Any, **kwargs: Any) -> type:
        # Pydantic probes the bases for attributes that a field would shadow: while a class is made, columns hide.
        me = get_ident()
        outer = me in _building
        _building.add(me)
        try:
            made = super().__new__(mcs, *args, **kwargs)
        finally:
            if not outer:
                _building.discard(me)
        # Each class has its own, so that it never finds its base's columns.
        type.__setattr__(made, "__columns__", {})
        return made

    if not TYPE_CHECKING:  # to a type checker the attribute is the field's own type

        def __getattr__(cls, name: str) -> Any:  # noqa: N805 - the instances of a metaclass are classes
            if not _building:
                try:
                    return _attribute(cls, "__columns__")[name]
                except (AttributeError, KeyError):
                    pass
            known = cls.__dict__.get("__pydantic_fields__")
            if known and name in known and get_ident() not in _building:
                return cls.__dict__["__columns__"].setdefault(name, Column(cls, name))
            try:
                return super().__getattr__(name)
            except AttributeError:
                fields = ", ".join(known or ())
                raise AttributeError(
                    f"{cls.__name__} has no field or attribute {name!r}; its fields: {fields}"
                ) from None


_building: set[int] = set()
"""The threads that are making a class."""
_attribute = type.__getattribute__


class Row(BaseModel, metaclass=_RowMeta):
    """Be the base of every row: a frozen Pydantic model that refuses unknown fields."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


def numbered() -> int:
    """Return the default of a primary key that the table numbers.

    As in `id: int = numbered()`. The number is given at the insert; until then the field is None, whatever its type
    says. `id: int | None = None` says the same to the table, and the whole truth to a type checker.
    """
    return cast("int", Field(default_factory=_not_numbered))


def _not_numbered() -> None:
    """Return what a numbered key is before its row is inserted; what it is known by, too."""


@dataclass(frozen=True)
class PrimaryKey:
    """Mark the field that is the primary key, where it is not called `id`."""


class Unique:
    """Allow each value once: on a field `Annotated[str, Unique()]`, over several in `table(Unique("a", "b"))`.

    None clashes with nothing, as in SQL. Looking a row up by a unique value is O(1).
    """

    def __init__(self, *names: str) -> None:
        self.names = names


class Index:
    """Make lookups by a field fast: hash (equality), `ordered=True` (ranges, sorting), `each=True` (items of lists)."""

    def __init__(self, *names: str, ordered: bool = False, each: bool = False) -> None:
        if ordered and each:
            raise SchemaError("an index is either ordered or has an entry for each item, not both")
        self.names = names
        self.ordered = ordered
        self.each = each


class ForeignKey:
    """Make a field hold the primary key of a row of another table, or None; indexed by itself.

    Args:
        target: the model, or the table's name as text (for tables made later, itself, or a model in two tables).
        on_delete: what becomes of this row when the other goes: "restrict" (refuse), "cascade" (goes too), "set null".
    """

    def __init__(self, target: "type[BaseModel] | str", on_delete: OnDelete = "restrict") -> None:
        if on_delete not in get_args(OnDelete):
            raise SchemaError(f"on_delete is one of {', '.join(get_args(OnDelete))}; not {on_delete!r}")
        self.target = target
        self.on_delete = on_delete


Marker = Unique | Index | ForeignKey | PrimaryKey
IndexKind = Literal["unique", "hash", "ordered", "each"]


@dataclass(frozen=True)
class IndexSchema:
    """Describe one index of a table."""

    name: str
    kind: IndexKind
    names: tuple[str, ...]


@dataclass(frozen=True)
class ReferenceSchema:
    """Describe one foreign key: `table.field` holds keys of `target`."""

    table: str
    field: str
    target: str
    on_delete: OnDelete


@dataclass
class TableSchema:
    """Describe one table: its model, its key, its indexes, its foreign keys and who refers to it."""

    name: str
    model: type[BaseModel]
    key: str
    key_type: type[str] | type[int] | type[UUID]
    numbered: bool
    """Whether a key left out (None) is numbered by the table."""
    indexes: tuple[IndexSchema, ...] = ()
    references: tuple[ReferenceSchema, ...] = ()
    referenced_by: tuple[ReferenceSchema, ...] = ()
    columns: dict[str, Column] = field(default_factory=dict)

    def parse_key(self, text: str) -> Key:
        """Return the key that a snapshot or journal spells as text.

        Raises:
            ValueError: the text is no key of this table, or not the way it is spelled.
        """
        key: Key = text if self.key_type is str else int(text) if self.key_type is int else UUID(text)
        if str(key) != text:
            raise ValueError(f"{text!r} is not how the key {key} is written")
        return key


# ── from models to table schemas ────────────────────────────────────────────────────────────────────────────────────

Declared = Mapping[str, tuple[type[BaseModel], tuple[Unique | Index, ...]]]


def build(database: str, declared: Declared, namespace: Mapping[str, Any]) -> dict[str, TableSchema]:
    """Return the schemas of a database's tables, in declared order, after checking all of them.

    Args:
        database: name of the Database class, for messages.
        declared: model and compound indexes by table name.
        namespace: where forward references are looked up.

    Raises:
        SchemaError: naming the table and the field.
    """
    tables = {name: _build_table(name, model, markers, namespace) for name, (model, markers) in declared.items()}
    for schema in tables.values():
        schema.references = tuple(_references(schema, tables, database))
    for schema in tables.values():
        every = (reference for other in tables.values() for reference in other.references)
        schema.referenced_by = tuple(reference for reference in every if reference.target == schema.name)
    return tables


def _build_table(
    name: str, model: type[BaseModel], markers: tuple[Unique | Index, ...], namespace: Mapping[str, Any]
) -> TableSchema:
    _check_model(name, model, namespace)
    bulk_validator.warm_key_layout(model)
    for field_name in model.model_fields:
        _check_field(name, model, field_name)
    key = _find_key(name, model)
    key_type, is_numbered = _key_type(name, model, key)
    for field_name, info in model.model_fields.items():
        if info.default_factory is _not_numbered and (field_name != key or key_type is not int):
            raise SchemaError(f"{name}.{field_name}: numbered() is for a primary key that is an int")
    columns = {field_name: Column(model, field_name) for field_name in model.model_fields}
    schema = TableSchema(name, model, key, key_type, is_numbered, columns=columns)
    schema.indexes = tuple(_indexes(schema, markers))
    return schema


def _check_model(name: str, model: type[BaseModel], namespace: Mapping[str, Any]) -> None:
    try:
        model.model_rebuild(_types_namespace=dict(namespace))
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise SchemaError(f"{name}: {model.__name__} is not complete: {error}") from error
    if not isinstance(model, _RowMeta):
        raise SchemaError(f"{name}: {model.__name__} is no Row; make it `class {model.__name__}(Row)`")
    if not model.model_config.get("frozen"):
        raise SchemaError(f"{name}: {model.__name__} is mutable; rows are frozen, leave `frozen` as Row has it")
    if model.model_config.get("extra") != "forbid":
        raise SchemaError(f"{name}: {model.__name__} takes unknown fields; leave `extra` as Row has it ('forbid')")
    if model.__private_attributes__:
        private = next(iter(model.__private_attributes__))
        raise SchemaError(f"{name}.{private}: a private attribute would be lost at a restart; make it a field")
    if getattr(model, "__pydantic_root_model__", False):
        raise SchemaError(f"{name}: {model.__name__} is a RootModel; a row has fields")


def _check_field(name: str, model: type[BaseModel], field_name: str) -> None:
    info = model.model_fields[field_name]
    where = f"{name}.{field_name}"
    if keyword.iskeyword(field_name) or not field_name.isidentifier():
        raise SchemaError(f"{where}: not a name that can be written after a dot; use an alias for it")
    if info.exclude:
        raise SchemaError(f"{where}: an excluded field would be lost at a restart")
    if not isinstance(getattr(model, field_name, None), Column):
        # `copy`, `register`, …: something inherited has the name. The class's own attribute comes before it.
        type.__setattr__(model, field_name, Column(model, field_name))
    reason = value_types.never_survives(info.annotation)
    if reason:
        raise SchemaError(f"{where}: {reason}")
    if value_types.lossless(info.annotation)[0]:
        return
    from snaptable.values.json_support import why_not  # 40 ms to import, and ordinary fields never get here

    reason = why_not(info.annotation, model)
    if reason:
        raise SchemaError(f"{where}: its type can't survive JSON: {reason}")


def _markers(model: type[BaseModel], field_name: str) -> list[Marker]:
    found = model.model_fields[field_name].metadata
    # `Unique` without parentheses is an easy slip that would otherwise pass unnoticed.
    return [item() if item in (Unique, Index, PrimaryKey) else item for item in found if _is_marker(item)]


def _is_marker(item: object) -> bool:
    return isinstance(item, Marker) or item in (Unique, Index, PrimaryKey)


def _find_key(name: str, model: type[BaseModel]) -> str:
    marked = [f for f in model.model_fields if any(isinstance(m, PrimaryKey) for m in _markers(model, f))]
    if len(marked) > 1:
        raise SchemaError(f"{name}: {' and '.join(marked)} are both marked PrimaryKey(); a table has one key")
    if marked:
        return marked[0]
    if "id" not in model.model_fields:
        raise SchemaError(f"{name}: {model.__name__} has no field `id`; mark another one with PrimaryKey()")
    return "id"


def _key_type(name: str, model: type[BaseModel], key: str) -> tuple[type[str] | type[int] | type[UUID], bool]:
    annotation = model.model_fields[key].annotation
    kinds = set(value_types.value_types(annotation) or ())
    optional = type(None) in kinds
    kinds.discard(type(None))
    if len(kinds) != 1 or (kind := kinds.pop()) not in (str, int, UUID):
        raise SchemaError(f"{name}.{key}: a primary key is a str, an int or a UUID")
    if optional and kind is not int:
        raise SchemaError(f"{name}.{key}: only an int key may be None (it is then numbered by the table)")
    return kind, optional or model.model_fields[key].default_factory is _not_numbered


def _indexes(schema: TableSchema, compound: Iterable[Unique | Index]) -> Iterable[IndexSchema]:
    found: list[IndexSchema] = []
    for field_name in schema.model.model_fields:
        for marker in _markers(schema.model, field_name):
            if isinstance(marker, (Unique, Index)):
                if marker.names and marker.names != (field_name,):
                    raise SchemaError(f"{schema.name}.{field_name}: an index over {marker.names} goes into table(…)")
                found.append(_index(schema, marker, (field_name,)))
        foreign = any(isinstance(marker, ForeignKey) for marker in _markers(schema.model, field_name))
        if foreign and not any(index.names == (field_name,) and index.kind != "each" for index in found):
            found.append(_index(schema, Index(), (field_name,)))
    found += [_index(schema, marker, marker.names) for marker in compound]
    unnamed = [(index.kind, index.names) for index in found]
    for position, index in enumerate(unnamed):
        if index in unnamed[:position]:
            raise SchemaError(f"{schema.name}: the {index[0]} index over {', '.join(index[1])} is declared twice")
    names = [index.name for index in found]
    return [
        index if names.count(index.name) == 1 else IndexSchema(f"{index.name} {index.kind}", index.kind, index.names)
        for index in found
    ]


def _index(schema: TableSchema, marker: Unique | Index, names: tuple[str, ...]) -> IndexSchema:
    kind: IndexKind = "unique"
    if isinstance(marker, Index):
        kind = "ordered" if marker.ordered else "each" if marker.each else "hash"
    if not names:
        raise SchemaError(f"{schema.name}: an index in table(…) names its fields")
    if len(set(names)) != len(names):
        raise SchemaError(f"{schema.name}: an index names a field twice: {', '.join(names)}")
    for name in names:
        where = f"{schema.name}.{name}"
        if name not in schema.columns:
            raise SchemaError(f"{where}: an index names a field that {schema.model.__name__} doesn't have")
        _check_indexed(where, kind, schema.columns[name].annotation, single=len(names) == 1)
    return IndexSchema(",".join(names), kind, names)


def _check_indexed(where: str, kind: IndexKind, annotation: Any, *, single: bool) -> None:
    if kind == "ordered":
        try:
            value_types.sort_key(annotation)
        except TypeError as error:
            raise SchemaError(f"{where}: can't be in an ordered index: {error}") from None
    elif kind == "each":
        item = value_types.element(annotation)
        if not single:
            raise SchemaError(f"{where}: an index with an entry for each item has one field")
        if item is None or not value_types.is_hashable(item):
            raise SchemaError(f"{where}: Index(each=True) takes a list, set or tuple of plain values")
    elif not value_types.is_hashable(annotation):
        hint = "; use Index(each=True) for its items" if value_types.element(annotation) is not None else ""
        raise SchemaError(f"{where}: only plain values can be indexed{hint}")


def _references(schema: TableSchema, tables: Mapping[str, TableSchema], database: str) -> Iterable[ReferenceSchema]:
    for field_name, column in schema.columns.items():
        keys = [marker for marker in _markers(schema.model, field_name) if isinstance(marker, ForeignKey)]
        where = f"{schema.name}.{field_name}"
        if len(keys) > 1:
            raise SchemaError(f"{where}: a field has one foreign key at the most")
        for key in keys:
            target = _target(where, key, tables, database)
            kinds = set(column.kinds or (object,)) - {type(None)}
            if kinds != {target.key_type}:
                names = " | ".join(sorted(kind.__name__ for kind in kinds))
                raise SchemaError(
                    f"{where} is {names}, but the key {target.name}.{target.key} is {target.key_type.__name__}"
                )
            if key.on_delete == "set null" and not value_types.is_optional(column.annotation):
                raise SchemaError(f'{where}: on_delete="set null" needs a field that may be None')
            if key.on_delete == "set null" and field_name == schema.key:
                raise SchemaError(f'{where}: a primary key is never None, so on_delete="set null" has no meaning')
            yield ReferenceSchema(schema.name, field_name, target.name, key.on_delete)


def _target(where: str, key: ForeignKey, tables: Mapping[str, TableSchema], database: str) -> TableSchema:
    if isinstance(key.target, str):
        if key.target not in tables:
            raise SchemaError(f"{where}: {database} has no table named {key.target!r} to refer to")
        return tables[key.target]
    found = [table for table in tables.values() if table.model is key.target]
    if not found:
        raise SchemaError(f"{where}: no table of {database} holds {key.target.__name__}")
    if len(found) > 1:
        names = " and ".join(repr(table.name) for table in found)
        raise SchemaError(
            f"{where}: {key.target.__name__} is in {names}; name the table: ForeignKey('{found[0].name}')"
        )
    return found[0]


def annotations_of(cls: type, depth: int = 2) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the evaluated annotations of a class's own body, and the scope they were evaluated in.

    The scope is that of the class statement, `depth` calls up, so that models made inside a function are found.
    """
    frame = sys._getframe(depth)
    scope = {**frame.f_globals, **frame.f_locals}
    own = {name: value for name, value in inspect.get_annotations(cls).items() if not name.startswith("__")}
    holder: Callable[..., Any] = type("_Holder", (), {"__annotations__": own, "__module__": cls.__module__})
    try:
        return get_type_hints(holder, localns=scope, include_extras=True), scope
    except NameError as error:
        raise SchemaError(f"{cls.__name__}: {error}; is the model defined before the database?") from error
