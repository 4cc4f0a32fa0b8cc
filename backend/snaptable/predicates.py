"""Predicates without their values, and orders: what a condition, or an ordering, says whatever it compares with.

A column has one term for each operator and one order for each direction, so equal is identical, and an engine can
prepare a predicate once for all the values that it is asked with.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snaptable.columns import Column

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


class Order:
    """A column to sort by, and a direction; None comes last in both. A column has one for each: equal is identical."""

    __slots__ = ("column", "descending")

    def __init__(self, column: "Column", *, descending: bool) -> None:
        self.column = column
        self.descending = descending

    def __repr__(self) -> str:
        return f"{self.column!r} {'descending' if self.descending else 'ascending'}"
