"""Typed conditions and orderings. Engine-neutral: they say what is wanted and evaluate nothing.

`Document.pages > 3` reads as a comparison of ints to a type checker and is a `Condition` when it runs. Conditions are
two-valued, as Python is: `col != v` and `~(col > v)` hold for None, `<` and `>` don't.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from snaptable import fields
from snaptable.errors import InvalidQuery

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")


class Condition:
    """Be something that holds for a row or doesn't; combined with `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: object) -> "Condition":
        """Return the condition that both hold."""
        return AllOf((self, as_condition(other)))

    def __or__(self, other: object) -> "Condition":
        """Return the condition that at least one holds."""
        return AnyOf((self, as_condition(other)))

    def __invert__(self) -> "Condition":
        """Return the condition that this one does not hold."""
        return Not(self)

    __rand__ = __and__
    __ror__ = __or__

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: `and`, `or`, `not` and chained comparisons would lose half of it."""
        raise InvalidQuery(
            "a condition is neither true nor false: write (a) & (b), (a) | (b), ~(a) instead of and, or, not, "
            "and (low <= column) & (column < high) instead of a chained comparison"
        )


@dataclass(frozen=True, eq=False, slots=True)
class Compare(Condition):
    """Hold where a column compares with a value: one of == != < <= > >=."""

    column: "Column"
    operator: str
    value: Any


@dataclass(frozen=True, eq=False, slots=True)
class OneOf(Condition):
    """Hold where a column equals one of some values."""

    column: "Column"
    values: tuple[Any, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Contains(Condition):
    """Hold where a list, set, tuple or str column contains an item."""

    column: "Column"
    item: Any


@dataclass(frozen=True, eq=False, slots=True)
class StartsWith(Condition):
    """Hold where a str column begins with a text."""

    column: "Column"
    text: str


@dataclass(frozen=True, eq=False, slots=True)
class AllOf(Condition):
    """Hold where every part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, eq=False, slots=True)
