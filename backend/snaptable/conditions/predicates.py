"""Conditions: predicates, which say the same whatever they compare with, and their values; and orders.

A column has one term for each operator and one order for each direction, so equal is identical, and an engine can
prepare a predicate once for all the values that it is asked with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from snaptable.errors import InvalidQuery

if TYPE_CHECKING:
    from snaptable.conditions.columns import Column

ORDERED: Final = ("<", "<=", ">", ">=")
IGNORING_CASE: Final = ("contains ignoring case", "starts with ignoring case")
OPERATORS: Final = ("is", "is not", "==", "!=", *ORDERED, "in", "contains", "starts with", *IGNORING_CASE)
"""What a term can say of a column and a value; `is` and `is not` are what == and != None become."""


class Term:
    """A comparison of one column with one value to come. A column has one for each operator: equal is identical."""

    __slots__ = ("column", "operator")

    def __init__(self, column: "Column", operator: str) -> None:
        self.column = column
        self.operator = operator

    def __repr__(self) -> str:
        return f"{self.column!r} {self.operator} ?"


@dataclass(slots=True, unsafe_hash=True)
class AllOf:
    """What holds if every part holds. The values of the parts come one after another, as in the other templates."""

    parts: "tuple[PredicateTemplate, ...]"


@dataclass(slots=True, unsafe_hash=True)
class AnyOf:
    """What holds if at least one part holds."""

    parts: "tuple[PredicateTemplate, ...]"


@dataclass(slots=True, unsafe_hash=True)
class Not:
    """What holds if the part does not."""

    part: "PredicateTemplate"


PredicateTemplate = Term | AllOf | AnyOf | Not
PredicateTemplates = tuple[PredicateTemplate, ...]


def terms_of(template: PredicateTemplate) -> Iterator[Term]:
    """Yield the terms of a template, in the order in which their values come."""
    if isinstance(template, Term):
        yield template
    elif isinstance(template, Not):
        yield from terms_of(template.part)
    else:
        for part in template.parts:
            yield from terms_of(part)


class Condition:
    """What holds for a row or doesn't; combined with `&`, `|` and `~`."""

    __slots__ = ("template", "values")

    def __init__(self, template: PredicateTemplate, values: tuple[object, ...]) -> None:
        self.template = template
        self.values = values
        """A value for each term of the template."""

    def __repr__(self) -> str:
        return f"<{self.template!r}>"  # not the values: they may be secrets

    def __and__(self, other: object) -> "Condition":
        """Return the condition that both hold."""
        second = as_condition(other)
        return Condition(
            AllOf(_parts(AllOf, self.template) + _parts(AllOf, second.template)), self.values + second.values
        )

    def __or__(self, other: object) -> "Condition":
        """Return the condition that at least one holds."""
        second = as_condition(other)
        return Condition(
            AnyOf(_parts(AnyOf, self.template) + _parts(AnyOf, second.template)), self.values + second.values
        )

    def __invert__(self) -> "Condition":
        """Return the condition that this one does not hold."""
        return Condition(Not(self.template), self.values)

    __rand__ = __and__
    __ror__ = __or__

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: `and`, `or`, `not` and chained comparisons would lose half of it."""
        raise InvalidQuery(
            "a condition is neither true nor false: write (a) & (b), (a) | (b), ~(a) instead of and, or, not, "
            "and (low <= column) & (column < high) instead of a chained comparison"
        )


def _parts(kind: type[AllOf] | type[AnyOf], template: PredicateTemplate) -> PredicateTemplates:
    return template.parts if isinstance(template, kind) else (template,)


def as_condition(value: object) -> Condition:
    """Return a condition as it is, and a bool column as the condition that it is true.

    Raises:
        InvalidQuery: the value is neither.
    """
    if isinstance(value, Condition):
        return value
    of_column = getattr(type(value), "_as_condition", None)
    if of_column is not None:
        condition: Condition = of_column(value)
        return condition
    if isinstance(value, bool):
        raise InvalidQuery(
            f"{value} is no condition: compare the column (User.email == x), not a row's value (user.email == x)"
        )
    raise InvalidQuery(f"a {type(value).__name__} is no condition")


class Order:
    """A column to sort by, and a direction; None comes last in both. A column has one for each: equal is identical."""

    __slots__ = ("column", "descending")

    def __init__(self, column: "Column", *, descending: bool) -> None:
        self.column = column
        self.descending = descending

    def __repr__(self) -> str:
        return f"{self.column!r} {'descending' if self.descending else 'ascending'}"
