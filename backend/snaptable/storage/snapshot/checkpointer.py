"""When and how the snapshot follows the journal: at once, in the background, or both by size.

Taking a snapshot marks the pages under a lock of their own; writing them out holds nobody up. Snapshots are written one
at a time, so that an older one never replaces a newer.

A write that waits for its snapshot waits for the content, synced, under its name. That the name leads there after a
power cut too is seen to in the background: until then the journal, which is synced, leads from the old snapshot to the
same state, and nothing is removed from it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from snaptable.changes import Commit
from snaptable.errors import ReadOnlyStore, UnsafeDirectory
from snaptable.storage.background import BackgroundThread
from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace
from snaptable.storage.disk.clock import timestamp
from snaptable.storage.disk.files import File, Files, Identity, sync
from snaptable.storage.disk.quarantine import keep_bytes
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.checksum import ChecksummedBytes
from snaptable.storage.snapshot.pages import PageGroup, Pages
from snaptable.storage.snapshot.replaced_files import ReplacedFiles
from snaptable.storage.snapshot.write_pacer import WritePacer

logger = logging.getLogger("snaptable")

Policy = Literal["auto", "always", "background"]
AUTO_BYTES = 4 << 20
"""Up to so much data, `snapshot="auto"` renews the snapshot before a write returns."""
DELAY = 0.4
"""Seconds the background lets changes gather; it promises to follow within one."""
RETRY = 1.0
"""Seconds after a failed snapshot until the next try."""


class Checkpointer:
    """Keep the pages up to date with the commits, and the snapshot with the pages."""

    def __init__(self, files: Files, store: str, pages: Pages, policy: Policy) -> None:
        """Begin with the state that was recovered.

        Args:
            files: the store's directory.
            store: the store's id.
            pages: every table's rows as they are now.
            policy: when a commit waits for its snapshot.
        """
        self.files, self.store, self.pages, self.policy = files, store, pages, policy
        self.sequence, self.tip = 0, ""
        self.saved_sequence = -1
        self.saved_at: str | None = None
        self.saved_bytes: int | None = None
        self.error: str | None = None
        self.alone: Callable[[], None] = lambda: None
        """Asked before anything is written: raises where somebody else may be writing here."""
        self._named = self._saved
        """The snapshot that the name is known to lead to after a power cut: what `_saved` was."""
        self._identity: Identity | None = None
        self._whole = True
        self._changing = threading.Lock()
        self._saving = threading.Lock()
        self._in_a_hurry: list[None] = []
        self._background = BackgroundThread("snaptable-snapshot")
        self._replaced = ReplacedFiles(files, self._background)
        self._rested = 0.0

    def begin(
        self,
        sequence: int,
        tip: str,
        header: snapshot_format.SnapshotHeader | None,
        size: int,
        identity: Identity | None,
    ) -> None:
        """Take note of the recovered sequence, and of the snapshot that is on the disk."""
        self.sequence, self.tip = sequence, tip
        if header is not None:
            self.saved_sequence, self.saved_at, self.saved_bytes = header.sequence, header.saved_at, size
            self._named = self._saved
            self._identity = identity

    # ── by the committer ────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, commits: Sequence[Commit], tip: str) -> None:
        """Bring the pages up to commits that just became durable."""
        with self._changing:
            whole, self._whole = self._whole, False
            for commit in commits:
                self.pages.apply(commit.changes)
                self.pages.numbered.update(commit.numbered)
            self.sequence, self.tip = commits[-1].sequence, tip
            self._whole = whole

    def follow(self) -> None:
        """Renew the snapshot now, or see to it that the background does, as the policy says. Never raises OSError."""
        if self.policy == "background" or (self.policy == "auto" and self.pages.size > AUTO_BYTES):
            self._background.run(self._renew, max(DELAY, self._rested - time.monotonic()))
            return
        try:
            with self._turn_to_save():
                self._write()
        except OSError:
            self._background.run(self._renew, RETRY)
        except ReadOnlyStore as error:
            self.error = str(error)
        else:
            self._background.run(self._name, DELAY)

    # ── by anybody ──────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self) -> None:
        """Write the present state as a snapshot and return when it, and its name, is on the disk.

        Raises:
            OSError: it could not be written; the old snapshot is in its place.
            ReadOnlyStore: this process may no longer write here.
        """
        with self._turn_to_save():
            self._write()
            self._sync_name()

    def save_if_behind(self) -> None:
        """Save, unless the snapshot on the disk is this very state; raises as `save`."""
        with self._turn_to_save():
            self._write_if_behind()
            self._sync_name()

    def disable(self) -> None:
        """Never write a snapshot again: the pages may hold half of a commit."""
        self._whole = False

    @contextmanager
    def _turn_to_save(self) -> Iterator[None]:
        if not self._saving.acquire(blocking=False):
            self._in_a_hurry.append(None)
            try:
                self._saving.acquire()
            finally:
                self._in_a_hurry.pop()
        try:
            yield
        finally:
            self._saving.release()

    # ── one snapshot, with the turn to save ─────────────────────────────────────────────────────────────────────────

    def _write_if_behind(self, pace: Callable[[File], None] = File.start_writeback) -> None:
        if self.saved_sequence != self.sequence or self.error is not None:
            self._write(pace=pace)

    def _write(self, *, pace: Callable[[File], None] = File.start_writeback) -> None:
        with self._changing:
            if not self._whole:
                raise ReadOnlyStore("a commit was interrupted: the journal holds it, this process's memory may not")
            counts, numbered = self.pages.counts(), dict(self.pages.numbered)
            header = snapshot_format.SnapshotHeader(self.store, self.sequence, timestamp(), counts, self.tip, numbered)
            size, bundles = self.pages.size, self.pages.want()
        chunks = snapshot_format.chunks(header, {name: self._take(wanted) for name, wanted in bundles.items()})
        try:
            self.alone()
            self._keep_edited()
            with self._replaced.retaining(self.saved_bytes or 0):
                self._identity = replace(self.files, names.temporary(), names.SNAPSHOT, chunks, size=size, pace=pace)
        except (OSError, UnsafeDirectory) as error:
            raise self._failed(error) from error
        self.error = None
        self.saved_sequence, self.saved_at, self.saved_bytes = header.sequence, header.saved_at, self._identity.size

    def _take(self, wanted: list[PageGroup]) -> Iterator[ChecksummedBytes]:
        for bundle in wanted:
            with self._changing:
                stretch = bundle.take()
            assert stretch is not None
            yield stretch

    def _sync_name(self) -> None:
        """Make sure that the snapshot's name leads to it after a power cut, too."""
        if self._named == self._saved:
            return
        try:
            sync(self.files.sync_directory)
        except OSError as error:
            # The next one is a new file.
            self.saved_sequence, self.saved_at, self.saved_bytes = self._named
            raise self._failed(error) from error
        self._named = self._saved

    @property
    def _saved(self) -> tuple[int, str | None, int | None]:
        return self.saved_sequence, self.saved_at, self.saved_bytes

    def _failed(self, error: OSError | UnsafeDirectory) -> OSError:
        self.error = f"{type(error).__name__}: {error}"
        logger.error("Failed to save database snapshot: %s", error)
        return error if isinstance(error, OSError) else OSError(str(error))

    def _keep_edited(self) -> None:
        """Keep a copy of a file that somebody else wrote under the snapshot's name since we last did."""
        found = self.files.identity(names.SNAPSHOT)
        if found is None or self._identity is None or found == self._identity:
            return
        # A copy, not a rename: at no instant may the store be without a snapshot.
        kept = keep_bytes(self.files, "edited", self.files.read(names.SNAPSHOT))
        logger.warning("%s was changed by somebody else while the store was open; kept as %s", names.SNAPSHOT, kept)

    # ── in the background ───────────────────────────────────────────────────────────────────────────────────────────

    def _renew(self) -> None:
        began = time.monotonic()
        try:
            with self._saving:
                self._write_if_behind(WritePacer(self._in_a_hurry.__len__))
                self._sync_name()
        except OSError:
            self._background.run(self._renew, RETRY)
        except ReadOnlyStore as error:
            logger.error("Snapshots have ended: %s", error)  # noqa: TRY400 - no fault of this code
        except Exception:
            logger.exception("Failed to save database snapshot")
            self._background.run(self._renew, RETRY)
        now = time.monotonic()
        # Busy half of the time at the most, however large the data is.
        self._rested = now + (now - began)

    def _name(self) -> None:
        try:
            with self._saving:
                self._sync_name()
        except OSError:
            self._background.run(self._renew, RETRY)

    def stop(self) -> None:
        """End the background; a snapshot it is writing is finished first."""
        self._in_a_hurry.append(None)
        self._background.stop()
        self._replaced.close()
