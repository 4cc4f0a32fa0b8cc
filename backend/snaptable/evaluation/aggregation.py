"""Aggregates over rows and over groups of rows: columns are read off the rows, the rest runs in C."""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from functools import partial
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from pydantic import BaseModel

from snaptable.conditions.aggregates import Aggregate, Grouping, number_kind
from snaptable.conditions.columns import Column
from snaptable.conditions.predicates import IGNORING_CASE, AllOf, Not, PredicateTemplate, Term
from snaptable.errors import InvalidQuery
from snaptable.evaluation.filters import compare_mixed
from snaptable.values import value_types

Values = Sequence[Any]
ReadColumn = Callable[[Column], Values]
"""Returns the values of a column of all rows that are aggregated, always in the same order."""
Total = Callable[[Values], object]
"""The aggregate of some values, None among them left out already."""
GroupRow = tuple[object, ...]
"""The values of a group's columns, and then of its aggregates."""

EXACT_DECIMALS = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Sums of Decimals are exact up to so many digits, whatever the context of the caller's thread."""
MEAN_DECIMALS = Context(prec=28, Emax=MAX_EMAX, Emin=MIN_EMIN)


# ── one aggregate of some values ────────────────────────────────────────────────────────────────────────────────────


def total_of(aggregate: Aggregate[object]) -> Total:
    """Return the function that works an aggregate out."""
    if aggregate.function == "count":
        return len
    if aggregate.function in ("min", "max"):
        return partial(_extreme, min if aggregate.function == "min" else max, aggregate.sort_key)
    sums: dict[type, Total] = {int: sum, float: _sum_of_floats, Decimal: _sum_of_decimals}
    means: dict[type, Total] = {
        int: _mean,
        float: _mean_of_floats,
        Decimal: _mean_of_decimals,
        timedelta: _mean_of_timedeltas,
    }
    kind = number_kind(aggregate)
    if aggregate.function == "sum":
        return partial(_sum_of_timedeltas, aggregate) if kind is timedelta else sums[kind]
    mean = means[kind]
    return lambda values: mean(values) if values else None


def _extreme(choose: Callable[..., object], sort_key: value_types.SortKey | None, values: Values) -> object:
    if sort_key is None or sort_key is value_types.microseconds:
        try:
            return choose(values, default=None)
        except TypeError:
            pass  # a naive time beside an aware one
    return choose(values, key=sort_key, default=None)


def _sum_of_floats(values: Values) -> float:
    try:
        return math.fsum(values)
    except OverflowError:
        return _rounded(Fraction(sum(map(Fraction, values))))


def _mean_of_floats(values: Values) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return _rounded(Fraction(sum(map(Fraction, values)), len(values)))


