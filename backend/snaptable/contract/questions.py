"""What is asked of a table, and what is answered: values that every engine takes and gives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from snaptable.conditions.columns import Column
from snaptable.conditions.predicates import Order, PredicateTemplates

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")


@dataclass(slots=True)
class Select:
    """A query as engines are handed it. Never changed once made (`frozen` would double the cost of making one).

    `where` and `order` are the query's shape: an engine works out once for each shape how to answer it.
    """

    where: PredicateTemplates = ()
    """Conditions without their values; all must hold."""
    values: tuple[object, ...] = ()
    """The values of `where`, in the order of its terms."""
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    after: tuple[object, ...] | None = None
    """Values of the order's columns at the row before the first one wanted; `order` then ends in the primary key."""
    keep: "Callable[[Any], object] | None" = None
    """Called with each row that all conditions leave: only those for which it returns something true are wanted."""


EVERYTHING = Select()


@dataclass(slots=True)
class Join:
    """Which rows of another table belong to each row of a query."""

    kind: Literal["many", "one", "count"]
    """"many" and "count": those whose column `on` holds the row's key; "one": the one whose key the row has in `on`."""
    on: Column
    wanted: Select
    """Which of the other table's rows come into question, and in which order; without one in that of insertion."""
    limit: int | None = None
    """How many of them, the first of that order, a row is given at the most; None for all that belong to it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an engine would answer a query; prints as a line of text."""

    table: str
    index: str | None
    """Name of the index, "primary key", or None for a scan."""
    rows: int
    """How many rows it expects to look at."""
    sorts: bool = False
    """Whether the rows are sorted afterwards, rather than read in order."""
    filters: int = 0
    """How many conditions are checked row by row."""
    groups: tuple[str, ...] = ()
    """The columns by which rows are grouped."""

    def __str__(self) -> str:
        access = f"scan of {self.table}" if self.index is None else f"{self.table} by index {self.index}"
        count = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        steps = [f"{access}, about {count} expected"]
        steps += [f"filter on {self.filters} condition{'s' * (self.filters > 1)}"] if self.filters else []
        steps += ["sort"] if self.sorts else []
        steps += [f"group by {', '.join(self.groups)}"] if self.groups else []
        return "; ".join(steps)


class QueryObserver(Protocol):
    """What is told of queries that take long, such as a monitor's list of them."""

    @property
    def slow_seconds(self) -> float:
        """How long a query takes at least to be told of."""

    def slow(self, table: str, wanted: Select, seconds: float, explain: Callable[[], Plan]) -> None:
        """Take note of a query that took so long; called on the thread that asked, and quick."""


@dataclass(frozen=True, slots=True, repr=False)
class Page(Generic[M]):
    """One page of rows, and the cursor of the next page (None at the end)."""

    items: list[M] = field(default_factory=list)
    next_cursor: str | None = None

    def __repr__(self) -> str:
        """Say how many rows there are, not what they hold."""
        count = len(self.items)
        what_follows = "the last page" if self.next_cursor is None else "more follow"
        return f"<Page: {count} row{'s' * (count != 1)}, {what_follows}>"
