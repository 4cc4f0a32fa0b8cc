"""The engine in memory with the store that makes its commits durable: a directory of the file system."""

import logging
import os
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from snaptable.changes.captures import Capture
from snaptable.changes.records import CommitRecord, ErasedKeys
from snaptable.changes.retention import FoundText
from snaptable.contract import CommitSource, Status
from snaptable.engines.captured_rows import captured_rows
from snaptable.engines.header_marks import marks_of
from snaptable.engines.options import EngineOptions
from snaptable.engines.volatile import InMemory
from snaptable.errors import OpenError, ReadOnlyStore, WriteFailed
from snaptable.memory.catching_up import absorb_frames, absorb_rows
from snaptable.memory.commit_log import UndoRecords
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.loader import TableLoader, without_garbage_collection
from snaptable.memory.spelling import speller_of
from snaptable.runtime.progress import Progress
from snaptable.storage.capture import capture
from snaptable.storage.commit_batch import CommitBatch, CommitCallbacks
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files, resolve
from snaptable.storage.disk.safety import denied
from snaptable.storage.group_commit import GroupCommit
from snaptable.storage.journal.commits import JournalCommits
from snaptable.storage.journal.follower import JournalFollower, PlaceLost
from snaptable.storage.journal.format import Frame
from snaptable.storage.migration import NoSchemaChanges
from snaptable.storage.past import StorePast, search
from snaptable.storage.store import OpenOptions, Store

T = TypeVar("T")

logger = logging.getLogger("snaptable")

BANNER = (
    "IMPORTANT: In-memory database is active (proof of concept mode)",
    "Data persistence: Automatic snapshots to disk are enabled as a stopgap measure",
    "Persistence directory: {directory}",
    "LIMITATION: In production, migrate to a proper database (PostgreSQL/MongoDB)",
    "WARNING: Disk persistence is NOT a replacement for proper database replication",
)


