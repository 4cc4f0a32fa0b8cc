"""What can be asked of a table and of a query alike: aggregates, groups, distinct values."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar, overload

from snaptable.aggregates import Aggregate, Avg, Grouping, Max, Min, N, Sum
from snaptable.contract import M, Select
from snaptable.errors import InvalidQuery
from snaptable.grouped import Grouped, check_aggregates
from snaptable.query_source import QuerySource
from snaptable.values import value_types

T = TypeVar("T")
K1 = TypeVar("K1")
K2 = TypeVar("K2")
K3 = TypeVar("K3")


class Questions(Generic[M]):
    """The part of a table, or of a query, that works something out of its rows, all of one state of the database."""

    __slots__ = ()

    def _asked(self) -> tuple[QuerySource[M], Select]:
        """Return the table, and which of its rows are meant."""
        raise NotImplementedError

    # ── aggregates ──────────────────────────────────────────────────────────────────────────────────────────────────

    def aggregate(self, /, **aggregates: Aggregate[Any]) -> dict[str, Any]:
        """Return aggregates of the rows by name, of one state; O(rows looked at) each, O(log n) for some, see `min`.

        None is left out. Of no values a sum is 0, a count is 0, the others are None.

        Raises:
            InvalidQuery: a column of another table, or one whose values have no sum, or no order.

        >>> db.users.aggregate(n=Count(), oldest=Max(User.age))
        {'n': 2, 'oldest': 31}
        """
        source, select = self._asked()
        check_aggregates(source, aggregates)
        (row,) = source.engine.aggregate(select, Grouping((), tuple(aggregates.values())))
        return dict(zip(aggregates, row, strict=True))

    def _one(self, aggregate: Aggregate[Any]) -> Any:
        return self.aggregate(value=aggregate)["value"]

    def sum(self, column: N | None, /) -> N:
        """Return the sum of a column of numbers or timedeltas, None left out; 0, of its type, of no values. O(rows).

        Exact of ints, timedeltas and Decimals (to 1,000 digits); of floats the exact sum, rounded once.

        Raises:
            InvalidQuery: the column holds something else, or is of another table.

        >>> db.users.where(User.age > 3).sum(User.age)
        56
        """
        return self._one(Sum(column))  # type: ignore[no-any-return]

    @overload
    def avg(self, column: float | None, /) -> float | None: ...  # type: ignore[overload-overlap]
    @overload
    def avg(self, column: Decimal | None, /) -> Decimal | None: ...  # type: ignore[overload-overlap]
    @overload
    def avg(self, column: timedelta | None, /) -> timedelta | None: ...
    def avg(self, column: Any, /) -> Any:
        """Return the mean of a column of numbers or timedeltas, None left out; None of no values. O(rows).

        A float of ints, else of the column's type; of Decimals to 28 digits.

        Raises:
            InvalidQuery: the column holds something else, or is of another table.

        >>> db.users.avg(User.age)
        28.0
        """
        return self._one(Avg(column))

    def min(self, column: T | None, /) -> T | None:
        """Return the least value of a column, in the order of `order_by`, None left out; None of no values.

        O(log n) by an ordered index on the column (behind columns that the conditions fix), else O(rows looked at).

        Raises:
            InvalidQuery: its values have no order, or it is of another table.

        >>> db.users.min(User.age)
        25
        """
        return self._one(Min(column))  # type: ignore[no-any-return]

    def max(self, column: T | None, /) -> T | None:
        """Return the greatest value of a column, as `min` does the least.

        Raises:
            InvalidQuery: its values have no order, or it is of another table.

        >>> db.users.max(User.age)
        31
        """
        return self._one(Max(column))  # type: ignore[no-any-return]

    # ── groups ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @overload
    def group_by(self, column: T, /) -> Grouped[T]: ...
    @overload
    def group_by(self, column: K1, second: K2, /) -> Grouped[tuple[K1, K2]]: ...
    @overload
    def group_by(self, column: K1, second: K2, third: K3, /) -> Grouped[tuple[K1, K2, K3]]: ...
    @overload
    def group_by(self, /, *columns: object) -> Grouped[tuple[object, ...]]: ...
    def group_by(self, /, *columns: object) -> Grouped[Any]:
        """Return the rows by equal values of some columns, None being a value; ask it for aggregates.

        Raises:
            InvalidQuery: a column of another table, or one whose values can't be the key of a dict.

        >>> db.users.group_by(User.age).order_by("-n").limit(3).aggregate(n=Count())
        [Group(25, n=1), Group(31, n=1)]
        """
        source, select = self._asked()
        if not columns:
            raise InvalidQuery("group_by takes a column at least; without groups write aggregate()")
        checked = tuple(map(source.column, columns))
        for column in checked:
            if not value_types.is_hashable(column.annotation):
                raise InvalidQuery(f"{source.schema.name}: {column!r} holds what can't be the key of a group")
        return Grouped(source, select, checked)

    def distinct(self, column: T, /) -> list[T]:
        """Return the different values of a column, in order, None last; O(rows looked at).

        Raises:
            InvalidQuery: a column of another table, or one whose values can't be the key of a dict.

        >>> db.users.distinct(User.age)
        [25, 31]
        """
        return [group.key for group in self.group_by(column).aggregate()]
