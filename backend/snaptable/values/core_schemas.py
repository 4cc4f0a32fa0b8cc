"""What the values of a field rest on, read from Pydantic's core schema: there no nesting of types escapes.

Two things make a store refuse its own file, and are looked for here, in nested models, dataclasses, typed dicts, named
tuples, unions, containers and forward references alike: types whose values stop being valid by themselves, and defaults
that are no values of their own fields.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic.types import PathType
from pydantic_core import CoreConfig, CoreSchema, SchemaSerializer, SchemaValidator

Node = Mapping[str, object]
"""A core schema, or a part of one."""

NOT_SCHEMAS = {"default", "config", "metadata", "serialization", "cls", "expected", "members", "generic_origin"}
"""Parts of a core schema that hold no schemas of validation: a default may be any dictionary."""
_CHECKS = {
    PathType.validate_file: "a file path is only valid while that file is there; use a plain Path",
    PathType.validate_directory: "a directory path is only valid while that directory is there; use a plain Path",
    PathType.validate_new: "a new path is only valid until something is there; use a plain Path",
}
if hasattr(PathType, "validate_socket"):
    _CHECKS[PathType.validate_socket] = "a socket path is only valid while that socket is there; use a plain Path"
_IMPORT = "an import string is only valid while its module can be imported; use a plain str"
_FUTURE = "a date or time in the future is only valid until it has come; use a plain date or datetime"
_PURE_FACTORIES = {list, dict, set, frozenset, tuple, str, int, float, bool, bytes}
"""Default factories that give the same each time."""


@dataclass(frozen=True)
class _Part:
    """A core schema inside that of a model.

    Attributes:
        path: names of the fields that lead to it, the table's own first; empty outside of fields.
        node: the schema.
        config: the configuration it stands under.
    """

    path: tuple[str, ...]
    node: Node
    config: CoreConfig | None


def short_lived(model: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the fields whose values stop being valid as time passes or the machine changes, as paths, and why; O(n)."""
    for part in _parts(model):
        reason = _short_lived(part.node)
        if reason:
            yield part.path, reason


def _short_lived(node: Node) -> str | None:
    if node.get("now_op") == "future":
        return _FUTURE
    function = node.get("function")
    called = function.get("function") if isinstance(function, dict) else None
    if getattr(called, "__name__", None) == "import_string" and str(called.__module__).startswith("pydantic."):
        return _IMPORT
    try:
        return _CHECKS.get(called)  # type: ignore[arg-type]
    except TypeError:
        return None  # a callable that can't be hashed is none of Pydantic's


def invalid_defaults(model: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the fields whose constant default is not a value of theirs, as paths, and why; O(n).

    Default factories are not called. A validator of more than one field is not asked: the other fields are missing.
    """
    schema = _schema_of(model)
    definitions = schema.get("definitions", ())
    for part in _parts(model):
        if part.path and part.node.get("type") == "default" and "default" in part.node:
            inner = part.node["schema"]
            whole = {"type": "definitions", "schema": inner, "definitions": definitions} if definitions else inner
            reason = _why_invalid(part.node["default"], whole, part.config)  # type: ignore[arg-type]
            if reason:
                yield part.path, reason


def _why_invalid(default: object, schema: CoreSchema, config: CoreConfig | None) -> str | None:
    """Return why a value is none of a schema's, neither as Python has it nor as it comes back from JSON."""
    try:
        validator = SchemaValidator(schema, config)
        validator.validate_python(deepcopy(default))
    except ValidationError as error:
        reason = "; ".join(item["msg"] for item in error.errors(include_url=False, include_input=False))
        if any(_is_of_code(item["type"]) for item in error.errors(include_url=False)) and _asks_other_fields(schema):
            return None
    except Exception:  # noqa: BLE001 - a validator of the model's own, which misses the other fields
        return None
    else:
        return None
    try:
        data = SchemaSerializer(schema, config).to_json(default, round_trip=True, by_alias=False, warnings="error")
        validator.validate_json(data, by_alias=False, by_name=True)
    except Exception:  # noqa: BLE001 - whatever it is, it is no value of the field
        return reason
    return None


def _is_of_code(kind: str) -> bool:
    """Return whether an error of a kind was raised by code of the model's own."""
    return kind in ("value_error", "assertion_error")


def _asks_other_fields(schema: object) -> bool:
    return any(
        isinstance(node.get("function"), dict) and node["function"].get("type") == "with-info"  # type: ignore[attr-defined]
        for node in nodes(schema)
    )


@lru_cache(maxsize=1024)
def invents(model: type[BaseModel], field: str) -> bool:
    """Return whether a default factory, of a field or inside it, may give another value each time; O(n)."""
    factories = (
        part.node["default_factory"]
        for part in _parts(model)
        if part.path[:1] == (field,) and part.node.get("type") == "default" and "default_factory" in part.node
    )
    return any(factory not in _PURE_FACTORIES for factory in factories)


@lru_cache(maxsize=1024)
def holds_sets(model: type[BaseModel], field: str) -> bool:
    """Return whether a value of a field may hold a set anywhere in it; O(n)."""
    return any(part.path[:1] == (field,) and part.node.get("type") in ("set", "frozenset") for part in _parts(model))


# ── walking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _schema_of(model: type[BaseModel]) -> Node:
    return cast(Node, model.__pydantic_core_schema__)


def _parts(model: type[BaseModel]) -> Iterator[_Part]:
    """Yield every schema inside that of a model, each once for each field of the model that leads to it."""
    schema = _schema_of(model)
    known = {item["ref"]: item for item in schema.get("definitions", ())}  # type: ignore[attr-defined]
    root = schema.get("schema") if schema.get("type") == "definitions" else schema
    pending: list[_Part] = [_Part((), root, None)]  # type: ignore[arg-type]
    seen: set[tuple[str | None, int]] = set()
    while pending:
        part = pending.pop()
        mark = (part.path[0] if part.path else None, id(part.node))
        if mark in seen:
            continue
        seen.add(mark)
        yield part
        if part.node.get("type") == "definition-ref":
            target = known.get(part.node["schema_ref"])
            if target is not None:
                pending.append(_Part(part.path, target, part.config))
            continue
        config = part.node.get("config", part.config)
        for name, child in _children(part.node):
            pending.append(_Part((*part.path, *name), child, config))  # type: ignore[arg-type]


def _children(node: Node) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield the schemas right below one, each with the name of the field that it is, if it is one."""
    kind = str(node.get("type", ""))
    for key, value in node.items():
        if key in NOT_SCHEMAS:
            continue
        if key == "fields" and isinstance(value, dict):
            yield from (((str(name),), child) for name, child in value.items())
        elif isinstance(value, dict):
            yield (), value
        elif isinstance(value, (list, tuple)):
            for item in value:
                child = item[0] if isinstance(item, tuple) else item
                if isinstance(child, dict):
                    named = kind in ("dataclass-args", "named-tuple", "arguments") and "name" in child
                    yield ((str(child["name"]),) if named else ()), child


def nodes(schema: object) -> Iterator[Node]:
    """Yield a schema and every one inside it, definitions included."""
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending += [value for key, value in node.items() if key not in NOT_SCHEMAS]
        elif isinstance(node, (list, tuple)):
            pending += node
