"""Backups on a schedule: made, verified, and pruned, in a folder that should be on another disk.

When the next one is due, the folder says: its newest backup of this store and the interval. So a restart makes none
before its time, and none is forgotten. While one is made no blob is removed: rows of its moment may name any of them.
"""

import asyncio
import logging
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.files.blobs import Blobs
from app.library import Library
from snaptable import SnaptableError
from snaptable.backup import Keep, NamedBackup, back_up, backups_in, store_of
from snaptable.backup.making import TEMPORARY, encryption_for, target_of
from snaptable.storage.disk.files import Files

RETRY = timedelta(minutes=10)
"""Pause after a backup that failed, unless the interval is shorter."""
LONGEST_SLEEP = 60.0
"""Seconds after which the clock is looked at again: it may have been set, or the machine have slept."""
LEFTOVER_SECONDS = 24 * 3600
"""Age of an unfinished file from which on nobody can be writing it any more."""

logger = logging.getLogger("app.backups")


@dataclass(frozen=True)
class BackupTerms:
    """When backups are made, where, and which are kept.

    Attributes:
        directory: the folder that they go to.
        every: the time between two.
        keep: which are kept.
        recipients: public keys that they are encrypted for; none for plain ones.
    """

    directory: str
    every: timedelta
    keep: Keep
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackupReport:
    """How backups are doing.

    Attributes:
        last_at: when the newest was made; None before the first.
        last_sequence: the commit that it holds.
        last_bytes: its size.
        error: why the last attempt failed; None once one succeeded.
        error_at: when that was.
        next_at: when the next is due.
    """

    last_at: datetime | None
    last_sequence: int | None
    last_bytes: int | None
    error: str | None
    error_at: datetime | None
    next_at: datetime


class _Stopped(Exception):
    """The end of a backup that is under way: the server stops."""


class Backups:
    """The task that makes backups when they are due."""

    def __init__(self, db: Library, blobs: Blobs, terms: BackupTerms) -> None:
        """Look for the newest backup of this store.

        Raises:
            BackupError: the folder is the store's own, or a key is none.
            OSError: the folder can't be made or read.
        """
        self._db, self._blobs, self._terms = db, blobs, terms
        encryption_for(terms.recipients, None)  # what is wrong with them is said at the start, not in the night
        folder, _ = target_of(Path(terms.directory) / "x.zip", db.directory, db.backup_folders)
        self._files = Files(folder)
        self._files.make_directory()
        if db.directory is not None and folder.is_relative_to(db.directory):
            logger.warning("%s is lost with the store beside it, and moved aside by a restore: choose another", folder)
        self._stop = threading.Event()
        self._store: str | None = None
        self._error: tuple[str, datetime] | None = None
        self._remove_leftovers()
        self._report = BackupReport(None, None, None, None, None, datetime.now(UTC))
        self.look()

    @property
    def report(self) -> BackupReport:
        """How backups are doing, as of the last look at the folder: that may be on a disk that doesn't answer."""
        return self._report

    def look(self) -> None:
        """Look into the folder; O(backups in it)."""
        error, error_at = self._error or (None, None)
        newest = next(iter(self._mine()), None)
        if newest is None:
            self._report = BackupReport(None, None, None, error, error_at, self._due(None))
            return
        identity = self._files.identity(newest.name)
        size = identity.size if identity else None
        self._report = BackupReport(newest.at, newest.sequence, size, error, error_at, self._due(newest.at))

    def _due(self, last: datetime | None) -> datetime:
        now = datetime.now(UTC)
        due = now if last is None else min(last, now) + self._terms.every  # the clock may have been ahead
        return due if self._error is None else max(due, self._error[1] + min(RETRY, self._terms.every))

    async def run(self) -> None:
        """Make backups for ever, each when it is due."""
        while True:
            wait = self._report.next_at - datetime.now(UTC)
            if wait > timedelta():
                await asyncio.sleep(min(LONGEST_SLEEP, wait.total_seconds()))
                continue
            try:
                await asyncio.to_thread(self.make)
            except asyncio.CancelledError:
                self._stop.set()  # the thread ends at the next file that it copies, or within a megabyte
                raise

    def make(self) -> None:
        """Make a backup, then remove those that no rule keeps; what goes wrong is logged, and in the report."""
        try:
            self._make()
            self.look()
        except (SnaptableError, OSError, MemoryError) as error:
            self._fail(error)

    def _make(self) -> None:
        began = time.monotonic()
        try:
            with self._blobs.held():
                made = back_up(
                    self._db, self._files.root, recipients=self._terms.recipients, on_progress=self._check_stopped
                )
        except _Stopped:
            logger.info("The backup that was under way was given up: the server stops")
            return
        self._error, self._store = None, made.store
        seconds = time.monotonic() - began
        logger.info("Backup %s: %d bytes in %.1f s, verified", made.path, made.size, seconds)
        self._prune()

    def _check_stopped(self, _: int) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _fail(self, error: Exception) -> None:
        now = datetime.now(UTC)
        reason = str(error) or type(error).__name__
        self._error = reason, now
        due = max(self._report.next_at, now + min(RETRY, self._terms.every))
        self._report = replace(self._report, error=reason, error_at=now, next_at=due)
        logger.error("The backup failed: %s", error)

    def _mine(self) -> list[NamedBackup]:
        if self._store is None:
            self._store = store_of(self._db)
        return backups_in(self._files, self._store)

    def _prune(self) -> None:
        """Remove the backups of this store that no rule keeps, now that there is a newer one."""
        try:
            for backup in self._terms.keep.expired(self._mine()):
                self._files.remove(backup.name)
                logger.info("Removed the backup %s", backup.name)
        except OSError as error:
            logger.warning("Old backups could not be removed: %s", error)

    def _remove_leftovers(self) -> None:
        """Remove unfinished files of processes that were killed."""
        for name in self._files.list():
            identity = self._files.identity(name)
            if name.startswith(TEMPORARY) and identity and identity.modified < (time.time() - LEFTOVER_SECONDS) * 1e9:
                self._files.remove(name)
