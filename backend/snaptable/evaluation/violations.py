"""The errors of writes that break a constraint, as every engine words them; no message repeats a secret."""

from pydantic import BaseModel

from snaptable.changes.records import Key
from snaptable.codec import Codec
from snaptable.errors import DuplicateKey, ForeignKeyViolation, InvalidRow, StaleRow, UniqueViolation
from snaptable.schema.tables import ReferenceSchema, TableSchema
from snaptable.secrets import MASK, masked_value


def duplicate_key(schema: TableSchema, key: Key, other: BaseModel) -> DuplicateKey:
    """Return the error of a key that a row has already."""
    return DuplicateKey(
        f"{schema.name} has a row {key!r} already; nothing was written",
        table=schema.name,
        key=key,
        fields=(schema.key,),
        value=key,
        other=other,
    )


def unique_taken(
    schema: TableSchema, fields: tuple[str, ...], value: object, key: Key, other: BaseModel
) -> UniqueViolation:
    """Return the error of a unique value that another row has.

    Args:
        schema: the table's.
        fields: the fields that are unique together.
        value: their value; a tuple if there are several.
        key: the row that can't have it.
        other: the row that has it.
    """
    return UniqueViolation(
        f"{schema.name}[{key!r}]: its {', '.join(fields)} is taken by {schema.name}[{getattr(other, schema.key)!r}]; "
        f"nothing was written",
        table=schema.name,
        key=key,
        fields=fields,
        value=masked_value(fields, value, schema.secrets),
        other=other,
    )


def missing_row(schema: TableSchema, reference: ReferenceSchema, key: Key, value: Key) -> str:
    """Return what is wrong with a reference to a row that doesn't exist."""
    shown = MASK if reference.field in schema.secrets else repr(value)
    return f"{schema.name}[{key!r}].{reference.field}: {reference.target} has no row {shown}"


def missing_reference(schema: TableSchema, reference: ReferenceSchema, key: Key, value: Key) -> ForeignKeyViolation:
    """Return the error of a reference to a row that doesn't exist."""
    return ForeignKeyViolation(
        f"{missing_row(schema, reference, key, value)}; nothing was written",
        table=schema.name,
        key=key,
        fields=(reference.field,),
        value=masked_value((reference.field,), value, schema.secrets),
    )


def still_referenced(
    schema: TableSchema, key: Key, reference: ReferenceSchema, count: int, first: BaseModel, first_key: Key
) -> ForeignKeyViolation:
    """Return the error of the deletion of a row that others refer to.

    Args:
        schema: the table's.
        key: the row that was to be deleted.
        reference: by which they refer to it.
        count: how many there are.
        first: the first of them.
        first_key: its key.
    """
    return ForeignKeyViolation(
        f"{schema.name}[{key!r}] can't be deleted: {count} row(s) of {reference.table} refer to it by "
        f"{reference.field}, the first is {reference.table}[{first_key!r}]; nothing was written",
        table=schema.name,
        key=key,
        fields=(schema.key,),
        value=key,
        other=first,
        other_table=reference.table,
    )


def check_expected(codec: Codec, stored: BaseModel, expected: BaseModel) -> None:
    """Raise StaleRow unless a stored row is equal to the one expected."""
    now, then = codec.values_of(stored), codec.values_of(expected)
    changed = tuple(name for name, value in now.items() if name not in then or then[name] != value)
    if changed:
        key = getattr(stored, codec.key)
        raise StaleRow(
            f"{codec.table}[{key!r}] is not the row expected, by {', '.join(changed)}; nothing was written",
            table=codec.table,
            key=key,
            fields=changed,
            other=codec.share(stored),
        )


def check_key_unchanged(schema: TableSchema, key: Key, changes: dict[str, object]) -> None:
    """Raise InvalidRow if changes would give a row another key."""
    if schema.key in changes and changes[schema.key] != key:
        raise InvalidRow(
            f"{schema.name}[{key!r}].{schema.key}: a key can't be changed; insert a new row and delete this one",
            table=schema.name,
            key=key,
            fields=(schema.key,),
        )
