"""One persistence directory, opened: recovery, the committer, the saver and the lock, put together."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from snaptable.changes import Insert
from snaptable.errors import CorruptJournal, CorruptSnapshot, OpenError, SnaptableError
from snaptable.storage import legacy
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.lock import Lock
from snaptable.storage.disk.quarantine import keep_bytes
from snaptable.storage.group_commit import CommitCallbacks, GroupCommit
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.segment import Segment
from snaptable.storage.legacy import LegacySnapshot
from snaptable.storage.recovery import RecoveryResult, RecoveryTarget, recover, secure_tail
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.checkpointer import Checkpointer, Policy
from snaptable.storage.snapshot.pages import Pages

logger = logging.getLogger("snaptable")


class LegacyImportTarget(RecoveryTarget, Protocol):
    """Be a loader that also takes raw rows of a stop-gap file."""

    problems: list[str]

    def add_raw(self, table: str, key: str, row: Mapping[str, object]) -> Insert | None:
        """Take a raw row; return its insertion, or report it in `problems` and return None."""


@dataclass(frozen=True)
class OpenOptions:
    """Be how a store is opened."""

    files: Files
    tables: tuple[str, ...]
    loader: Callable[[], LegacyImportTarget]
    """Gives a loader that has seen nothing yet."""
    import_legacy: Callable[[LegacySnapshot], None]
    policy: Policy
    read_only: bool


class Store:
    """Be an open store. Made by `open`; `committer` is None where it was opened to read only."""

    def __init__(self, files: Files, recovered: RecoveryResult, *, existed: bool) -> None:
        self.files = files
        self.recovered = recovered
        self.existed = existed
        """Whether there was a snapshot, or a journal, to load."""
        self.committer: GroupCommit | None = None
        self._lock: Lock | None = None
        self._pid = os.getpid()

    @classmethod
    def open(cls, opening: OpenOptions, listener: CommitCallbacks) -> "Store":
        """Open a directory, loading what it holds.

        Raises:
            OpenError: it can't be opened; its files are as they were, but for torn ends, which are kept aside.
        """
        try:
            return cls._open_beside_writer(opening) if opening.read_only else cls._open_to_write(opening, listener)
        except OSError as error:
            raise OpenError(f"{opening.files.root} can't be opened: {error}") from error

    @classmethod
    def _open_beside_writer(cls, opening: OpenOptions) -> "Store":
        for pause in (0.02, 0.1, 0.5):
            try:
                return cls._open_to_read(opening)
            except (CorruptSnapshot, CorruptJournal, FileNotFoundError):
                # A writer that goes on renews the snapshot and removes old journal files between two of our reads.
                time.sleep(pause)
        return cls._open_to_read(opening)

    @classmethod
    def _open_to_read(cls, opening: OpenOptions) -> "Store":
        files = opening.files
        if not files.exists():
            raise OpenError(f"{files.root} doesn't exist, and read_only=True makes nothing")
        found = read_snapshot(files)
        if found is None and not journal_directory.segments(files):
            raise OpenError(f"there is no store in {files.root}, and read_only=True makes none")
        if found is not None and not snapshot_format.is_ours(found):
            # What is wrong with it, if anything; a sound file of the older format can't be taken over from here.
            legacy.read(str(files.path(names.SNAPSHOT)), found, opening.tables, files.root)
            raise OpenError(
                f"{files.path(names.SNAPSHOT)} is no snapshot of this library; open it for writing to take it over"
            )
        recovered = recover(files, found, Pages(opening.tables), opening.loader())
        return cls(files, recovered, existed=True)

    @classmethod
    def _open_to_write(cls, opening: OpenOptions, listener: CommitCallbacks) -> "Store":
        files = opening.files
        # 1. The directory, ours alone.
        files.make_directory()
        for name in ("", *(known for known in (names.JOURNAL, names.QUARANTINE) if files.identity(known))):
            warning = files.check_directory(name)
            if warning:
                logger.warning("%s", warning)
        # 2. The lock, until close.
        lock = Lock(files, "close it there (one process writes to a store), or open with read_only=True")
        try:
            # 3. What is there: verified, replayed, indexed, checked. Nothing is changed by this.
            pages = Pages(opening.tables)
            found = read_snapshot(files)
            if found is None or snapshot_format.is_ours(found):
                recovered = recover(files, found, pages, opening.loader())
            else:
                recovered = import_legacy(opening, found, pages)
            store = cls(files, recovered, existed=found is not None or recovered.store is not None)
            store._lock = lock
            # 4. Files that were never finished.
            remove_leftovers(files)
            # 5. Torn ends set aside and cut, a fresh snapshot where anything was in doubt, then ready.
            store.committer = store._begin(opening, pages, lock, listener)
        except BaseException:
            lock.release()
            raise
        return store

    def _begin(self, opening: OpenOptions, pages: Pages, lock: Lock, listener: CommitCallbacks) -> GroupCommit:
        files, state = self.files, self.recovered
        store = state.store or str(uuid4())
        saver = Checkpointer(files, store, pages, opening.policy)
        saver.begin(state.sequence, state.tip, state.header, state.snapshot_bytes, files.identity(names.SNAPSHOT))
        files.make_directory(names.JOURNAL)
        # A sync of the directory that failed in an earlier life is made up for.
        files.sync_directory()
        secure_tail(files, state)
        segment = Segment(files, store, state.sequence + 1, state.tip)
        if state.header is None or state.replayed or not state.clean:
            # The page cache may show what the disk lost: what was loaded goes to a new file before it is built on.
            saver.save()
            if not state.clean:
                segment.begin()
        return GroupCommit(files, lock, saver, segment, listener)

    def close(self) -> None:
        """Write the last snapshot and let others in.

        Raises:
            OSError: the snapshot could not be written; the journal holds everything.
            ReadOnlyStore: nor is it to be written: somebody else may be writing.
        """
        if os.getpid() != self._pid:
            return  # a fork shares the lock with the process that opened the store: letting go would let others in
        try:
            if self.committer is not None:
                self.committer.close()
        finally:
            if self._lock is not None:
                self._lock.release()


def read_snapshot(files: Files) -> bytes | None:
    """Return the snapshot's content, None where there is none."""
    try:
        return files.read(names.SNAPSHOT)
    except FileNotFoundError:
        return None


