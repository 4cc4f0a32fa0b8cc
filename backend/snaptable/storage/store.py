"""The store: one persistence directory, opened; recovery, group commit, checkpointer and lock put together."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Generic
from uuid import uuid4

from snaptable.changes.records import CommitRecord, FillIn, Replace
from snaptable.changes.retention import USUAL, Retention
from snaptable.errors import CorruptJournal, CorruptSnapshot, OpenError, SnapshotEdited, SnaptableError
from snaptable.runtime.clock import StoreClock
from snaptable.storage import fill_ins, legacy
from snaptable.storage.commit_batch import CommitCallbacks, U
from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace_durably
from snaptable.storage.disk.files import DISK_FULL, Files
from snaptable.storage.disk.lock import Lock
from snaptable.storage.disk.safety import denied
from snaptable.storage.group_commit import GroupCommit
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.segment import Segment
from snaptable.storage.legacy import LegacySnapshot
from snaptable.storage.migration import VIA, Loaded, MigrationTarget, NoSchemaChanges, SchemaChanges, load
from snaptable.storage.recovery import RecoveryResult, secure_tail
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.checkpointer import Checkpointer, Policy
from snaptable.storage.snapshot.pages import Pages
from snaptable.storage.snapshot.table_marks import TableMarks

logger = logging.getLogger("snaptable")

READ_PAUSES = (0.02, 0.1, 0.5)
"""Seconds before the files are read again, if a writer changed them meanwhile."""
ADVICE_WHEN_LOCKED = "close it there (one process writes to a store, so start one worker), or open with read_only=True"


@dataclass(frozen=True)
class OpenOptions:
    """How a store is opened.

    Attributes:
        files: its directory.
        tables: the names of the database's tables, in order.
        target: makes a new, empty target of recovery.
        convert_legacy: the application's conversion of a legacy snapshot.
        policy: when a commit waits for its snapshot.
        read_only: take no lock and change nothing.
        models: the Database class, as `module:Class`; noted in the lock file.
        retention: how much of the past is kept.
        schema_changes: the application's migrations.
        marks: what the models say of the tables.
        speller: what the target writes rows with, for the snapshot's seal; "" for no seal.
        cleanup: is told what to let go if the opening is interrupted, wherever that happens.
    """

    files: Files
    tables: tuple[str, ...]
    target: Callable[[], MigrationTarget]
    convert_legacy: Callable[[LegacySnapshot], None]
    policy: Policy
    read_only: bool
    models: str = ""
    retention: Retention = USUAL
    schema_changes: SchemaChanges = field(default_factory=NoSchemaChanges)
    marks: TableMarks = field(default_factory=TableMarks)
    speller: str = ""
    cleanup: ExitStack = field(default_factory=ExitStack)


class Store(Generic[U]):
    """An open store; made by `open`.

    Attributes:
        files: its directory.
        recovery: the state it was opened with.
        existed: whether there was a snapshot, or a journal, to load.
        group_commit: where commits go; None if it was opened to read only.
    """

    def __init__(self, files: Files, recovery: RecoveryResult, *, existed: bool) -> None:
        self.files = files
        self.recovery = recovery
        self.existed = existed
        self.group_commit: GroupCommit[U] | None = None
        self._lock: Lock | None = None
        self._pid = os.getpid()

    @classmethod
    def open(cls, options: OpenOptions, callbacks: CommitCallbacks[U]) -> "Store[U]":
        """Open a directory and load what it holds; O(n).

        Args:
            options: how.
            callbacks: told what becomes of commits.

        Raises:
            OpenError: it can't be opened; its files are as they were, but for torn ends, which are kept aside.
        """
        files = options.files
        try:
            return cls._open_beside_writer(options) if options.read_only else cls._open_to_write(options, callbacks)
        except OSError as error:
            raise OpenError(f"{files.root} can't be opened: {denied(files.root, error)}", path=files.root) from error

    # ── to read only ────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def _open_beside_writer(cls, options: OpenOptions) -> "Store[U]":
        for pause in READ_PAUSES:
            try:
                return cls._open_to_read(options)
            except (CorruptSnapshot, CorruptJournal, SnapshotEdited, FileNotFoundError):
                # A writer may have replaced the snapshot, removed old segments or closed the store between two of our
                # reads.
                time.sleep(pause)
        return cls._open_to_read(options)

    @classmethod
    def _open_to_read(cls, options: OpenOptions) -> "Store[U]":
        files = options.files
        path = files.path(names.SNAPSHOT)
        # 1. Something must be there.
        if not files.exists():
            raise OpenError(f"{files.root} doesn't exist, and read_only=True makes nothing", path=files.root)
        # What its owner wrote, root reads too: an admin looks at a running store without taking it over.
        files.admit_owner()
        snapshot = read_snapshot(files)
        if snapshot is None and not journal_directory.segments(files):
            raise OpenError(f"there is no store in {files.root}, and read_only=True makes none", path=files.root)
        # 2. Of this format: the import of a legacy file would have to write.
        if snapshot is not None and not snapshot_format.is_ours(snapshot):
            legacy.read(str(path), snapshot, options.tables, files.root)  # raises, if anything is wrong with it
            raise OpenError(f"{path} is not a snapshot of this library; open it for writing to take it over", path=path)
        # 3. Verified, replayed, indexed, checked.
        target, changes = options.target(), options.schema_changes
        loaded = load(files, snapshot, Pages(options.tables), target, changes, read_only=True)
        store = cls(files, loaded.recovery, existed=True)
        # 4. Nothing invented: each opening would invent something else.
        fill_ins.refuse_invented(path, target.fill_ins.values())
        return store

    # ── to write ────────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def _open_to_write(cls, options: OpenOptions, callbacks: CommitCallbacks[U]) -> "Store[U]":
        files = options.files
        # 1. The directory, which nobody else may write to.
        files.make_directory()
        check_directories(files)
        # 2. The lock, until close.
        lock = Lock(files, ADVICE_WHEN_LOCKED, options.cleanup)
        try:
            # 3. What is there: verified, replayed, migrated, indexed, checked. Nothing is changed by this.
            pages, snapshot, target = Pages(options.tables), read_snapshot(files), options.target()
            pages.marks, pages.speller = options.marks, options.speller
            loaded = cls._load(options, snapshot, pages, target)
            store = cls(files, loaded.recovery, existed=snapshot is not None or loaded.recovery.store is not None)
            store._lock = lock
            lock.note_models(options.models)
            # 4. Files that were never finished.
            remove_leftovers(files)
            # 5. What migrations changed, as one commit, behind a copy of the snapshot before it.
            segment = store._commit_migrations(loaded)
            # 6. Torn ends set aside, a fresh snapshot if anything was in doubt; then ready.
            store.group_commit = store._begin(options, pages, lock, callbacks, segment)
            # 7. What loading filled in, saved before anybody is given it.
            if target.fill_ins:
                store._save(tuple(target.fill_ins.values()))
        except BaseException:
            lock.release()
            raise
        return store

    @staticmethod
    def _load(options: OpenOptions, snapshot: bytes | None, pages: Pages, target: MigrationTarget) -> Loaded:
        """Load what is in the directory, of this format or of the older one."""
        files, changes = options.files, options.schema_changes
        if snapshot is None or snapshot_format.is_ours(snapshot):
            return load(files, snapshot, pages, target, changes)
        recovery = legacy.import_legacy(files, snapshot, pages, target, options.convert_legacy)
        pages.take_note(changes.names)  # the application converts to today's shape
        return Loaded(recovery)

    def _commit_migrations(self, loaded: Loaded) -> Segment | None:
        """Make what migrations changed durable; return the segment that it was written to, None if nothing was.

        After a crash before the frame is durable the store is as it was; behind that, the snapshot follows.

        Raises:
            OSError: it could not be; the store is as it was.
        """
        if loaded.before is None:
            return None
        files, recovery, (pages, commit) = self.files, self.recovery, loaded.before
        assert recovery.store is not None
        # 1. The state before, in a snapshot of its own.
        clock, head = StoreClock(recovery.at), recovery.head_digest
        checkpointer = Checkpointer(
            files, recovery.store, pages, sequence=recovery.sequence, head_digest=head, clock=clock
        )
        if recovery.header is not None:
            checkpointer.adopt(recovery.header, recovery.snapshot_bytes)
        segment = Segment(files, recovery.store, commit.sequence, head, clock, pages.migrations)
        try:
            _Start(files, recovery, checkpointer, segment).run()
        finally:
            checkpointer.stop()
            segment.drop()
        # 2. A copy of that, which stays.
        files.make_directory(names.BEFORE)
        files.check_directory(names.BEFORE)
        content, name = files.read(names.SNAPSHOT), names.before(recovery.sequence)
        replace_durably(files, names.temporary_before(), name, [content])
        # 3. The commit: with its file in one step.
        segment = Segment(files, recovery.store, commit.sequence, head, clock, pages.migrations)
        segment.begin([commit])
        self.recovery = RecoveryResult(
            recovery.store, commit.sequence, segment.head_digest, clock.timestamp(), replayed=1
        )
        logger.warning(
            "Migrated: %s; %d rows changed. The snapshot before it is kept as %s",
            ", ".join(commit.migrations), len(commit.changes), name,
        )  # fmt: skip
        return segment

    def _begin(
        self,
        options: OpenOptions,
        pages: Pages,
        lock: Lock,
        callbacks: CommitCallbacks[U],
        segment: Segment | None,
    ) -> GroupCommit[U]:
        """Make what was recovered durable, and return what writes from here on: to a segment, None for a new one."""
        files, recovery = self.files, self.recovery
        store = recovery.store or str(uuid4())
        # 1. The snapshot that is there.
        clock = StoreClock(recovery.at)
        checkpointer = self._checkpointer(options, pages, store, clock)
        # 2. All that was recovered, on the disk for certain.
        if segment is None:
            segment = Segment(files, store, recovery.sequence + 1, recovery.head_digest, clock, pages.migrations)
        start = _Start(files, recovery, checkpointer, segment)
        options.cleanup.callback(checkpointer.stop)
        group_commit = GroupCommit(files, lock, checkpointer, segment, callbacks, options.retention)
        try:
            start.run()
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            # 3. On a full disk rows can be read, and nothing is written until these steps have been done.
            group_commit.defer_start(start.run, error)
        return group_commit

    def _checkpointer(self, options: OpenOptions, pages: Pages, store: str, clock: StoreClock) -> Checkpointer:
        """Return the checkpointer, which knows the snapshot that is there."""
        recovery = self.recovery
        checkpointer = Checkpointer(
            self.files,
            store,
            pages,
            options.policy,
            sequence=recovery.sequence,
            head_digest=recovery.head_digest,
            clock=clock,
        )
        if recovery.header is not None:
            checkpointer.adopt(recovery.header, recovery.snapshot_bytes)
        return checkpointer

    def _save(self, filled_in: Sequence[FillIn]) -> None:
        """Make what loading filled in durable, as one commit.

        Raises:
            OpenError: it could not be, and the next opening would fill in something else.
        """
        group_commit = self.group_commit
        assert group_commit is not None
        try:
            if self.recovery.store is not None:  # a legacy file's rows are in the first snapshot, whole
                changes = tuple(Replace(each.table, each.key, each.row, each.before, each.added) for each in filled_in)
                named = fill_ins.names_of(filled_in)
                commit = CommitRecord(group_commit.sequence + 1, changes, {}, VIA, (), named)
                batch = group_commit.enqueue(commit, lambda _: None)
                group_commit.wait(batch)
            elif group_commit.refusal is not None:
                raise group_commit.refusal
        except Exception as error:
            if any(each.invented for each in filled_in):
                with suppress(OSError, SnaptableError):
                    group_commit.close()
                fields = fill_ins.fields_of(filled_in)
                raise OpenError(f"{fields} could not be filled in: {error}", path=self.files.root) from error
            # Constants: every opening fills in the same.
            logger.warning("What was filled in could not be saved, and is filled in again at the next start: %s", error)
        for line in fill_ins.described(filled_in):
            logger.info("%s", line)

    def close(self) -> None:
        """Write the last snapshot and release the lock.

        Raises:
            OSError: the snapshot could not be written; the journal holds everything.
            ReadOnlyStore: nor may it be written: another process may be writing.
        """
        if os.getpid() != self._pid:
            return  # a fork shares the lock with the process that opened the store: it must not release it
        try:
            if self.group_commit is not None:
                self.group_commit.close()
        finally:
            if self._lock is not None:
                self._lock.release()


@dataclass
class _Start:
    """The steps that make what was recovered durable, before the first write; on a full disk they are tried again."""

    files: Files
    recovery: RecoveryResult
    checkpointer: Checkpointer
    segment: Segment
    is_tail_secure: bool = False
    was_tried: bool = False

    def run(self) -> None:
        """Do the steps; raises OSError, and can be called again then."""
        recovery = self.recovery
        # 1. The names in the directory: the process before may have failed to sync them. After a sync that failed
        #    another one proves nothing: what was loaded goes to new files then.
        is_doubtful, self.was_tried = self.was_tried or not recovery.closed_cleanly, True
        self.files.make_directory(names.JOURNAL)
        self.files.sync_directory()
        # 2. The end of the journal.
        if not self.is_tail_secure:
            secure_tail(self.files, recovery)
            self.is_tail_secure = True
        # 3. A fresh snapshot and a fresh segment: the page cache may show what the disk lost, so what was loaded goes
        #    to a new file before anything is built on it.
        if recovery.header is None or recovery.replayed or is_doubtful:
            self.checkpointer.checkpoint()
            # A segment that holds the commit of a migration was begun, and synced, by this very start.
            if is_doubtful and not self.segment.size:
                self.segment.begin()


def read_snapshot(files: Files) -> bytes | None:
    """Return the snapshot's content, None if there is none."""
    try:
        return files.read(names.SNAPSHOT)
    except FileNotFoundError:
        return None


def directories(files: Files) -> list[str]:
    """Return the names of a store's directories that exist: its own, "", and those of the journal and quarantine."""
    return ["", *(name for name in (names.JOURNAL, names.QUARANTINE, names.BEFORE) if files.identity(name))]


def check_directories(files: Files) -> None:
    """Check that no other user can write to a store's directories; log a warning if a group can.

    Raises:
        UnsafeDirectory: one of them is a symlink or a file, belongs to another user, or everybody may write to it.
    """
    for name in directories(files):
        warning = files.check_directory(name)
        if warning:
            logger.warning("%s", warning)


def leftovers(files: Files) -> list[str]:
    """Return the names of files that a crash kept from being finished."""
    return [
        folder + name
        for folder in ("", f"{names.JOURNAL}/", f"{names.BEFORE}/")
        for name in filter(names.is_temporary, files.list(folder))
    ]


def remove_leftovers(files: Files) -> None:
    """Remove files that a crash kept from being finished: only names of ours, only plain files."""
    for name in leftovers(files):
        try:
            files.inspect(name)
            files.remove(name)
        except (OSError, SnaptableError) as error:
            logger.warning("A leftover could not be removed: %s", error)
