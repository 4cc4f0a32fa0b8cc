"""Rows put into given states, for history: nothing is taken along, and all that doesn't hold then is told."""

from collections.abc import Iterable, Iterator
from operator import attrgetter

from pydantic import BaseModel

from snaptable.changes.records import Key
from snaptable.contract import RowState
from snaptable.errors import ConstraintError
from snaptable.evaluation import violations
from snaptable.postgres import constraints
from snaptable.postgres.constraints import Tables
from snaptable.postgres.rows import TableRows
from snaptable.postgres.transaction import RowId, Transaction
from snaptable.schema.tables import ReferenceSchema

Referrers = list[tuple[ReferenceSchema, BaseModel]]


def put(tables: Tables, transaction: Transaction, states: Iterable[RowState]) -> list[ConstraintError]:
    """Put rows into states; return every constraint that doesn't hold then.

    A row that others refer to is not deleted before they are: the server would follow `on_delete` by itself.
    """
    for state in states:
        rows = tables[state.table]
        if state.row is None:
            transaction.going[state.table, state.key] = None
        else:
            _put_row(rows, transaction, state.key, state.row)
    left = _remove(tables, transaction)
    return [*_left(tables, left), *_broken(tables, transaction)]


def _put_row(rows: TableRows, transaction: Transaction, key: Key, row_json: bytes) -> None:
    transaction.going.pop((rows.name, key), None)
    before = rows.get(transaction.ask, key)
    after, text = rows.codec.store(dict(rows.codec.values_of(rows.codec.decode(row_json, key))))
    if before is not None:
        rows.put(transaction, before, after, text)
        return
    rows.add(transaction, after, text)
    if rows.schema.numbered and isinstance(key, int):
        rows.use_number(transaction, [key])


def _remove(tables: Tables, transaction: Transaction) -> dict[RowId, Referrers]:
    """Delete the rows that nothing refers to but rows that go too; return the others, with what refers to them."""
    left: dict[RowId, Referrers] = {}
    for name, key in list(transaction.going):
        _release_transient(tables, transaction, tables[name], key)
    for name, key in list(transaction.going):
        referrers = list(_referrers(tables, transaction, tables[name], key))
        if referrers:
            left[name, key] = referrers
    kept = set(left)
    while kept:  # what refers to a row that stays for now is not deleted with it, and needs no looking after
        more = {
            row_id
            for row_id in transaction.going
            if row_id not in kept and any(target in kept for target in _cascading(tables, transaction, row_id))
        }
        if not more:
            break
        kept |= more
    going: dict[str, list[Key]] = {}
    for name, key in transaction.going:
        if (name, key) not in kept:
            going.setdefault(name, []).append(key)
    placed = {
        name: {key: row for key in keys if (row := tables[name].placed(transaction.ask, key)) is not None}
        for name, keys in going.items()
    }
    for name, rows in placed.items():
        tables[name].remove(transaction, rows)
        for key in going[name]:
            transaction.going.pop((name, key), None)
    return left


def _cascading(tables: Tables, transaction: Transaction, row_id: RowId) -> Iterator[RowId]:
    """Yield the rows that the server would delete, or change, with a row."""
    table = tables[row_id[0]]
    for reference in table.schema.referenced_by:
        child = tables[reference.table]
        for row, _ in child.referring(transaction, reference.field, [row_id[1]]):
            yield child.name, child.key_of(row)


def _referrers(
    tables: Tables, transaction: Transaction, table: TableRows, key: Key
) -> Iterator[tuple[ReferenceSchema, BaseModel]]:
    """Yield the rows that refer to a row and don't go."""
    for reference in table.schema.referenced_by:
        child = tables[reference.table]
        for row, _ in child.referring(transaction, reference.field, [key]):
            if (child.name, child.key_of(row)) not in transaction.going:
                yield reference, row


def _release_transient(tables: Tables, transaction: Transaction, table: TableRows, key: Key) -> None:
    """Delete the rows of transient tables that refer to a row that goes, or set the reference to None."""
    for reference in table.schema.referenced_by:
        child = tables[reference.table]
        if not child.schema.transient or reference.on_delete == "restrict":
            continue
        referring = child.referring(transaction, reference.field, [key])
        if reference.on_delete == "cascade":
            constraints.delete(tables, transaction, child, referring)
        else:
            for row, _ in referring:
                child.release(transaction, row, [reference.field])


# ── what doesn't hold ───────────────────────────────────────────────────────────────────────────────────────────────


def _left(tables: Tables, left: dict[RowId, Referrers]) -> Iterator[ConstraintError]:
    for (name, key), referrers in left.items():
        by_reference: dict[ReferenceSchema, list[BaseModel]] = {}
        for reference, row in referrers:
            by_reference.setdefault(reference, []).append(row)
        for reference, rows in by_reference.items():
            child = tables[reference.table]
            for row in rows:
                yield violations.still_referenced(
                    tables[name].schema, key, reference, len(rows), child.codec.share(row), child.key_of(row)
                )


def _broken(tables: Tables, transaction: Transaction) -> Iterator[ConstraintError]:
    """Yield what the rows that were written break."""
    clashing: set[tuple[str, tuple[str, ...], object]] = set()
    for (name, key), change in list(transaction.changes.items()):
        if change.after is None:
            continue
        table = tables[name]
        for index in table.schema.indexes:
            if index.kind == "unique":
                yield from _clash(table, transaction, index.names, change.after, clashing)
        for reference in table.schema.references:
            value = getattr(change.after, reference.field)
            target = tables[reference.target]
            gone = (reference.target, value) in transaction.going
            if value is not None and not gone and target.get(transaction.ask, value) is None:
                yield violations.missing_reference(table.schema, reference, key, value)


def _clash(
    table: TableRows,
    transaction: Transaction,
    names: tuple[str, ...],
    row: BaseModel,
    known: set[tuple[str, tuple[str, ...], object]],
) -> Iterator[ConstraintError]:
    value = attrgetter(*names)(row)
    values = value if len(names) > 1 else (value,)
    if None in values or (table.name, names, values) in known:
        return
    rows = table.having(transaction.ask, names, values)
    if len(rows) > 1:
        known.add((table.name, names, values))
        first, second = rows[0], rows[1]
        yield violations.unique_taken(table.schema, names, value, table.key_of(second), table.codec.share(first))
