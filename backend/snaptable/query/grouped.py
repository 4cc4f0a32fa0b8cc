"""Grouped: rows of a query by equal values. Immutable and lazy, as a query is."""

from collections.abc import Collection
from typing import Any, Generic, TypeVar

from snaptable.conditions.aggregates import Aggregate, Count, Group, Grouping
from snaptable.conditions.columns import Column
from snaptable.conditions.constructors import as_order
from snaptable.conditions.predicates import PredicateTemplates, as_condition, terms_of
from snaptable.contract import M, Plan, Select
from snaptable.errors import InvalidQuery
from snaptable.query.source import QuerySource

K = TypeVar("K")
Sorting = tuple[Column | Aggregate[object] | str, bool]
"""What groups are sorted by, a name standing for an aggregate that is named later; and whether descending."""


class Grouped(Generic[K]):
    """The rows of a query by equal values of some columns; made by `group_by`, answered by `aggregate`.

    Groups come in the order of the key, None last, unless `order_by` says otherwise.
    """

    __slots__ = ("_columns", "_having", "_having_values", "_limit", "_select", "_sorting", "_source")

    def __init__(
        self,
        source: QuerySource[Any],
        select: Select,
        columns: tuple[Column, ...],
        having: PredicateTemplates = (),
        having_values: tuple[object, ...] = (),
        sorting: tuple[Sorting, ...] = (),
        limit: int | None = None,
    ) -> None:
        """Take a query and the columns; `group_by` does this."""
        self._source = source
        self._select = select
        self._columns = columns
        self._having = having
        self._having_values = having_values
        self._sorting = sorting
        self._limit = limit

    def __repr__(self) -> str:
        return f"<Groups of {self._source.schema.name} by {', '.join(column.name for column in self._columns)}>"

    def having(self, /, *conditions: object) -> "Grouped[K]":
        """Return the groups narrowed to those for which all conditions hold, of aggregates or of the key's columns.

        Raises:
            InvalidQuery: a condition of something else; a row's condition belongs in `where`.

        >>> db.users.group_by(User.age).having(Count() > 1).aggregate(n=Count())
        []
        """
        templates, values = self._having, self._having_values
        for given in conditions:
            condition = as_condition(given)
            for term in terms_of(condition.template):
                self._check(term.column, "having")
            templates += (condition.template,)
            values += condition.values
        return Grouped(self._source, self._select, self._columns, templates, values, self._sorting, self._limit)

    def order_by(self, /, *keys: object) -> "Grouped[K]":
        """Return the groups sorted by aggregates or columns of the key; None last, ties by the key.

        Args:
            keys: an aggregate, or its name in `aggregate`, "-name" for the greatest first; a column of the key;
                `desc(…)` of one.

        Raises:
            InvalidQuery: something else.

        >>> db.users.group_by(User.age).order_by("-n", desc(User.age)).aggregate(n=Count())
        [Group(31, n=1), Group(25, n=1)]
        """
        added = tuple(map(self._sorting_of, keys))
        return Grouped(
            self._source, self._select, self._columns, self._having, self._having_values, self._sorting + added,
            self._limit,
        )  # fmt: skip

    def _sorting_of(self, key: object) -> Sorting:
        if isinstance(key, str):
            return (key.removeprefix("-"), key.startswith("-"))
        order = as_order(key)
        by: Column | Aggregate[object] = order.column
        self._check(by, "order_by")
        return (by, order.descending)

    def limit(self, count: int, /) -> "Grouped[K]":
        """Return the groups cut to at most `count`.

        Raises:
            ValueError: `count` is negative.
            InvalidQuery: it is not an int.

        >>> db.users.group_by(User.age).limit(1).aggregate(n=Count())
        [Group(25, n=1)]
        """
        limit = natural("limit", count)
        return Grouped(
            self._source, self._select, self._columns, self._having, self._having_values, self._sorting, limit
        )

    def aggregate(self, /, **aggregates: Aggregate[object]) -> list[Group[K]]:
        """Return the groups, each with its aggregates by name; O(rows looked at) for each aggregate.

        Raises:
            InvalidQuery: an aggregate that its column doesn't have, or a name in `order_by` that none has.

        >>> db.users.group_by(User.age).aggregate(n=Count(), first=Min(User.id))
        [Group(25, n=1, first='ben'), Group(31, n=1, first='ann')]
        """
        rows = self._source.engine.aggregate(self._select, self._grouping(aggregates))
        width, secrets = len(self._columns), self._source.schema.secrets
        places = frozenset(place for place, column in enumerate(self._columns) if column.root in secrets)
        names = frozenset(name for name, one in aggregates.items() if _shows_a_value_of(one, secrets))
        groups: list[Group[Any]] = []
        for row in rows:
            values = dict(zip(aggregates, row[width:], strict=False))
            groups.append(Group(row[0] if width == 1 else row[:width], values, places, names))
        return groups

    def explain(self, /, **aggregates: Aggregate[object]) -> Plan:
        """Return how the groups would be worked out.

        >>> print(db.users.where(User.age > 3).group_by(User.age).explain(n=Count()))
        scan of users, about 2 rows expected; filter on 1 condition; group by age
        """
        return self._source.engine.explain_aggregate(self._select, self._grouping(aggregates))

    # ── what the engine is handed ───────────────────────────────────────────────────────────────────────────────────

    def _grouping(self, named: dict[str, Aggregate[object]]) -> Grouping:
        check_aggregates(self._source, named)
        wanted = list(named.values())
        hidden: list[object] = [term.column for template in self._having for term in terms_of(template)]
        hidden += [by for by, _ in self._sorting]
        for one in hidden:
            if isinstance(one, Aggregate) and all(one.identity != other.identity for other in wanted):
                wanted.append(one)
        order = tuple((self._place(by, [*named], wanted), descending) for by, descending in self._sorting)
        return Grouping(self._columns, tuple(wanted), self._having, self._having_values, order, self._limit)

    def _place(self, by: Column | Aggregate[object] | str, names: list[str], wanted: list[Aggregate[object]]) -> int:
        width = len(self._columns)
        if isinstance(by, Column):
            return next(place for place, column in enumerate(self._columns) if column.name == by.name)
        if isinstance(by, Aggregate):
            return width + [one.identity for one in wanted].index(by.identity)
        if by in names:
            return width + names.index(by)
        for place, column in enumerate(self._columns):
            if column.name == by:
                as_order(column)
                return place
        raise InvalidQuery(
            f"{self._source.schema.name}: the groups have no {by!r} to be sorted by; "
            f"there is {', '.join((*names, *(column.name for column in self._columns)))}"
        )

    def _check(self, given: object, method: str) -> None:
        """Refuse what isn't known of a group."""
        source = self._source
        if isinstance(given, Aggregate):
            check_aggregates(source, {"": given})
        elif not isinstance(given, Column) or all(given.name != column.name for column in self._columns):
            raise InvalidQuery(
                f"{source.schema.name}: {method}() of groups takes aggregates and columns of the key, not {given!r}; "
                f"a condition on rows belongs in where()"
            )


def check_aggregates(source: QuerySource[M], named: dict[str, Aggregate[object]]) -> None:
    """Refuse aggregates of another table's columns, or of columns whose values they can't be worked out of.

    Raises:
        InvalidQuery: it names the table, the column and its type.
    """
    for name, one in named.items():
        if not isinstance(one, Aggregate):
            raise InvalidQuery(
                f"{name} is an aggregate, as in {name}=Count() or {name}=Max(column), not a {type(one).__name__}"
            )
        if one.column is not None:
            source.column(one.column)
        try:
            one.check()
        except InvalidQuery as error:
            raise InvalidQuery(f"{source.schema.name}: {error}") from None


def natural(name: str, value: int) -> int:
    """Return a number that is not negative.

    Raises:
        ValueError: it is negative.
        InvalidQuery: it is not an int.
    """
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidQuery(f"{name} takes an int, not a {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name} can't be negative: {value}")
    return value


def _shows_a_value_of(one: Aggregate[object], secrets: Collection[str]) -> bool:
    """Return whether an aggregate is made of the values of a secret column, and isn't merely their number."""
    return one.column is not None and one.column.root in secrets and not isinstance(one, Count)
