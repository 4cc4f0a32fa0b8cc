"""What the type of a field lets the engine do: compare, order, index, share without copying, trust to survive JSON.

Everything here is worked out once, when the schema is made; the hot paths only look the answers up.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from types import FunctionType, UnionType
from typing import Annotated, Any, Literal, NewType, TypeGuard, Union, cast, get_args, get_origin, is_typeddict
from uuid import UUID

from annotated_types import GroupedMetadata
from pydantic import (
    AwareDatetime,
    BaseModel,
    JsonValue,
    NaiveDatetime,
    PastDate,
    PastDatetime,
)
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from snaptable.values.normal_form import is_normal_datetime

Annotation = object
"""What stands after a field's colon: a class, or any of the special forms of `typing`."""
SortKey = Callable[[Any], Any]
"""Gives a value's place in the order."""
Screen = Callable[[Any], bool]
"""Returns whether a value is an ordinary one, that comes back equal from JSON."""

_SCALARS: tuple[type, ...] = (
    str, int, float, bool, bytes, complex, type(None), datetime, date, time, timedelta, Decimal, UUID, Enum, PurePath,
    IPv4Address, IPv6Address,
)  # fmt: skip
NUMBERS = (int, float, Decimal)
PLAIN_ORDER: tuple[type, ...] = (str, int, float, bool, bytes, Decimal, UUID, timedelta)
EPOCH, NAIVE_EPOCH = datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1)  # noqa: DTZ001 - the naive one is the point
MICROSECOND = timedelta(microseconds=1)
_STANDS_FOR: dict[Annotation, type] = {
    AwareDatetime: datetime, NaiveDatetime: datetime, PastDatetime: datetime, PastDate: date,
}  # fmt: skip
"""Classes of Pydantic's that only name a check: what the values really are."""
_PLAIN_TYPES = frozenset({str, int, bool, type(None)})
"""Types of values of which equality says all."""
_ANYTHING: tuple[Annotation, ...] = (Any, object, JsonValue)
_KEYS: tuple[Annotation, ...] = (str, *_ANYTHING)
MOST_LEVELS = 50
"""How deeply plain JSON may be nested to be known as that: much less than a row may be."""
NAIVE_FIRST = 10**18
"""Naive times sort before aware ones: further back, in microseconds, than any year a datetime can hold."""


def members(annotation: Annotation) -> Iterator[Annotation]:
    """Yield what the values of an annotation's alternatives are: the types of literals, the plain class of a check."""
    for part in alternatives(annotation):
        if get_origin(part) is Literal:
            yield from {type(value) for value in get_args(part)}
        elif part is None:
            yield type(None)
        else:
            yield stands_for(part) if isinstance(part, type) else part


def stands_for(kind: type) -> type:
    """Return the class of the values of a class, which may be one of Pydantic's that only name a check."""
    return str if kind in _from_networks("EmailStr") else _STANDS_FOR.get(kind, kind)


def immutable_scalars() -> tuple[type, ...]:
    """Return the classes whose instances can't be changed, and are hashable; their subclasses likewise."""
    return (*_SCALARS, *_from_networks("AnyUrl"))


def _from_networks(name: str) -> tuple[type, ...]:
    """Return a class of `pydantic.networks`, if a model can have it; its import takes a while, and is seldom needed."""
    networks = sys.modules.get("pydantic.networks")
    return () if networks is None else (getattr(networks, name),)


