"""What PostgreSQL refuses, as the library's own errors; never in the server's words, which may repeat values."""

from psycopg import Error, IntegrityError, InterfaceError, OperationalError, errors

from snaptable.errors import (
    InvalidRow,
    ReadOnlyStore,
    SnaptableError,
    TransactionConflict,
    TransactionError,
    Unavailable,
    WriteFailed,
)

_CUT_OFF = ("08", "57P")
"""SQL states of a connection that the server ended, or never accepted."""
_ENDS = ("FATAL", "PANIC")
"""Severities with which a server ends the connection, whatever the reason: what it was doing may be done, or not."""


class ConnectionLost(Unavailable):
    """A connection that ended; what was asked by it may be asked again, unless it was to commit."""


def is_lost(error: Error) -> bool:
    """Return whether an error means that the connection is gone, or never came to be."""
    if isinstance(error, InterfaceError) or error.diag.severity_nonlocalized in _ENDS:
        return True
    state = error.sqlstate
    return isinstance(error, OperationalError) and (state is None or state.startswith(_CUT_OFF))


def as_own(error: Error) -> Exception:
    """Return the library's error in the place of psycopg's; constraints are not judged here."""
    if isinstance(error, (errors.SerializationFailure, errors.DeadlockDetected)):
        return TransactionConflict(
            "another transaction came in between, and this one was rolled back; run it again, or write it as a "
            "function for db.run, which does that"
        )
    if is_lost(error):
        return ConnectionLost("the connection to PostgreSQL was lost")
    name = f"{error.sqlstate} {type(error).__name__}"
    if isinstance(error, errors.LockNotAvailable):
        return TransactionError("waited too long for a row that another transaction has changed; see writer_timeout")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ReadOnlyStore("PostgreSQL accepts no writes here: it is a standby, or was asked to read only")
    if isinstance(error, errors.QueryCanceled):
        return Unavailable("PostgreSQL took longer than it may for one statement, and ended it")
    if isinstance(error, errors.ProgramLimitExceeded):
        index = f" ({error.diag.constraint_name})" if error.diag.constraint_name else ""
        return InvalidRow(
            f"a value is too long for an index of PostgreSQL{index}, some 2,700 bytes; it was not written"
        )
    if isinstance(error, errors.InFailedSqlTransaction):
        return TransactionError("a statement of this transaction failed before; begin another")
    if error.sqlstate is not None and error.sqlstate.startswith("53"):
        return WriteFailed(f"PostgreSQL has no room left for it ({name})")
    where = ", ".join(
        f"{what} {value}"
        for what, value in (
            ("table", error.diag.table_name), ("column", error.diag.column_name),
            ("constraint", error.diag.constraint_name),
        )
        if value
    )  # fmt: skip
    return SnaptableError(f"PostgreSQL refused a statement ({name}{f': {where}' if where else ''})")


def is_violation(error: Error) -> bool:
    """Return whether an error says that a constraint of a table's doesn't hold."""
    return isinstance(error, IntegrityError) and error.diag.constraint_name is not None
