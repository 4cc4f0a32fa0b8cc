"""Database: the class whose attributes are the tables. It opens an engine, and forwards to it."""

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel

from snaptable import schema_builder
from snaptable.contract import Engine, SnapshotPolicy, Status
from snaptable.errors import DatabaseClosed, OpenError, SchemaError
from snaptable.schema import TableSchema
from snaptable.table import Declared, Table

if TYPE_CHECKING:
    from snaptable.engines import Filesystem
    from snaptable.memory.engine import MemoryEngine
    from snaptable.storage.disk.files import Files
    from snaptable.storage.legacy import LegacySnapshot
    from snaptable.storage.store import Store

P = ParamSpec("P")
T = TypeVar("T")


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
        hints, namespace = schema_builder.annotations_of(cls)
        declared: dict[str, tuple[type[BaseModel], tuple[Any, ...]]] = {}
        for base in reversed(cls.__mro__[1:]):
            declared.update(base.__dict__.get("__declared__", {}))
        for name, hint in hints.items():
            if get_origin(hint) is ClassVar or (name.startswith("_") and get_origin(hint) is not Table):
                continue
            declared[name] = _declared(cls, name, hint)
        cls.__declared__ = declared
        cls.__schemas__ = schema_builder.build(cls.__name__, declared, namespace)

    def __init__(
        self,
        url: str | os.PathLike[str] = "data",
        *,
        snapshot: SnapshotPolicy = "auto",
        fsync: bool = True,
        read_only: bool = False,
        banner: bool = True,
        filesystem: "Filesystem | None" = None,
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
        self._opened_engine: Engine | None = None
        self._closing = threading.Lock()
        self._directory: Path | None = None
        self._tables: dict[str, Table[Any]] = {name: Table(found) for name, found in self.__schemas__.items()}
        self.__dict__.update(self._tables)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<{type(self).__name__} {self.url} ({state})>"

    # ── open and close ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self._opened_engine is not None

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
        if self._opened_engine is not None:
            raise OpenError(f"{self!r} is open already")
        from snaptable.engines import EngineOptions, open_engine
        from snaptable.engines.observers import report_open

        options = EngineOptions(
            url=self.url,
            schemas=self.__schemas__,
            snapshot=self._policy,
            read_only=self._read_only,
            banner=self._shows_banner,
            files=self._files,
            import_legacy=self.take_over,
        )
        engine = open_engine(options)
        self._directory = engine.directory
        for name, table in self._tables.items():
            table.bind(engine.tables[name])
        self._opened_engine = engine
        _open_databases.add(self)
        report_open(self)
        return self

    def _files(self, directory: Path) -> "Files":
        """Return the disk of the directory: a test tool's, else the one given, else the real one."""
        from snaptable.engines.observers import observed_filesystem
        from snaptable.storage.disk.files import Files

        filesystem = observed_filesystem(self, directory) or self._filesystem or Files
        return filesystem(directory, fsync=self._fsync)

    def take_over(self, old: "LegacySnapshot") -> None:
        """Convert a snapshot of the older stop-gap before its rows are validated; override it where they changed."""

    def close(self) -> None:
        """Finish what is being written, save the last snapshot, and let others in; does nothing where it isn't open.

        Raises:
            WriteFailed: the last snapshot could not be saved; the journal holds every commit for the next start.
        """
        engine = self._opened_engine
        if engine is None:
            return
        # 1. The open transaction ends, and no other begins.
        engine.stop()
        # 2. Reads end too: another process may write as soon as the store is released.
        with self._closing:
            if self._opened_engine is not engine:
                return  # another thread was quicker
            for table in self._tables.values():
                table.bind(None)
            self._opened_engine = None
        _open_databases.discard(self)
        # 3. The last snapshot, and the mark of a clean close.
        engine.close()

    def closes_at_exit(self) -> bool:
        """Return whether the end of the program can close this database without waiting for anybody."""
        return self._opened_engine is not None and self._opened_engine.can_close_at_exit()

    def __enter__(self) -> Self:
        """Open the database."""
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # ── transactions ────────────────────────────────────────────────────────────────────────────────────────────────

    def _opened(self) -> Engine:
        if self._opened_engine is None:
            raise DatabaseClosed(f"{self!r} is not open: use `with {type(self).__name__}(…) as db`, or db.open()")
        return self._opened_engine

    @property
    def _engine(self) -> "MemoryEngine | None":
        """The engine in memory; for the pytest plugin, until it takes `engine_of`."""
        return getattr(self._opened_engine, "memory", None)

    @property
    def _store(self) -> "Store | None":
        """The store; for a test."""
        return getattr(self._opened_engine, "store", None)

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context in which all changes happen together or not at all; nested, a savepoint.

        Leaving it commits and returns when that is durable; an exception rolls back. One transaction is open at a
        time; others wait. Don't await inside: a task that waits for another's transaction would hold the loop, so it
        raises TransactionError instead.

        Raises:
            ConstraintError, WriteFailed, ReadOnlyStore: on leaving; everything was rolled back.
        """
        return self._opened().transaction()

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
            TransactionError: called inside a transaction, of which it would save half.
            WriteFailed: it could not be saved; the cause is the OSError.
            ReadOnlyStore: the database was opened with read_only=True, or is no longer alone on its directory.
        """
        self._opened().persist()

    def check(self) -> list[str]:
        """Return what is wrong in memory: indexes against full scans, constraints; empty when sound. O(n log n)."""
        return self._opened().check()

    def status(self) -> Status:
        """Return how the database is doing; O(tables)."""
        return self._opened().status()


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
