"""One order for the items of sets, wherever a row is written.

A set gives its items in an order that depends on how it was made, and for texts on the process: Python hashes them
with a seed of its own in each. Written as they come, an unchanged row would be another line in the file after
a restart. So the serializers of models that hold sets write these sorted, as JSON has their items: numbers by value,
texts by code point, anything else by its JSON.

They are made of the model's core schema, in which each set is given a serialization that sorts; sets that have one
already (`PlainSerializer`) keep it. Pydantic would take the serializers that classes have already, which don't sort,
in place of the schema's: those of complete ones. So they are called incomplete while these are made.
"""

import json
import threading
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter
from pydantic_core import CoreConfig, CoreSchema, PydanticSerializationUnexpectedValue, SchemaSerializer, core_schema
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from snaptable.values import core_schemas

_SETS = ("set", "frozenset")
_CLASSES = ("model", "dataclass")
"""Schemas of classes that may have a serializer already."""
_BUILDING = threading.Lock()


def serializer_of(model: type[BaseModel]) -> SchemaSerializer:
    """Return what writes rows of a model; its own serializer unless it holds sets. O(fields)."""
    return sorting(model.__pydantic_core_schema__) or model.__pydantic_serializer__


def list_serializer_of(model: type[BaseModel]) -> SchemaSerializer:
    """Return what writes lists of rows of a model; O(fields)."""
    made = sorting(_list_schema(model.__pydantic_core_schema__))
    return made or TypeAdapter(list[model]).serializer  # type: ignore[valid-type]


def _list_schema(schema: CoreSchema) -> CoreSchema:
    if schema["type"] == "definitions":
        return core_schema.definitions_schema(core_schema.list_schema(schema["schema"]), schema["definitions"])
    return core_schema.list_schema(schema)


def sorting(schema: CoreSchema, config: CoreConfig | None = None) -> SchemaSerializer | None:
    """Return the serializer of a schema that sorts the items of sets; None if it holds none. O(schema)."""
    if not any(node.get("type") in _SETS for node in core_schemas.nodes(schema)):
        return None
    made = _with_sorted_sets(schema)
    with _BUILDING:
        complete = [kind for kind in _classes(schema) if kind.__dict__.get("__pydantic_complete__")]
        try:
            for kind in complete:
                type.__setattr__(kind, "__pydantic_complete__", False)
            return SchemaSerializer(made, config)
        finally:
            for kind in complete:
                type.__setattr__(kind, "__pydantic_complete__", True)


def _classes(schema: CoreSchema) -> set[type]:
    """Return the classes that a schema, or one inside it, is of."""
    return {cast(type, node["cls"]) for node in core_schemas.nodes(schema) if node.get("type") in _CLASSES}


def _with_sorted_sets(node: Any) -> Any:
    if isinstance(node, (list, tuple)):
        return type(node)(map(_with_sorted_sets, node))
    if not isinstance(node, dict):
        return node
    made = {key: value if key in core_schemas.NOT_SCHEMAS else _with_sorted_sets(value) for key, value in node.items()}
    if node.get("type") in _SETS:
        made.setdefault("serialization", _SORTED)
    return made


def _sorted_items(value: object, handler: SerializerFunctionWrapHandler) -> object:
    """Return the items of a set as JSON has them, sorted; whatever else stands there is for another serializer."""
    if not isinstance(value, (set, frozenset)):
        raise PydanticSerializationUnexpectedValue(f"expected a set, got a {type(value).__name__}")
    items: list[Any] = handler(value)
    kinds = set(map(type, items))
    return sorted(items) if kinds <= {str} or kinds <= {int} else sorted(items, key=_json)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


_SORTED = core_schema.wrap_serializer_function_ser_schema(_sorted_items, when_used="json")
