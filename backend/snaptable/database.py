"""Database: the class whose attributes are the tables; opens, closes, and picks the engine by URL."""

import atexit
import logging
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Literal, ParamSpec, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel

from snaptable import schema
from snaptable.engines import Filesystem, observed_filesystem, report_open
from snaptable.errors import DatabaseClosed, OpenError, ReadOnlyStore, SchemaError, WriteFailed
from snaptable.progress import Progress
from snaptable.schema import TableSchema
from snaptable.table import Declared, Table

if TYPE_CHECKING:
    from snaptable.memory.engine import MemoryEngine
    from snaptable.storage.disk.files import Files
    from snaptable.storage.legacy import LegacySnapshot
    from snaptable.storage.store import Store

logger = logging.getLogger("snaptable")

P = ParamSpec("P")
T = TypeVar("T")
SnapshotPolicy = Literal["auto", "always", "background"]
MEMORY = "memory:"


@dataclass(frozen=True)
class Status:
    """Tell how a database is doing: what `/health` shows."""

    engine: str
    sequence: int
    """The last durable commit."""
    writable: bool
    reason: str | None = None
    """Why writes are refused, None while they aren't."""
    snapshot_sequence: int | None = None
    snapshot_saved_at: datetime | None = None
    snapshot_bytes: int | None = None
    snapshot_error: str | None = None
    """Why the last snapshot could not be saved, None since one could."""
    rows: dict[str, int] = field(default_factory=dict)


