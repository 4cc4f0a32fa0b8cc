"""Columns beside the rows, for filters that look at every row again and again while nothing changes.

Reading a field off every row costs several times what comparing it does, most of it waiting for memory. So the second
scan of a column since the table's last change keeps what it read, and those that follow compare only. The change drops
it all: where writes and scans alternate nothing is kept, and nothing was spent.
"""

from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any


class ColumnCache:
    """Hold what was scanned since a table's last change; under the latch."""

    __slots__ = ("_columns", "_seen")

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {}
        self._seen: set[str] = set()

    def held(self, names: Sequence[str]) -> list[list[Any]] | None:
        """Return these columns, parallel to the live rows, not to be changed; None where one is not held."""
        try:
            return [self._columns[name] for name in names]
        except KeyError:
            return None

    def take(self, names: Sequence[str], rows: Collection[Any]) -> list[list[Any]] | None:
        """Return what `held` would, reading it off the live rows if need be; None where a column was not seen before.

        O(1), but O(n) a column the second time it is asked for.
        """
        if not self._seen.issuperset(names):
            self._seen.update(names)
            return None
        for name in names:
            if name not in self._columns:
                self._columns[name] = list(map(attrgetter(name), rows))
        return self.held(names)
