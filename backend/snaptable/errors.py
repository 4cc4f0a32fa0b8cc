"""Every error the library raises, on one page.

    SnaptableError
    ├── SchemaError           the models do not make a schema; nothing was opened
    ├── OpenError             the store can't be opened; the damage, if any, was left as it is
    │   ├── StoreLocked           another process, or another Database of this one, holds it
    │   ├── CorruptSnapshot       db_snapshot.json is damaged
    │   ├── SnapshotEdited        db_snapshot.json is valid JSON, but not as it was written
    │   ├── CorruptJournal        db_journal/ is damaged, has a gap, or is another store's
    │   ├── UnsupportedFormat     a file of a newer format, or of an unknown one
    │   ├── SchemaMismatch        the rows in the file do not fit the models
    │   ├── UnsafeDirectory       others could read or replace the files
    │   └── MigrationNeeded, MigrationFailed, StoreNewer: see MigrationError
    ├── ConstraintError       a commit would break a constraint; it left nothing behind
    │   ├── DuplicateKey
    │   ├── UniqueViolation
    │   ├── ForeignKeyViolation
    │   └── StaleRow              the stored row is not the one expected
    ├── RowNotFound           (also a KeyError)
    │   └── InvalidKey            (also an InvalidQuery) what can't be a key of the table, so that no row ever has it
    ├── MultipleRows          one() found more than one
    ├── InvalidCursor         (also a ValueError)
    ├── InvalidQuery          (also a TypeError) a condition or an ordering that means nothing
    ├── InvalidRow            (also a ValueError) a value that does not validate, or would not come back equal
    ├── TransactionError      (also a RuntimeError) a transaction used where it is not open, or would wait for itself
    │   └── TransactionConflict   (PostgreSQL) rolled back for another one; run it again
    ├── Unavailable           (PostgreSQL) the server can't be reached
    │   └── OutcomeUnknown        it went away during a commit: the write may have happened, or not
    ├── WriteFailed           the journal could not be written; the cause is the OSError
    ├── ReadOnlyStore         writes are refused: opened so, or after a failed sync
    ├── HistoryError          what history can't do
    │   ├── HistoryGone           the moment lies before what is kept
    │   ├── HistoryPurged         the row was purged: what it was is kept nowhere
    │   └── UndoConflict          rows changed since; lists every conflict, and nothing was written
    ├── MigrationError        rows can't be brought into the shape of today's models; each of these is an OpenError too
    │   ├── MigrationNeeded       something is pending that this opening may not apply
    │   ├── MigrationFailed       a step, or what the steps left; the files are as they were
    │   └── StoreNewer            the store has migrations that the code doesn't know
    ├── BackupError           a backup that can't be made, read or restored
    │   └── CorruptBackup         it is damaged, cut off, or no backup at all
    ├── InterchangeError      rows of another file that can't be taken in, or written out
    │   ├── UnreadableFile        it can't be read, or is none of the formats
    │   └── ImportRefused         rows that don't fit; lists them by line, and nothing was written
    └── DatabaseClosed        used before open() or after close()

Errors carry what they name as attributes, so that a program never parses a message: constraint errors `table`, `key`,
`fields`, `value` and `other`; errors of files `path`, `line` and `offset`. They survive pickling. No message repeats a
row's values: values may be secrets, and messages end up in logs. The attribute `value` does hold one, unless its field
is marked `Secret()`.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from snaptable.faults import Conflict as Conflict
from snaptable.faults import ImportFault as ImportFault
from snaptable.faults import listed as listed

if TYPE_CHECKING:
    from pydantic import BaseModel


class SnaptableError(Exception):
    """Base of every error that this library raises on purpose."""


class _DataError(SnaptableError):
    """Base of the errors about a table's rows.

    Attributes:
        table: name of the table, None if no single table is meant.
        key: primary key of the row, None if no row is known.
        fields: names of the fields, empty if no field is meant.
    """

    def __init__(
        self, message: str = "", *, table: str | None = None, key: object = None, fields: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.table = table
        self.key = key
        self.fields = fields


class SchemaError(_DataError):
    """Models that can't be stored as declared; `table` and `fields` name the place."""


