"""Rows in the order of their entries: parallel lists of chunks, split when a chunk grows past twice `CHUNK`.

A flat sorted list costs O(n) an insert and a tree costs a pointer chase a row; chunks of a few hundred keep inserts at
a bisect and a short memmove, and a range of rows is a list slice. The idea is that of sortedcontainers (G. Jenks); the
rows lie beside the entries here, so that reading a range touches no dictionary. The entries of a chunk that was loaded
are made once the chunk was looked into a few times: they are a quarter of what an index costs and take 0.3 ms; asking
nine rows for theirs takes 5 us.

Of entries that begin with a small number, as those of times do, only these numbers are kept, in an array: ten of them
lie side by side where ten tuples, and the numbers in them, are each somewhere else in memory, and most of what finding
a place costs is waiting for that. Rows with the same number are asked for their entries.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Generic, TypeVar

R = TypeVar("R")

CHUNK = 512
LOOKUPS_BEFORE_ENTRIES = 8
"""How often a chunk is looked into before its entries are made."""
COUNTED_CHUNKS = 64
"""Ranges over more chunks are estimated, not counted: the planner asks before every query."""


class AfterAll:
    """What sorts after everything: closes a range over the entries that begin with a prefix."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        """Return False: nothing is above."""
        return False

    def __gt__(self, other: object) -> bool:
        """Return True: everything else is below."""
        return other is not self


AFTER_ALL = AfterAll()

Entry = tuple[object, ...]
"""What a row is sorted by: the sort keys of the indexed fields, then the primary key, which makes it unique. A bound of
a range is the beginning of an entry, or that and AFTER_ALL."""
Position = tuple[int, int]
"""A chunk and a place in it."""


class SortedEntries(Generic[R]):
    """Rows sorted by their entries, which are unique."""

    __slots__ = ("_begins_small", "_entries", "_entry_of", "_lasts", "_length", "_lookups", "_rows")

    def __init__(self, entry_of: Callable[[R], Entry], *, begins_small: bool = False) -> None:
        """Begin without rows.

        Args:
            entry_of: gives a row's entry.
            begins_small: whether each entry begins with a number of 64 bits at most.
        """
        self._entry_of = entry_of
        self._begins_small = begins_small
        self._entries: list[list[Entry] | array[int] | None] = []
        """The entries of each chunk, or the numbers that they begin with; None while they are not made."""
        self._rows: list[list[R]] = []
        self._lasts: list[Entry] = []
        """The last entry of each chunk."""
        self._length = 0
        self._lookups: dict[int, int] = {}
        """How often a chunk without entries was looked into; after a split the counts are those of other chunks."""

    def __len__(self) -> int:
        return self._length

    # ── changing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, rows: list[R]) -> None:
        """Replace the content by these rows, in order; O(n)."""
        self._length = len(rows)
        self._rows = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
        self._entries = [None] * len(self._rows)
        self._lasts = [self._entry_of(chunk[-1]) for chunk in self._rows]

    def add(self, entry: Entry, row: R) -> None:
        """Put a row in its place; O(log n + chunk)."""
        self._length += 1
        if not self._lasts:
            self._entries, self._rows, self._lasts = [self._kept([entry])], [[row]], [entry]
            return
        if entry > self._lasts[-1]:
            self._append(entry, row)
            return
        chunk = min(bisect_left(self._lasts, entry), len(self._lasts) - 1)
        entries, rows = self._entries[chunk], self._rows[chunk]
        place = self._place(chunk, entry)
        if type(entries) is list:
            entries.insert(place, entry)
        elif entries is not None:
            entries.insert(place, entry[0])  # type: ignore[arg-type]
        rows.insert(place, row)
        if place == len(rows) - 1:
            self._lasts[chunk] = entry
        if len(rows) > 2 * CHUNK:
            self._split(chunk)

    def _append(self, entry: Entry, row: R) -> None:
        """Put a row behind all others, as most are that are sorted by a time or a number; O(1)."""
        entries, rows = self._entries[-1], self._rows[-1]
        if type(entries) is list:
            entries.append(entry)
        elif entries is not None:
            entries.append(entry[0])  # type: ignore[arg-type]
        rows.append(row)
        self._lasts[-1] = entry
        if len(rows) > 2 * CHUNK:
            self._split(len(self._rows) - 1)

    def _split(self, chunk: int) -> None:
        entries, rows = self._entries_of(chunk), self._rows[chunk]
        self._entries[chunk : chunk + 1] = [entries[:CHUNK], entries[CHUNK:]]
        self._rows[chunk : chunk + 1] = [rows[:CHUNK], rows[CHUNK:]]
        self._lasts[chunk : chunk + 1] = [self._entry_of(rows[CHUNK - 1]), self._entry_of(rows[-1])]

    def remove(self, entry: Entry) -> None:
        """Remove the row of an entry; O(log n + chunk)."""
        chunk, place = self._find(entry)
        entries, rows = self._entries[chunk], self._rows[chunk]
        if entries is not None:
            del entries[place]
        del rows[place]
        self._length -= 1
        if not rows:
            del self._entries[chunk], self._rows[chunk], self._lasts[chunk]
        elif place == len(rows):
            self._lasts[chunk] = self._entry_of(rows[-1])

    def replace(self, entry: Entry, row: R) -> None:
        """Put another row at an entry that stays; O(log n)."""
        chunk, place = self._find(entry)
        self._rows[chunk][place] = row

    # ── finding a place ─────────────────────────────────────────────────────────────────────────────────────────────

    def _kept(self, entries: list[Entry]) -> "list[Entry] | array[int]":
        """Return what is kept of the entries of a chunk."""
        return array("q", [entry[0] for entry in entries]) if self._begins_small else entries  # type: ignore[misc]

    def _entries_of(self, chunk: int) -> "list[Entry] | array[int]":
        """Return what is kept of the entries of a chunk, making them if need be."""
        entries = self._entries[chunk]
        if entries is None:
            entries = self._entries[chunk] = self._kept(list(map(self._entry_of, self._rows[chunk])))
        return entries

    def _find(self, entry: Entry) -> Position:
        """Return the place of an entry that is there."""
        chunk = bisect_left(self._lasts, entry)
        numbers = self._entries[chunk]
        if isinstance(numbers, array):
            number: int = entry[0]  # type: ignore[assignment]
            place = bisect_left(numbers, number)
            if place + 1 == len(numbers) or numbers[place + 1] != number:
                return chunk, place  # the only one with its number
        return chunk, self._place(chunk, entry)

    def _place(self, chunk: int, entry: Entry, bisect: Callable[..., int] = bisect_left) -> int:
        """Return the place of an entry, or of a bound, in a chunk."""
        entries = self._entries[chunk]
        rows = self._rows[chunk]
        if entries is None:
            return bisect(rows, entry, key=self._entry_of)
        if isinstance(entries, list):
            return bisect(entries, entry)
        if not entry:
            return 0  # the bound below everything
        number: int = entry[0]  # type: ignore[assignment]
        place = bisect_left(entries, number)
        if place == len(entries) or entries[place] != number:
            return place
        return bisect(rows, entry, place, bisect_right(entries, number, place), key=self._entry_of)

    def _position(self, bound: Entry | None, *, after: bool, default: Position) -> Position:
        if bound is None:
            return default
        bisect = bisect_right if after else bisect_left
        chunk = bisect(self._lasts, bound)
        if chunk == len(self._lasts):
            return chunk, 0
        if self._entries[chunk] is None and self._lookups.setdefault(chunk, 0) < LOOKUPS_BEFORE_ENTRIES:
            self._lookups[chunk] += 1
        else:
            self._entries_of(chunk)
        return chunk, self._place(chunk, bound, bisect)

    def _bounds(self, low: Entry | None, high: Entry | None) -> tuple[Position, Position]:
        # A bound never equals an entry: it ends before the primary key, or in AFTER_ALL. So both bisections agree.
        start = self._position(low, after=False, default=(0, 0))
        return start, self._position(high, after=False, default=(len(self._rows), 0))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def slices(
        self, low: Entry | None, high: Entry | None, *, descending: bool = False, most: int = 2 * CHUNK
    ) -> Iterator[list[R]]:
        """Yield the rows with `low <= entry < high` in order (None: no bound), as lists of at most `most`.

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

    def count(self, low: Entry | None, high: Entry | None, *, exactly: bool = False) -> int:
        """Return how many entries have `low <= entry < high`; unless `exactly`, an estimate if they span many chunks.

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

    # ── checking ────────────────────────────────────────────────────────────────────────────────────────────────────

    def entries(self) -> Iterator[tuple[Entry, R]]:
        """Yield every entry with its row, in order; O(n)."""
        for rows in self._rows:
            yield from zip(map(self._entry_of, rows), rows, strict=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the structure itself: order, parallel lengths, last entries; O(n)."""
        chunks = [list(map(self._entry_of, rows)) for rows in self._rows]
        flat = [entry for entries in chunks for entry in entries]
        if any(not first < second for first, second in pairwise(flat)):
            yield "its keys are out of order"
        if len(flat) != self._length or self._lasts != [entries[-1] for entries in chunks]:
            yield "its chunks disagree with its length"
        if [self._entries_of(chunk) for chunk in range(len(self._entries))] != list(map(self._kept, chunks)):
            yield "its keys and rows are not parallel"
