"""Columns and their parts: what conditions and orderings are about.

`Document.pages > 3` reads as a comparison of ints to a type checker and is a `Condition` when it runs (`predicates`).
Conditions are two-valued, as Python is: `col != v` and `~(col > v)` hold for None, `<` and `>` don't.
"""

from collections.abc import Callable, Hashable
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from keyword import iskeyword
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from snaptable.conditions.column_values import ColumnValues, time_kind_of, wrong_time
from snaptable.conditions.expressions import Expression
from snaptable.conditions.predicates import OPERATORS, Condition, Order, Term
from snaptable.errors import InvalidQuery
from snaptable.values import inner_types, value_types
from snaptable.values.inner_types import Attribute, Item, Step

if TYPE_CHECKING:
    from pydantic import BaseModel

LISTED_CHOICES = 8
"""Values of an enum that a message lists."""


MOST_PARTS = 256
"""Parts of a column that are remembered: the keys of a dict that are asked for may be any number."""


class Column(ColumnValues):
    """A field of a model in a condition or an ordering: what `Document.pages` is at run time.

    Attributes:
        model: the class that has the field.
        name: the field's name; of a part of its values also the way there: `box.x`, `metadata['lang']`.
        root: the field's name.
        is_part: whether it is a part of a field's values.
    """

    is_part = False
    is_mixed = False
    """Whether it is known only of two values, not of the types, whether they compare."""
    is_plain_path = True
    """Whether attributes alone lead there from a row, none of which may be missing."""

    def __init__(self, model: "type[BaseModel]", name: str) -> None:
        super().__init__(model, name)
        self.root = name
        self.terms = {operator: Term(self, operator) for operator in OPERATORS}
        self._is, self._equals = self.terms["is"], self.terms["=="]
        self.orders = (Order(self, descending=False), Order(self, descending=True))

    @cached_property
    def read(self) -> "Callable[[BaseModel], Any]":
        """The function from a row to its value; None where that isn't there."""
        return attrgetter(self.name)

    def check(self, value: object) -> None:
        """Refuse a value that this column could never equal.

        Raises:
            InvalidQuery: the value is of another type, a column or a condition.
        """
        if isinstance(value, (Column, ModelColumn, Condition)):
            raise InvalidQuery(f"{self!r} can be compared with a value only, not with {value!r}")
        if not value_types.accepts(self.types, value):
            wanted = " or ".join(kind.__name__ for kind in self.types or () if kind is not type(None))
            raise InvalidQuery(f"{self!r} holds {wanted}; a {type(value).__name__} can't be compared with it")
        if self.time_kind is not None and isinstance(value, datetime) and time_kind_of(value) != self.time_kind:
            raise wrong_time(self, f"{self!r} holds {self.time_kind} times", self.time_kind)
        if isinstance(value, Decimal) and value.is_snan():
            raise InvalidQuery(f"{self!r} can't be compared with a signalling NaN")

    def _check_choice(self, value: object) -> None:
        self.check(value)
        if self.choices is not None and value is not None and value not in self.choices:
            wanted = ", ".join(map(repr, self.choices[:LISTED_CHOICES])) + ", …" * (len(self.choices) > LISTED_CHOICES)
            raise InvalidQuery(f"{self!r} holds one of {wanted}; it is never equal to this {type(value).__name__}")

    def _check_order(self, operator: str, value: object) -> None:
        self.check(value)
        if value is None:
            raise InvalidQuery(f"nothing is less or greater than None: write {self!r} == None, or != None")
        if self.is_mixed and isinstance(value, (str, int, float)):
            return
        try:
            _ = self.sort_key
        except TypeError as error:
            raise InvalidQuery(f"{self!r} {operator} … has no meaning: {error}") from None
        if value != value and (isinstance(value, Decimal) or Decimal in (self.types or ())):
            raise InvalidQuery(f"{self!r} {operator} … has no meaning: nothing is less or greater than NaN")

    def equal(self, value: object) -> Term:
        """Return the term of the condition that the column equals this value.

        Raises:
            InvalidQuery: it never could.
        """
        if type(value) not in self.exact_types:
            self._check_choice(value)
        return self._is if value is None else self._equals

    def _compare(self, operator: str, value: object) -> Condition:
        if type(value) not in self.orderable_types:
            self._check_order(operator, value)
        return Condition(self.terms[operator], (value,))

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        if type(value) not in self.exact_types:
            self._check_choice(value)
        return Condition(self._is if value is None else self._equals, (value,))

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        if type(value) not in self.exact_types:
            self._check_choice(value)
        return Condition(self.terms["is not" if value is None else "!="], (value,))

    def __lt__(self, value: object) -> Condition:
        return self._compare("<", value)

    def __le__(self, value: object) -> Condition:
        return self._compare("<=", value)

    def __gt__(self, value: object) -> Condition:
        return self._compare(">", value)

    def __ge__(self, value: object) -> Condition:
        return self._compare(">=", value)

    def __hash__(self) -> int:
        return hash((self.model, self.name))

    def __add__(self, number: object) -> Expression:
        return Expression(self, "+", number)

    def __sub__(self, number: object) -> Expression:
        return Expression(self, "-", number)

    def __mul__(self, number: object) -> Expression:
        return Expression(self, "*", number)

    def __rsub__(self, number: object) -> Expression:
        return Expression(self, "subtracted from", number)

    __radd__ = __add__
    __rmul__ = __mul__

    def __and__(self, other: object) -> Condition:
        return self._as_condition() & other

    def __or__(self, other: object) -> Condition:
        return self._as_condition() | other

    def __invert__(self) -> Condition:
        return ~self._as_condition()

    __rand__ = __and__
    __ror__ = __or__

    def _as_condition(self) -> Condition:
        """Return the condition that a bool column is true; raises InvalidQuery for any other; for `as_condition`."""
        if self.types is None or bool not in self.types:
            raise InvalidQuery(
                f"{self!r} alone is no condition (it is no bool): compare it, in parentheses: ({self!r} == …)"
            )
        return Condition(self.terms["=="], (True,))

    def __bool__(self) -> NoReturn:
        raise InvalidQuery(f"{self!r} is a column, neither true nor false: use it in where(), with & | ~ between")

    def __contains__(self, item: object) -> NoReturn:
        raise InvalidQuery(f"write contains({self!r}, item) instead of `item in {self!r}`")

    __iter__ = None

    # ── what is inside of its values ────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _parts(self) -> "dict[Step, AnyColumn]":
        return {}

    def part(self, step: Step) -> "AnyColumn":
        """Return the column of what a step leads to inside of the values; the same each time.

        Raises:
            AttributeError: the values have no such field.
            InvalidQuery: they have no item of such a key.
        """
        known = self._parts.get(step)
        if known is not None:
            return known
        annotation = inner_types.inside(self.annotation, step)
        if annotation is None:
            raise self._no_attribute(step.name) if isinstance(step, Attribute) else self._no_item(step.key)
        if len(self._parts) >= MOST_PARTS:
            self._parts.clear()
        return self._parts.setdefault(step, PartColumn(self, step, annotation).as_seen())

    def as_seen(self) -> "AnyColumn":
        """Return what users hold of the column: if its values have fields, something that has nothing but these."""
        return ModelColumn(self) if inner_types.has_attributes(self.annotation) else self

    def _no_attribute(self, name: str) -> AttributeError:
        if names := inner_types.attribute_names(self.annotation):
            advice = f"there is no field {name!r}; there is {', '.join(names)}"
        elif str in (self.types or ()):
            advice = f"a column has no methods of text; write starts_with({self!r}, …) or contains({self!r}, …)"
        elif inner_types.has_items(self.annotation):
            advice = f"an item is asked for by its key: {self!r}[{name!r}]"
        else:
            advice = f"it holds {self.kinds_in_words()}, which has no fields"
        return AttributeError(f"{self!r}.{name}: {advice}")

    def _no_item(self, key: object) -> InvalidQuery:
        if inner_types.has_items(self.annotation):
            return InvalidQuery(f"{self!r}[…]: no item of it has a key, or a position, of such a {type(key).__name__}")
        advice = "a field is asked for by its name, after a dot" if inner_types.has_attributes(self.annotation) else ""
        return InvalidQuery(f"{self!r}[…]: {advice or f'it holds {self.kinds_in_words()}, which has no items'}")

    def __getitem__(self, key: object) -> "AnyColumn":
        if isinstance(key, slice) or not isinstance(key, Hashable):
            raise InvalidQuery(f"{self!r}[…] takes a key of a dict, or a position, not a {type(key).__name__}")
        return self.part(Item(key))

    if not TYPE_CHECKING:  # to a type checker, a column has the attributes of the field's own type

        def __getattr__(self, name: str) -> object:
            if name.startswith("_") or "model" not in self.__dict__:
                raise AttributeError(name)
            return self.part(Attribute(name))


