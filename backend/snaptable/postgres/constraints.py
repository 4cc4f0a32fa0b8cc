"""What a delete takes with it, and which rows a constraint that the server named is about."""

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING

from pydantic import BaseModel

from snaptable.changes.records import Key
from snaptable.errors import ConstraintError, SnaptableError
from snaptable.evaluation import violations
from snaptable.postgres.layout.ddl import Constraint
from snaptable.postgres.server.connections import Fetch
from snaptable.postgres.transaction import RowId, Transaction
from snaptable.schema.tables import ReferenceSchema

if TYPE_CHECKING:
    from snaptable.postgres.rows import TableRows

Tables = Mapping[str, "TableRows"]
MOST_LOOKED_AT = 100
"""Changes of a transaction up to which it is seen whether it broke a reference too: a look-up each."""


# ── deletion ────────────────────────────────────────────────────────────────────────────────────────────────────────


def delete(tables: Tables, transaction: Transaction, table: "TableRows", rows: list[tuple[BaseModel, int]]) -> None:
    """Delete rows and, through the foreign keys to them, exactly what must go or lose its reference.

    What goes is looked up table by table, from the rows down; deleted from below, so that no reference is ever broken
    by the server's own actions. Rows that `restrict` protects are left to the check at the commit.

    Args:
        tables: all tables.
        transaction: the open one.
        table: the rows' table.
        rows: the rows, each with its place.
    """
    gone: dict[str, dict[Key, tuple[BaseModel, int]]] = {}
    released: dict[RowId, tuple[BaseModel, list[ReferenceSchema]]] = {}
    pending = [(table, rows)]
    while pending:
        target, placed = pending.pop()
        known = gone.setdefault(target.name, {})
        fresh = {target.key_of(row): (row, place) for row, place in placed if target.key_of(row) not in known}
        known.update(fresh)
        for reference in target.schema.referenced_by if fresh else ():
            if reference.on_delete == "restrict":
                continue
            child = tables[reference.table]
            referrers = child.referring(transaction, reference.field, list(fresh))
            if reference.on_delete == "cascade":
                pending.append((child, referrers))
                continue
            for row, _ in referrers:
                released.setdefault((child.name, child.key_of(row)), (row, []))[1].append(reference)
    for (name, key), (row, references) in released.items():
        if key not in gone.get(name, {}):
            tables[name].release(transaction, row, [reference.field for reference in references])
    for name, keyed in reversed(gone.items()):
        tables[name].remove(transaction, keyed)


# ── violations ──────────────────────────────────────────────────────────────────────────────────────────────────────


def violation(
    tables: Tables, fetch: Fetch, transaction: Transaction, name: str, constraint: Constraint | None
) -> SnaptableError:
    """Return the error for a constraint that a transaction broke, after it was rolled back; O(rows changed).

    The server says which constraint it is, and the rows only in a sentence: they are looked for among those that the
    transaction wrote, and beside them in the table.
    """
    if constraint is None:
        return SnaptableError(f"PostgreSQL refused the transaction: {name}, a constraint of other makers, doesn't hold")
    table = tables[constraint.table]
    if constraint.reference is None:
        # Of both, memory names the broken reference.
        broken = _first_broken_reference(tables, fetch, transaction)
        broken = broken or _taken(table, fetch, transaction, constraint.fields)
    else:
        broken = _broken_reference(tables, fetch, transaction, constraint.reference)
    if broken is not None:
        return broken
    kind = "a unique value is taken" if constraint.reference is None else "a row that is referred to isn't there"
    return ConstraintError(
        f"{constraint.table}.{', '.join(constraint.fields)}: {kind}; nothing was written",
        table=constraint.table,
        fields=constraint.fields,
    )


def _written(transaction: Transaction, table: str) -> Iterator[tuple[Key, BaseModel]]:
    for (name, key), change in transaction.changes.items():
        if name == table and change.after is not None:
            yield key, change.after


def _gone(transaction: Transaction, table: str) -> Iterator[Key]:
    for (name, key), change in transaction.changes.items():
        if name == table and change.after is None:
            yield key


def _taken(
    table: "TableRows", fetch: Fetch, transaction: Transaction, fields: tuple[str, ...]
) -> ConstraintError | None:
    read = attrgetter(*fields)
    held: dict[object, tuple[Key, BaseModel]] = {}
    written = list(_written(transaction, table.name))
    changed = {key for name, key in transaction.changes if name == table.name}
    for key, row in written:
        value = read(row)
        if None in (value if len(fields) > 1 else (value,)):
            continue
        other = held.setdefault(value, (key, row))
        if other[0] == key:
            there = table.having(fetch, fields, value if len(fields) > 1 else (value,))
            rows = [row for row in there if table.key_of(row) not in changed]
            if not rows:
                continue
            other = (table.key_of(rows[0]), rows[0])
        return violations.unique_taken(table.schema, fields, value, key, table.codec.share(other[1]))
    return None


def _first_broken_reference(tables: Tables, fetch: Fetch, transaction: Transaction) -> ConstraintError | None:
    """Return the error for a reference that a transaction broke too; None if there is none, or too much to look at."""
    if len(transaction.changes) > MOST_LOOKED_AT:
        return None
    schemas = [tables[name].schema for name in dict.fromkeys(name for name, _ in transaction.changes)]
    references = dict.fromkeys(each for schema in schemas for each in (*schema.references, *schema.referenced_by))
    broken = (_broken_reference(tables, fetch, transaction, reference) for reference in references)
    return next((error for error in broken if error is not None), None)


def _broken_reference(
    tables: Tables, fetch: Fetch, transaction: Transaction, reference: ReferenceSchema
) -> ConstraintError | None:
    child, target = tables[reference.table], tables[reference.target]
    present = {key for key, _ in _written(transaction, target.name)}
    gone = set(_gone(transaction, target.name))
    for key, row in _written(transaction, child.name):
        value = getattr(row, reference.field)
        if value is None or value in present:
            continue
        if value in gone:
            return violations.still_referenced(target.schema, value, reference, 1, child.codec.share(row), key)
        if not target.having(fetch, (target.schema.key,), (value,)):
            return violations.missing_reference(child.schema, reference, key, value)
    changed = {key for name, key in transaction.changes if name == child.name}
    for key in gone:
        rows = [row for row in child.having(fetch, (reference.field,), (key,)) if child.key_of(row) not in changed]
        if rows:
            first = rows[0]
            return violations.still_referenced(target.schema, key, reference, len(rows), first, child.key_of(first))
    return None


# ── check ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def problems(tables: Tables, fetch: Fetch) -> Iterator[str]:
    """Yield what is wrong: rows that don't validate, or say other than their columns; missing references. O(n).

    PostgreSQL keeps its own indexes and constraints; people who write with other tools can only write what a model
    would refuse, and where the server has no foreign keys, references to nothing.
    """
    for table in tables.values():
        yield from table.problems(fetch)
        for reference in table.schema.references:
            yield from _dangling(table, tables[reference.target], fetch, reference)


def _dangling(table: "TableRows", target: "TableRows", fetch: Fetch, reference: ReferenceSchema) -> Iterator[str]:
    field = table.columns.by_name[reference.field]
    records = fetch(
        f"select {table.columns.select_list} from {table.sql} as referring where {field.quoted} is not null and not "
        f"exists (select 1 from {target.sql} as target "
        f"where target.{target.columns.key.quoted} = referring.{field.quoted})"
    )
    for record in records:
        row = table.columns.row(record)
        yield violations.missing_row(table.schema, reference, table.key_of(row), getattr(row, reference.field))
