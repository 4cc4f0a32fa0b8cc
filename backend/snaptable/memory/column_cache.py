"""Columns beside the rows, for filters that look at every row again and again while nothing changes.

Reading a field off every row costs several times what comparing it does, most of it waiting for memory. So the second
scan of a column since the table's last change keeps what it read, and those that follow compare only. A change drops
the cache: while writes and scans alternate nothing is kept, and nothing was spent.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import count
from operator import attrgetter

from pydantic import BaseModel

from snaptable.columns import Column
from snaptable.evaluation.time_kinds import TimeKinds
from snaptable.values.row_lines import Key

ColumnValues = list[object]
"""The values of one field, parallel to the live rows; never changed."""


class ColumnCache:
    """The columns that were scanned since a table's last change; used under the latch."""

    __slots__ = ("_columns", "_places", "_scanned", "_time_kinds")

    def __init__(self) -> None:
        self._columns: dict[str, ColumnValues] = {}
        self._scanned: set[str] = set()
        self._places: dict[Key, int] | None = None
        self._time_kinds: dict[str, TimeKinds] = {}

    def get(self, names: Sequence[str]) -> list[ColumnValues] | None:
        """Return these columns; None if one is not cached. O(1)."""
        try:
            return [self._columns[name] for name in names]
        except KeyError:
            return None

    def get_or_read(self, names: Sequence[str], rows: Collection[BaseModel]) -> list[ColumnValues] | None:
        """Return these columns, read off the live rows if need be; None if one is scanned for the first time.

        O(1), but O(n) a column the second time it is asked for.
        """
        if not self._scanned.issuperset(names):
            self._scanned.update(names)
            return None
        for name in names:
            if name not in self._columns:
                self._columns[name] = list(map(attrgetter(name), rows))
        return self.get(names)

    def time_kinds(self, column: Column, rows: Iterable[BaseModel]) -> TimeKinds:
        """Return the numbers of naive and aware times that are a part of a field's values; O(1), O(n) once."""
        kinds = self._time_kinds.get(column.name)
        if kinds is None:
            kinds = self._time_kinds[column.name] = TimeKinds(column.name, rows, column.read)
        return kinds

    def places(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Return the place of each key in the order of insertion, tombstones included; O(1), O(n) the first time."""
        if self._places is None:
            self._places = dict(zip(keys, count(), strict=False))
        return self._places