class PartColumn(Column):
    """A part of a field's values in a condition or an ordering: what `Document.box.x` is at run time."""

    is_part = True

    def __init__(self, whole: Column, step: Step, annotation: value_types.Annotation) -> None:
        """Take the column of what it is a part of, the step from there, and its type."""
        super().__init__(whole.model, f"{whole.name}{step}")
        self.root = whole.root
        self._whole, self._step = whole, step
        self.__dict__["annotation"] = annotation

    @cached_property
    def is_plain_path(self) -> bool:  # type: ignore[override]
        """Whether attributes alone lead there from a row, none of which may be missing."""
        step, whole = self._step, self._whole
        if not isinstance(step, Attribute) or not step.name.isidentifier() or iskeyword(step.name):
            return False
        return whole.is_plain_path and inner_types.is_always_there(whole.annotation, step.name)

    @cached_property
    def is_mixed(self) -> bool:  # type: ignore[override]
        """Whether it is known only of two values, not of the types, whether they compare."""
        kinds = [kind for kind in self.types or (object,) if kind is not type(None)]
        return kinds == [object] or (
            len(kinds) > 1 and not all(issubclass(kind, value_types.NUMBERS) for kind in kinds)
        )

    @cached_property
    def read(self) -> "Callable[[BaseModel], Any]":
        """The function from a row to its value; None where that isn't there."""
        if self.is_plain_path:
            return attrgetter(self.name)
        whole, step = self._whole.read, inner_types.reader(self._step)
        return lambda row: step(whole(row))


