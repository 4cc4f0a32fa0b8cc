"""What can be asked of a table and of a query alike: aggregates, groups, distinct values, what belongs to rows."""

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from snaptable.conditions.aggregates import Aggregate, Avg, Grouping, Max, Min, N, Sum
from snaptable.conditions.columns import Column
from snaptable.contract import Join, M, Select
from snaptable.errors import InvalidQuery
from snaptable.query.grouped import Grouped, check_aggregates, natural
from snaptable.query.source import QuerySource
from snaptable.schema.tables import TableSchema
from snaptable.values import value_types

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")
R = TypeVar("R", bound="BaseModel")
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

    def aggregate(self, /, **aggregates: Aggregate[object]) -> dict[str, Any]:
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

    def _one(self, aggregate: Aggregate[object]) -> Any:
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

    # ── with rows of another table ──────────────────────────────────────────────────────────────────────────────────

    def with_many(self, other: "Questions[R]", /, *, on: object, limit: int | None = None) -> list[tuple[M, list[R]]]:
        """Return each row with the rows of another table that refer to it, all of one state.

        By an index on `on` (a foreign key has one) one look-up a row, else O(rows of both tables). The others come in
        their query's order; without one in that of the file, which costs O(rows of their table) once after a write.

        Args:
            other: a table, or a query of one: its conditions narrow the lists.
            on: the other table's column that holds this table's key, as in `Document.user_id`.
            limit: how many each row is given at the most, the first in the order; None for all. By an ordered index
                that begins with `on` and continues in that order, no others are looked at; else all that belong to a
                row are, and only the first are sorted.

        Raises:
            InvalidQuery: `on` is another column, or holds no keys of this table; `other` has a limit, or is of another
                database.
            ValueError: `limit` is negative.

        >>> db.users.where(id="ann").with_many(db.users, on=User.id)
        [(User(id='ann', age=31), [User(id='ann', age=31)])]
        """
        return self._joined("many", other, on, None if limit is None else natural("limit", limit))

    def with_count(self, other: "Questions[R]", /, *, on: object) -> list[tuple[M, int]]:
        """Return each row with the number of rows of another table that refer to it; as `with_many`.

        >>> db.users.where(id="ann").with_count(db.users.where(User.age < 3), on=User.id)
        [(User(id='ann', age=31), 0)]
        """
        return self._joined("count", other, on)

    def with_one(self, other: "Questions[R]", /, *, on: object) -> list[tuple[M, R | None]]:
        """Return each row with the row of another table that it refers to, or None; one look-up by key a row.

        Args:
            other: a table, or a query of one: a row that doesn't answer it is None.
            on: this table's column that holds the other's key, as in `Document.user_id`.

        Raises:
            InvalidQuery: as `with_many`.

        >>> db.users.where(id="ann").with_one(db.users, on=User.id)
        [(User(id='ann', age=31), User(id='ann', age=31))]
        """
        return self._joined("one", other, on)

    def _joined(
        self, kind: Literal["many", "one", "count"], other: "Questions[Any]", on: object, limit: int | None = None
    ) -> list[Any]:
        source, select = self._asked()
        if not isinstance(other, Questions):
            raise InvalidQuery(f"{source.schema.name}: expected a table or a query, not a {type(other).__name__}")
        others, wanted = other._asked()
        if wanted.limit is not None or wanted.offset:
            raise InvalidQuery(
                f"{others.schema.name}: a limit would be for all rows of {source.schema.name} together; leave it out, "
                f"or pass it to with_many()"
            )
        holder, target = (source, others) if kind == "one" else (others, source)
        column = holder.column(on)
        check_reference(holder.schema, column, target.schema)
        return source.engine.join(select, others.engine, Join(kind, column, wanted, limit))


def check_reference(holder: TableSchema, column: Column, target: TableSchema) -> None:
    """Refuse a column that holds no keys of a table.

    Raises:
        InvalidQuery: it refers to another table, or is of another type.
    """
    if column.is_part:
        raise InvalidQuery(
            f"{holder.name}: {column!r} is a part of a field; rows refer to others by a field of their own"
        )
    for reference in holder.references:
        if reference.field == column.name and reference.target != target.name:
            raise InvalidQuery(f"{holder.name}: {column!r} refers to {reference.target}, not to {target.name}")
    if not any(issubclass(kind, target.key_type) for kind in column.types or ()):
        raise InvalidQuery(f"{holder.name}: {column!r} holds no keys of {target.name} ({target.key_type.__name__})")