class AnyOf(Condition):
    """Hold where at least one part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Not(Condition):
    """Hold where the part does not."""

    part: Condition


class Column:
    """Stand for a field of a model in a condition or an ordering: what `Document.pages` is at run time."""

    def __init__(self, model: "type[BaseModel]", name: str) -> None:
        self.model = model
        self.name = name

    def __repr__(self) -> str:
        return f"{self.model.__name__}.{self.name}"

    @cached_property
    def annotation(self) -> Any:
        """The field's type, without the metadata of its outermost Annotated."""
        return self.model.model_fields[self.name].annotation

    @cached_property
    def kinds(self) -> tuple[type, ...] | None:
        """The classes a value of the field may have; None where it can be anything."""
        return fields.value_types(self.annotation)

    def check(self, value: object) -> None:
        """Refuse a value this column could never equal.

        Raises:
            InvalidQuery: the value is of another kind, a column or a condition.
        """
        if isinstance(value, (Column, Condition)):
            raise InvalidQuery(f"{self!r} can be compared with a value only, not with {value!r}")
        if not fields.accepts(self.kinds, value):
            wanted = " or ".join(kind.__name__ for kind in self.kinds or () if kind is not type(None))
            raise InvalidQuery(f"{self!r} holds {wanted}; a {type(value).__name__} can't be compared with it")

    def _order(self, operator: str, value: object) -> Condition:
        self.check(value)
        if value is None:
            raise InvalidQuery(f"nothing is less or greater than None: write {self!r} == None, or != None")
        try:
            fields.sort_key(self.annotation)
        except TypeError as error:
            raise InvalidQuery(f"{self!r} {operator} … has no meaning: {error}") from None
        return Compare(self, operator, value)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        self.check(value)
        return Compare(self, "==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        self.check(value)
        return Compare(self, "!=", value)

    def __lt__(self, value: object) -> Condition:
        return self._order("<", value)

    def __le__(self, value: object) -> Condition:
        return self._order("<=", value)

    def __gt__(self, value: object) -> Condition:
        return self._order(">", value)

    def __ge__(self, value: object) -> Condition:
        return self._order(">=", value)

    def __hash__(self) -> int:
        return hash((self.model, self.name))

    def __and__(self, other: object) -> Condition:
        return as_condition(self) & other

    def __or__(self, other: object) -> Condition:
        return as_condition(self) | other

    def __invert__(self) -> Condition:
        return ~as_condition(self)

    __rand__ = __and__
    __ror__ = __or__

    def __bool__(self) -> NoReturn:
        raise InvalidQuery(f"{self!r} is a column, neither true nor false: use it in where(), with & | ~ between")

    def __contains__(self, item: object) -> NoReturn:
        raise InvalidQuery(f"write contains({self!r}, item) instead of `item in {self!r}`")

    __iter__ = None


def as_condition(value: object) -> Condition:
    """Return a condition as it is, and a bool column as the condition that it is true.

    Raises:
        InvalidQuery: the value is neither.
    """
    if isinstance(value, Condition):
        return value
    if isinstance(value, Column):
        if value.kinds is not None and bool in value.kinds:
            return Compare(value, "==", value=True)
        raise InvalidQuery(
            f"{value!r} alone is no condition (it is no bool): compare it, in parentheses: ({value!r} == …)"
        )
    if isinstance(value, bool):
        raise InvalidQuery(
            f"{value} is no condition: compare the column (User.email == x), not a row's value (user.email == x)"
        )
    raise InvalidQuery(f"a {type(value).__name__} is no condition")


def columns_of(condition: Condition) -> Iterator[Column]:
    """Yield every column that a condition speaks of."""
    if isinstance(condition, (AllOf, AnyOf)):
        for part in condition.parts:
            yield from columns_of(part)
    elif isinstance(condition, Not):
        yield from columns_of(condition.part)
    elif isinstance(condition, (Compare, OneOf, Contains, StartsWith)):
        yield condition.column


def one_of(column: T, values: Iterable[T]) -> bool:
    """Return the condition that a column equals one of some values."""
    target, chosen = _column(column), tuple(values)
    for value in chosen:
        target.check(value)
    return OneOf(target, chosen)  # type: ignore[return-value]


def contains(column: "Iterable[T] | None", item: T) -> bool:
    """Return the condition that a list, set, tuple or str column contains an item; None contains nothing."""
    target = _column(column)
    kinds = [kind for kind in target.kinds or () if kind is not type(None)]
    inner = fields.element(target.annotation)
    if kinds and all(issubclass(kind, str) for kind in kinds):
        inner = str
    elif kinds and not all(issubclass(kind, (list, set, frozenset, tuple, dict)) for kind in kinds):
        raise InvalidQuery(f"{target!r} holds {kinds[0].__name__}, which contains nothing")
    if inner is not None and (
        (item is None and not fields.is_optional(inner)) or not fields.accepts(fields.value_types(inner), item)
    ):
        raise InvalidQuery(f"{target!r} can't contain a {type(item).__name__}")
    return Contains(target, item)  # type: ignore[return-value]


def starts_with(column: str | None, text: str) -> bool:
    """Return the condition that a str column begins with a text, case and all; None begins with nothing."""
    target = _column(column)
    if not isinstance(text, str):
        raise InvalidQuery(f"starts_with takes a text, not a {type(text).__name__}")
    if target.kinds is not None and str not in target.kinds:
        raise InvalidQuery(f"{target!r} holds no text")
    return StartsWith(target, text)  # type: ignore[return-value]


def _column(value: object) -> Column:
    if not isinstance(value, Column):
        raise InvalidQuery(f"expected a column, as in User.email; got a {type(value).__name__}")
    return value


@dataclass(frozen=True, slots=True)
class Order:
    """Say by which column to sort, and in which direction; None comes last in both."""

    column: Column
    descending: bool = False


def desc(column: object) -> Order:
    """Return the ordering from the greatest to the least, None last."""
    return as_order(column, descending=True)


def asc(column: object) -> Order:
    """Return the ordering from the least to the greatest, None last; what a bare column means."""
    return as_order(column, descending=False)


def as_order(column: object, *, descending: bool = False) -> Order:
    """Return a column, or an ordering as it is, as an ordering.

    Raises:
        InvalidQuery: it is neither, or the column's values have no order.
    """
    if isinstance(column, Order):
        return column
    target = _column(column)
    try:
        fields.sort_key(target.annotation)
    except TypeError as error:
        raise InvalidQuery(f"can't sort by {target!r}: {error}") from None
    return Order(target, descending)
