"""The first rows of an order that no index has: chosen by a heap, so that only they are sorted."""

import heapq
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from snaptable.conditions.predicates import Order
from snaptable.evaluation.ordering import Places, sort_rows, value_reader
from snaptable.values.value_types import microseconds

PART = 2_000
"""Rows that are sorted at once, in a millisecond."""
LEAST_PART = 4
"""A heap is used for less than this part of the rows; sorting is quicker for more."""


def top_rows(rows: list[BaseModel], order: Sequence[Order], count: int, places: Places) -> list[BaseModel]:
    """Return the first `count` rows of a complete ordering, as sorting all would give them; O(n log count).

    A heap over the values of the first column finds the last value that is among the first; of the rows up to it, ties
    included, those that are wanted come first once they are sorted. Many ties are sorted part by part: a sort of all at
    once would keep other threads waiting for the interpreter.
    """
    if count == 0:
        return []
    if count * LEAST_PART > len(rows):
        return sort_rows(rows, order, places)
    candidates = _candidates(rows, order[0], count, places)
    part = max(PART, LEAST_PART * count)
    first = sort_rows(candidates[:part], order, places)[:count]
    for begin in range(part, len(candidates), part):
        first = sort_rows(first + candidates[begin : begin + part], order, places)[:count]
    return first


def _candidates(rows: list[BaseModel], item: Order, count: int, places: Places) -> list[BaseModel]:
    """Return the rows whose value of one column is among the `count` first, and all that are equal to the last."""
    values = list(map(value_reader(item, places), rows))
    sort_key = item.column.sort_key
    if sort_key is None or sort_key is microseconds:
        try:
            return _up_to_last(rows, values, count, descending=item.descending)
        except TypeError:
            pass  # a None, or a naive time beside an aware one
    present = [(row, value) for row, value in zip(rows, values, strict=True) if value is not None]
    if len(present) < count:
        return rows
    keys = [value if sort_key is None else sort_key(value) for _, value in present]
    return _up_to_last([row for row, _ in present], keys, count, descending=item.descending)


def _up_to_last(rows: list[BaseModel], keys: list[Any], count: int, *, descending: bool) -> list[BaseModel]:
    if descending:
        last = heapq.nlargest(count, keys)[-1]
        return [row for row, key in zip(rows, keys, strict=True) if key >= last]
    last = heapq.nsmallest(count, keys)[-1]
    return [row for row, key in zip(rows, keys, strict=True) if key <= last]
