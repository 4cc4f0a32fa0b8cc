"""Databases that are looked up: those that this process has open, and that of a table."""

from snaptable.contract import M
from snaptable.database.database import Database
from snaptable.database.openings import open_owners
from snaptable.errors import DatabaseClosed
from snaptable.table import Table


def open_databases() -> list[Database]:
    """Return the databases that this process has open."""
    return [owner for owner in open_owners() if isinstance(owner, Database)]


def database_of(table: Table[M]) -> Database:
    """Return the database of a table.

    Raises:
        DatabaseClosed: nothing refers to it any more.
    """
    database = table._database()
    if not isinstance(database, Database):
        raise DatabaseClosed(f"the database of {table.name} is gone: keep it in a variable of its own")
    return database
