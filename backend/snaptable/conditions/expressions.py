"""Expressions: a column's value and a number, worked out row by row at a write."""

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NoReturn

from snaptable.errors import InvalidQuery

if TYPE_CHECKING:
    from snaptable.conditions.columns import Column


class Expression:
    """A column's value and a number, as in `Counter.count + 1`: what `update` sets a field to, row by row."""

    __slots__ = ("column", "number", "operator")

    def __init__(self, column: "Column", operator: str, number: object) -> None:
        """Take a numeric column, one of "+", "-", "*", "subtracted from", and a number.

        Raises:
            InvalidQuery: the column holds something else, or has no such operation with the number.
        """
        kinds = [kind for kind in column.types or (object,) if kind is not type(None)]
        if not kinds or not all(issubclass(kind, _NUMBERS) and kind is not bool for kind in kinds):
            names = " | ".join(kind.__name__ for kind in kinds) or "None"
            raise InvalidQuery(f"{column!r} {operator} … has no meaning: it holds {names}, and no numbers")
        if isinstance(number, bool) or not isinstance(number, _NUMBERS):
            raise InvalidQuery(f"{column!r} {operator} … takes a number, not a {type(number).__name__}")
        for kind in kinds:
            if not _works(next(base for base in _NUMBERS if issubclass(kind, base)), operator, number):
                raise InvalidQuery(
                    f"{column!r} {operator} … has no meaning of a {kind.__name__} and this {type(number).__name__}"
                )
        self.column = column
        self.operator = operator
        self.number = number

    def __repr__(self) -> str:
        return f"{self.column!r} {self.operator} …"

    def __bool__(self) -> NoReturn:
        raise InvalidQuery(f"{self!r} is worked out at a write: it is what update() sets a field to")


_NUMBERS: Final[tuple[type, ...]] = (int, float, Decimal, timedelta)
_ONES: Final[dict[type, object]] = {int: 1, float: 1.0, Decimal: Decimal(1), timedelta: timedelta(1)}


def _works(kind: type, operator: str, number: Any) -> bool:
    """Return whether an operation of a column's values with a number gives a value of the column."""
    one = _ONES[kind]
    try:
        result = one + number if operator == "+" else one * number if operator == "*" else one - number
    except (TypeError, ArithmeticError):
        return False
    return isinstance(result, timedelta) == (kind is timedelta)