class _FileError(SnaptableError):
    """Base of the errors about files.

    Attributes:
        path: the file or directory, None if none is meant.
        line: the line of `path`, counted from 1; None if unknown.
        offset: the byte of `path` at which it stops being what it should; None if unknown.
    """

    def __init__(
        self,
        message: str = "",
        *,
        path: str | os.PathLike[str] | None = None,
        line: int | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.path = None if path is None else os.fspath(path)
        self.line = line
        self.offset = offset


class OpenError(_FileError):
    """A store that can't be opened; its files were left as they are, but for a torn end, which is in quarantine."""


class StoreLocked(OpenError):
    """A store that another process or Database holds; the message names its pid, its host and since when."""


class CorruptSnapshot(OpenError):
    """A damaged snapshot."""


class SnapshotEdited(OpenError):
    """A snapshot that was edited, its checksum not that of its bytes, or an older one put back beside its journal."""


class CorruptJournal(OpenError):
    """A damaged journal, one with a gap, or one of another store."""


class UnsupportedFormat(OpenError):
    """A file of a newer format, or of an unknown one."""


class SchemaMismatch(OpenError):
    """Rows in the file that do not fit the models; the message lists table, key and field of each."""


class UnsafeDirectory(OpenError):
    """A directory or file that others could read or replace, or that is of the wrong kind."""


class MigrationError(SnaptableError):
    """Rows that can't be brought into the shape of today's models."""


class MigrationNeeded(MigrationError, OpenError):
    """A store that has to be migrated first, and an opening that may not do it; nothing was changed.

    Attributes:
        pending: what is pending: names of migrations, in order, and what would be filled in.
    """

    def __init__(
        self, message: str = "", *, pending: Sequence[str] = (), path: str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.pending = tuple(pending)


class MigrationFailed(MigrationError, OpenError):
    """A migration that could not be carried out; the files are as they were.

    Attributes:
        migration: its name.
        step: the step, as it is written in code; None if it is what all of them left that is wrong.
        table, key: the row, as far as it is about one.
    """

    def __init__(
        self,
        message: str = "",
        *,
        migration: str | None = None,
        step: str | None = None,
        table: str | None = None,
        key: str | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.migration, self.step, self.table, self.key = migration, step, table, key


class StoreNewer(MigrationError, OpenError):
    """A store with migrations that the code doesn't know: a newer version of the program wrote it.

    Attributes:
        unknown: their names.
    """

    def __init__(
        self, message: str = "", *, unknown: Sequence[str] = (), path: str | os.PathLike[str] | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.unknown = tuple(unknown)


class ConstraintError(_DataError):
    """Base of the constraint violations; the transaction left nothing behind.

    Attributes:
        table, key, fields: the row that would break the constraint, and the fields it is about.
        value: the value of `fields`, a tuple if there are several; `••••` for a secret.
        other: the row in the way, None if there is none.
        other_table: its table.
    """

    def __init__(
        self,
        message: str = "",
        *,
        table: str | None = None,
        key: object = None,
        fields: tuple[str, ...] = (),
        value: object = None,
        other: "BaseModel | None" = None,
        other_table: str | None = None,
    ) -> None:
        super().__init__(message, table=table, key=key, fields=fields)
        self.value = value
        self.other = other
        self.other_table = other_table if other_table is not None or other is None else table


class DuplicateKey(ConstraintError):
    """A primary key that another row has; `other` is that row."""


class UniqueViolation(ConstraintError):
    """A unique value that another row has; `other` is that row."""


class ForeignKeyViolation(ConstraintError):
    """A reference to a row that doesn't exist, or the deletion of a row that others refer to (`other` is the first)."""


class StaleRow(ConstraintError):
    """A stored row that is not equal to the one expected; `other` is the stored row, `fields` are those that differ."""


class RowNotFound(_DataError, KeyError):
    """A key, or a query, that no row answers."""

    def __str__(self) -> str:
        """Return the message itself: KeyError would print its repr."""
        return str(self.args[0]) if self.args else ""


class MultipleRows(SnaptableError):
    """A query asked for one row that several rows answer."""


class InvalidCursor(SnaptableError, ValueError):
    """A cursor that is damaged or belongs to another query."""


class InvalidQuery(SnaptableError, TypeError):
    """A condition or an ordering without a meaning; the message says what to write instead.

    Attributes:
        times: of a comparison of an aware time with naive ones, or the reverse: the column's name, and the kind of the
            times that it holds. None for every other fault.
    """

    times: tuple[str, str] | None = None


class InvalidKey(InvalidQuery, RowNotFound):
    """What can't be a key of the table, by its type: the text of a UUID, a row, …; the message names both types.

    It is a KeyError too, as a wrong key of a dict is one; `get` and `in` raise it as well, not None or False.
    """


class InvalidRow(_DataError, ValueError):
    """A row that does not validate, or would not come back equal after a restart."""


class TransactionError(SnaptableError, RuntimeError):
    """A transaction used where it is not open, or that would wait for itself."""


class TransactionConflict(TransactionError):
    """A transaction that another one came in between of, and that was rolled back; it may be run again.

    Only on PostgreSQL. `db.run` and single writes run again by themselves; `with db.transaction()` can't.
    """


class Unavailable(SnaptableError):
    """A database server that can't be reached, or doesn't answer in time; nothing was written.

    Attributes:
        retry_after: after how many seconds it is worth trying again.
        circuit: "open" if calls fail at once, because the server has been away for long; else "closed".
    """

    def __init__(
        self, message: str = "", *, retry_after: float = 1.0, circuit: Literal["closed", "open"] = "closed"
    ) -> None:
        super().__init__(message)
        self.retry_after, self.circuit = retry_after, circuit


class OutcomeUnknown(Unavailable):
    """A commit during which the server went away: the write may have happened, or not. Look before writing again."""


class WriteFailed(SnaptableError):
    """A write that could not be made durable and was rolled back; the cause is the OSError."""


class ReadOnlyStore(SnaptableError):
    """A write refused: the store was opened to read only, or a sync failed; the message says what makes writes work."""


class DatabaseClosed(SnaptableError):
    """A database used before open() or after close()."""


class HistoryError(SnaptableError):
    """Something that history can't do."""


class HistoryGone(HistoryError):
    """A moment before the first one that can be reached.

    Attributes:
        first: that first moment.
    """

    def __init__(self, message: str = "", *, first: int | None = None) -> None:
        super().__init__(message)
        self.first = first


class HistoryPurged(HistoryError):
    """A row that was purged: what it was is kept nowhere.

    Attributes:
        table, key: the row.
    """

    def __init__(self, message: str = "", *, table: str | None = None, key: object = None) -> None:
        super().__init__(message)
        self.table, self.key = table, key


class UndoConflict(HistoryError):
    """An undo, a restore or a merge in whose way later changes or constraints are; nothing was written.

    Attributes:
        conflicts: all of them.
    """

    def __init__(self, message: str = "", *, conflicts: Sequence[Conflict] = ()) -> None:
        super().__init__(message)
        self.conflicts = tuple(conflicts)


class BackupError(_FileError):
    """A backup that can't be made, read or restored; the store is as it was."""


class CorruptBackup(BackupError):
    """A backup that is damaged, cut off, or none at all; nothing of it is used."""


class InterchangeError(SnaptableError):
    """Rows of another file that can't be taken in, or written out."""


class UnreadableFile(_FileError, InterchangeError):
    """A file that can't be read, or holds no rows in any format that is known."""


class ImportRefused(InterchangeError):
    """Rows of a file that don't fit; nothing was written.

    Attributes:
        table: the table they were meant for.
        faults: the first of what is wrong.
        rows: how many rows are wrong.
    """

    def __init__(
        self, message: str = "", *, table: str | None = None, faults: Sequence[ImportFault] = (), rows: int = 0
    ) -> None:
        super().__init__(message)
        self.table, self.faults, self.rows = table, tuple(faults), rows
