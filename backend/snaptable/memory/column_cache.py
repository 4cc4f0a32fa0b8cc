"""Columns beside the rows, for filters and aggregates that look at every row again and again.

Reading a field off every row costs several times what comparing it does, most of it waiting for memory. So the second
scan of a column keeps what it read, and those that follow compare only. Rows that are replaced or added meanwhile are
taken note of, and read by the next scan; a deletion, or very many changes without a scan, drop the cache.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count, islice
from operator import attrgetter
from typing import cast

from pydantic import BaseModel

from snaptable.conditions.columns import Column
from snaptable.evaluation.time_kinds import TimeKinds
from snaptable.values.row_lines import Key

ColumnValues = list[object]
"""The values of one field, parallel to the live rows; changed by `catch_up` alone."""
MOST_CHANGED = 1_000
"""Rows that may be replaced between two scans; after more of them the columns are read anew."""


class ColumnCache:
    """The columns that were scanned; used under the latch."""

    __slots__ = ("_changed", "_columns", "_count", "_places", "_scanned", "_slots", "_time_kinds")

    def __init__(self, count: int) -> None:
        """Begin without columns; `count` is the number of live rows."""
        self._columns: dict[str, ColumnValues] = {}
        self._scanned: set[str] = set()
        self._places: dict[Key, int] | None = None
        self._time_kinds: dict[str, TimeKinds] = {}
        self._changed: set[Key] = set()
        self._count = count
        self._slots: dict[Key, int] = {}
        """Where in the columns each row stands; empty until that is needed."""

    # ── following changes ───────────────────────────────────────────────────────────────────────────────────────────

    def note_replaced(self, key: Key) -> bool:
        """Take note that a row is replaced in its place; return whether the cache is still worth keeping. O(1)."""
        self._changed.add(key)
        return len(self._changed) <= MOST_CHANGED

    def catch_up(self, rows: Mapping[Key, BaseModel | None]) -> None:
        """Read the rows that were replaced or added; O(these), O(n) the first time one was replaced.

        It can be interrupted, and done again.

        Args:
            rows: every row, without tombstones, of which none was deleted since the cache was begun.
        """
        if not self._changed and self._count == len(rows):
            return
        if self._columns:
            self._read(rows)
        self._time_kinds.clear()
        if self._count != len(rows):
            self._places = None
        self._count = len(rows)
        self._changed.clear()

    def _read(self, rows: Mapping[Key, BaseModel | None]) -> None:
        if self._changed and len(self._slots) < len(rows):
            self._slots = dict(zip(rows, count(), strict=False))
        places = {self._slots[key]: rows[key] for key in self._changed}
        for name, column in self._columns.items():
            value_of, size = attrgetter(name), len(column)
            for place, row in places.items():
                if place < size:
                    column[place] = value_of(row)
            added = list(islice(reversed(cast("dict[Key, BaseModel]", rows).values()), len(rows) - size))
            column += map(value_of, reversed(added))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

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
