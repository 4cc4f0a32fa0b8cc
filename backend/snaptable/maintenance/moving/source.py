"""The directory that a move begins with: its rows as its models read them, and the place in its journal."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from snaptable.changes.records import ErasedKeys, Key
from snaptable.codec import Codec
from snaptable.database.database import Database
from snaptable.engines import open_engine
from snaptable.engines.durable import DurableEngine
from snaptable.errors import MigrationNeeded
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.moving.steps import MoveRefused
from snaptable.storage.disk.files import Files


@dataclass(frozen=True)
class SourceTable:
    """The rows of one table.

    Attributes:
        codec: of the table.
        rows: by key, in order of insertion.
        last_number: the last number that was given out for a key.
    """

    codec: Codec
    rows: Mapping[Key, BaseModel]
    last_number: int


@dataclass(frozen=True)
class Source:
    """A directory's state.

    Attributes:
        files: the directory.
        store: its id.
        sequence: its last commit.
        head_digest: digest of the journal frame that ends there.
        tables: its rows.
        migrations: those that were applied.
        erased: the keys whose content was erased from its past.
    """

    files: Files
    store: str
    sequence: int
    head_digest: str
    tables: Mapping[str, SourceTable]
    migrations: tuple[str, ...]
    erased: ErasedKeys

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows, by table."""
        return {name: len(table.rows) for name, table in self.tables.items()}


@contextmanager
def opened_source(path: str | os.PathLike[str], models: type[Database], *, running: bool) -> Iterator[Source]:
    """Give a directory's state; it is locked for as long, unless another process may have it open.

    Raises:
        StoreLocked: a process has it open.
        MoveRefused: it has no commit yet, or was not opened with these models yet: that would change its rows.
        OpenError: it can't be read.
    """
    directory = StoreDirectory(os.fspath(path))
    with ExitStack() as stack:
        if not running:
            stack.enter_context(directory.locked())
        try:
            engine = stack.enter_context(_opened(directory.root, models))
        except MigrationNeeded as error:
            raise MoveRefused(f"{error}; open it once with these models, or call `snaptable migrate`") from error
        yield _source(engine, models)


@contextmanager
def _opened(directory: Path, models: type[Database]) -> Iterator[DurableEngine]:
    """Give an engine with a directory's rows; without the indexes, of which a move asks nothing."""
    options = models(directory, read_only=True, banner=False, migrate="manual")._engine_options()
    engine = open_engine(replace(options, indexes=False))
    assert isinstance(engine, DurableEngine)
    try:
        yield engine
    finally:
        engine.stop()
        engine.close()


def _source(engine: DurableEngine, models: type[Database]) -> Source:
    recovery = engine.store.recovery
    if recovery.store is None:
        raise MoveRefused(f"there is nothing in {engine.directory} to move")
    memory = engine.memory
    tables = {
        name: SourceTable(rows.codec, rows.durable_rows(), rows.last_number) for name, rows in memory.tables.items()
    }
    header = recovery.header
    return Source(
        engine.store.files,
        recovery.store,
        recovery.sequence,
        recovery.head_digest,
        tables,
        tuple(migration.name for migration in models.migrations),
        {} if header is None else header.erased,
    )
