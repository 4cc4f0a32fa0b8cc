"""Orders and cursors as SQL: None last in both directions, and written so that an index can give the order.

A column that holds no None is never asked for `nulls last`: its index would not be read backwards for that. The rows
behind a cursor are a comparison of rows where every column goes the same way and holds no None; else it is spelled out,
with a bound on the first column in front, by which an index is entered.
"""

from collections.abc import Sequence

from snaptable.conditions.columns import INSERTED
from snaptable.conditions.predicates import Order
from snaptable.postgres.layout.column import StoredColumn
from snaptable.postgres.layout.columns import StoredColumns
from snaptable.postgres.layout.comparands import OnlyInPython
from snaptable.postgres.layout.names import PLACE, quoted
from snaptable.postgres.queries.conditions import Test, Where, two_valued

UNSORTABLE = ("json", "array")


def order_by(columns: StoredColumns, order: Sequence[Order]) -> str:
    """Return the clause of an ordering; without one, that of the order of insertion.

    Raises:
        OnlyInPython: SQL can't sort by one of its columns.
    """
    parts: list[str] = []
    for item in order:
        direction = " desc" if item.descending else ""
        if item.column is INSERTED:
            return _clause([*parts, f"{quoted(PLACE)}{direction}"])
        column = stored(columns, item)
        if column.family == "enum" and not _sorts_as_stored(column):
            raise OnlyInPython
        last = " nulls last" if column.nullable and item.descending else ""
        parts += [f"{part}{direction}{last}" for part in column.parts]
    return _clause(parts or [quoted(PLACE)])


def _clause(parts: list[str]) -> str:
    return f" order by {', '.join(parts)}"


def stored(columns: StoredColumns, item: Order) -> StoredColumn:
    """Return the column of an ordering.

    Raises:
        OnlyInPython: SQL can't sort by it.
    """
    column = None if item.column.is_part else columns.by_name[item.column.name]
    if column is None or column.family in UNSORTABLE:
        raise OnlyInPython
    return column


def _sorts_as_stored(column: StoredColumn) -> bool:
    """Return whether the members of an enum have the order of their values."""
    return all(type(member.value) is type(column.choices[0].value) for member in column.choices)


def after(where: Where, columns: StoredColumns, order: Sequence[Order], position: tuple[object, ...]) -> str:
    """Return the condition that a row comes after a position: a value for each column of a complete ordering."""
    sorted_by = [stored(columns, item) for item in order]
    plain = all(not column.nullable and column.family not in ("moment", "enum", "bool") for column in sorted_by)
    if plain and len({item.descending for item in order}) == 1:
        row = _row_comparison(where, sorted_by, position, descending=order[0].descending)
        if row is not None:
            return row
    tests: list[str] = []
    for depth, (item, column, value) in enumerate(zip(order, sorted_by, position, strict=True)):
        if value is None:
            continue  # None is last: behind it lies nothing of this column
        same = [_same(where, other, value) for other, value in zip(sorted_by[:depth], position[:depth], strict=True)]
        further = two_valued(column, where.compare(column, "<" if item.descending else ">", value), negated=False)
        if column.nullable:
            further = f"({further} or {column.quoted} is null)"
        tests.append(f"({' and '.join([*same, further])})")
    spelled = f"({' or '.join(tests)})" if tests else "false"
    first, value = sorted_by[0], position[0]
    if value is None or first.nullable or len(tests) < 2:
        return spelled
    enter = two_valued(first, where.compare(first, "<=" if order[0].descending else ">=", value), negated=False)
    return f"({enter} and {spelled})"


def _row_comparison(
    where: Where, columns: Sequence[StoredColumn], position: tuple[object, ...], *, descending: bool
) -> str | None:
    """Return the comparison of rows; None if a value of the position is none that its column can hold."""
    tests: list[Test] = [where.compare(column, "==", value) for column, value in zip(columns, position, strict=True)]
    if not all(isinstance(test, str) for test in tests):
        return None
    values = [str(test).split(" = ", 1)[1] for test in tests]
    names = ", ".join(column.quoted for column in columns)
    return f"({names}) {'<' if descending else '>'} ({', '.join(values)})"


def _same(where: Where, column: StoredColumn, value: object) -> str:
    if value is None:
        return f"{column.quoted} is null"
    return two_valued(column, where.compare(column, "==", value), negated=False)
