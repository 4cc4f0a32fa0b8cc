"""How many naive and aware times a column holds: what makes a comparison across the two an error.

Python can't order a naive time and an aware one, and calls them unequal: an expiry compared with `datetime.now()` would
never be found. Nothing is counted before the first question about the times of a column; from then on each change is.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, time, timezone
from operator import attrgetter

from pydantic import BaseModel

from snaptable.conditions.column_values import time_kind_of, wrong_time
from snaptable.conditions.columns import Column
from snaptable.conditions.predicates import ORDERED, Term

Kind = tuple[type, str]
"""`datetime` or `time`, and "naive" or "aware"."""
_OTHER = {"naive": "aware", "aware": "naive"}
_ZONE_OF = attrgetter("tzinfo")
_COLLECTIONS = (tuple, list, set, frozenset, dict)


class TimeKinds:
    """The number of times of each kind in one column, kept up like an index."""

    def __init__(
        self, name: str, rows: Iterable[BaseModel], value_of: Callable[[BaseModel], object] | None = None
    ) -> None:
        """Count a column's times; O(n). `value_of` reads it off a row, if it is not a field."""
        self.name = name
        self._value_of = value_of or attrgetter(name)
        self._counts = _counted([value for value in map(self._value_of, rows) if value is not None])

    def add(self, row: BaseModel) -> None:
        """Count a row; O(1), O(items) for a collection."""
        value = self._value_of(row)
        if value is not None:
            self._counts.update(kinds_of(value))

    def remove(self, row: BaseModel) -> None:
        """Count a row no more; O(1), O(items) for a collection."""
        value = self._value_of(row)
        if value is not None:
            self._counts.subtract(kinds_of(value))

    def swap(self, before: BaseModel, after: BaseModel) -> None:
        """Count a row in the place of another."""
        self.remove(before)
        self.add(after)

    def count(self, kind: Kind, changed: "TimeKinds | None", before: "TimeKinds | None") -> int:
        """Return how many times of a kind there are, with the rows `before` in the place of those `changed`."""
        count = self._counts[kind]
        if changed is not None and before is not None:
            count += before._counts[kind] - changed._counts[kind]
        return count

    def problems(self, rows: Iterable[BaseModel]) -> Iterator[str]:
        """Yield where the numbers differ from those of a full scan; O(n)."""
        if +TimeKinds(self.name, rows)._counts != +self._counts:
            yield f"the numbers of naive and aware times of {self.name} disagree with a scan"


def holds_times(column: Column) -> bool:
    """Return whether a column may hold times of both kinds, alone or as items of a collection."""
    return column.time_kind is None and any(
        issubclass(kind, (datetime, time, *_COLLECTIONS)) for kind in column.types or ()
    )


def _counted(values: list[object]) -> Counter[Kind]:
    """Return how many times of each kind values hold; O(n), in C where all are of `datetime` in fixed zones or none.

    The first question about a column's times waits for this.
    """
    if set(map(type, values)) <= {datetime}:
        zones = list(map(_ZONE_OF, values))
        if set(map(type, zones)) <= {timezone, type(None)}:  # whose times are aware, which others have to be asked
            naive = zones.count(None)
            return Counter({(datetime, "naive"): naive, (datetime, "aware"): len(zones) - naive})
    return Counter(kind for value in values for kind in kinds_of(value))


def kinds_of(value: object) -> list[Kind]:
    """Return the kind of each time in a value: the value itself, or the items of a collection."""
    if isinstance(value, datetime):
        return [(datetime, time_kind_of(value))]
    if isinstance(value, time):
        return [(time, time_kind_of(value))]
    if isinstance(value, _COLLECTIONS):
        return [kind for item in value if isinstance(item, (datetime, time)) for kind in kinds_of(item)]
    return []


def check_times(term: Term, table: str, asked: Kind, same: int, others: int) -> None:
    """Refuse a comparison with a time of a kind, given how many times of this kind and of the other a column holds.

    Raises:
        InvalidQuery: Python could not order them, or no row could ever be equal.
    """
    if not others or (same and term.operator not in ORDERED):
        return
    held = _OTHER[asked[1]]
    what = f"{others:,} of the times of {term.column!r} (table {table}) {'is' if others == 1 else 'are'} {held}"
    raise wrong_time(term.column, what, held)


def other(kind: Kind) -> Kind:
    """Return the kind that does not compare with a kind."""
    return kind[0], _OTHER[kind[1]]
