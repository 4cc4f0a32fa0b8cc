"""The normal form of a value: what a restart would give back in its place, equal and of a plain class.

A time with a named zone becomes the fixed offset it has at that moment, and `fold` is resolved into that offset: JSON
holds no zone's rules, and with them a day added after a restart would end at another instant. Offsets with seconds, as
zones had before 1930, become whole minutes at the same instant. An instance of a subclass of `datetime`, `date`,
`time`, `timedelta`, `UUID`, `str`, `int`, `float`, `Decimal`, `bytes` or of a container becomes one of the plain class.
"""

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel

T = TypeVar("T")
_MINUTE = timedelta(minutes=1)
_ZERO = timedelta()
_DAY = (2000, 1, 1)
"""Any day: where a time of day is moved."""


def fixed_zone(offset: timedelta) -> tzinfo:
    """Return the zone of a fixed offset, as a restart makes it."""
    return timezone(offset) if offset else UTC


def normal_datetime(value: datetime) -> datetime:
    """Return the same moment as a plain `datetime` with a fixed offset in whole minutes, or a naive one; O(1).

    A moment that has no such form, within a day of the last one there is, is returned as it is.
    """
    wall = datetime(  # noqa: DTZ001 - the offset is added below
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond
    )
    offset = value.utcoffset()
    if offset is None:
        return wall
    seconds = offset % _MINUTE
    if not seconds:
        return wall.replace(tzinfo=fixed_zone(offset))
    for step in (-seconds, _MINUTE - seconds):
        # Out of range: before the first moment, behind the last, or 24 hours from UTC.
        with suppress(OverflowError, ValueError):
            return (wall + step).replace(tzinfo=fixed_zone(offset + step))
    return value


def normal_time(value: time) -> time:
    """Return the same time of day as a plain `time` with a fixed offset in whole minutes, or a naive one; O(1).

    A time of day has no offset in a zone whose offset hangs on the date: Python compares it as a naive one.
    """
    wall = time(value.hour, value.minute, value.second, value.microsecond)
    offset = value.utcoffset()
    if offset is None:
        return wall
    moment = datetime.combine(date(*_DAY), wall)
    seconds = offset % _MINUTE
    earlier = moment - seconds
    if earlier.date() == moment.date() and offset - seconds > timedelta(days=-1):
        return earlier.time().replace(tzinfo=fixed_zone(offset - seconds))
    return (moment + (_MINUTE - seconds)).time().replace(tzinfo=fixed_zone(offset + (_MINUTE - seconds)))


_SCALARS: dict[type, Callable[[Any], object]] = {
    datetime: normal_datetime,  # before date, whose subclass it is
    time: normal_time,
    date: lambda value: date(value.year, value.month, value.day),
    timedelta: lambda value: timedelta(value.days, value.seconds, value.microseconds),
    UUID: lambda value: UUID(int=value.int),
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    Decimal: Decimal,
    bytes: lambda value: b"".join((value,)),
}


def normal_scalar(value: object) -> object:
    """Return the normal form of a value without parts; any other value as it is; O(1)."""
    kind = type(value)
    if kind is datetime or kind is time:
        return _SCALARS[kind](value)
    if kind in _SCALARS or kind is bool or value is None:
        return value
    for plain, convert in _SCALARS.items():
        if isinstance(value, plain):
            return convert(value)
    return value


def normal_form(value: object) -> object:
    """Return the normal form of a value, its parts included, in new containers; O(size).

    Models, dataclasses, named tuples and the containers of `collections` keep their class.

    Raises:
        RecursionError: it is nested too deeply, or contains itself.
    """
    if isinstance(value, BaseModel):
        return _normal_model(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _with_attributes(value, {field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, dict):
        return _normal_dict(value)
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(map(normal_form, value))
    for plain in (list, tuple, set, frozenset):
        if isinstance(value, plain):
            return plain(map(normal_form, value))
    if type(value).__module__ == "collections" and hasattr(value, "maxlen"):
        return type(value)(map(normal_form, value), value.maxlen)  # type: ignore[call-arg, call-overload]
    return normal_scalar(value)


def _normal_model(value: BaseModel) -> BaseModel:
    result: BaseModel = _with_attributes(value, value.__dict__)
    extra = value.__pydantic_extra__
    if extra:
        object.__setattr__(result, "__pydantic_extra__", normal_form(extra))
    return result


def _normal_dict(value: dict[object, object]) -> dict[object, object]:
    items = ((normal_form(key), normal_form(item)) for key, item in value.items())
    if type(value).__module__ != "collections":
        return dict(items)
    result = copy(value)  # keeps the factory of a defaultdict
    result.clear()
    result.update(items)
    return result


def _with_attributes(value: T, attributes: dict[str, object]) -> T:
    """Return a copy of an object with the normal forms of some attributes."""
    result = copy(value)
    for name, item in attributes.items():
        object.__setattr__(result, name, normal_form(item))
    return result


def is_normal_datetime(value: datetime) -> bool:
    """Return whether a time is a plain one that a restart gives back the same; O(1)."""
    if type(value) is not datetime or value.fold:
        return False
    zone = value.tzinfo
    return zone is UTC or zone is None or (type(zone) is timezone and _is_nameless(zone))


def _is_nameless(zone: timezone) -> bool:
    """Return whether a zone of whole minutes has the name that its offset gives it."""
    return not zone.utcoffset(None) % _MINUTE and zone.tzname(None).startswith("UTC")