class ModelColumn:
    """A column whose values have fields, as users hold it: its attributes are these fields, whatever they are called.

    All else that a column has is found through `column_of`.
    """

    __slots__ = ("_column",)

    def __init__(self, column: Column) -> None:
        self._column = column

    def __repr__(self) -> str:
        return repr(self._column)

    def __hash__(self) -> int:
        return hash(self._column)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self._column == value

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self._column != value

    def __lt__(self, value: object) -> Condition:
        return self._column < value

    def __le__(self, value: object) -> Condition:
        return self._column <= value

    def __gt__(self, value: object) -> Condition:
        return self._column > value

    def __ge__(self, value: object) -> Condition:
        return self._column >= value

    def __and__(self, other: object) -> Condition:
        return self._column & other

    def __or__(self, other: object) -> Condition:
        return self._column | other

    def __invert__(self) -> Condition:
        return ~self._column

    __rand__ = __and__
    __ror__ = __or__
    __iter__ = None

    def _as_condition(self) -> Condition:
        return self._column._as_condition()

    def __bool__(self) -> bool:
        return bool(self._column)

    def __contains__(self, item: object) -> bool:
        return item in self._column

    def __getitem__(self, key: object) -> "AnyColumn":
        return self._column[key]

    def __getattr__(self, name: str) -> "AnyColumn":
        if name.startswith("_"):
            raise AttributeError(name)
        return self._column.part(Attribute(name))


AnyColumn = Column | ModelColumn


def column_of(value: object) -> Column | None:
    """Return the column that a user named; None if the value is none."""
    return value._column if isinstance(value, ModelColumn) else value if isinstance(value, Column) else None


class InsertedPlace:
    """A row's place in the order of insertion, in the place of a column in orderings; no two rows share one."""

    is_part = False

    def __init__(self) -> None:
        self.name = "inserted()"
        self.sort_key = None
        self.orders = (Order(cast(Column, self), descending=False), Order(cast(Column, self), descending=True))

    def __repr__(self) -> str:
        return self.name


class GroupValue:
    """What is worked out of many rows, and stands in the place of a column in conditions on groups and their order."""

    __slots__ = ()


INSERTED: Final = cast(Column, InsertedPlace())
