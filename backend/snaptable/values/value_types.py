"""What the type of a field lets the engine do with its values: tell what they are, compare, order and index them.

Everything here is worked out once, when the schema is made; the hot paths only look the answers up.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from ipaddress import IPv4Address, IPv6Address
from pathlib import PurePath
from types import UnionType
from typing import Annotated, Any, Literal, NewType, TypeGuard, Union, cast, get_args, get_origin, is_typeddict
from uuid import UUID

from pydantic import (
    AwareDatetime,
    NaiveDatetime,
    PastDate,
    PastDatetime,
)
from typing_extensions import TypeAliasType

Annotation = object
"""What stands after a field's colon: a class, or any of the special forms of `typing`."""
SortKey = Callable[[Any], Any]
"""Gives a value's place in the order."""

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
    values: list[object] = []
    for part in alternatives(annotation):
        if get_origin(part) is Literal:
            values += get_args(part)
        elif isinstance(part, type) and issubclass(part, Enum) and not issubclass(part, Flag):
            values += part
        elif part is not None and part is not type(None):
            return None
    return tuple(value for value in values if value is not None) or None


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
