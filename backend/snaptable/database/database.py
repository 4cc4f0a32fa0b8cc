"""Database: the class whose attributes are the tables. It opens an engine, and forwards to it."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar, TypeVarTuple

from snaptable.changes.attribution import Attribution
from snaptable.changes.retention import HISTORY_BYTES, Retention
from snaptable.contract import WRITER_TIMEOUT, Engine, SnapshotPolicy, Status
from snaptable.database.declarations import declared_tables
from snaptable.database.lifecycle import Lifecycle
from snaptable.engines import EngineOptions, Filesystem, check_arguments, import_name, shown_url, url_of
from snaptable.engines.observers import observed_filesystem
from snaptable.migrations import Migration
from snaptable.migrations.declared import checked as check_migrations
from snaptable.migrations.plan import MigratePolicy, SchemaMigrations, check_policy, mark_former_secrets
from snaptable.migrations.raw import RawTable
from snaptable.postgres.options import PostgresOptions
from snaptable.schema import builder as schema_builder
from snaptable.schema.tables import Declaration, TableSchema
from snaptable.table import Table

if TYPE_CHECKING:
    from snaptable.backup import Backup
    from snaptable.history import History
    from snaptable.storage.disk.files import Files
    from snaptable.storage.legacy import LegacySnapshot

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Database(Lifecycle):
    """Base of a database class: annotate attributes `name: Table[Model]`, and each is a table of that name.

    Making an object does no I/O; `with`, or `open()` and `close()`, do. The same object can be opened again. A program
    that ends without closing loses nothing: what a write returned from is on the disk. A database that nothing refers
    to any more, no table and no query of it either, closes itself. A process that is forked has none of its parent's
    databases open: reads and writes of theirs are DatabaseClosed, and it opens its own.

    >>> class User(Row):
    ...     id: str
    ...     age: int = 0
    >>> class Library(Database):
    ...     users: Table[User]
    >>> with Library("memory:") as db:
    ...     db.users.insert(User(id="ann", age=31))
    ...     db.users.where(User.age > 30).count()
    User(id='ann', age=31)
    1
    """

    migrations: ClassVar[Sequence[Migration]] = ()
    """What brings older stores into the shape of today's models; applied at the next opening, in one commit."""
    backup_folders: ClassVar[tuple[str, ...]] = ()
    """Folders in the store's directory that go into its backups: files that rows name, kept beside the database."""

    __schemas__: ClassVar[dict[str, TableSchema]] = {}
    __declared__: ClassVar[dict[str, Declaration]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Check the whole schema when the class is made.

        Raises:
            SchemaError: naming the table and the field.
        """
        super().__init_subclass__(**kwargs)
        hints, namespace = schema_builder.annotations_of(cls)
        declared: dict[str, Declaration] = {}
        for base in reversed(cls.__mro__[1:]):
            declared.update(base.__dict__.get("__declared__", {}))
        cls.__declared__ = declared | declared_tables(cls, Database, hints)
        cls.__schemas__ = schema_builder.build(cls.__name__, cls.__declared__, namespace)
        mark_former_secrets(cls.__schemas__, check_migrations(cls.__name__, cls.migrations))

    def __init__(
        self,
        url: str | os.PathLike[str] = "data",
        *,
        snapshot: SnapshotPolicy = "auto",
        fsync: bool = True,
        read_only: bool = False,
        writer_timeout: float = WRITER_TIMEOUT,
        banner: bool = True,
        history_bytes: int = HISTORY_BYTES,
        history_days: float | None = None,
        migrate: MigratePolicy = "open",
        filesystem: Filesystem | None = None,
        history: bool = True,
        postgres: PostgresOptions | None = None,
    ) -> None:
        """Name the database; nothing is opened yet.

        Args:
            url: a directory, made if it is missing; "memory:" for a database that keeps nothing; or
                "postgresql://…", as libpq reads it, for one on a server, to which `snapshot`, `banner` and `filesystem`
                mean nothing.
            snapshot: when `db_snapshot.json` follows a write: "always" (before the write returns), "background"
                (within a second; very large data at the disk's pace), "auto" ("always" up to 4 MiB of data).
            fsync: False to survive the death of the process only, no power cut; several times faster on slow disks.
            read_only: take no lock and change nothing; reads the state as of opening, or of the last `refresh`, beside
                a running writer too. Root may read another user's store.
            writer_timeout: seconds after which a write that waits for another thread's or task's transaction gives up
                with a TransactionError; the log names who is waited for after 1 s.
            banner: False to leave out the warning that is logged when a store is opened; for scripts and notebooks.
            history_bytes: how much of the past is kept, in bytes of the journal (256 MiB); 0 for none.
            history_days: how long it is kept at most; None for as long as there is room.
            migrate: "open" to apply pending migrations, and to fill in new fields, at the opening; "manual" to raise
                MigrationNeeded instead, which lists them.
            filesystem: what gives the disk for the directory, called with it and `fsync`; None for the real one.
            history: False to keep no commits at all: nothing can be undone, or looked at as it was.
            postgres: how PostgreSQL is used, where the URL alone doesn't say.

        Raises:
            OpenError: the URL is neither a directory, nor "memory:", nor one of PostgreSQL.
            ValueError: another `snapshot` or `migrate`, or a number that is not a bound.
        """
        check_arguments(url, snapshot, writer_timeout)
        self._retention = Retention(history_bytes if history else 0, history_days)
        self._history, self._postgres = history, postgres or PostgresOptions()
        self._migrate = check_policy(migrate)
        self.url = url_of(url)
        self._policy: SnapshotPolicy = snapshot
        self._writer_timeout = writer_timeout
        self._fsync, self._read_only, self._banner, self._filesystem = fsync, read_only, banner, filesystem
        self._raw_rows: Callable[[], Mapping[str, RawTable]] | None = None
        """Gives the rows of a past as they stood then."""
        self.fork_base: int | None = None
        """The commit that a fork began with; None for any other database."""
        name = type(self).__name__
        super().__init__({key: Table(each, name) for key, each in self.__schemas__.items()})
        self.__dict__.update(self._tables)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<{type(self).__name__} {shown_url(self.url)} ({state})>"

    # ── what it is ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def read_only(self) -> bool:
        """Whether the database takes no lock and changes nothing."""
        return self._read_only

    @property
    def tables(self) -> MappingProxyType[str, Table[Any]]:
        """The tables by name, in declared order."""
        return MappingProxyType(self._tables)

    def _engine_options(self) -> EngineOptions:
        return EngineOptions(
            self.url,
            self.__schemas__,
            self._policy,
            self._read_only,
            self._banner,
            self._writer_timeout,
            self._files,
            self.import_legacy,
            import_name(type(self)),
            self._retention,
            self._schema_changes(),
            self._fsync,
            self._history,
            self._postgres,
        )

    def _schema_changes(self) -> SchemaMigrations:
        """Return the migrations of the class, beside its tables."""
        return self._schema_changes_of(self._migrate)

    @classmethod
    def _schema_changes_of(cls, policy: MigratePolicy = "open") -> SchemaMigrations:
        """Return the migrations of the class, beside its tables."""
        return SchemaMigrations(cls.__schemas__, cls.migrations, policy)

    def _files(self, directory: Path, *, fsync: bool | None = None) -> "Files":
        """Return the disk of a directory: a test tool's, else the one given, else the real one; None syncs as told."""
        from snaptable.storage.disk.files import Files

        filesystem = observed_filesystem(self, directory) or self._filesystem or Files
        return filesystem(directory, fsync=self._fsync if fsync is None else fsync)

    def import_legacy(self, old: "LegacySnapshot") -> None:
        """Convert a snapshot of the older format before its rows are validated; override it if their fields changed.

        Called once, by `open`, when the directory holds `db_snapshot.json` of the form `{table: {key: row}}`.

        Args:
            old: its rows, to be changed in place; rows can be reported as wrong or set aside.
        """

    # ── transactions ────────────────────────────────────────────────────────────────────────────────────────────────

    def transaction(self, *, actor: str | None = None, note: str | None = None) -> AbstractContextManager[None]:
        """Return a context in which all changes happen together or not at all; nested, a savepoint.

        Leaving it commits and returns when that is durable; an exception rolls back. One transaction is open at a
        time; others wait. Don't await inside: a task that waits for another's transaction would hold the loop, so it
        raises TransactionError instead. Costs O(changes), and one sync of the disk.

        Args:
            actor: who makes it, kept with the commit; before what `attribution` says.
            note: why, likewise. Neither for a savepoint.

        Raises:
            ValueError: on entering: an actor or a note for a savepoint; it is the whole commit that has them.
            ConstraintError: on leaving: a unique or foreign key would be broken; everything was rolled back.
            WriteFailed: on leaving: it could not be made durable; everything was rolled back.
            ReadOnlyStore: at the first write.
            TransactionError: left by another thread or task than the one that began it.

        >>> with db.transaction():
        ...     db.users.update("ann", age=32)
        ...     db.users.delete("ben")
        User(id='ann', age=32)
        User(id='ben', age=25)
        """
        given = None if actor is None and note is None else Attribution(actor, note)
        return self._opened().transaction(given)

    async def run(self, fn: "Callable[Concatenate[Self, P], T]", /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(db, *args)` as one transaction, and return its result when that is durable.

        The one idiom for asyncio: commits of one tick share a sync, and the loop is not held while a disk syncs.
        `fn` is a plain function that does not block; on an engine that can ask for it, it is called again.

        Raises:
            TypeError: `fn` is a coroutine function, or returned an awaitable; it was rolled back.
            ConstraintError, WriteFailed, ReadOnlyStore: as `transaction`.

        >>> import asyncio
        >>> asyncio.run(db.run(lambda db: db.users.update("ann", age=32)))
        User(id='ann', age=32)
        """
        engine = self._engine or self._opened()
        return await engine.run(partial(fn, self, *args, **kwargs))

    async def read(
        self, fn: "Callable[[Self, *Ts], T]", /, *args: *Ts, stale: bool = False, one_state: bool = True
    ) -> T:
        """Run `fn(db, *args)`, which only reads, and return its result: how code on an event loop reads on any engine.

        In memory it is called at once, for nothing. On PostgreSQL it runs in a thread, as a transaction that sees one
        state and may write nothing; a plain read on a thread with an event loop is refused there.

        Args:
            fn: a plain function.
            args: what it is called with behind the database.
            stale: whether it may be answered by a standby, which can be a little behind; in memory it never is.
            one_state: whether all that it reads is to be of one state. Where it reads one thing, or things that needn't
                agree, `False` saves a server two round trips; in memory it is nothing.

        Raises:
            TypeError: `fn` is a coroutine function, or returned an awaitable.
            ReadOnlyStore: on PostgreSQL: it wrote.

        >>> import asyncio
        >>> asyncio.run(db.read(lambda db, key: db.users.get(key), "ann"))
        User(id='ann', age=31)
        """
        return await self._opened().read(lambda: fn(self, *args), stale=stale, one_state=one_state)

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def history(self) -> "History[Self]":
        """The past: commits and who made them, earlier states, undo, restore, forks, and commits as they happen.

        >>> [change.kind for commit in db.history for change in commit.changes]
        ['insert', 'insert']
        """
        from snaptable.history import History  # a program that never looks back doesn't pay for it at its start

        return History(self)

    def _copy_over(
        self,
        engine: Engine,
        name: str,
        fork_base: int | None,
        raw_rows: "Callable[[], Mapping[str, RawTable]] | None" = None,
    ) -> Self:
        """Return an open database of this class over an engine with rows of this one; called by `History`."""
        copy = type(self).__new__(type(self))
        Database.__init__(copy, "memory:", banner=False)
        copy.url, copy._is_copy, copy.fork_base = f"{self.url}, {name}", True, fork_base
        copy._raw_rows = raw_rows
        copy._attach(engine)
        return copy

    def raw(self, table: str) -> RawTable:
        """Return the rows of a table as JSON objects by the text of their keys, secrets and all; O(n).

        Of a past, as they stood then: before a migration, with the fields and in the tables of that time.

        Raises:
            ValueError: there is, or was then, no such table.

        >>> db.raw("users")["ann"]
        {'id': 'ann', 'age': 31}
        """
        engine = self._opened()
        if self._raw_rows is not None:
            rows = self._raw_rows()
            if table in rows:
                return rows[table]
        elif table in self._tables:
            return {str(key): json.loads(row) for key, row in engine.rows_json(table).items()}
        raise ValueError(f"{self!r} has no table {table!r}")

    # ── looking after it ────────────────────────────────────────────────────────────────────────────────────────────

    def persist(self) -> None:
        """Save a snapshot now, and return when it is on the disk; makes writes work again after a failed sync. O(n).

        Never needed for durability: a write that returned is in the journal. Nothing for "memory:".

        Raises:
            TransactionError: called inside a transaction, of which it would save half.
            WriteFailed: it could not be saved; the cause is the OSError.
            ReadOnlyStore: the database was opened with read_only=True, or another process may be using its directory.

        >>> db.persist()
        """
        self._opened().persist()

    def backup(
        self, path: str | os.PathLike[str], *, recipients: Sequence[str] = (), passphrase: str | None = None
    ) -> "Backup":
        """Write the last durable state, its history and the `backup_folders` as one zip, while writes go on; O(n).

        It is read back and verified before it gets its name, and never replaces anything. `snaptable restore` puts it
        back. A past or a fork gives its rows alone. On an event loop: `await asyncio.to_thread(db.backup, path)`.

        Args:
            path: a new file, or a folder, in which a name is made of the time and the sequence.
            recipients: public keys, `age1…` or `ssh-…`, to encrypt it for; needs `snaptable[backup]`.
            passphrase: to encrypt it with instead.

        Raises:
            BackupError: the path is taken, it could not be written (the cause is the OSError), or can't be encrypted.
            TransactionError: called inside a transaction, of which it would hold nothing.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     db.backup(folder).rows
        {'users': 2}
        """
        from snaptable.backup import back_up  # a program that makes none doesn't pay for it at its start

        return back_up(self, path, recipients=recipients, passphrase=passphrase)

    def refresh(self) -> int:
        """Show what the writer has committed since a `read_only` database was opened; return the last commit it shows.

        Reads what was added to the journal since the last time: O(new bytes). If the journal no longer leads on from
        there (pruned, or files put back), the store is loaded anew, beside the rows that readers see: O(n). Readers see
        either state, never part of a commit. A database that is not read only is always up to date.

        Raises:
            OpenError: the files can't be read, or what they hold doesn't fit the models; nothing was changed.
            TransactionError: called inside a transaction.

        >>> db.refresh()
        1
        """
        return self._opened().refresh()

    def check(self) -> list[str]:
        """Return what is wrong in memory: indexes against full scans, constraints; empty when sound. O(n log n).

        >>> db.check()
        []
        """
        return self._opened().check()

    def status(self, *, details: bool = True) -> Status:
        """Return how the database is doing; O(tables).

        Args:
            details: False for who shows none, a probe: on PostgreSQL rows, history and server are left out then, and
                the server is asked once.

        >>> db.status().rows
        {'users': 2}
        """
        return self._opened().status(details=details)
