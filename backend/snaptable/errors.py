"""Every error the library raises, on one page.

    SnaptableError
    ├── SchemaError           the models do not make a schema; nothing was opened
    ├── OpenError             the store can't be opened; its files are as they were
    │   ├── StoreLocked           another process, or another Database of this one, holds it
    │   ├── CorruptSnapshot       db_snapshot.json is damaged
    │   ├── SnapshotEdited        db_snapshot.json is valid JSON, but not as it was written
    │   ├── CorruptJournal        db_journal/ is damaged, has a gap, or is another store's
    │   ├── UnsupportedFormat     a file of a newer format, or of none that is known
    │   ├── SchemaMismatch        the rows in the file do not fit the models
    │   └── UnsafeDirectory       others could read or replace the files
    ├── ConstraintError       a commit would break a constraint; it left nothing behind
    │   ├── DuplicateKey
    │   ├── UniqueViolation
    │   └── ForeignKeyViolation
    ├── RowNotFound           (also a KeyError)
    ├── MultipleRows          one() found more than one
    ├── InvalidCursor         (also a ValueError)
    ├── InvalidQuery          (also a TypeError) a condition or an ordering that means nothing
    ├── InvalidRow            (also a ValueError) a value that does not validate, or would not come back equal
    ├── TransactionError      (also a RuntimeError) a transaction used where it is not open, or would wait for itself
    ├── WriteFailed           the journal could not be written; the cause is the OSError
    ├── ReadOnlyStore         writes are refused: opened so, or after a failed sync
    └── DatabaseClosed        used before open() or after close()

No message repeats a row's values: they may be secrets, and messages end up in logs.
"""

from typing import Self


class SnaptableError(Exception):
    """Be the base of every error this library raises on purpose."""


class SchemaError(SnaptableError):
    """Say which table and field of the models can't be stored as declared."""


class OpenError(SnaptableError):
    """Say why a store can't be opened; nothing on disk was changed."""

    offset: int | None = None
    """The byte at which the file that is named stops being what it should, where there is one."""

    def at(self, offset: int) -> Self:
        """Take note of the byte, for whoever shows the place; return the error."""
        self.offset = offset
        return self


class StoreLocked(OpenError):
    """Name the process that holds the store: pid, host and since when."""


class CorruptSnapshot(OpenError):
    """Name the snapshot, the byte offset and what is wrong there."""


class SnapshotEdited(OpenError):
    """Say that the snapshot is valid JSON, but its checksum is not the one of its bytes."""


class CorruptJournal(OpenError):
    """Name the journal file, the byte offset and what is wrong there."""


class UnsupportedFormat(OpenError):
    """Name the format found and the formats this version reads."""


class SchemaMismatch(OpenError):
    """List the rows, by table, key and field, that do not fit the models."""


class UnsafeDirectory(OpenError):
    """Name the directory or file, and the permission or kind that makes it unsafe."""


class ConstraintError(SnaptableError):
    """Be the base of the three constraint violations; the transaction left nothing behind."""


class DuplicateKey(ConstraintError):
    """Name the table and the primary key that is taken."""


class UniqueViolation(ConstraintError):
    """Name the table, the unique fields and the two rows that share a value."""


class ForeignKeyViolation(ConstraintError):
    """Name the referencing table, row and field, and the table that lacks the row."""


class RowNotFound(SnaptableError, KeyError):
    """Name the table and the key no row has."""

    def __str__(self) -> str:
        """Return the message itself: KeyError would print its repr."""
        return str(self.args[0]) if self.args else ""


class MultipleRows(SnaptableError):
    """Say that `one()` matched more than one row."""


class InvalidCursor(SnaptableError, ValueError):
    """Say that a cursor is damaged or belongs to another query."""


class InvalidQuery(SnaptableError, TypeError):
    """Say what in a condition or an ordering has no meaning, and what to write instead."""


class InvalidRow(SnaptableError, ValueError):
    """Name the table, key and field whose value is refused, and why."""


class TransactionError(SnaptableError, RuntimeError):
    """Say why a transaction can't be begun or used here."""


class WriteFailed(SnaptableError):
    """Say that a write could not be made durable and was rolled back; the cause is the OSError."""


class ReadOnlyStore(SnaptableError):
    """Say why writes are refused, and what makes them work again."""


class DatabaseClosed(SnaptableError):
    """Say that the database is not open."""