class Database:
    """Be the base of a database class: annotate attributes `name: Table[Model]`, and each is a table of that name.

    Making an object does no I/O; `open()` and `close()` do, or `with`. The same object can be opened again. The engine
    is imported when it is first opened: half of what importing this package would cost.
    """

    __schemas__: ClassVar[dict[str, TableSchema]] = {}
    __declared__: ClassVar[dict[str, tuple[type[BaseModel], tuple[Any, ...]]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check the whole schema when the class is made.

        Raises:
            SchemaError: naming the table and the field.
        """
        super().__init_subclass__(**kwargs)
        hints, namespace = schema.annotations_of(cls)
        declared: dict[str, tuple[type[BaseModel], tuple[Any, ...]]] = {}
        for base in reversed(cls.__mro__[1:]):
            declared.update(base.__dict__.get("__declared__", {}))
        for name, hint in hints.items():
            if get_origin(hint) is ClassVar or (name.startswith("_") and get_origin(hint) is not Table):
                continue
            declared[name] = _declared(cls, name, hint)
        cls.__declared__ = declared
        cls.__schemas__ = schema.build(cls.__name__, declared, namespace)

    def __init__(
        self,
        url: str | os.PathLike[str] = "data",
        *,
        snapshot: SnapshotPolicy = "auto",
        fsync: bool = True,
        read_only: bool = False,
        banner: bool = True,
        filesystem: Filesystem | None = None,
    ) -> None:
        """Name the database; nothing is opened yet.

        Args:
            url: a directory, or "memory:" for a database that keeps nothing.
            snapshot: when `db_snapshot.json` follows a write: "auto" (before it returns, up to 4 MiB of data; within a
                second, past that; very large data at the disk's pace), "always" (before it returns) or "background".
            fsync: False to survive the death of the process only, no power cut; several times faster on slow disks.
            read_only: take no lock and change nothing; reads the state as of opening, beside a running writer too.
            banner: False to leave out the warning that is logged when the store is opened; for scripts and notebooks.
            filesystem: what gives the disk for the directory, called with it and `fsync`; None for the real one.
        """
        self.url = os.fspath(url)
        if not isinstance(self.url, str):
            raise OpenError("the directory's path is a str or a pathlib.Path")
        if self.url.startswith(("postgresql://", "postgres://")):
            raise OpenError("this version has no PostgreSQL engine yet; name a directory, or 'memory:'")
        if snapshot not in get_args(SnapshotPolicy):
            raise ValueError(f"snapshot is one of {', '.join(get_args(SnapshotPolicy))}; not {snapshot!r}")
        self._policy = snapshot
        self._fsync = fsync
        self._read_only = read_only
        self._shows_banner = banner
        self._filesystem = filesystem
        self._engine: MemoryEngine | None = None
        self._store: Store | None = None
        self._directory: Path | None = None
        self._pid: int | None = None
        self._tables: dict[str, Table[Any]] = {name: Table(found) for name, found in self.__schemas__.items()}
        self.__dict__.update(self._tables)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<{type(self).__name__} {self.url} ({state})>"

    # ── open and close ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self._engine is not None

    @property
    def read_only(self) -> bool:
        """Whether the database takes no lock and changes nothing."""
        return self._read_only

    @property
    def tables(self) -> MappingProxyType[str, Table[Any]]:
        """The tables by name, in declared order."""
        return MappingProxyType(self._tables)

    @property
    def directory(self) -> Path | None:
        """The store's directory, absolute; None for "memory:" and before the first opening."""
        return self._directory

    def open(self) -> Self:
        """Open the database: lock, load, verify, replay, index, check; then it is ready.

        Raises:
            OpenError: it can't be opened; the subclasses say why, and nothing was changed.
        """
        if self._engine is not None:
            raise OpenError(f"{self!r} is open already")
        from snaptable.memory.commit_log import VolatileLog
        from snaptable.memory.engine import MemoryEngine
        from snaptable.memory.table import MemoryTable

        engine = MemoryEngine(self.__schemas__)
        if self.url == MEMORY:
            refusal = ReadOnlyStore("the database was opened with read_only=True") if self._read_only else None
            engine.log = VolatileLog(engine.became_durable, refusal=refusal)
        else:
            self._store = self._open_store(engine)
        for name, found in self._tables.items():
            found.bind(MemoryTable(engine, engine.tables[name]))
        self._engine = engine
        report_open(self)
        return self

    def _open_store(self, engine: "MemoryEngine") -> "Store":
        from snaptable.memory.commit_log import VolatileLog
        from snaptable.memory.loader import TableLoader, without_garbage_collection
        from snaptable.storage.disk import names
        from snaptable.storage.disk.files import resolve
        from snaptable.storage.group_commit import CommitCallbacks
        from snaptable.storage.store import OpenOptions, Store

        # 1. The directory: resolved once, so that a symlink that moves later moves nothing.
        self._directory = resolve(self.url)
        if self._shows_banner:
            self._banner()
        # 2. Load. How far it is, is said where it takes long.
        files = self._files(self._directory)
        try:
            identity = files.identity(names.SNAPSHOT)
        except OSError as error:
            raise OpenError(f"{self._directory} can't be opened: {error}") from error
        progress = Progress(identity[2] if identity else 0, f"Loading {self._shown(names.SNAPSHOT)}")
        opening = OpenOptions(
            files,
            tuple(self.__schemas__),
            lambda: TableLoader(engine.tables, progress.advance),
            self.take_over,
            self._policy,
            self._read_only,
        )
        with without_garbage_collection(), progress:
            store = Store.open(opening, CommitCallbacks(engine.became_durable, engine.failed))
        # 3. The engine goes on from there.
        engine.sequence = store.recovered.sequence
        if store.committer is not None:
            engine.log = store.committer
        else:
            refusal = ReadOnlyStore(f"{self._directory} was opened with read_only=True")
            engine.log = VolatileLog(engine.became_durable, refusal=refusal)
        # 4. Say what was found.
        counts = {name: len(rows) for name, rows in engine.tables.items()}
        if store.existed:
            logger.info("Database snapshot loaded successfully from %s", self._shown(names.SNAPSHOT))
            logger.info("Recovered: %s", ", ".join(f"{count} {name}" for name, count in counts.items()))
        else:
            logger.info("No existing database snapshot found. Starting with empty database.")
        self._pid = os.getpid()
        _open_databases.add(self)
        return store

    def _files(self, directory: Path) -> "Files":
        """Return the seam to the operating system: a test tool's, else the one given, else the real one."""
        from snaptable.storage.disk.files import Files

        filesystem = observed_filesystem(self, directory) or self._filesystem or Files
        return filesystem(directory, fsync=self._fsync)

    def _shown(self, name: str) -> str:
        return os.path.join(self.url, name)  # noqa: PTH118 - as the user wrote it: Path would tidy it up

    def _banner(self) -> None:
        line = "=" * 80
        for text in (line, *_BANNER, line):
            logger.warning(text.format(directory=self._directory))

    def take_over(self, old: "LegacySnapshot") -> None:
        """Convert a snapshot of the older stop-gap before its rows are validated; override it where they changed."""

    def close(self) -> None:
        """Finish what is being written, save the last snapshot, and let others in; does nothing where it isn't open.

        Raises:
            WriteFailed: the last snapshot could not be saved; the journal holds every commit for the next start.
        """
        engine, store = self._engine, self._store
        if engine is None:
            return
        # 1. Nobody writes any more: the turn is taken for good.
        engine.close_writer()
        # 2. Reads end too, so that nobody takes an old answer for a new one.
        for found in self._tables.values():
            found.bind(None)
        self._engine = self._store = None
        _open_databases.discard(self)
        # 3. The last snapshot, and the mark of a clean close.
        if store is not None:
            try:
                store.close()
            except OSError as error:
                raise WriteFailed(
                    f"the last snapshot could not be saved: {error}; the journal holds everything"
                ) from error

    def closes_at_exit(self) -> bool:
        """Return whether the end of the program can close this database without waiting for anybody."""
        return self._pid == os.getpid() and self._engine is not None and self._engine.open_transaction is None

    def __enter__(self) -> Self:
        """Open the database."""
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # ── transactions ────────────────────────────────────────────────────────────────────────────────────────────────

    def _opened(self) -> "MemoryEngine":
        if self._engine is None:
            raise DatabaseClosed(f"{self!r} is not open: use `with {type(self).__name__}(…) as db`, or db.open()")
        return self._engine

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context in which all changes happen together or not at all; nested, a savepoint.

        Leaving it commits and returns when that is durable; an exception rolls back. One transaction is open at a
        time; others wait. Don't await inside: a task that waits for another's transaction would hold the loop, so it
        raises TransactionError instead.

        Raises:
            ConstraintError, WriteFailed, ReadOnlyStore: on leaving; everything was rolled back.
        """
        return _transaction(self._opened())

    async def run(self, fn: "Callable[Concatenate[Self, P], T]", /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(db, *args)` as one transaction, and return its result when that is durable.

        The one idiom for asyncio: commits of one tick share a sync, and the loop is not held while a disk syncs.
        `fn` is a plain function that does not block; on an engine that can ask for it, it is called again.

        Raises:
            TypeError: `fn` is a coroutine function, or returned an awaitable.
        """
        return await self._opened().run(lambda: fn(self, *args, **kwargs))

    # ── looking after it ────────────────────────────────────────────────────────────────────────────────────────────

    def persist(self) -> None:
        """Save a snapshot now, and return when it is on the disk; makes writes work again after a failed sync.

        Raises:
            WriteFailed: it could not be saved; the cause is the OSError.
            ReadOnlyStore: the database was opened with read_only=True, or is no longer alone on its directory.
        """
        engine = self._opened()
        if self._store is None:
            return
        if self._store.committer is None:
            raise ReadOnlyStore(f"{self._directory} was opened with read_only=True")
        if engine.in_transaction():
            raise WriteFailed("persist() inside a transaction would save half of it; call it after the transaction")
        try:
            self._store.committer.persist()
        except OSError as error:
            raise WriteFailed(f"the snapshot could not be saved: {error}") from error

    def check(self) -> list[str]:
        """Return what is wrong in memory: indexes against full scans, constraints; empty when sound. O(n log n)."""
        return self._opened().problems()

    def status(self) -> Status:
        """Return how the database is doing; O(tables)."""
        engine = self._opened()
        counts = {name: found.count() for name, found in self._tables.items()}
        assert engine.log is not None
        refusal = engine.log.refusal
        committer = self._store.committer if self._store else None
        if committer is None:
            sequence = engine.sequence
            return Status("memory", sequence, refusal is None, str(refusal) if refusal else None, rows=counts)
        saver = committer.saver
        return Status(
            engine="memory",
            sequence=committer.sequence,
            writable=refusal is None,
            reason=str(refusal) if refusal else None,
            snapshot_sequence=saver.saved_sequence if saver.saved_at else None,
            snapshot_saved_at=datetime.fromisoformat(saver.saved_at) if saver.saved_at else None,
            snapshot_bytes=saver.saved_bytes,
            snapshot_error=saver.error,
            rows=counts,
        )


_BANNER = (
    "IMPORTANT: In-memory database is active (proof of concept mode)",
    "Data persistence: Automatic snapshots to disk are enabled as a stopgap measure",
    "Persistence directory: {directory}",
    "LIMITATION: In production, migrate to a proper database (PostgreSQL/MongoDB)",
    "WARNING: Disk persistence is NOT a replacement for proper database replication",
)


@contextmanager
def _transaction(engine: "MemoryEngine") -> Iterator[None]:
    with engine.transaction():
        yield


def _declared(cls: type[Database], name: str, hint: Any) -> tuple[type[BaseModel], tuple[Any, ...]]:
    if get_origin(hint) is not Table:
        raise SchemaError(
            f"{cls.__name__}.{name}: annotate a table as `{name}: Table[Model]`; anything else as ClassVar"
        )
    if hasattr(Database, name) or name in ("url", "snaptable", "checksum"):
        raise SchemaError(f"{cls.__name__}.{name}: the name is taken by Database itself, or by the file's own lines")
    if name.startswith("_"):
        raise SchemaError(f"{cls.__name__}.{name}: a table's name doesn't begin with an underscore")
    (model,) = get_args(hint)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise SchemaError(f"{cls.__name__}.{name}: {model!r} is no model")
    default = cls.__dict__.get(name)
    if default is not None and not isinstance(default, Declared):
        raise SchemaError(f"{cls.__name__}.{name}: the only value a table takes is table(…)")
    return model, default.indexes if default is not None else ()


_open_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()


def _close_all() -> None:
    """Close what the program left open; every commit is durable anyway, this saves the last snapshot.

    Not in a fork, where locks may be held by threads that aren't there, nor behind a transaction that a thread which
    goes on to the end may hold for ever.
    """
    for database in list(_open_databases):
        if database.closes_at_exit():
            with suppress(Exception):
                database.close()


atexit.register(_close_all)
