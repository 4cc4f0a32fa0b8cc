"""Aggregates as SQL, where that gives to the digit what Python would; else over the values of their columns alone.

What equal values are written alike can be grouped by the server: it chooses any of them to stand for a group, memory
the first. Sums of whole numbers and Decimals are exact there; of floats they depend on the order of the rows. Means are
worked out here, of sums and counts. Conditions of `having`, orders and limits are judged here, over the groups.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import cast

from snaptable.conditions.aggregates import Aggregate, Grouping, number_kind
from snaptable.conditions.columns import Column
from snaptable.evaluation.aggregation import (
    EXACT_DECIMALS,
    GroupRow,
    ReadColumn,
    arranged,
    is_sortable,
    mean_of_decimals,
)
from snaptable.postgres.layout.column import Family, StoredColumn
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.comparands import OnlyInPython
from snaptable.postgres.queries.question import Question
from snaptable.postgres.server.adapt import Record
from snaptable.postgres.server.connections import Fetch

Finish = Callable[..., object]
"""Returns an aggregate for what its expressions gave."""

_KEYS: frozenset[Family] = frozenset(
    {"text", "int", "bool", "date", "time", "naive", "interval", "uuid", "bytes", "enum"}
)
"""Families whose equal values are the same."""
_EXTREMES: frozenset[Family] = frozenset({"text", "int", "date", "time", "naive", "interval"})
"""Those of which the server also knows the least and the greatest."""
_INEXACT: frozenset[Family] = frozenset({"aware", "moment", "decimal"})
"""Families of which a part of a value may stand in `_exact`."""
_MOST_DIGITS = EXACT_DECIMALS.prec - 50
"""Digits of a sum of Decimals up to which memory doesn't round it, whatever the number of rows."""


class GroupsBySql:
    """The statement that gives groups, or the one group of all rows, with their aggregates.

    Attributes:
        question: whose rows these are.
        sql: the statement, with the question's parameters.
    """

    def __init__(self, columns: StoredColumns, question: Question, grouping: Grouping) -> None:
        """Write it.

        Raises:
            OnlyInPython: SQL would not give exactly what Python does.
        """
        if not question.is_cut or columns.keeps_image:
            raise OnlyInPython
        self.question, self._grouping = question, grouping
        self._keys = [_key(columns, column) for column in grouping.columns]
        self._figures = [_figure(columns, one) for one in grouping.aggregates]
        keys = [column.quoted for column in self._keys]
        expressions = [part for parts, _ in self._figures for part in parts]
        by = f" group by {', '.join(keys)}" if keys else ""
        self.sql = f"select {', '.join([*keys, *expressions]) or '1'}{_source(columns, question)}{by}"

    def answer(self, fetch: Fetch) -> list[GroupRow]:
        """Return the groups: those that pass, in order, cut.

        Raises:
            OnlyInPython: a sum has more digits than memory keeps.
        """
        return arranged(
            self._grouping, [self._group(record) for record in fetch(self.sql, self.question.statement.params)]
        )

    def _group(self, record: Record) -> GroupRow:
        values: list[object] = [column.loaded(raw) for column, raw in zip(self._keys, record, strict=False)]
        place = len(values)
        for parts, finish in self._figures:
            values.append(finish(*record[place : place + len(parts)]))
            place += len(parts)
        return tuple(values)


def _source(columns: StoredColumns, question: Question) -> str:
    wanted = question.wanted
    if wanted.limit is None and not wanted.offset:
        return question.sql
    return f" from ({question.select(columns.select_list)}) as wanted"


def _key(columns: StoredColumns, column: Column) -> StoredColumn:
    stored = _stored(columns, column)
    if stored.family not in _KEYS or not is_sortable(column):
        raise OnlyInPython
    return stored


def _stored(columns: StoredColumns, column: Column) -> StoredColumn:
    if column.is_part:
        raise OnlyInPython
    return columns.by_name[column.name]


def _figure(columns: StoredColumns, one: Aggregate[object]) -> tuple[list[str], Finish]:
    """Return the expressions of an aggregate, and what makes it of their values."""
    if one.column is None:
        return ["count(*)"], int
    stored = _stored(columns, one.column)
    name = stored.quoted
    if one.function == "count":
        return [f"count({name})"], int
    if one.function in ("min", "max"):
        if stored.family not in _EXTREMES:
            raise OnlyInPython
        return [f"{one.function}({name})"], stored.loaded
    if stored.family in ("int", "bool") and number_kind(one) is int:
        total = f"sum({name}{'::int' if stored.family == 'bool' else ''})"
        if one.function == "sum":
            return [total], lambda total: int(total or 0)
        return [total, f"count({name})"], lambda total, count: int(total) / count if count else None
    if stored.family == "decimal":
        finish = _sum_of_decimals if one.function == "sum" else _mean_of_decimals
        return [f"sum({name})", f"max(scale({name}))", f"max(abs({name}))", f"count({name})"], finish
    raise OnlyInPython


def _sum_of_decimals(total: Decimal | None, scale: int, greatest: Decimal | None, count: int) -> Decimal:
    if not count or total is None or greatest is None:
        return EXACT_DECIMALS.create_decimal(0)
    if scale + max(0, greatest.adjusted()) > _MOST_DIGITS:
        raise OnlyInPython
    return total


def _mean_of_decimals(total: Decimal | None, scale: int, greatest: Decimal | None, count: int) -> Decimal | None:
    return mean_of_decimals(_sum_of_decimals(total, scale, greatest, count), count) if count else None


def read_columns(
    fetch: Fetch, columns: StoredColumns, question: Question, grouping: Grouping
) -> tuple[ReadColumn, int]:
    """Return what reads the columns of a grouping, fetched alone, and the number of rows.

    Raises:
        OnlyInPython: whole rows are needed.
    """
    asked = [*grouping.columns, *(one.column for one in grouping.aggregates if one.column is not None)]
    stored = {column.name: _stored(columns, column) for column in asked}
    if not question.is_cut or columns.keeps_image or any(each.family in _INEXACT for each in stored.values()):
        raise OnlyInPython
    names = ", ".join(column.quoted for column in stored.values()) or "1"
    records = fetch(question.select(names), question.statement.params)
    # Columns of records, each made into values once.
    lists: Sequence[Sequence[object]] = list(zip(*records, strict=True)) or [()] * len(stored)
    values = {
        name: raw if column.load is None else list(map(column.loaded, raw))
        for (name, column), raw in zip(stored.items(), lists, strict=False)
    }
    return cast("ReadColumn", lambda column: values[column.name]), len(records)
