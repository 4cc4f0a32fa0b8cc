"""Entries in key order: two parallel lists of chunks, keys and rows, split when a chunk grows past `CHUNK * 2`.

A flat sorted list costs O(n) an insert and a tree costs a pointer chase a row; chunks of a few hundred keep inserts at
a bisect and a short memmove, and a range of rows is a list slice. The idea is that of sortedcontainers (G. Jenks); the
rows lie beside the keys here, so that reading a range touches no dictionary. Of rows that were loaded, a chunk's keys
are made when it was looked into a few times: they are a quarter of what an index costs and take 0.3 ms; asking nine
rows for theirs takes 5 us.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

CHUNK = 512
OFTEN = 8
"""How often a chunk is looked into before its keys are made."""
COUNTED_CHUNKS = 64
"""Above so many chunks a range is estimated, not counted: the planner asks before every query."""


class AfterAll:
    """Sort after everything: closes a range over the keys that begin with a prefix."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        """Return False: nothing is above."""
        return False

    def __gt__(self, other: object) -> bool:
        """Return True: everything else is below."""
        return other is not self


AFTER_ALL = AfterAll()

Key = tuple[Any, ...]
Position = tuple[int, int]


class SortedEntries:
    """Keep rows sorted by key, a tuple; keys are unique because they end in the primary key."""

    __slots__ = ("_asked", "_key_of", "_keys", "_lasts", "_length", "_rows")

    def __init__(self, key_of: Callable[[Any], Key]) -> None:
        """Begin without rows; `key_of` gives a row's key."""
        self._key_of = key_of
        self._keys: list[list[Key] | None] = []
        self._rows: list[list[Any]] = []
        self._lasts: list[Key] = []
        self._length = 0
        self._asked: dict[int, int] = {}
        """How often a chunk without keys was looked into, roughly: where chunks are split, counts belong to others."""

    def __len__(self) -> int:
        return self._length

    def load(self, rows: list[Any]) -> None:
        """Replace the content by these rows, in order; O(n)."""
        self._length = len(rows)
        self._rows = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
        self._keys = [None] * len(self._rows)
        self._lasts = [self._key_of(chunk[-1]) for chunk in self._rows]

    def _chunk(self, chunk: int) -> list[Key]:
        """Return the keys of a chunk."""
        keys = self._keys[chunk]
        if keys is None:
            keys = self._keys[chunk] = list(map(self._key_of, self._rows[chunk]))
        return keys

    def add(self, key: Key, row: Any) -> None:
        """Put an entry in its place; O(log n + chunk)."""
        self._length += 1
        if not self._lasts:
            self._keys, self._rows, self._lasts = [[key]], [[row]], [key]
            return
        chunk = min(bisect_left(self._lasts, key), len(self._lasts) - 1)
        keys, rows = self._keys[chunk], self._rows[chunk]
        place = self._place(chunk, key)
        if keys is not None:
            keys.insert(place, key)
        rows.insert(place, row)
        if place == len(rows) - 1:
            self._lasts[chunk] = key
        if len(rows) > 2 * CHUNK:
            self._split(chunk)

    def _split(self, chunk: int) -> None:
        keys, rows = self._chunk(chunk), self._rows[chunk]
        self._keys[chunk : chunk + 1] = [keys[:CHUNK], keys[CHUNK:]]
        self._rows[chunk : chunk + 1] = [rows[:CHUNK], rows[CHUNK:]]
        self._lasts[chunk : chunk + 1] = [keys[CHUNK - 1], keys[-1]]

    def remove(self, key: Key) -> None:
        """Take the entry out; O(log n + chunk)."""
        chunk, place = self._find(key)
        keys, rows = self._keys[chunk], self._rows[chunk]
        if keys is not None:
            del keys[place]
        del rows[place]
        self._length -= 1
        if not rows:
            del self._keys[chunk], self._rows[chunk], self._lasts[chunk]
        elif place == len(rows):
            self._lasts[chunk] = self._key_of(rows[-1])

    def replace(self, key: Key, row: Any) -> None:
        """Put another row at an entry whose key stays; O(log n)."""
        chunk, place = self._find(key)
        self._rows[chunk][place] = row

    def _find(self, key: Key) -> Position:
        chunk = bisect_left(self._lasts, key)
        return chunk, self._place(chunk, key)

    def _place(self, chunk: int, key: Key) -> int:
        keys = self._keys[chunk]
        return bisect_left(self._rows[chunk], key, key=self._key_of) if keys is None else bisect_left(keys, key)

    def _position(self, bound: Key | None, *, after: bool, default: Position) -> Position:
        if bound is None:
            return default
        bisect = bisect_right if after else bisect_left
        chunk = bisect(self._lasts, bound)
        if chunk == len(self._lasts):
            return chunk, 0
        if self._keys[chunk] is None and self._asked.setdefault(chunk, 0) < OFTEN:
            self._asked[chunk] += 1
            return chunk, bisect(self._rows[chunk], bound, key=self._key_of)
        return chunk, bisect(self._chunk(chunk), bound)

    def _bounds(self, low: Key | None, high: Key | None) -> tuple[Position, Position]:
        # Bounds are never equal to a key: they end before it, or in TOP, so left and right bisection agree.
        start = self._position(low, after=False, default=(0, 0))
        return start, self._position(high, after=False, default=(len(self._rows), 0))

    def slices(
        self,
        low: Key | None,
        high: Key | None,
        *,
        descending: bool = False,
        most: int = 2 * CHUNK,
    ) -> Iterator[list[Any]]:
        """Yield the rows with `low <= key < high` in order (None: no bound), as lists of at most `most`.

        O(log n), and a slice each.
        """
        (first, begin), (last, end) = self._bounds(low, high)
        chunks = self._rows
        if last == len(chunks):
            last, end = last - 1, 2 * CHUNK
        if descending:
            for chunk in range(last, first - 1, -1):
                rows = chunks[chunk]
                start = begin if chunk == first else 0
                for stop in range(min(end, len(rows)) if chunk == last else len(rows), start, -most):
                    yield rows[max(start, stop - most) : stop][::-1]
            return
        for chunk in range(first, last + 1):
            rows = chunks[chunk]
            stop = min(end, len(rows)) if chunk == last else len(rows)
            for start in range(begin if chunk == first else 0, stop, most):
                yield rows[start : min(stop, start + most)]

    def count(self, low: Key | None, high: Key | None, *, exactly: bool = False) -> int:
        """Return how many entries have `low <= key < high`; an estimate, unless `exactly`, where they span many chunks.

        O(log n + chunks between).
        """
        (first, begin), (last, end) = self._bounds(low, high)
        if first == last:
            return max(0, end - begin)
        if first > last:
            return 0
        between = last - first - 1
        if between > COUNTED_CHUNKS and not exactly:
            middle = between * self._length // len(self._rows)
        else:
            middle = sum(map(len, self._rows[first + 1 : last]))
        return len(self._rows[first]) - begin + middle + end

    def entries(self) -> Iterator[tuple[Key, Any]]:
        """Yield every entry in order; for checks."""
        for chunk, rows in enumerate(self._rows):
            yield from zip(self._chunk(chunk), rows, strict=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the structure itself: order, parallel lengths, last keys."""
        chunks = list(map(self._chunk, range(len(self._keys))))
        flat = [key for keys in chunks for key in keys]
        if any(not first < second for first, second in pairwise(flat)):
            yield "its keys are out of order"
        if len(flat) != self._length or self._lasts != [keys[-1] for keys in chunks]:
            yield "its chunks disagree with its length"
        if [len(keys) for keys in chunks] != [len(rows) for rows in self._rows]:
            yield "its keys and rows are not parallel"
