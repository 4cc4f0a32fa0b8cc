"""Expressions: what a field is set to, worked out of the row as it is."""

from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from operator import add, mul, sub
from typing import Any

from pydantic import BaseModel

from snaptable.conditions.expressions import Expression
from snaptable.errors import InvalidQuery

_DECIMALS = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Exact up to so many digits, whatever the context of the caller's thread."""
_EXACT: dict[str, Callable[[Any, Any], object]] = {
    "+": _DECIMALS.add,
    "-": _DECIMALS.subtract,
    "*": _DECIMALS.multiply,
    "subtracted from": lambda value, number: _DECIMALS.subtract(number, value),
}
_PLAIN: dict[str, Callable[[Any, Any], object]] = {
    "+": add,
    "-": sub,
    "*": mul,
    "subtracted from": lambda value, number: number - value,
}


def evaluated(changes: dict[str, object], row: BaseModel) -> dict[str, object]:
    """Return changes with every expression worked out of a row.

    Raises:
        InvalidQuery: a result is beyond what the type holds.
    """
    return {name: _value(value, row) if type(value) is Expression else value for name, value in changes.items()}


def _value(expression: Expression, row: BaseModel) -> object:
    value = expression.column.read(row)
    if value is None:
        return None
    exact = isinstance(value, Decimal) or isinstance(expression.number, Decimal)
    try:
        return (_EXACT if exact else _PLAIN)[expression.operator](value, expression.number)
    except (OverflowError, ArithmeticError):
        raise InvalidQuery(f"{expression!r} is beyond what a {type(value).__name__} holds") from None