def alternatives(annotation: Annotation) -> Iterator[Annotation]:
    """Yield the alternatives as declared: unions taken apart, Annotated, NewType and aliases seen through."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin is Union or origin is UnionType:
        for part in get_args(annotation):
            yield from alternatives(part)
    elif isinstance(annotation, NewType):
        yield from alternatives(annotation.__supertype__)
    elif isinstance(annotation, TypeAliasType):
        yield from alternatives(annotation.__value__)
    else:
        yield annotation


def value_types(annotation: Annotation) -> tuple[type, ...] | None:
    """Return the classes a value of this annotation may have; None if it can be anything."""
    classes: list[type] = []
    for member in members(annotation):
        base = dict if is_typeddict(member) else get_origin(member) or member
        if base in (Any, object) or not _is_checkable(base):
            return None
        classes.append(base)
    return tuple(dict.fromkeys(classes))


def _is_checkable(base: object) -> TypeGuard[type]:
    """Return whether isinstance takes something: it takes a class, but for some protocols."""
    try:
        isinstance(None, cast("type", base))
    except TypeError:
        return False
    return True


def accepts(types: tuple[type, ...] | None, value: object) -> bool:
    """Return whether a field of these types can be compared with a value: one of its own types, or numbers alike."""
    if types is None or value is None:
        return True
    if isinstance(value, datetime) and datetime not in types and date in types:
        return False  # a datetime is a date to Python, but the two don't compare
    if isinstance(value, types):
        return not (isinstance(value, bool) and bool not in types) or any(issubclass(each, NUMBERS) for each in types)
    if isinstance(value, NUMBERS) and any(issubclass(each, NUMBERS) for each in types):
        return True
    # A member of an enum with a mixed-in type equals its plain value, so it may be compared with one.
    mixed_in = () if type(value) is object else (type(value),)
    return any(issubclass(each, Enum) and issubclass(each, mixed_in) for each in types)


def choices(annotation: Annotation) -> tuple[object, ...] | None:
    """Return every value of an annotation of enums, literals and None; None if it has others, or flags."""
    found: list[object] = []
    for part in alternatives(annotation):
        if get_origin(part) is Literal:
            found += get_args(part)
        elif isinstance(part, type) and issubclass(part, Enum) and not issubclass(part, Flag):
            found += part
        elif part is not None and part is not type(None):
            return None
    return tuple(value for value in found if value is not None) or None


def time_kind(annotation: Annotation) -> str | None:
    """Return "aware" or "naive" if an annotation takes no other `datetime`; None if it takes both, or none."""
    kinds = {_TIME_KINDS.get(part) for part in alternatives(annotation) if part is not type(None) and part is not None}
    return kinds.pop() if len(kinds) == 1 else None


_TIME_KINDS: dict[Annotation, str] = {AwareDatetime: "aware", NaiveDatetime: "naive"}


def is_optional(annotation: Annotation) -> bool:
    """Return whether None is a value of the annotation."""
    types = value_types(annotation)
    return types is None or type(None) in types


def element(annotation: Annotation) -> Annotation | None:
    """Return the item annotation of a list, set, frozenset or `tuple[T, ...]` field; None for any other field."""
    for member in members(annotation):
        if member is type(None):
            continue
        origin, args = get_origin(member), get_args(member)
        if origin in (list, set, frozenset) and args:
            return args[0]  # type: ignore[no-any-return]
        if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
            return args[0]  # type: ignore[no-any-return]
        return None
    return None


def is_hashable(annotation: Annotation) -> bool:
    """Return whether every value of the annotation can be the key of a hash index."""
    types = value_types(annotation)
    return types is not None and all(issubclass(each, immutable_scalars()) for each in types)


def is_marked(annotation: Annotation, mark: type) -> bool:
    """Return whether a mark of a class stands inside an annotation: on an alternative of a union, or on an item."""
    if isinstance(annotation, TypeAliasType):
        return is_marked(annotation.__value__, mark)
    if get_origin(annotation) is Annotated:
        return any(item is mark or isinstance(item, mark) for item in get_args(annotation)[1:]) or is_marked(
            get_args(annotation)[0], mark
        )
    return any(is_marked(part, mark) for part in get_args(annotation))


# ── ordering ────────────────────────────────────────────────────────────────────────────────────────────────────────


def microseconds(moment: datetime) -> int:
    """Return a number that orders a moment among all others, naive ones before aware ones; O(1)."""
    if moment.tzinfo is None:
        return (moment - NAIVE_EPOCH) // MICROSECOND - NAIVE_FIRST
    return (moment - EPOCH) // MICROSECOND


def _time_key(value: time) -> tuple[bool, time]:
    return (value.tzinfo is not None, value)


def _enum_key(value: Enum) -> object:
    return value.value


def sort_key(annotation: Annotation) -> SortKey | None:
    """Return the function that gives a value's place in the order; None if plain comparison gives it.

    Raises:
        TypeError: values of the annotation have no order (models, containers, unions of types that don't compare).
    """
    types = [each for each in value_types(annotation) or (object,) if each is not type(None)]
    if not types:
        raise TypeError("it holds nothing but None")
    if len(types) > 1 and all(issubclass(each, NUMBERS) for each in types):
        return None
    if len(types) > 1:
        raise TypeError(f"its values are of several kinds ({', '.join(each.__name__ for each in types)})")
    return _sort_key_of(types[0])


def _sort_key_of(only: type) -> SortKey | None:
    if issubclass(only, Enum) and not issubclass(only, PLAIN_ORDER):
        values = {type(member.value) for member in only}
        if len(values) == 1 and issubclass(values.pop(), PLAIN_ORDER):
            return _enum_key
        raise TypeError(f"the values of {only.__name__} have no common order")
    if issubclass(only, datetime):
        return microseconds
    if issubclass(only, time):
        return _time_key
    if issubclass(only, (*PLAIN_ORDER, date)):
        return None
    raise TypeError(f"{only.__name__} has no order")


# ── sharing, and surviving JSON ─────────────────────────────────────────────────────────────────────────────────────


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

    It then comes back the same from its JSON, unless a text in it is no UTF-8, which can't be written.

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


def same(first: object, second: object, *, strict: bool = False) -> bool:
    """Return whether two values are equal and of the same type in every part: 1 is not True, a list is not a tuple.

    Args:
        first: a value.
        second: another.
        strict: whether the signs of zeros, the order of a dict's keys and the private attributes of models count too.
    """
    exact = type(first)
    if exact is not type(second):
        return False
    if exact in _PLAIN_TYPES:
        return bool(first == second)
    compare = _strictly_same if strict else same
    if isinstance(first, dict) and isinstance(second, dict):
        return (
            len(first) == len(second)
            and all(key in second and compare(value, second[key]) for key, value in first.items())
            and (not strict or list(first) == list(second))
        )
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(compare, first, second))
    if isinstance(first, BaseModel) and isinstance(second, BaseModel):
        return (
            compare(first.__dict__, second.__dict__)
            and compare(first.__pydantic_extra__, second.__pydantic_extra__)
            and (not strict or compare(first.__pydantic_private__, second.__pydantic_private__))
        )
    if strict and isinstance(first, float):
        return repr(first) == repr(second)
    try:
        return bool(first == second)
    except ArithmeticError:
        return False  # a signalling NaN


_strictly_same = partial(same, strict=True)