class DurableEngine(InMemory):
    """Tables in memory, and the open store that they are loaded from and committed to. Made by `open`."""

    def __init__(self, options: EngineOptions, directory: Path) -> None:
        super().__init__(MemoryEngine(options.schemas, options.writer_timeout))
        self.directory: Path | None = directory
        self.store: Store[UndoRecords]
        self._commits: JournalCommits
        self._speller = speller_of({name: table.codec for name, table in self.memory.tables.items()})
        """What writes its rows."""
        # For `refresh`; without what refers to the Database, which its engine must not keep alive.
        self._options = replace(options, files=Files, import_legacy=_refuse_legacy, cleanup=ExitStack())
        self._refreshing = threading.Lock()
        self._follower: JournalFollower | None = None
        """Where in the journal a database that is read only was refreshed to; None before that."""
        self._pid = os.getpid()

    @classmethod
    def open(cls, options: EngineOptions) -> "DurableEngine":
        """Open a directory and load what it holds.

        Raises:
            OpenError: it can't be opened; its files are as they were, but for torn ends, which are kept aside.
        """
        # 1. The directory: resolved once, so that a symlink that is moved later moves nothing.
        directory = resolve(options.url)
        if options.banner and not options.read_only:
            log_banner_once(directory)
        # 2. The rows, verified and indexed.
        engine = cls(options, directory)
        files = options.files(directory)
        engine._commits = JournalCommits(files, engine.last_visible)
        engine.store = engine._load(options, files)
        # 3. Where commits go from here on.
        engine.memory.begin_at(engine.store.recovery.sequence)
        engine._commits.store = engine.store.recovery.store or ""
        if engine.store.group_commit is not None:
            engine._commits.store = engine.store.group_commit.checkpointer.store
            engine._commits.segments.marks = engine.store.group_commit.journal.marks
            engine.memory.begin_at(engine.store.group_commit.sequence)
            engine.memory.log = engine.store.group_commit
        else:
            engine.refuse_writes(ReadOnlyStore(f"{directory} was opened with read_only=True"))
        # 4. What there is.
        engine._log_recovered(_shown(options))
        return engine

    def _load(self, options: EngineOptions, files: Files) -> Store[UndoRecords]:
        """Open the store, filling the tables; how far that is, is shown if it takes long."""
        try:
            identity = files.identity(names.SNAPSHOT)
        except OSError as error:
            reason = denied(files.root, error)
            raise OpenError(f"{self.directory} can't be opened: {reason}", path=self.directory) from error
        progress = Progress(identity[2] if identity else 0, f"Loading {_shown(options)}")
        with progress:
            return self._open_store(
                options,
                files,
                lambda: TableLoader(self.memory.tables, progress.advance, self._speller, indexes=options.indexes),
            )

    def _open_store(
        self, options: EngineOptions, files: Files, target: Callable[[], TableLoader]
    ) -> Store[UndoRecords]:
        opening = OpenOptions(
            files,
            tuple(options.schemas),
            target,
            options.import_legacy,
            options.snapshot,
            options.read_only,
            options.models,
            options.retention,
            options.schema_changes or NoSchemaChanges(),
            marks_of(options.schemas),
            self._speller,
            options.cleanup,
        )
        callbacks = CommitCallbacks[UndoRecords](
            self._became_durable, self.memory.failed, dict, self.memory.durable_rows
        )
        with without_garbage_collection():
            return Store.open(opening, callbacks)

    def _became_durable(self, batch: CommitBatch[UndoRecords]) -> None:
        # In this order: whoever is told of a commit may look for it at once.
        self._commits.add(batch.at, batch.commits)
        self.memory.became_durable(batch)

    def on_durable(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each commit becomes durable; return what ends that."""
        self._commits.keep_recent()
        return super().on_durable(call)

    @property
    def commits(self) -> CommitSource:
        """What the journal keeps of the commits."""
        return self._commits

    @property
    def erased(self) -> ErasedKeys:
        """The keys whose content was erased, as snapshots list them."""
        return self._writable().checkpointer.pages.erased

    def forget(self, moment: int) -> None:
        """Forget the commits up to a moment, as far as whole files of the journal hold nothing else."""
        self._change_past(lambda past: past.forget(moment))

    def rewrite_commits(self, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:
        """Keep of the commits up to one what a function returns; return how many frames of the journal changed."""
        return self._change_past(lambda past: past.rewrite(until, rewritten))

    def _change_past(self, change: Callable[[StorePast[UndoRecords]], T]) -> T:
        try:
            return change(StorePast(self.store.files, self._writable()))
        except OSError as error:
            raise WriteFailed(f"the journal could not be written anew; call it again: {error}") from error
        finally:
            self._commits.forget_recent()

    def find_texts(self, texts: Collection[bytes]) -> list[FoundText]:
        """Return where texts stand in the files of the store, and beside them."""
        return search(self.store.files, texts)

    def _writable(self) -> GroupCommit[UndoRecords]:
        group_commit = self.store.group_commit
        if group_commit is None:
            raise ReadOnlyStore(f"{self.directory} was opened with read_only=True")
        return group_commit

    def _log_recovered(self, shown: str) -> None:
        if not self.store.existed:
            logger.info("No existing database snapshot found. Starting with empty database.")
            return
        logger.info("Database snapshot loaded successfully from %s", shown)
        counts = {name: len(rows) for name, rows in self.memory.tables.items()}
        logger.info("Recovered: %s", ", ".join(f"{count} {name}" for name, count in counts.items()))

    def persist(self) -> None:
        """Save a snapshot now, and make writes work again after a failed sync."""
        group_commit = self._writable()
        self.refuse_in_transaction()
        try:
            group_commit.persist()
        except OSError as error:
            raise WriteFailed(f"the snapshot could not be saved: {error}") from error

    def capture(self, folders: Sequence[str], migrations: Sequence[str]) -> Capture:
        """Return the last durable state as files; of a database that is read only, the state that it shows."""
        self.refuse_in_transaction("backup()", "hold nothing of it")
        group_commit, recovery = self.store.group_commit, self.store.recovery
        if group_commit is not None:
            return capture(self.store.files, folders, group_commit.checkpointer.capture)
        digest = recovery.head_digest if self._follower is None else self._follower.head_digest
        erased = {} if recovery.header is None else recovery.header.erased
        return captured_rows(
            self.memory, migrations, self.store.files, recovery.store or "", digest, folders, erased=erased
        )

    def refresh(self) -> int:
        """Show what the process that has the store open for writing has committed meanwhile."""
        if self.store.group_commit is not None:
            return self.last_visible()
        self.refuse_in_transaction("refresh()", "change what it reads")
        with self._refreshing:
            self._refresh()
        return self.last_visible()

    def _refresh(self) -> None:
        recovery = self.store.recovery
        follower = self._follower or JournalFollower(
            self.store.files, recovery.store or "", recovery.sequence, recovery.head_digest
        )
        try:
            frames, follower = follower.advanced()
            self._refuse_newer(frames)
            absorb_frames(self.memory, frames)
        except PlaceLost:
            follower = self._load_anew()
        except OSError as error:
            reason = denied(self.store.files.root, error)
            raise OpenError(f"{self.directory} can't be read: {reason}", path=self.directory) from error
        self._follower = follower

    def _refuse_newer(self, frames: Sequence[Frame]) -> None:
        """Raise StoreNewer if the process that writes applied migrations that these models don't know."""
        changes = self._options.schema_changes
        names = [name for frame in frames for commit in frame.commits for name in commit.named_migrations]
        if changes is not None and names:
            changes.pending(names, str(self.directory))

    def _load_anew(self) -> JournalFollower:
        """Load what the directory holds now beside the tables, and show it; O(n)."""
        codecs = {name: rows.codec for name, rows in self.memory.tables.items()}
        loaded = MemoryEngine(self._options.schemas, self.memory.writer_timeout, codecs)
        store = self._open_store(
            self._options, self.store.files, lambda: TableLoader(loaded.tables, lambda _: None, self._speller)
        )
        absorb_rows(self.memory, loaded, store.recovery.sequence)
        self.store = store
        self._commits.forget_recent()
        recovery = store.recovery
        return JournalFollower(store.files, recovery.store or "", recovery.sequence, recovery.head_digest)

    def status(self, *, details: bool = True) -> Status:
        """Return how the tables, the journal and the snapshot are doing; O(tables)."""
        status, group_commit = super().status(details=details), self.store.group_commit
        if group_commit is None:
            return replace(status, history=self.commits.status())
        checkpointer = group_commit.checkpointer
        saved = checkpointer.saved
        return replace(
            status,
            sequence=group_commit.sequence,
            snapshot_sequence=saved.sequence if saved.saved_at else None,
            snapshot_saved_at=datetime.fromisoformat(saved.saved_at) if saved.saved_at else None,
            snapshot_bytes=saved.size,
            snapshot_error=checkpointer.error,
            history=replace(self.commits.status(), purged=_last_purged(self.erased)),
            syncs=group_commit.syncs.status(),
        )

    def close(self) -> None:
        """Write the last snapshot and the mark of a clean close, and release the lock."""
        try:
            self.store.close()
        except (OSError, ReadOnlyStore) as error:
            raise WriteFailed(f"the last snapshot could not be saved: {error}; the journal holds everything") from error

    def can_close_at_exit(self) -> bool:
        """Return whether no transaction is open, and this is not a fork of the process that opened the store."""
        return self._pid == os.getpid() and self.memory.open_transaction is None


def _refuse_legacy(_: object) -> None:
    raise AssertionError("a database that is read only takes no file over")


def _last_purged(erased: ErasedKeys) -> int:
    return max((last for keys in erased.values() for last in keys.values()), default=0)


def _shown(options: EngineOptions) -> str:
    """Return the snapshot's path as the user wrote the directory."""
    return os.path.join(options.url, names.SNAPSHOT)  # noqa: PTH118 - Path would tidy it up


_announced: set[tuple[int, Path]] = set()
"""Process and directory of the banners that were logged."""


def log_banner_once(directory: Path) -> None:
    """Log what a store in memory is, and is not; once a process and directory."""
    if (os.getpid(), directory) in _announced:
        return
    _announced.add((os.getpid(), directory))
    line = "=" * 80
    for text in (line, *BANNER, line):
        logger.warning(text.format(directory=directory))
