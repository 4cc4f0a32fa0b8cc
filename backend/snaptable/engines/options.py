"""What a database hands to its engine at the opening."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from snaptable.changes.retention import USUAL, Retention
from snaptable.contract import SnapshotPolicy
from snaptable.postgres.options import PostgresOptions
from snaptable.schema.tables import TableSchema

if TYPE_CHECKING:
    from snaptable.storage.disk.files import Files
    from snaptable.storage.legacy import LegacySnapshot
    from snaptable.storage.migration import SchemaChanges


class Filesystem(Protocol):
    """What gives a database its disk: the class `storage.disk.files.Files`, or what a test puts in its place."""

    def __call__(self, directory: Path, /, *, fsync: bool) -> "Files":
        """Return the files of a directory; nothing is opened or made yet.

        Args:
            directory: absolute, symlinks resolved.
            fsync: whether what is synced must survive a power cut.
        """


def import_name(cls: type) -> str:
    """Return how a class is imported, as `module:Class`; "" for one made in a function, or in the program's own file.

    Importing that would run the program once more.
    """
    is_importable = cls.__module__ != "__main__" and "." not in cls.__qualname__
    return f"{cls.__module__}:{cls.__qualname__}" if is_importable else ""


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is opened."""

    url: str
    """As the user wrote it."""
    schemas: Mapping[str, TableSchema]
    snapshot: SnapshotPolicy
    read_only: bool
    banner: bool
    writer_timeout: float
    """Seconds after which a wait for the writer ends in a TransactionError."""
    files: "Callable[[Path], Files]"
    """Returns the disk for an absolute directory."""
    import_legacy: "Callable[[LegacySnapshot], None]"
    """Converts the rows of a snapshot of the older format, in place."""
    models: str = ""
    """The Database class as `module:Class`, "" if it can't be imported by a name."""
    retention: Retention = USUAL
    """How much of the past is kept."""
    schema_changes: "SchemaChanges | None" = None
    """The application's migrations."""
    fsync: bool = True
    """Whether a commit survives a power cut; on PostgreSQL, as the server is set, else `synchronous_commit` off."""
    history: bool = True
    """Whether commits are kept at all."""
    postgres: PostgresOptions = field(default_factory=PostgresOptions)
    """How PostgreSQL is used."""
    cleanup: ExitStack = field(default_factory=ExitStack)
    """Is told what to let go if the opening is interrupted, wherever that happens."""
    indexes: bool = True
    """Whether indexes are built at the opening; False: when they are first asked for, but for unique ones."""
