"""Validators that make many rows at a time, and small ones.

Pydantic gives each object a dictionary of its own, 464 bytes for twelve fields. An object whose fields are set one by
one keeps its values in an array instead, and the names once for all objects of its class (CPython 3.11 and later): a
quarter of that, and faster to read. Pydantic sets the fields of dataclasses with slots one by one; hence a row's
fields, with the very validators of its model, are declared here as those of such a dataclass.

Only models without code of their own are made in this way. What a validator from here refuses is validated again by
the model itself, for the message. Values are the same in every respect but one: a time has one of Python's own zones
instead of a zone object of Pydantic's for each value, which makes it smaller and comparing it three times as fast.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import SchemaValidator, core_schema
from pydantic_core.core_schema import CoreSchema

from snaptable.values.normal_form import normal_datetime

Intern = Callable[[str], str]
"""Returns a text equal to the one given: the same object each time."""
_Fields = Mapping[str, "core_schema.ModelField"]

_MODEL_KEYS = {"type", "cls", "schema", "config", "ref", "metadata", "custom_init", "root_model", "frozen"}
_FIELDS_KEYS = {"type", "fields", "model_name", "computed_fields", "metadata", "ref"}
_TIME_KEYS = {"type", "microseconds_precision", "metadata", "tz_constraint"}
_CACHED: Literal["keys"] = "keys"
"""The texts that Pydantic looks up among those it read before: names of fields. Looking each short value up as well
took a quarter of the time, and found few that are not keys or literals, which are shared anyway."""
_INSTANCE_ATTRIBUTES = ("__pydantic_extra__", "__pydantic_private__")


def warm_key_layout(model: type[BaseModel]) -> None:
    """Let a class know the names of its objects' attributes, in order, before there is any object: later it can't."""
    row = model.__new__(model)
    for name in model.__pydantic_fields__:
        object.__setattr__(row, name, None)


def rows_validator(model: type[BaseModel], interned: Mapping[str, Intern], *, plain: bool) -> SchemaValidator:
    """Return the validator of a JSON object that holds rows by key; their `__pydantic_fields_set__` may be missing.

    Args:
        model: the rows' model.
        interned: by name, for some text fields, what gives one object for all texts that are equal.
        plain: whether the model has no code of its own.
    """
    schema = model.__pydantic_core_schema__
    fields = _fields_of(schema) if plain else None
    if fields is None:
        config = ConfigDict(cache_strings=_CACHED)
        return cast(SchemaValidator, TypeAdapter(dict[str, model], config=config).validator)  # type: ignore[valid-type]
    items = [
        core_schema.dataclass_field(name, _faster(field["schema"], interned.get(name)), kw_only=True)
        for name, field in fields.items()
    ]
    none = core_schema.with_default_schema(core_schema.any_schema(), default=None)
    items += [core_schema.dataclass_field(name, none, kw_only=True, init=False) for name in _INSTANCE_ATTRIBUTES]
    settings = core_schema.CoreConfig(cache_strings=_CACHED)
    settings |= cast("core_schema.ModelSchema", schema)["config"]
    row = core_schema.dataclass_schema(
        model,
        core_schema.dataclass_args_schema(model.__name__, items),
        [item["name"] for item in items],
        slots=True,
        config=settings,
        # Anything but None: keeps Pydantic from taking the model's own validator in place of this one.
        generic_origin=model,
    )
    return SchemaValidator(core_schema.dict_schema(core_schema.str_schema(), row), settings)


def time_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the fields of a model without code of its own whose times `rows_validator` gives Python's zones."""
    fields = _fields_of(model.__pydantic_core_schema__) or {}
    return tuple(name for name, field in fields.items() if _is_time(field["schema"]))


def _is_time(schema: CoreSchema) -> bool:
    if schema["type"] == "nullable" or schema["type"] == "default":
        return _is_time(schema["schema"])
    return bool(schema["type"] == "datetime")


def _fields_of(schema: CoreSchema) -> _Fields | None:
    """Return the field schemas of a model's schema; None if it is more than a list of fields."""
    if schema["type"] != "model" or schema.keys() - _MODEL_KEYS:
        return None
    if schema.get("custom_init") or schema.get("root_model"):
        return None
    inner = schema["schema"]
    if inner["type"] != "model-fields" or inner.keys() - _FIELDS_KEYS:
        return None
    fields: _Fields = inner["fields"]
    return fields


def _aware(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("a time without an offset")
    return value


def _naive(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if value.tzinfo is not None:
        raise ValueError("a time with an offset")
    return value


_PARSERS: dict[str | int | None, Callable[[str], datetime]] = {
    None: datetime.fromisoformat, "aware": _aware, "naive": _naive,
}  # fmt: skip


def _faster(schema: CoreSchema, intern: Intern | None) -> CoreSchema:
    """Return a field's schema with times parsed by Python and texts interned, as far as it is nothing but these."""
    if schema["type"] == "nullable" or schema["type"] == "default":
        return {**schema, "schema": _faster(schema["schema"], intern)}
    if schema["type"] == "datetime":
        if not schema.keys() - _TIME_KEYS and schema.get("tz_constraint") in _PARSERS:
            return core_schema.no_info_plain_validator_function(_PARSERS[schema.get("tz_constraint")])
        return core_schema.no_info_after_validator_function(normal_datetime, schema)
    if schema["type"] == "str" and intern is not None:
        return core_schema.no_info_after_validator_function(intern, schema)
    return schema
