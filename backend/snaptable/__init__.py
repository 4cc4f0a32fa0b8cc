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

from typing import TYPE_CHECKING

from snaptable.aggregates import Avg, Count, Group, Max, Min, Sum
from snaptable.attribution import attribution
from snaptable.conditions import asc, contains, desc, inserted, one_of, starts_with
from snaptable.contract import Page, Plan, Status
from snaptable.database import Database
from snaptable.declarations import table
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
    ReadOnlyStore,
    RowNotFound,
    SchemaError,
    SchemaMismatch,
    SnapshotEdited,
    SnaptableError,
    StaleRow,
    StoreLocked,
    StoreNewer,
    TransactionError,
    UndoConflict,
    UniqueViolation,
    UnsafeDirectory,
    UnsupportedFormat,
    WriteFailed,
)
from snaptable.on_update import OnUpdate
from snaptable.query import Query
from snaptable.schema import (
    ForeignKey,
    Index,
    IndexSchema,
    PrimaryKey,
    ReferenceSchema,
    Row,
    TableSchema,
    Unique,
    new_id,
    numbered,
    utc_now,
)
from snaptable.secrets import Secret
from snaptable.table import Table

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
    "Page",
    "Plan",
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
    "TransactionError",
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

if TYPE_CHECKING:
    from snaptable.storage.legacy import LegacySnapshot

    __version__: str
else:

    def __getattr__(name: str) -> object:
        """Return what is seldom needed and takes a while: the version, and what reads older snapshots."""
        if name == "LegacySnapshot":
            from snaptable.storage.legacy import LegacySnapshot

            return LegacySnapshot
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        return version("snaptable")
