"""Entries in key order: two parallel lists of chunks, keys and rows, split when a chunk grows past `CHUNK * 2`.

A flat sorted list costs O(n) an insert and a tree costs a pointer chase a row; chunks of a few hundred keep inserts at
a bisect and a short memmove, and a range of rows is a list slice. The idea is that of sortedcontainers (G. Jenks); the
rows lie beside the keys here, so that reading a range touches no dictionary.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

CHUNK = 512
COUNTED_CHUNKS = 64
"""Above so many chunks a range is estimated, not counted: the planner asks before every query."""


class Top:
    """Sort after everything: closes a range over the keys that begin with a prefix."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        """Return False: nothing is above."""
        return False

    def __gt__(self, other: object) -> bool:
        """Return True: everything else is below."""
        return other is not self


TOP = Top()

Position = tuple[int, int]


class SortedEntries:
    """Keep `(key tuple, row)` entries sorted by key; keys are unique because they end in the primary key."""

    __slots__ = ("_keys", "_lasts", "_length", "_rows")

    def __init__(self) -> None:
        self._keys: list[list[tuple[Any, ...]]] = []
        self._rows: list[list[Any]] = []
        self._lasts: list[tuple[Any, ...]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def load(self, entries: Iterable[tuple[tuple[Any, ...], Any]]) -> None:
        """Replace the content by these entries, in any order; O(n log n)."""
        ordered = sorted(entries, key=lambda entry: entry[0])
        self._length = len(ordered)
        cuts = range(0, len(ordered), CHUNK)
        self._keys = [[key for key, _ in ordered[start : start + CHUNK]] for start in cuts]
        self._rows = [[row for _, row in ordered[start : start + CHUNK]] for start in cuts]
        self._lasts = [chunk[-1] for chunk in self._keys]

    def add(self, key: tuple[Any, ...], row: Any) -> None:
        """Put an entry in its place; O(log n + chunk)."""
        self._length += 1
        if not self._lasts:
            self._keys, self._rows, self._lasts = [[key]], [[row]], [key]
            return
        chunk = min(bisect_left(self._lasts, key), len(self._lasts) - 1)
        keys, rows = self._keys[chunk], self._rows[chunk]
        place = bisect_left(keys, key)
        keys.insert(place, key)
        rows.insert(place, row)
        self._lasts[chunk] = keys[-1]
        if len(keys) > 2 * CHUNK:
            self._split(chunk)

    def _split(self, chunk: int) -> None:
        keys, rows = self._keys[chunk], self._rows[chunk]
        self._keys[chunk : chunk + 1] = [keys[:CHUNK], keys[CHUNK:]]
        self._rows[chunk : chunk + 1] = [rows[:CHUNK], rows[CHUNK:]]
        self._lasts[chunk : chunk + 1] = [keys[CHUNK - 1], keys[-1]]

    def remove(self, key: tuple[Any, ...]) -> None:
        """Take the entry out; O(log n + chunk)."""
        chunk, place = self._find(key)
        keys = self._keys[chunk]
        del keys[place], self._rows[chunk][place]
        self._length -= 1
        if keys:
            self._lasts[chunk] = keys[-1]
        else:
            del self._keys[chunk], self._rows[chunk], self._lasts[chunk]

    def replace(self, key: tuple[Any, ...], row: Any) -> None:
        """Put another row at an entry whose key stays; O(log n)."""
        chunk, place = self._find(key)
        self._rows[chunk][place] = row

    def _find(self, key: tuple[Any, ...]) -> Position:
        chunk = bisect_left(self._lasts, key)
        return chunk, bisect_left(self._keys[chunk], key)

    def _position(self, bound: tuple[Any, ...] | None, *, after: bool, default: Position) -> Position:
        if bound is None:
            return default
        bisect = bisect_right if after else bisect_left
        chunk = bisect(self._lasts, bound)
        return (chunk, bisect(self._keys[chunk], bound)) if chunk < len(self._lasts) else (chunk, 0)

    def _bounds(self, low: tuple[Any, ...] | None, high: tuple[Any, ...] | None) -> tuple[Position, Position]:
        # Bounds are never equal to a key: they end before it, or in TOP, so left and right bisection agree.
        start = self._position(low, after=False, default=(0, 0))
        return start, self._position(high, after=False, default=(len(self._keys), 0))

    def slices(
        self, low: tuple[Any, ...] | None, high: tuple[Any, ...] | None, *, descending: bool = False
    ) -> Iterator[list[Any]]:
        """Yield the rows with `low <= key < high` as lists, in order (None: no bound); O(log n) and a slice a chunk."""
        (first, begin), (last, end) = self._bounds(low, high)
        if not descending:
            for chunk in range(first, min(last + 1, len(self._rows))):
                rows = self._rows[chunk][begin if chunk == first else 0 : end if chunk == last else None]
                if rows:
                    yield rows
            return
        for chunk in range(min(last, len(self._rows) - 1), first - 1, -1):
            rows = self._rows[chunk][begin if chunk == first else 0 : end if chunk == last else None]
            if rows:
                yield rows[::-1]

    def count(self, low: tuple[Any, ...] | None, high: tuple[Any, ...] | None) -> int:
        """Return how many entries have `low <= key < high`; an estimate where they span many chunks."""
        (first, begin), (last, end) = self._bounds(low, high)
        if first == last:
            return max(0, end - begin)
        if first > last:
            return 0
        between = last - first - 1
        if between > COUNTED_CHUNKS:
            middle = between * self._length // len(self._keys)
        else:
            middle = sum(map(len, self._keys[first + 1 : last]))
        return len(self._keys[first]) - begin + middle + end

    def entries(self) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Yield every entry in order; for checks."""
        for keys, rows in zip(self._keys, self._rows, strict=True):
            yield from zip(keys, rows, strict=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the structure itself: order, parallel lengths, last keys."""
        flat = [key for keys in self._keys for key in keys]
        if any(not first < second for first, second in pairwise(flat)):
            yield "its keys are out of order"
        if len(flat) != self._length or self._lasts != [keys[-1] for keys in self._keys]:
            yield "its chunks disagree with its length"
        if [len(keys) for keys in self._keys] != [len(rows) for rows in self._rows]:
            yield "its keys and rows are not parallel"
