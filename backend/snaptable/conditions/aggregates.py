"""Aggregates: what is worked out of a column's values over some rows. Engine-neutral: they evaluate nothing.

None is left out, as in SQL. Of no values the sum is the zero of the column's type and the count is 0; the others are
None.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final, Generic, NoReturn, TypeVar, cast, overload

from snaptable.conditions.columns import Column, GroupValue, column_of
from snaptable.conditions.predicates import ORDERED, Condition, PredicateTemplates, Term
from snaptable.errors import InvalidQuery
from snaptable.secrets import MASKED
from snaptable.values.value_types import SortKey

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
T = TypeVar("T")
N = TypeVar("N", int, float, Decimal, timedelta)
NUMBER_KINDS: Final[tuple[type, ...]] = (int, float, Decimal, timedelta)
"""What can be summed; a bool counts as 0 or 1."""


class Aggregate(GroupValue, Generic[V_co]):
    """A value of some rows, such as their number; compared with a value it is a condition for `having`."""

    __slots__ = ("column",)
    function: ClassVar[str]

    def __init__(self, column: object) -> None:
        """Take the column, as in `User.age`; None for the rows themselves.

        Raises:
            InvalidQuery: it is not a column.
        """
        known = column_of(column)
        if column is not None and known is None:
            raise InvalidQuery(f"{type(self).__name__} takes a column, as in User.age, not a {type(column).__name__}")
        self.column: Column | None = known

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.column is None else repr(self.column)})"

    @property
    def identity(self) -> tuple[str, str | None]:
        """What two aggregates share that are always of the same value; `==` makes a condition instead."""
        return self.function, None if self.column is None else self.column.name

    @property
    def sort_key(self) -> SortKey | None:
        """The function from its value to what that is sorted by; None if that is the value itself."""
        return self.column.sort_key if self.column is not None and self.function in ("min", "max") else None

    def check(self) -> None:
        """Refuse a column whose values it can't be worked out of.

        Raises:
            InvalidQuery: such values have no sum, or no order.
        """

    def _condition(self, operator: str, value: object) -> Condition:
        if isinstance(value, (Condition, Aggregate)) or column_of(value) is not None:
            raise InvalidQuery(f"{self!r} can be compared with a value only, not with {value!r}")
        if value is None and operator in ORDERED:
            raise InvalidQuery(f"nothing is less or greater than None: write {self!r} == None, or != None")
        if self.function != "count" and self.column is not None:
            self.column.check(value)
        elif value is not None and not isinstance(value, (int, float, Decimal)):
            raise InvalidQuery(f"{self!r} is a number; a {type(value).__name__} can't be compared with it")
        return Condition(Term(cast(Column, self), operator), (value,))

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self._condition("==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self._condition("!=", value)

    def __lt__(self, value: object) -> Condition:
        return self._condition("<", value)

    def __le__(self, value: object) -> Condition:
        return self._condition("<=", value)

    def __gt__(self, value: object) -> Condition:
        return self._condition(">", value)

    def __ge__(self, value: object) -> Condition:
        return self._condition(">=", value)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise InvalidQuery(f"{self!r} is neither true nor false: use it in aggregate() or having()")


class Count(Aggregate[int]):
    """The number of rows, or of a column's values that are not None.

    >>> db.users.aggregate(n=Count())
    {'n': 2}
    """

    __slots__ = ()
    function = "count"

    def __init__(self, column: object = None) -> None:
        """Take a column, or nothing for the rows."""
        super().__init__(column)


class Sum(Aggregate[V]):
    """The sum of a column of numbers or timedeltas: exact of ints, Decimals (to 1,000 digits) and timedeltas.

    Of floats it is the exact sum, rounded once. Of no values it is 0, of the column's type.

    >>> db.users.aggregate(together=Sum(User.age))
    {'together': 56}
    """

    __slots__ = ()
    function = "sum"

    def __init__(self: "Sum[N]", column: N | None) -> None:
        """Take the column."""
        super().__init__(_given(self, column))

    def check(self) -> None:
        """Refuse a column that holds no numbers."""
        number_kind(self)


class Avg(Aggregate[V]):
    """The mean of a column of numbers or timedeltas: a float of ints, else of the column's type.

    >>> db.users.aggregate(mean=Avg(User.age))
    {'mean': 28.0}
    """

    __slots__ = ()
    function = "avg"

    @overload
    def __init__(self: "Avg[float]", column: float | None) -> None: ...
    @overload
    def __init__(self: "Avg[Decimal]", column: Decimal | None) -> None: ...
    @overload
    def __init__(self: "Avg[timedelta]", column: timedelta | None) -> None: ...
    def __init__(self, column: object) -> None:
        """Take the column."""
        super().__init__(_given(self, column))

    def check(self) -> None:
        """Refuse a column that holds no numbers."""
        number_kind(self)


class _Extreme(Aggregate[V]):
    """The least or the greatest value of a column."""

    __slots__ = ()

    def check(self) -> None:
        """Refuse a column whose values have no order."""
        assert self.column is not None
        try:
            _ = self.column.sort_key
        except TypeError as error:
            raise InvalidQuery(f"{self!r} has no meaning: {error}") from None


class Min(_Extreme[V]):
    """The least value of a column, in the order of `order_by`; O(log n) by an ordered index.

    >>> db.users.aggregate(youngest=Min(User.age))
    {'youngest': 25}
    """

    __slots__ = ()
    function = "min"

    def __init__(self: "Min[T]", column: T | None) -> None:
        """Take the column."""
        super().__init__(_given(self, column))


class Max(_Extreme[V]):
    """The greatest value of a column, in the order of `order_by`; O(log n) by an ordered index.

    >>> db.users.aggregate(oldest=Max(User.age))
    {'oldest': 31}
    """

    __slots__ = ()
    function = "max"

    def __init__(self: "Max[T]", column: T | None) -> None:
        """Take the column."""
        super().__init__(_given(self, column))


def _given(aggregate: Aggregate[object], column: object) -> object:
    if column is None:
        raise InvalidQuery(f"{type(aggregate).__name__} takes a column, as in User.age, not None")
    return column


def number_kind(aggregate: Aggregate[object]) -> type:
    """Return of which type a column's sums are: int, float, Decimal or timedelta.

    Raises:
        InvalidQuery: the column holds something else, or numbers that don't add up.
    """
    column = aggregate.column
    assert column is not None
    held = [kind for kind in column.types or (object,) if kind is not type(None)]
    kinds = {next((base for base in NUMBER_KINDS if issubclass(kind, base)), object) for kind in held}
    if len(kinds) == 1 and object not in kinds:
        return kinds.pop()
    if kinds == {int, float}:
        return float
    if kinds == {int, Decimal}:
        return Decimal
    names = " | ".join(kind.__name__ for kind in held) or "None"
    raise InvalidQuery(
        f"{aggregate!r} has no meaning: the column holds {'anything' if held == [object] else names}; "
        f"sums are of int, float, Decimal or timedelta"
    )


@dataclass(slots=True)
class Grouping:
    """How the rows of a query are made into groups, and what is wanted of each."""

    columns: tuple[Column, ...] = ()
    """Rows that are equal in all of them are a group; without any all rows are one, even if there are none."""
    aggregates: tuple[Aggregate[object], ...] = ()
    having: PredicateTemplates = ()
    """Conditions that all must hold for a group, of `columns` and `aggregates`, without their values."""
    having_values: tuple[object, ...] = ()
    order: tuple[tuple[int, bool], ...] = ()
    """What the groups are sorted by: positions among the columns and then the aggregates, and whether descending. None
    comes last; ties are broken by the columns, where they have an order."""
    limit: int | None = None
    offset: int = field(default=0)


class Group(Generic[T]):
    """Rows that are equal in the columns of a `group_by`.

    Attributes:
        key: the column's value; a tuple of them if there are several columns.
        values: the aggregates by name; each is an attribute of the group too: `group.n`.
    """

    __slots__ = ("_secret_places", "_secret_values", "key", "values")

    def __init__(
        self,
        key: T,
        values: dict[str, Any],
        secret_places: Collection[int] = (),
        secret_values: Collection[str] = (),
    ) -> None:
        """Take the key and the aggregates by name; and which of them `repr` is not to show.

        Args:
            key: the key.
            values: the aggregates.
            secret_places: the places of secret columns in the key.
            secret_values: the names of aggregates that give a value of a secret column.
        """
        self.key = key
        self.values = values
        self._secret_places = secret_places
        self._secret_values = secret_values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.values:
            raise AttributeError(f"the group has no {name!r}; it has key, values, {', '.join(self.values)}")
        return self.values[name]

    def __repr__(self) -> str:
        values = {name: MASKED if name in self._secret_values else value for name, value in self.values.items()}
        return f"Group({self._shown_key()!r}, {', '.join(f'{name}={value!r}' for name, value in values.items())})"

    def _shown_key(self) -> object:
        if not self._secret_places:
            return self.key
        if not isinstance(self.key, tuple):
            return MASKED
        return tuple(MASKED if place in self._secret_places else part for place, part in enumerate(self.key))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Group):
            return NotImplemented
        return bool(self.key == other.key) and self.values == other.values

    __hash__ = None  # type: ignore[assignment]
