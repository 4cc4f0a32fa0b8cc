"""What must hold at every commit, and what a delete takes with it."""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from pydantic import BaseModel

from snaptable.errors import ForeignKeyViolation, UniqueViolation
from snaptable.evaluation import violations as violations_of
from snaptable.memory.rows import TableRows
from snaptable.memory.transaction import NetChange, Transaction
from snaptable.schema.tables import ReferenceSchema
from snaptable.values.row_lines import Key

Tables = Mapping[str, TableRows]


def check(tables: Tables, net: Sequence[NetChange]) -> None:
    """Check the constraints that net changes could have broken; O(changes).

    Raises:
        UniqueViolation, ForeignKeyViolation: naming table, rows and field.
    """
    for table, _, _, after in net:
        if not _surely_holds(tables, table, after):
            break
    else:
        return
    for violation in violations(tables, net):
        raise violation


def _surely_holds(tables: Tables, table: TableRows, after: BaseModel | None) -> bool:
    """Return whether a change breaks nothing, as far as that is told quickly: generators cost more than all of it."""
    if after is None and table.schema.referenced_by:
        return False
    if after is not None:
        for reference in table.schema.references:
            value = getattr(after, reference.field)
            if value is not None and tables[reference.target].get(value) is None:
                return False
    return not table.unique or not table.has_clashes()


def violations(tables: Tables, net: Sequence[NetChange]) -> Iterator[UniqueViolation | ForeignKeyViolation]:
    """Yield every constraint that net changes break, as an error; O(changes)."""
    for table, key, before, after in net:
        if after is None:
            yield from _references_left(tables, table, key)
        elif table.schema.references:
            yield from _missing_references(tables, table, key, before, after)
    for table in {change[0] for change in net}:
        if table.has_clashes():
            yield from clashes(table)


def clashes(table: TableRows) -> Iterator[UniqueViolation]:
    """Yield the unique values that several rows of a table share, each as an error; O(clashes)."""
    for index in table.unique:
        for value in index.clashes:
            first, second, *_ = index.lookup(value)
            key = table.key_of(second)
            yield violations_of.unique_taken(table.schema, index.names, value, key, table.codec.share(first))


def _missing_references(
    tables: Tables, table: TableRows, key: Key, before: BaseModel | None, after: BaseModel
) -> Iterator[ForeignKeyViolation]:
    for reference in table.schema.references:
        value = getattr(after, reference.field)
        if value is None or (before is not None and getattr(before, reference.field) == value):
            continue
        if tables[reference.target].get(value) is None:
            yield violations_of.missing_reference(table.schema, reference, key, value)


def _references_left(tables: Tables, table: TableRows, key: Key) -> Iterator[ForeignKeyViolation]:
    for reference in table.schema.referenced_by:
        child = tables[reference.table]
        rows = child.rows_with(reference.field, key)
        for row in rows:
            yield violations_of.still_referenced(
                table.schema, key, reference, len(rows), child.codec.share(row), child.key_of(row)
            )


def delete(tables: Tables, transaction: Transaction, table: TableRows, row: BaseModel) -> None:
    """Delete a row and, through the foreign keys to it, exactly what must go or lose its reference.

    O(rows that change). Rows that `restrict` protects are left to the check at the commit: they may go in the same
    transaction.
    """
    pending = [(table, table.key_of(row))]
    while pending:
        target, key = pending.pop()
        before = target.get(key)
        if before is None:
            continue
        transaction.change(target, key, before, None)
        for reference in target.schema.referenced_by:
            pending += _release_referrers(tables[reference.table], transaction, reference, key)


def release_transient(tables: Tables, transaction: Transaction, table: TableRows, key: Key) -> None:
    """Delete the rows of transient tables that refer to a row that is gone, or set the reference to None.

    As their `on_delete` says; O(rows that change). Rows that `restrict` protects are left to the check.
    """
    for reference in table.schema.referenced_by:
        child = tables[reference.table]
        if child.schema.transient:
            for target, referrer in _release_referrers(child, transaction, reference, key):
                row = target.get(referrer)
                if row is not None:
                    delete(tables, transaction, target, row)


def _release_referrers(
    child: TableRows, transaction: Transaction, reference: ReferenceSchema, key: Key
) -> list[tuple[TableRows, Key]]:
    """Set the references to a deleted row to None, or return the rows that must be deleted with it."""
    if reference.on_delete == "restrict":
        return []
    rows = child.rows_with(reference.field, key)
    if reference.on_delete == "cascade":
        return [(child, child.key_of(row)) for row in rows]
    for row in rows:
        codec = child.codec
        after, row_json = codec.store({**codec.values_of(row), reference.field: None, **codec.moved()})
        transaction.change(child, child.key_of(row), row, after, row_json)
    return []


def problems(tables: Tables) -> Iterator[str]:
    """Yield every foreign key that refers to a missing row, and every shared unique value; O(n)."""
    for table in tables.values():
        yield from map(str, clashes(table))
        for reference in table.schema.references:
            target = tables[reference.target]
            value_of = attrgetter(reference.field)
            # All at once, in C; the rows are looked at one by one if a key is missing.
            if not target.tombstones and table.distinct_values(reference.field) - {None} <= target.rows.keys():
                continue
            for row in table.live():
                value = value_of(row)
                if value is not None and target.get(value) is None:
                    yield violations_of.missing_row(table.schema, reference, table.key_of(row), value)
