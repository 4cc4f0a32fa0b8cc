"""What is inside of values: the fields of models and the like, the items of dicts and lists; by type, and by value.

A step leads one level down: to an attribute, or to the item at a key. What isn't there is None: the field of a missing
model, a key that a dict lacks, a position behind the end of a list, an alternative of a union that has no such part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, NotRequired, Required, TypeGuard, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import ReadOnly, is_typeddict

from snaptable.values import value_types
from snaptable.values.value_types import Annotation

Read = Callable[[object], object]
"""Returns a part of a value; None where it isn't there."""


@dataclass(frozen=True)
class Attribute:
    """The step to a field of a model, a dataclass or a named tuple."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True)
class Item:
    """The step to the value of a key of a dict, or to the item at a position of a list or a tuple."""

    key: object

    def __str__(self) -> str:
        return f"[{self.key!r}]"


Step = Attribute | Item


# ── by type ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def inside(annotation: Annotation, step: Step) -> Annotation | None:
    """Return the type of what a step leads to, None among its alternatives if that may be missing; None if it never is.

    Several alternatives may have such a part: it is of any of their types then.
    """
    parts: list[object] = []
    for member in value_types.members(annotation):
        part = _of_member(member, step)
        if part is not None:
            parts.append(part)
        if part is None or isinstance(step, Item):
            parts.append(type(None))
    if all(part is type(None) for part in parts):
        return None
    return parts[0] if len(parts) == 1 else Union[tuple(parts)]  # noqa: UP007 - of types that are known only now


def is_always_there(annotation: Annotation, name: str) -> bool:
    """Return whether every value of this type has a field of this name, and no other kind of attribute of it."""
    return all(name in _fields_of(member) for member in value_types.members(annotation))


def attribute_names(annotation: Annotation) -> tuple[str, ...]:
    """Return the names of the attributes that values of this type may have as fields; none for plain values."""
    names = (name for member in value_types.members(annotation) for name in _fields_of(member))
    return tuple(dict.fromkeys(names))


def has_attributes(annotation: Annotation) -> bool:
    """Return whether values of this type may have fields that are attributes."""
    return any(_is_model(member) or bool(_fields_of(member)) for member in value_types.members(annotation))


def _is_model(member: Annotation) -> TypeGuard[type[BaseModel]]:
    return isinstance(member, type) and issubclass(member, BaseModel)


def has_items(annotation: Annotation) -> bool:
    """Return whether values of this type may have items that a key leads to."""
    return any(_holds_items(member) for member in value_types.members(annotation))


def _holds_items(member: Annotation) -> bool:
    base = get_origin(member) or member
    if base in (Any, object) or is_typeddict(base):
        return True
    return isinstance(base, type) and issubclass(base, (Mapping, Sequence)) and not issubclass(base, (str, bytes))


def _of_member(member: Annotation, step: Step) -> Annotation | None:
    """Return the type of what a step leads to from one alternative; None if it leads nowhere."""
    if isinstance(step, Attribute):
        fields = _fields_of(member)
        if step.name in fields:
            return fields[step.name]
        return Any if _is_model(member) and member.model_config.get("extra") == "allow" else None
    base, args = get_origin(member) or member, get_args(member)
    if base in (Any, object):
        return Any if isinstance(step.key, (str, int)) else None
    if is_typeddict(base):
        return _hints_of(base).get(step.key)  # type: ignore[call-overload, no-any-return]
    if not isinstance(base, type) or issubclass(base, (str, bytes)):
        return None
    if issubclass(base, Mapping):
        return _of_mapping(args, step.key)
    if issubclass(base, Sequence) and type(step.key) is int:
        return _of_sequence(base, args, step.key)
    return None


def _of_mapping(args: tuple[object, ...], key: object) -> Annotation | None:
    if not args:
        return Any
    if key is None or not value_types.accepts(value_types.value_types(args[0]), key):
        return None
    return args[1] if len(args) > 1 else int  # a Counter's


def _of_sequence(base: type, args: tuple[Any, ...], position: int) -> Annotation | None:
    if not args:
        return Any
    if not issubclass(base, tuple) or (len(args) == 2 and args[1] is Ellipsis):
        return args[0]  # type: ignore[no-any-return]
    return args[position] if -len(args) <= position < len(args) else None


def _fields_of(member: Annotation) -> Mapping[str, Annotation]:
    """Return the types of the fields that are attributes, by name."""
    base = get_origin(member) or member
    if not isinstance(base, type):
        return {}
    fields = base.__dict__.get("__pydantic_fields__")
    if isinstance(fields, dict):  # a model, or a dataclass of Pydantic's
        return {name: info.annotation for name, info in fields.items()}
    if is_dataclass(base):
        return {name: _hints_of(base).get(name, Any) for name in base.__dataclass_fields__}
    if issubclass(base, tuple) and hasattr(base, "_fields"):
        return {name: _hints_of(base).get(name, Any) for name in base._fields}
    return {}


def _hints_of(kind: object) -> dict[str, Annotation]:
    try:
        hints = get_type_hints(kind, include_extras=True)
    except NameError:  # made within a function: only Pydantic knows its names
        return dict.fromkeys(kind.__annotations__, Any)
    return {name: _without_qualifier(hint) for name, hint in hints.items()}


def _without_qualifier(hint: Annotation) -> Annotation:
    while get_origin(hint) in (Required, NotRequired, ReadOnly):
        (hint,) = get_args(hint)
    return hint


# ── by value ────────────────────────────────────────────────────────────────────────────────────────────────────────


def reader(step: Step) -> Read:
    """Return the function that takes a step from a value."""
    if isinstance(step, Attribute):
        name = step.name
        return lambda value: _attribute_of(value, name)
    key = step.key
    return lambda value: _item_of(value, key)


def _attribute_of(value: Any, name: str) -> object:
    kind = type(value)
    if isinstance(value, BaseModel):
        if name in kind.__pydantic_fields__:
            return value.__dict__.get(name)
        return (value.__pydantic_extra__ or {}).get(name)
    if name in getattr(kind, "__dataclass_fields__", ()) or name in getattr(kind, "_fields", ()):
        return getattr(value, name, None)
    return None


def _item_of(value: object, key: object) -> object:
    if isinstance(value, (dict, Mapping)):
        return value.get(key)
    if type(key) is int and isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        try:
            return value[key]
        except IndexError:
            return None
    return None
