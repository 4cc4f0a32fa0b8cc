"""What must hold at every commit, and what a delete takes with it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from snaptable.errors import ForeignKeyViolation, UniqueViolation
from snaptable.memory.rows import TableRows
from snaptable.memory.transaction import Transaction
from snaptable.schema import ReferenceSchema

Net = Sequence[tuple[TableRows, Any, Any, Any]]


def check(tables: Mapping[str, TableRows], net: Net) -> None:
    """Check the constraints that net changes could have broken; O(changes).

    Raises:
        UniqueViolation, ForeignKeyViolation: naming table, rows and field.
    """
    for table, key, before, after in net:
        if after is None:
            _check_unreferenced(tables, table, key)
        elif table.schema.references:
            _check_references(tables, table, key, before, after)
    for table in {change[0] for change in net}:
        for index in table.unique:
            if index.clashes:
                raise UniqueViolation(next(clashes(table)))


def clashes(table: TableRows) -> Iterator[str]:
    """Yield the unique values that several rows of a table share."""
    for index in table.unique:
        for value in index.clashes:
            first, second, *_ = (index.key_of(row) for row in index.find(value))
            names = ", ".join(index.names)
            yield f"{table.name}[{second!r}]: its {names} is taken by {table.name}[{first!r}]; nothing was written"


def _check_references(tables: Mapping[str, TableRows], table: TableRows, key: Any, before: Any, after: Any) -> None:
    for reference in table.schema.references:
        value = getattr(after, reference.field)
        if value is None or (before is not None and getattr(before, reference.field) == value):
            continue
        if tables[reference.target].get(value) is None:
            raise ForeignKeyViolation(
                f"{table.name}[{key!r}].{reference.field}: {reference.target} has no row {value!r}; nothing was written"
            )


def _check_unreferenced(tables: Mapping[str, TableRows], table: TableRows, key: Any) -> None:
    for reference in table.schema.referenced_by:
        child = tables[reference.table]
        rows = child.by_field[reference.field].find(key)
        if rows:
            raise ForeignKeyViolation(
                f"{table.name}[{key!r}] can't be deleted: {len(rows)} row(s) of {child.name} refer to it by "
                f"{reference.field}, the first is {child.name}[{child.key_of(rows[0])!r}]; nothing was written"
            )


def delete(tables: Mapping[str, TableRows], transaction: Transaction, table: TableRows, key: Any) -> Any:
    """Delete a row and, through its referrers, exactly what must go or lose its reference; return the row.

    Rows that `restrict` protects are left to the check at the commit: they may go in the same transaction.
    """
    removed = table.get(key)
    pending = [(table, key)]
    while pending:
        target, gone = pending.pop()
        row = target.get(gone)
        if row is None:
            continue
        transaction.change(target, gone, row, None)
        for reference in target.schema.referenced_by:
            pending += _let_go(tables[reference.table], transaction, reference, gone)
    return removed


def _let_go(
    child: TableRows, transaction: Transaction, reference: ReferenceSchema, gone: Any
) -> list[tuple[TableRows, Any]]:
    rows = child.by_field[reference.field].find(gone) if reference.on_delete != "restrict" else []
    if reference.on_delete == "cascade":
        return [(child, child.key_of(row)) for row in rows]
    for row in rows:
        after, image = child.codec.store({**child.codec.values_of(row), reference.field: None})
        transaction.change(child, child.key_of(row), row, after, image)
    return []


def problems(tables: Mapping[str, TableRows]) -> Iterable[str]:
    """Yield every foreign key that refers to a row that isn't there, and every shared unique value; O(n)."""
    for table in tables.values():
        yield from clashes(table)
        for reference in table.schema.references:
            target = tables[reference.target]
            value_of = attrgetter(reference.field)
            # All at once, in C; rows are looked at one by one where a key is missing.
            values = set(map(value_of, table.live()))
            if not target.graves and values - {None} <= target.rows.keys():
                continue
            for row in table.live():
                value = value_of(row)
                if value is not None and target.get(value) is None:
                    yield f"{table.name}[{table.key_of(row)!r}].{reference.field}: {target.name} has no row {value!r}"
