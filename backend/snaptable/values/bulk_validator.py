"""Validators that make many rows at a time, and small ones.

Pydantic gives each object a dictionary of its own, 464 bytes for twelve fields. An object whose fields are set one by
one keeps its values in an array instead, and the names once for all objects of its class (CPython 3.11 and later): a
quarter of that, and quicker to read. Pydantic sets fields so for dataclasses with slots; hence a row's own fields, with
the very validators of its model, are declared here as such a dataclass's.

Only models without code of their own are made so, and what a validator here refuses is for the model's own to judge:
it knows the right words. Values are the same in every respect but one: a time in UTC has Python's own zone, not a
zone object of Pydantic's for each, which makes it smaller and comparing it three times as fast.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter
from pydantic_core import SchemaValidator, core_schema

Intern = Callable[[str], str]
"""Returns a text that is equal to the one given, and was seen before."""

_MODEL_KEYS = {"type", "cls", "schema", "config", "ref", "metadata", "custom_init", "root_model", "frozen"}
_FIELDS_KEYS = {"type", "fields", "model_name", "computed_fields", "metadata", "ref"}
_WRAPPERS = ("nullable", "default")
_REST = ("__pydantic_extra__", "__pydantic_private__")


def warm_key_layout(model: type[BaseModel]) -> None:
    """Let a class know its objects' names, in order, before there is any object: later it does not learn them."""
    row = model.__new__(model)
    for name in model.__pydantic_fields__:
        object.__setattr__(row, name, None)


def rows_validator(model: type[BaseModel], shared: Mapping[str, Intern], *, plain: bool) -> SchemaValidator:
    """Return the validator of a JSON object that holds rows by key; their `__pydantic_fields_set__` may be missing.

    Args:
        model: the rows' model.
        shared: for some fields, a function that gives one object for all texts that are equal.
        plain: whether the model has no code of its own.
    """
    found: Any = model.__pydantic_core_schema__
    fields = _fields(found) if plain else None
    if fields is None:
        return cast(SchemaValidator, TypeAdapter(dict[str, model]).validator)  # type: ignore[valid-type]
    items = [
        core_schema.dataclass_field(name, _quick(field["schema"], shared.get(name)), kw_only=True)
        for name, field in fields.items()
    ]
    none = core_schema.with_default_schema(core_schema.any_schema(), default=None)
    items += [core_schema.dataclass_field(name, none, kw_only=True, init=False) for name in _REST]
    row = core_schema.dataclass_schema(
        model,
        core_schema.dataclass_args_schema(model.__name__, items),
        [item["name"] for item in items],
        slots=True,
        config=found["config"],
        # Anything but None: keeps Pydantic from taking the model's own validator in place of this one.
        generic_origin=model,
    )
    return SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), row), found["config"])


def _fields(found: Any) -> Mapping[str, Any] | None:
    """Return the field schemas of a model's schema, None where it is more than a list of fields."""
    if found["type"] != "model" or found.keys() - _MODEL_KEYS or found.get("custom_init") or found.get("root_model"):
        return None
    inner = found["schema"]
    if inner["type"] != "model-fields" or inner.keys() - _FIELDS_KEYS:
        return None
    fields: Mapping[str, Any] = inner["fields"]
    return fields


def _quick(found: Any, share: Intern | None) -> Any:
    """Return a field's schema: times parsed by Python, texts shared, where they are nothing but that."""
    kind = found["type"]
    if kind in _WRAPPERS:
        return {**found, "schema": _quick(found["schema"], share)}
    if kind == "datetime" and not found.keys() - {"type", "microseconds_precision", "metadata"}:
        return core_schema.no_info_plain_validator_function(datetime.fromisoformat)
    if kind == "str" and share is not None:
        return core_schema.no_info_after_validator_function(share, found)
    return found
