"""What the type of a field says of its values: whether they can change, and whether they survive JSON."""

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import FunctionType
from typing import Annotated, Any, Literal, NewType, cast, get_args, get_origin
from uuid import UUID

from annotated_types import GroupedMetadata
from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from snaptable.values.normal_form import is_normal_datetime
from snaptable.values.value_types import Annotation, alternatives, immutable_scalars, is_optional, members

Screen = Callable[[Any], bool]
"""Returns whether a value is an ordinary one, that comes back equal from JSON."""
_PLAIN_TYPES = frozenset({str, int, bool, type(None)})
"""Types of values that come back from JSON as they were."""
_ANYTHING: tuple[Annotation, ...] = (Any, object, JsonValue)
_KEYS: tuple[Annotation, ...] = (str, *_ANYTHING)
MOST_LEVELS = 50
"""How deeply plain JSON may be nested to be known as that: much less than a row may be."""


def is_immutable(annotation: Annotation, enclosing: tuple[type, ...] = ()) -> bool:
    """Return whether no value of the annotation can change: such a row is shared, any other is handed out as a copy.

    Args:
        annotation: the type.
        enclosing: the models that it stands in, whose fields are being looked at already: one may hold its own kind.
    """
    return all(_is_immutable_member(member, enclosing) for member in members(annotation))


def _is_immutable_member(member: Annotation, enclosing: tuple[type, ...]) -> bool:
    origin, args = get_origin(member), get_args(member)
    if origin in (tuple, frozenset):
        return all(arg is Ellipsis or is_immutable(arg, enclosing) for arg in args)
    if not isinstance(member, type):
        return False
    if issubclass(member, BaseModel):
        if member in enclosing:
            return True
        inside = (*enclosing, member)
        frozen = bool(member.model_config.get("frozen")) and member.model_config.get("extra") != "allow"
        return frozen and all(is_immutable(field.annotation, inside) for field in member.model_fields.values())
    return issubclass(member, immutable_scalars())


def is_plain(annotation: Annotation) -> bool:
    """Return whether every value of the annotation is made of dicts, lists and scalars, as JSON has them."""
    for member in members(annotation):
        if get_origin(member) in (dict, list):
            if not all(map(is_plain, get_args(member))):
                return False
        elif member not in (str, int, float, bool, type(None)):
            return False
    return True


def never_survives(annotation: Annotation) -> str | None:
    """Return why no value of the annotation can come back from JSON; None if some may."""
    for member in members(annotation):
        base = get_origin(member) or member
        if base is Callable or base is FunctionType:
            return "a callable can't be written as JSON"
        if isinstance(base, type) and issubclass(base, Callable):  # type: ignore[arg-type]
            return "a callable can't be written as JSON"
        for part in get_args(member) if get_origin(member) is not Literal else ():
            reason = None if part is Ellipsis or isinstance(part, list) else never_survives(part)
            if reason:
                return reason
    return None


def _small(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _plain_date(value: date) -> bool:
    return type(value) is date


def _plain_uuid(value: UUID) -> bool:
    return type(value) is UUID


def _plain_uuids(value: Iterable[UUID]) -> bool:
    return set(map(type, value)) <= _UUIDS


_UUIDS = {UUID}
_SCREENS: dict[type, Screen | None] = {
    # Pydantic makes plain instances of these of any subclass, and passes subclasses of the others on.
    str: None, bool: None, type(None): None, int: _small, float: math.isfinite, Decimal: Decimal.is_finite,
    date: _plain_date, UUID: _plain_uuid, datetime: is_normal_datetime,
}  # fmt: skip


def only_constrains(metadata: object) -> bool:
    """Return whether an item of a field's metadata only constrains it, or is ours: it gives no other value."""
    if isinstance(metadata, FieldInfo):
        return all(map(only_constrains, metadata.metadata))
    if isinstance(metadata, GroupedMetadata):
        return all(map(only_constrains, metadata))
    origin = type(metadata).__module__.partition(".")[0]
    return origin in ("annotated_types", "snaptable") or type(metadata).__name__ == "PydanticGeneralMetadata"


def metadata_of(annotation: Annotation) -> Iterator[object]:
    """Yield what stands beside the types of an annotation, at any depth: validators, constraints, marks."""
    if isinstance(annotation, NewType):
        yield from metadata_of(annotation.__supertype__)
    elif isinstance(annotation, TypeAliasType):
        yield from () if annotation in _ANYTHING else metadata_of(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        yield from metadata
        yield from metadata_of(inner)
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from metadata_of(part)


def lossless(annotation: Annotation) -> tuple[bool, Screen | None]:
    """Return whether the annotation is known to survive JSON, and the test a value must pass for that to be true.

    Other values are read back at the write and compared: slower, never less safe.
    """
    if not all(map(only_constrains, metadata_of(annotation))) or not _plain_literals(annotation):
        return False, None
    if is_open(annotation):
        return True, is_plain_json
    alternatives = [member for member in members(annotation) if member is not type(None)]
    if len(alternatives) != 1:
        return False, None
    only = alternatives[0]
    if isinstance(only, type) and only in _SCREENS:
        screen = _SCREENS[only]
        if screen is not None and is_optional(annotation):
            return True, lambda value: value is None or screen(value)
        return True, screen
    if isinstance(only, type) and issubclass(only, Enum):
        return _plain_enum(only), None
    origin, args = get_origin(only), get_args(only)
    if origin in (list, frozenset, set) and len(args) == 1:
        items = set(members(args[0]))
        known = items <= {str, bool, UUID}
        if known and UUID in items:
            return len(items) == 1 and not is_optional(annotation), _plain_uuids
        return known, None
    return False, None


def is_open(annotation: Annotation) -> bool:
    """Return whether the annotation takes any JSON, or an object or array of any JSON: `dict[str, Any]`."""
    if annotation in _ANYTHING:
        return True
    parts = [part for part in alternatives(annotation) if part is not type(None) and part is not None]
    if len(parts) != 1:
        return False
    return parts[0] in _ANYTHING or (
        get_origin(parts[0]) in (dict, list) and get_args(parts[0])[-1] in _ANYTHING and get_args(parts[0])[0] in _KEYS
    )


def is_plain_json(value: object, levels: int = MOST_LEVELS) -> bool:
    """Return whether a value is made of nothing but what a JSON text gives; O(size).

    It then comes back the same from its JSON, unless a text in it is not UTF-8, which can't be written.

    Args:
        value: any.
        levels: how deeply it may be nested.
    """
    kind = type(value)
    if kind is dict:
        items = cast("dict[object, object]", value)
        for key in items:
            if type(key) is not str:
                return False
        return levels > 0 and _are_plain_json(items.values(), levels - 1)
    if kind is list:
        return levels > 0 and _are_plain_json(cast("list[object]", value), levels - 1)
    if kind is float:
        return math.isfinite(cast(float, value))
    return kind in _PLAIN_TYPES and (kind is not int or _small(cast(int, value)))


def _are_plain_json(values: Iterable[object], levels: int) -> bool:
    for value in values:  # noqa: SIM110 - a generator costs more than what it runs
        if type(value) is not str and not is_plain_json(value, levels):
            return False
    return True


def _plain_literals(annotation: Annotation) -> bool:
    """Return whether no Literal of the annotation names a member of an enum, which JSON spells otherwise."""
    if get_origin(annotation) is Literal:
        return not any(isinstance(value, Enum) for value in get_args(annotation))
    return all(_plain_literals(part) for part in get_args(annotation))


def _plain_enum(enum: type[Enum]) -> bool:
    values = {type(member.value) for member in enum}
    return values == {str} or values == {int}
