"""Typed conditions, orderings and queries. Engine-neutral: they say what is wanted and evaluate nothing.

`Document.pages > 3` reads as a comparison of ints to a type checker and is a `Condition` when it runs. Conditions are
two-valued, as Python is: `col != v` and `~(col > v)` hold for None, `<` and `>` don't.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from snaptable import fields
from snaptable.errors import InvalidQuery, MultipleRows, RowNotFound

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")
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
    return _as_order(column, descending=True)


def asc(column: object) -> Order:
    """Return the ordering from the least to the greatest, None last; what a bare column means."""
    return _as_order(column, descending=False)


def _as_order(column: object, *, descending: bool = False) -> Order:
    if isinstance(column, Order):
        return column
    target = _column(column)
    try:
        fields.sort_key(target.annotation)
    except TypeError as error:
        raise InvalidQuery(f"can't sort by {target!r}: {error}") from None
    return Order(target, descending)


@dataclass(frozen=True, slots=True)
class Select:
    """Hold what a query asks for; what engines are handed."""

    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    after: tuple[Any, ...] | None = None
    """Values of the order's columns at the row before the first one wanted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Tell how an engine would answer a query."""

    table: str
    index: str | None
    """Name of the index, "primary key", or None for a scan."""
    rows: int
    """How many rows it expects to look at."""
    sorts: bool = False
    """Whether the rows are sorted afterwards, rather than read in order."""
    filters: int = 0
    """How many conditions are checked row by row."""

    def __str__(self) -> str:
        way = f"scan of {self.table}" if self.index is None else f"{self.table} by index {self.index}"
        count = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        steps = [f"{way}, about {count} expected"]
        steps += [f"filter on {self.filters} condition{'s' * (self.filters > 1)}"] if self.filters else []
        steps += ["sort"] if self.sorts else []
        return "; ".join(steps)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Hold one page of rows, and the cursor of the next (None at the end)."""

    items: list[M] = field(default_factory=list)
    next_cursor: str | None = None


class TableEngine(Protocol):
    """Be the operations that an engine provides for one table; `Table` and `Query` document them."""

    def get(self, key: Any) -> Any: ...
    def select(self, wanted: Select) -> list[Any]: ...
    def count(self, wanted: Select) -> int: ...
    def explain(self, wanted: Select) -> Plan: ...
    def page(self, wanted: Select, limit: int, after: str | None) -> Page[Any]: ...
    def insert(self, row: Any) -> Any: ...
    def insert_many(self, rows: Iterable[Any]) -> list[Any]: ...
    def update(self, key: Any, changes: dict[str, Any]) -> Any: ...
    def replace(self, row: Any) -> Any: ...
    def upsert(self, row: Any) -> Any: ...
    def delete(self, key: Any) -> Any: ...
    def update_rows(self, wanted: Select, changes: dict[str, Any]) -> int: ...
    def delete_rows(self, wanted: Select) -> int: ...


class Source(Protocol):
    """Be the table that a query asks."""

    name: str

    @property
    def engine(self) -> TableEngine: ...
    def resolve(self, conditions: tuple[object, ...], equals: dict[str, Any]) -> tuple[Condition, ...]: ...


def columns_of(condition: Condition) -> Iterator[Column]:
    """Yield every column that a condition speaks of."""
    if isinstance(condition, (AllOf, AnyOf)):
        for part in condition.parts:
            yield from columns_of(part)
    elif isinstance(condition, Not):
        yield from columns_of(condition.part)
    elif isinstance(condition, (Compare, OneOf, Contains, StartsWith)):
        yield condition.column


def _natural(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidQuery(f"{name} takes an int, not a {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name} can't be negative: {value}")
    return value


class Query(Generic[M]):
    """Ask a table for rows. Immutable: each method that narrows it returns a new one; nothing runs until asked for.

    Without `order_by` the order is not promised. With it, ties are broken by the primary key, in the last direction.
    """

    __slots__ = ("_source", "_wanted")

    def __init__(self, source: Source, wanted: Select) -> None:
        self._source = source
        self._wanted = wanted

    def where(self, /, *conditions: bool | int, **equals: Any) -> "Query[M]":
        """Return the query narrowed to rows for which all the conditions hold as well."""
        more = self._source.resolve(conditions, equals)
        return Query(self._source, replace(self._wanted, where=self._wanted.where + more))

    def order_by(self, /, *keys: object) -> "Query[M]":
        """Return the query sorted by columns, `desc(column)` for the other direction; further keys break ties."""
        order = tuple(_as_order(key) for key in keys)
        self._source.resolve(tuple(Compare(key.column, "==", None) for key in order), {})
        return Query(self._source, replace(self._wanted, order=self._wanted.order + order))

    def limit(self, count: int, /) -> "Query[M]":
        """Return the query cut to at most `count` rows."""
        return Query(self._source, replace(self._wanted, limit=_natural("limit", count)))

    def offset(self, count: int, /) -> "Query[M]":
        """Return the query without its first `count` rows; `page` is the cheaper way through many."""
        return Query(self._source, replace(self._wanted, offset=_natural("offset", count)))

    def all(self) -> list[M]:
        """Return every row, as of one state of the database."""
        return self._source.engine.select(self._wanted)

    def __iter__(self) -> Iterator[M]:
        """Iterate over `all()`: later writes don't disturb it."""
        return iter(self.all())

    def first(self) -> M | None:
        """Return the first row, or None."""
        limit = 1 if self._wanted.limit is None else min(1, self._wanted.limit)
        rows = self._source.engine.select(replace(self._wanted, limit=limit))
        return rows[0] if rows else None

    def one(self) -> M:
        """Return the only row.

        Raises:
            RowNotFound: there is none.
            MultipleRows: there are several.
        """
        limit = 2 if self._wanted.limit is None else min(2, self._wanted.limit)
        rows: list[M] = self._source.engine.select(replace(self._wanted, limit=limit))
        if not rows:
            raise RowNotFound(f"no row of {self._source.name} matches")
        if len(rows) > 1:
            raise MultipleRows(f"more than one row of {self._source.name} matches; use first() or all()")
        return rows[0]

    def count(self) -> int:
        """Return how many rows `all()` would give."""
        return self._source.engine.count(self._wanted)

    def exists(self) -> bool:
        """Return whether there is any row."""
        return self.first() is not None

    def page(self, *, limit: int = 50, after: str | None = None) -> Page[M]:
        """Return up to `limit` rows after a cursor, and the cursor of the next page.

        The order is the query's, then the primary key: rows added or removed meanwhile neither repeat nor hide others.

        Raises:
            InvalidCursor: `after` is damaged, or comes from another query.
        """
        if self._wanted.offset or self._wanted.limit is not None:
            raise InvalidQuery("page() takes its own limit and a cursor; leave limit() and offset() out")
        if _natural("limit", limit) == 0:
            raise ValueError("a page holds at least one row: limit can't be 0")
        return self._source.engine.page(self._wanted, limit, after)

    def explain(self) -> Plan:
        """Return how the query would be answered: the index, and the rows it expects to look at."""
        return self._source.engine.explain(self._wanted)

    def update(self, /, **changes: Any) -> int:
        """Update every row of the query in one transaction, each validated whole; return how many there were."""
        return self._source.engine.update_rows(self._wanted, changes)

    def delete(self) -> int:
        """Delete every row of the query in one transaction, cascades included; return how many of them there were."""
        return self._source.engine.delete_rows(self._wanted)