def remove_leftovers(files: Files) -> None:
    """Remove files that a crash kept from being finished: only names of ours, only plain files."""
    for folder in ("", f"{names.JOURNAL}/"):
        for name in filter(names.is_temporary, files.list(folder)):
            try:
                files.inspect(folder + name)
                files.remove(folder + name)
            except (OSError, SnaptableError) as error:
                logger.warning("A leftover could not be removed: %s", error)


def import_legacy(opening: OpenOptions, found: bytes, pages: Pages) -> RecoveryResult:
    """Take over a file of the older stop-gap: every row, or nothing.

    Raises:
        SchemaMismatch: listing the rows that do not fit, by table, key and field.
    """
    files, loader = opening.files, opening.loader()
    path = str(files.path(names.SNAPSHOT))
    old = legacy.read(path, found, opening.tables, files.root)
    if journal_directory.segments(files):
        raise OpenError(
            f"{path} is of the older format, but there is a journal beside it: move {names.JOURNAL} away first"
        )
    # 1. What the application changes: converted, reported, set aside.
    opening.import_legacy(old)
    # 2. Each row into its table.
    for table in opening.tables:
        for key, row in old.tables.get(table, {}).items():
            insert = loader.add_raw(table, key, row)
            if insert is not None:
                pages.apply((insert,))
    loader.problems[:0] = old.problems
    loader.finish({})
    # 3. The old bytes, and what was set aside, kept before anything is written.
    kept = keep_bytes(files, "stopgap-db_snapshot.json", found)
    logger.warning("%s is of the older format; it is taken over, its bytes are kept as %s", path, kept)
    if old.aside:
        kept = keep_bytes(files, "stopgap-rows-set-aside.jsonl", old.aside_json())
        logger.warning("%d rows that could not be taken over are kept as %s", len(old.aside), kept)
    return RecoveryResult(clean=True)
