"""A typed in-memory store that persists itself as one readable JSON file.

>>> from typing import Annotated
>>> from snaptable import Database, Row, Table, Unique, desc
>>> class User(Row):
...     id: str
...     email: Annotated[str, Unique()]
...     age: int = 0
>>> class Library(Database):
...     users: Table[User]
>>> with Library("memory:") as db:                       # or a directory: Library("data")
...     ann = db.users.insert(User(id="ann", email="a@b.org", age=31))
...     db.users.where(User.age > 30).order_by(desc(User.age)).all()
[User(id='ann', email='a@b.org', age=31)]

A row is a frozen Pydantic model, a table holds the rows of one model by primary key, a database is a class whose
attributes are tables. help(Database), help(Table) and help(Query) say what each method costs, raises and guarantees.
Every error is a SnaptableError; `snaptable.errors` shows them on one page.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snaptable.changes.attribution import attribution
    from snaptable.conditions.aggregates import Avg, Count, Group, Max, Min, Sum
    from snaptable.conditions.constructors import asc, contains, desc, inserted, one_of, starts_with
    from snaptable.contract import Page, Plan, Status
    from snaptable.database.database import Database
    from snaptable.database.declarations import table
    from snaptable.errors import (
        BackupError,
        ConstraintError,
        CorruptBackup,
        CorruptJournal,
        CorruptSnapshot,
        DatabaseClosed,
        DuplicateKey,
        ForeignKeyViolation,
        HistoryError,
        HistoryGone,
        HistoryPurged,
        InvalidCursor,
        InvalidKey,
        InvalidQuery,
        InvalidRow,
        MigrationError,
        MigrationFailed,
        MigrationNeeded,
        MultipleRows,
        OpenError,
        OutcomeUnknown,
        ReadOnlyStore,
        RowNotFound,
        SchemaError,
        SchemaMismatch,
        SnapshotEdited,
        SnaptableError,
        StaleRow,
        StoreLocked,
        StoreNewer,
        TransactionConflict,
        TransactionError,
        Unavailable,
        UndoConflict,
        UniqueViolation,
        UnsafeDirectory,
        UnsupportedFormat,
        WriteFailed,
    )
    from snaptable.postgres.options import PostgresOptions
    from snaptable.query.query import Query
    from snaptable.schema.markers import ForeignKey, Index, PrimaryKey, Unique, new_id, numbered, utc_now
    from snaptable.schema.on_update import OnUpdate
    from snaptable.schema.row import Row
    from snaptable.schema.tables import IndexSchema, ReferenceSchema, TableSchema
    from snaptable.secrets import Secret
    from snaptable.storage.legacy import LegacySnapshot
    from snaptable.table import Table

    __version__: str

__all__ = [
    "Avg",
    "BackupError",
    "ConstraintError",
    "CorruptBackup",
    "CorruptJournal",
    "CorruptSnapshot",
    "Count",
    "Database",
    "DatabaseClosed",
    "DuplicateKey",
    "ForeignKey",
    "ForeignKeyViolation",
    "Group",
    "HistoryError",
    "HistoryGone",
    "HistoryPurged",
    "Index",
    "IndexSchema",
    "InvalidCursor",
    "InvalidKey",
    "InvalidQuery",
    "InvalidRow",
    "LegacySnapshot",
    "Max",
    "MigrationError",
    "MigrationFailed",
    "MigrationNeeded",
    "Min",
    "MultipleRows",
    "OnUpdate",
    "OpenError",
    "OutcomeUnknown",
    "Page",
    "Plan",
    "PostgresOptions",
    "PrimaryKey",
    "Query",
    "ReadOnlyStore",
    "ReferenceSchema",
    "Row",
    "RowNotFound",
    "SchemaError",
    "SchemaMismatch",
    "Secret",
    "SnapshotEdited",
    "SnaptableError",
    "StaleRow",
    "Status",
    "StoreLocked",
    "StoreNewer",
    "Sum",
    "Table",
    "TableSchema",
    "TransactionConflict",
    "TransactionError",
    "Unavailable",
    "UndoConflict",
    "Unique",
    "UniqueViolation",
    "UnsafeDirectory",
    "UnsupportedFormat",
    "WriteFailed",
    "asc",
    "attribution",
    "contains",
    "desc",
    "inserted",
    "new_id",
    "numbered",
    "one_of",
    "starts_with",
    "table",
    "utc_now",
]

_HOMES = {
    "conditions.aggregates": "Avg Count Group Max Min Sum",
    "changes.attribution": "attribution",
    "conditions.constructors": "asc contains desc inserted one_of starts_with",
    "contract": "Page Plan Status",
    "database.database": "Database",
    "database.declarations": "table",
    "errors": """
        BackupError ConstraintError CorruptBackup CorruptJournal CorruptSnapshot DatabaseClosed DuplicateKey
        ForeignKeyViolation HistoryError HistoryGone HistoryPurged InvalidCursor InvalidKey InvalidQuery
        InvalidRow MigrationError MigrationFailed MigrationNeeded MultipleRows OpenError OutcomeUnknown ReadOnlyStore
        RowNotFound SchemaError SchemaMismatch SnapshotEdited SnaptableError StaleRow StoreLocked StoreNewer
        TransactionConflict TransactionError Unavailable UndoConflict UniqueViolation UnsafeDirectory
        UnsupportedFormat WriteFailed
    """,
    "schema.on_update": "OnUpdate",
    "postgres.options": "PostgresOptions",
    "query.query": "Query",
    "schema.row": "Row",
    "schema.markers": "ForeignKey Index PrimaryKey Unique new_id numbered utc_now",
    "schema.tables": "IndexSchema ReferenceSchema TableSchema",
    "secrets": "Secret",
    "table": "Table",
    "storage.legacy": "LegacySnapshot",
}
"""Where each name is defined. It is imported when somebody asks for it: `snaptable --help` needs none of them."""
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a name that is asked for the first time."""
        if name == "__version__":
            from importlib.metadata import version

            return version("snaptable")
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Return the public names."""
        return [*__all__, "__version__"]

    class _Package(ModuleType):
        """The package: its function `table` has the name of a module of it, and wins over that."""

        @property
        def table(self) -> object:
            """The function `table`."""
            from snaptable.database.declarations import table

            return table

        @table.setter
        def table(self, module: object) -> None:
            """Keep the function: this is the import of the module."""

    sys.modules[__name__].__class__ = _Package