def _rounded(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _sum_of_decimals(values: Values) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = EXACT_DECIMALS.add(total, value)
    return total


def _mean_of_decimals(values: Values) -> Decimal:
    return mean_of_decimals(_sum_of_decimals(values), len(values))


def mean_of_decimals(total: Decimal, count: int) -> Decimal:
    """Return the mean of some Decimals, at least one, from their sum and number."""
    return MEAN_DECIMALS.divide(total, Decimal(count))


def _microseconds(values: Values) -> int:
    # In whole microseconds: sums between that a timedelta can't hold don't matter.
    return sum(value // value_types.MICROSECOND for value in values)


def _sum_of_timedeltas(aggregate: Aggregate[object], values: Values) -> timedelta:
    try:
        return timedelta(microseconds=_microseconds(values))
    except OverflowError:
        raise InvalidQuery(f"{aggregate!r} is beyond what a timedelta holds") from None


def _mean_of_timedeltas(values: Values) -> timedelta:
    return timedelta(microseconds=round(Fraction(_microseconds(values), len(values))))


def _mean(values: Values) -> float:
    return sum(values) / len(values)


# ── all rows ────────────────────────────────────────────────────────────────────────────────────────────────────────


def aggregate_all(aggregates: Sequence[Aggregate[object]], read: ReadColumn, count: int) -> GroupRow:
    """Return the aggregates of all rows, of which there are `count`; O(rows) each, most of it in C."""
    return tuple(
        count if one.column is None else total_of(one)(_present(one.column, read(one.column))) for one in aggregates
    )


def _present(column: Column, values: Values) -> Values:
    if value_types.is_optional(column.annotation):
        return [value for value in values if value is not None]
    return values


# ── groups ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def aggregate_groups(grouping: Grouping, read: ReadColumn) -> list[GroupRow]:
    """Return the groups of all rows: those that pass, in order, cut; O(rows) for each aggregate."""
    columns = [read(column) for column in grouping.columns]
    keys: Values = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    single = len(columns) == 1
    sizes = Counter(keys)
    parts = [_by_group(one, keys, sizes, read) for one in grouping.aggregates]
    return arranged(grouping, [((key,) if single else key) + tuple(part[key] for part in parts) for key in sizes])


def arranged(grouping: Grouping, groups: list[GroupRow]) -> list[GroupRow]:
    """Return groups as wanted: those that pass, in order, cut; O(groups log groups)."""
    if grouping.having:
        groups = [group for group in groups if _passes(grouping, group)]
    groups = _sorted(grouping, groups)
    end = None if grouping.limit is None else grouping.offset + grouping.limit
    return groups[grouping.offset : end]


def _by_group(one: Aggregate[object], keys: Values, sizes: "Counter[object]", read: ReadColumn) -> dict[object, object]:
    """Return an aggregate of each group, by its key."""
    if one.column is None:
        return dict(sizes)
    collected: defaultdict[object, list[object]] = defaultdict(list)
    values = read(one.column)
    # deque(maxlen=0) drains an iterator without a Python loop.
    deque(map(list.append, map(collected.__getitem__, keys), values), maxlen=0)
    total, column = total_of(one), one.column
    return {key: total(_present(column, group)) for key, group in collected.items()}


def _passes(grouping: Grouping, group: GroupRow) -> bool:
    values = iter(grouping.having_values)
    answers = [_holds(template, grouping, group, values) for template in grouping.having]
    return all(answers)


def _holds(template: PredicateTemplate, grouping: Grouping, group: GroupRow, values: Iterator[object]) -> bool:
    """Return whether a condition holds for a group; takes its values from the iterator, all of them."""
    if isinstance(template, Term):
        return _compares(template, group[place_of(template.column, grouping)], next(values))
    if isinstance(template, Not):
        return not _holds(template.part, grouping, group, values)
    parts = [_holds(part, grouping, group, values) for part in template.parts]
    return all(parts) if isinstance(template, AllOf) else any(parts)


def place_of(wanted: Column | Aggregate[object], grouping: Grouping) -> int:
    """Return the place of a column or an aggregate in the rows of a grouping."""
    if isinstance(wanted, Column):
        return next(place for place, column in enumerate(grouping.columns) if column.name == wanted.name)
    places = [one.identity for one in grouping.aggregates]
    return len(grouping.columns) + places.index(wanted.identity)


_COMPARISONS: dict[str, Callable[[Any, Any], object]] = {"<": lt, "<=": le, ">": gt, ">=": ge, "==": eq, "!=": ne}


def _compares(term: Term, mine: Any, value: Any) -> bool:
    operator = term.operator
    if operator in ("is", "is not"):
        return (mine is None) == (operator == "is")
    if operator == "in":
        return mine in value
    if operator == "contains":
        return isinstance(mine, str) and value in mine
    if operator == "starts with":
        return isinstance(mine, str) and mine.startswith(value)
    if operator in IGNORING_CASE:
        whole = isinstance(mine, str) and mine.casefold()
        part = value.casefold()
        return whole is not False and (part in whole if operator.startswith("contains") else whole.startswith(part))
    if operator not in ("==", "!="):
        if mine is None:
            return False
        if isinstance(term.column, Column) and term.column.is_mixed:
            return compare_mixed(mine, operator, value)
        sort_key = term.column.sort_key
        if sort_key is not None:
            mine, value = sort_key(mine), sort_key(value)
    return bool(_COMPARISONS[operator](mine, value))


def _sorted(grouping: Grouping, groups: list[GroupRow]) -> list[GroupRow]:
    """Return groups sorted: as wanted, ties by the columns; those without an order leave it as it is."""
    sources: list[Column | Aggregate[object]] = [*grouping.columns, *grouping.aggregates]
    ties = [(place, False) for place in range(len(grouping.columns)) if is_sortable(grouping.columns[place])]
    for place, descending in reversed([*grouping.order, *ties]):
        groups = _sorted_by(groups, place, sources[place].sort_key, descending=descending)
    return groups


def is_sortable(column: Column) -> bool:
    """Return whether a column's values have an order."""
    try:
        _ = column.sort_key
    except TypeError:
        return False
    return True


def _sorted_by(
    groups: list[GroupRow], place: int, sort_key: value_types.SortKey | None, *, descending: bool
) -> list[GroupRow]:
    present = [group for group in groups if group[place] is not None]
    absent = [group for group in groups if group[place] is None]
    present.sort(
        key=lambda group: group[place] if sort_key is None else sort_key(group[place]),  # type: ignore[arg-type, return-value]
        reverse=descending,
    )
    return present + absent


def reader(rows: Collection[BaseModel]) -> ReadColumn:
    """Return what reads a column off some rows, each once; O(rows) a column."""
    columns: dict[str, list[object]] = {}

    def read(column: Column) -> Values:
        """Return the values of a column."""
        name = column.name
        if name not in columns:
            columns[name] = list(map(column.read, rows))
        return columns[name]

    return read
