"""Conditions as compiled list comprehensions: one Python frame a scan, not one a row.

`pages > 3 and user_id == x` becomes `[r for r in rows if (r.pages > v0 and r.user_id == v1)]`. Only field names, which
were checked to be identifiers when the schema was made, are ever part of the source; values are always arguments.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from snaptable import fields
from snaptable.conditions import AllOf, AnyOf, Column, Compare, Condition, Contains, Not, OneOf, StartsWith

Filter = Callable[[Sequence[Any]], list[Any]]


def compile_filter(conditions: Sequence[Condition]) -> Filter | None:
    """Return the function that keeps the rows for which every condition holds; None where there is no condition."""
    if not conditions:
        return None
    quick = _Source(keyed=False).function(conditions)

    def keep(rows: Sequence[Any]) -> list[Any]:
        try:
            return quick(rows)
        except TypeError:
            # Some values don't compare (a naive time with an aware one): go by their places in the order instead.
            return _Source(keyed=True).function(conditions)(rows)

    return keep


class _Source:
    """Write the comprehension of some conditions, collecting their values as arguments."""

    def __init__(self, *, keyed: bool) -> None:
        self.keyed = keyed
        self.values: list[Any] = []

    def function(self, conditions: Sequence[Condition]) -> Filter:
        test = " and ".join(self.of(condition) for condition in conditions)
        make = _compiled(test, len(self.values))
        return make(*self.values)

    def bind(self, value: Any) -> str:
        self.values.append(value)
        return f"v{len(self.values) - 1}"

    def of(self, condition: Condition) -> str:
        match condition:
            case Compare(column, operator, value):
                return self.compare(column, operator, value)
            case OneOf(column, values):
                hashable = fields.is_hashable(column.annotation)
                return f"(r.{column.name} in {self.bind(frozenset(values) if hashable else values)})"
            case Contains(column, item):
                return f"{self.bind(_contains)}(r.{column.name}, {self.bind(item)})"
            case StartsWith(column, text):
                return f"(isinstance(r.{column.name}, str) and r.{column.name}.startswith({self.bind(text)}))"
            case AllOf(parts):
                return "(" + " and ".join(self.of(part) for part in parts) + ")"
            case AnyOf(parts):
                return "(" + " or ".join(self.of(part) for part in parts) + ")"
            case Not(part):
                return f"(not {self.of(part)})"
        raise AssertionError(f"no such condition: {condition!r}")

    def compare(self, column: Column, operator: str, value: Any) -> str:
        name = f"r.{column.name}"
        if value is None:
            return f"({name} is {'not ' * (operator == '!=')}None)"
        if operator in ("==", "!="):
            return f"({name} {operator} {self.bind(value)})"
        sort_key = fields.sort_key(column.annotation)
        # Plain enums don't compare at all, so they always go by their place; times only when they fail to.
        if sort_key is None or (sort_key is fields.microseconds and not self.keyed):
            return self.guard(column, f"{{}} {operator} {self.bind(value)}")
        function = self.bind(sort_key)
        return self.guard(column, f"{function}({{}}) {operator} {self.bind(sort_key(value))}")

    def guard(self, column: Column, test: str) -> str:
        name = f"r.{column.name}"
        held = test.format(name)
        return f"({name} is not None and {held})" if fields.is_optional(column.annotation) else f"({held})"


def _contains(value: Any, item: Any) -> bool:
    if isinstance(value, str):
        return isinstance(item, str) and item in value
    try:
        return isinstance(value, (list, tuple, set, frozenset, dict)) and item in value
    except TypeError:
        return False  # an unhashable item is in no set


@lru_cache(maxsize=512)
def _compiled(test: str, count: int) -> Callable[..., Filter]:
    arguments = ", ".join(f"v{number}" for number in range(count))
    source = f"lambda {arguments}: lambda rows: [r for r in rows if {test}]"
    make: Callable[..., Filter] = eval(compile(source, "<condition>", "eval"))  # noqa: S307 - see the module's head
    return make
