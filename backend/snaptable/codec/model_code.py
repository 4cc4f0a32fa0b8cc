"""What a model does to its fields by code of its own, beside what their types say."""

from collections.abc import Iterator
from datetime import datetime, time

from pydantic import BaseModel

from snaptable.schema.markers import new_id, utc_now
from snaptable.values import value_types

_KNOWN_DEFAULTS = (new_id, utc_now, list, dict, set, frozenset)


def unchecked_defaults(model: type[BaseModel]) -> Iterator[str]:
    """Yield the fields with defaults of which it isn't known whether they are of their type, or in normal form."""
    for name, field in model.model_fields.items():
        factory = field.default_factory
        default = field.default
        constant = type(default) in (value_types.value_types(field.annotation) or ()) and not isinstance(
            default, (datetime, time, list, dict, set)
        )
        known = factory in _KNOWN_DEFAULTS if factory else constant or default in ([], {}, ())
        if not field.is_required() and not known:
            yield name


_PLAIN_CONFIG = {
    "frozen", "extra", "ser_json_bytes", "val_json_bytes", "title", "populate_by_name", "validate_by_name",
    "hide_input_in_errors",
}  # fmt: skip
_HOOKS = ("__get_pydantic_core_schema__", "model_post_init")


def has_own_code(model: type[BaseModel]) -> bool:
    """Return whether a model reads or writes its fields by code or configuration of its own."""
    decorators = model.__pydantic_decorators__
    own = (
        decorators.validators,
        decorators.field_validators,
        decorators.root_validators,
        decorators.model_validators,
        decorators.field_serializers,
        decorators.model_serializers,
    )
    bases = [base for base in model.__mro__ if base.__module__ != BaseModel.__module__]
    hooks = any(hook in base.__dict__ for base in bases for hook in _HOOKS)
    return any(own) or hooks or not model.model_config.keys() <= _PLAIN_CONFIG
