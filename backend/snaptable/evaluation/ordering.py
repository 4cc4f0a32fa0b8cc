"""The order of rows: by columns, None last in both directions, ties by the primary key in the last direction."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from snaptable.conditions.columns import INSERTED, Column
from snaptable.conditions.predicates import Order
from snaptable.values import value_types

Places = Callable[[], Callable[[BaseModel], int]]
"""Returns the function from a row to its place in the order of insertion; O(n) once after a change."""


def complete(order: Sequence[Order], key: Column) -> tuple[Order, ...]:
    """Return the ordering cut behind what no two rows share: the primary key, which is added if need be, or the place.

    It is added in the last direction.
    """
    kept: list[Order] = []
    for item in order:
        if all(item.column.name != other.column.name for other in kept):
            kept.append(item)
        if item.column is INSERTED or item.column.name == key.name:
            return tuple(kept)
    return (*kept, key.orders[bool(order) and order[-1].descending])


def sort_rows(rows: list[BaseModel], order: Sequence[Order], places: Places) -> list[BaseModel]:
    """Return the rows sorted by a complete ordering; O(n log n)."""
    if len(rows) < 2:
        return rows
    # Column by column, the last first, is quicker than by tuples: those compare each pair of values twice.
    for item in reversed(order):
        rows = _sort_by(rows, item, places)
    return rows


def value_reader(item: Order, places: Places) -> Callable[[BaseModel], Any]:
    """Return the function from a row to what an ordering sorts by, but for the sort key."""
    return places() if item.column is INSERTED else item.column.read


def _sort_by(rows: list[BaseModel], item: Order, places: Places) -> list[BaseModel]:
    value_of = value_reader(item, places)
    sort_key = item.column.sort_key
    if sort_key is None or sort_key is value_types.microseconds:
        try:
            return sorted(rows, key=value_of, reverse=item.descending)
        except TypeError:
            pass  # a None, or a naive time beside an aware one
    present = [row for row in rows if value_of(row) is not None]
    absent = [row for row in rows if value_of(row) is None]
    present.sort(
        key=value_of if sort_key is None else lambda row: sort_key(value_of(row)),
        reverse=item.descending,
    )
    return present + absent


def rows_after(rows: list[BaseModel], order: Sequence[Order], position: tuple[object, ...]) -> list[BaseModel]:
    """Return the rows that come after a position (a value for each column of the ordering); O(n)."""
    steps = [
        (item.column.read, item.column.sort_key, item.descending, value)
        for item, value in zip(order, position, strict=True)
    ]

    def is_after(row: BaseModel) -> bool:
        """Return whether a row comes after the position."""
        for value_of, sort_key, descending, bound in steps:
            value = value_of(row)
            if value is None or bound is None:
                if value is bound:
                    continue
                return value is None
            mine, other = (value, bound) if sort_key is None else (sort_key(value), sort_key(bound))
            if mine != other:
                return bool((mine > other) != descending)
        return False

    return [row for row in rows if is_after(row)]
