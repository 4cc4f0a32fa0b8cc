"""Sorted entries: between any bounds, either way, in pieces of any size, they are what a plain sorted list would be."""

from itertools import chain
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from snaptable.memory.indexes import sorted_rows as module
from snaptable.memory.indexes.sorted_rows import AFTER_ALL, SortedEntries

KEYS = st.tuples(st.integers(0, 9), st.integers(0, 9))
BOUNDS = st.none() | KEYS | st.integers(0, 9).map(lambda first: (first,)) | KEYS.map(lambda key: (*key, AFTER_ALL))


def is_below(key: tuple[Any, ...], bound: tuple[Any, ...] | None, *, otherwise: bool) -> bool:
    """Return whether an entry's key is less than a bound, which is none of the keys."""
    return otherwise if bound is None else key < bound


@given(
    st.lists(KEYS), st.lists(KEYS), BOUNDS | st.just(()), BOUNDS, st.integers(1, 6), st.booleans(), st.integers(0, 2)
)
def test_walks_between_bounds(
    loaded: list[Any],
    changed: list[Any],
    low: tuple[Any, ...] | None,
    high: tuple[Any, ...] | None,
    most: int,
    begins_small: bool,
    lookups: int,
) -> None:
    """Ensure that the slices between two bounds are the entries between them, forwards and backwards, and counted.

    Whether the entries are kept, or the numbers that they begin with, and whenever they are made.
    """
    with patch.object(module, "CHUNK", 2), patch.object(module, "LOOKUPS_BEFORE_ENTRIES", lookups):
        entries = SortedEntries(lambda row: row, begins_small=begins_small)
        present = {(*key, "k") for key in loaded}
        entries.load(sorted(present))
        for key in ((*key, "k") for key in changed):
            if key in present:
                entries.remove(key)
            else:
                entries.add(key, key)
            present ^= {key}
        wanted = [
            key
            for key in sorted(present)
            if not is_below(key, low, otherwise=False) and is_below(key, high, otherwise=True)
        ]
        forwards = list(entries.slices(low, high, most=most))
        backwards = list(entries.slices(low, high, descending=True, most=most))
        assert list(chain.from_iterable(forwards)) == list(chain.from_iterable(entries.slices(low, high))) == wanted
        assert list(chain.from_iterable(backwards)) == wanted[::-1]
        assert all(0 < len(part) <= most for part in (*forwards, *backwards))
        assert entries.count(low, high) == entries.count(low, high, exactly=True) == len(wanted)
        assert list(entries.problems()) == []


def test_counts_what_spans_many_chunks() -> None:
    """Ensure that a count over many chunks is near when it is estimated, and exact when that is asked for."""
    with patch.object(module, "CHUNK", 2):
        entries: SortedEntries[int] = SortedEntries(lambda number: (number, number))
        entries.load(list(range(1000)))
        assert 900 <= entries.count((10,), (990,)) <= 1100
        assert entries.count((10,), (990,), exactly=True) == 980
