"""Values that columns are compared with, turned into the column's own type: exactly, or into true or false.

PostgreSQL compares an int8 with a float8 as floats, gives up an index for a parameter of another type, and puts NaN
last. So no comparison ever mixes types: `pages < 2.5` becomes `pages <= 2`, and `pages < inf` becomes true.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from numbers import Number
from operator import eq, ge, gt, le, lt
from typing import Any
from uuid import UUID

from snaptable.postgres.layout.column import INT8, MOST_DIGITS, StoredColumn, fits_numeric, plain_text

COMPARISONS = {"==": eq, "<": lt, "<=": le, ">": gt, ">=": ge}
_FAR = 40
"""Digits beyond which a Decimal is greater than any int8 and need not be written out."""


class OnlyInPython(Exception):
    """A condition that SQL can't answer exactly: it is judged over the rows that the others leave."""


def equal(column: StoredColumn, value: Any) -> object:
    """Return the column's own value that equals a value; None if none can."""
    match column.family:
        case "text":
            return _own_text(value)
        case "int":
            return _own_int(column, value)
        case "float":
            return _own_float(value)
        case "decimal":
            return _own_decimal(value)
        case "aware" | "naive":
            is_aware = isinstance(value, datetime) and value.tzinfo is not None
            return value if isinstance(value, datetime) and is_aware == (column.family == "aware") else None
        case "time":
            return value if value.tzinfo is None else None
        case "uuid":
            return value if isinstance(value, UUID) else None
    return value


def _own_text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    text = plain_text(value)
    return text if is_storable(text) else None


def _own_int(column: StoredColumn, value: object) -> object:
    if not isinstance(value, Number):
        return None
    try:
        if value != value or _is_far(value):  # NaN
            return None
        whole = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None
    if whole != value:
        return None
    if column.sql == "numeric":
        return Decimal(whole)
    return whole if whole in INT8 else None


def _is_far(value: object) -> bool:
    if isinstance(value, Decimal):
        return not value.is_finite() or value.adjusted() > _FAR
    return isinstance(value, float) and math.isinf(value)


def _own_float(value: Any) -> float | None:
    try:
        near = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return near if near == value and math.isfinite(near) else None


def _own_decimal(value: object) -> Decimal | None:
    if isinstance(value, Fraction) or not isinstance(value, (int, float, Decimal)):
        return None
    exact = Decimal(value)
    return exact if exact.is_finite() and fits_numeric(exact) else None


def among(column: StoredColumn, operator: str, value: Any) -> set[object]:
    """Return the few values of a column of bools or of an enum for which a comparison holds, judged by Python."""
    key = column.column.sort_key if column.column is not None and operator != "==" else None
    test = COMPARISONS[operator]
    bound = key(value) if key is not None else value
    mine: Iterable[Any] = (False, True) if column.family == "bool" else column.choices
    chosen = [each for each in mine if test(key(each) if key is not None else each, bound)]
    return set(chosen) if column.family == "bool" else {member.value for member in chosen}


def bound(column: StoredColumn, operator: str, value: Any) -> tuple[str, Any] | bool:
    """Return a comparison with any value as one with a value of the column's own type, or what it says of every value.

    Raises:
        OnlyInPython: no such value exists.
    """
    match column.family:
        case "text":
            return _text_bound(operator, plain_text(value))
        case "int":
            return _int_bound(column, operator, value)
        case "float":
            return _float_bound(operator, value)
        case "decimal":
            return _decimal_bound(operator, value)
        case "aware" | "naive":
            is_own = (value.tzinfo is not None) == (column.family == "aware")
            # Naive times come before aware ones.
            return (operator, value) if is_own else (column.family == "aware") == (">" in operator)
        case "time":
            return (operator, value) if value.tzinfo is None else "<" in operator
    return operator, value


def _text_bound(operator: str, text: str) -> tuple[str, str]:
    """Return the bound for texts that PostgreSQL can't hold: nothing stored has what makes them so."""
    for place, character in enumerate(text):
        if character == "\0":  # between the text before it and the next one
            return ("<=" if "<" in operator else ">"), text[:place]
        if "\ud800" <= character <= "\udfff":
            return ("<" if "<" in operator else ">="), text[:place] + "\ue000"
    return operator, text


def _int_bound(column: StoredColumn, operator: str, value: Any) -> tuple[str, object] | bool:
    if _is_far(value):
        return bool(value > 0) == ("<" in operator)
    low = math.floor(value)
    if low != value:
        operator = "<=" if "<" in operator else ">"
    if column.sql == "numeric":
        return operator, Decimal(low)
    return (operator, low) if low in INT8 else (low > 0) == ("<" in operator)


def _float_bound(operator: str, value: Any) -> tuple[str, float] | bool:
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    if math.isinf(near):
        return (near > 0) == ("<" in operator)
    if near > value:
        operator = "<" if "<" in operator else ">="
    elif near < value:
        operator = "<=" if "<" in operator else ">"
    return operator, near


def _decimal_bound(operator: str, value: Any) -> tuple[str, Decimal] | bool:
    exact = Decimal(value)
    if not exact.is_finite() or exact.adjusted() >= MOST_DIGITS:
        return (exact > 0) == ("<" in operator)
    if not fits_numeric(exact):
        raise OnlyInPython
    return operator, exact


def items(column: StoredColumn, value: Any) -> list[object] | None:
    """Return the items of a collection as an array of the column's has them; None if no such array has."""
    sets = (set, frozenset)
    is_own = type(value) is column.collection or (isinstance(value, sets) and column.collection in sets)
    if not is_own or column.item is None:
        return None
    own = [equal_item(column, item) for item in value]
    return None if None in own else own


def equal_item(column: StoredColumn, value: object) -> object:
    """Return the array's own item that equals a value; None if none can."""
    item = column.item
    assert item is not None
    if item.family == "bool":
        return next((each for each in (False, True) if each == value), None)
    try:
        return equal(item, value)
    except (TypeError, ValueError, AttributeError):
        return None


def is_storable(text: str) -> bool:
    """Return whether a text of PostgreSQL can hold a text."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def successor(text: str) -> str | None:
    """Return the least text greater than all that begin with a text; None if there is none."""
    while text:
        last = ord(text[-1])
        if last < 0x10FFFF:
            return text[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        text = text[:-1]
    return None
