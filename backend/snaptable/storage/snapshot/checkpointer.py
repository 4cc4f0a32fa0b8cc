"""The checkpointer: when and how the snapshot follows the journal, at once or in the background.

Taking a snapshot marks the pages under a lock of their own; writing them out blocks no commit. Snapshots are written
one at a time, so that an older one never replaces a newer.

A write that waits for its snapshot waits until the content is synced and has its name. The directory is synced up to
0.4 s later, in the background. After a power cut before that, the old snapshot and the journal, which is synced, give
the same state; no journal file is removed earlier.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

from snaptable.changes.records import CommitRecord, Insert, Key
from snaptable.errors import ReadOnlyStore, UnsafeDirectory
from snaptable.runtime.clock import StoreClock
from snaptable.storage.background import BackgroundThread
from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace
from snaptable.storage.disk.files import File, Files, Identity, sync
from snaptable.storage.disk.quarantine import keep_bytes
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.checksum import ChecksummedBytes
from snaptable.storage.snapshot.format import SnapshotHeader
from snaptable.storage.snapshot.pages import PageGroup, Pages
from snaptable.storage.snapshot.replaced_files import ReplacedFiles
from snaptable.storage.snapshot.table_marks import TableMarks
from snaptable.storage.snapshot.write_pacer import WritePacer, slices

logger = logging.getLogger("snaptable")

Policy = Literal["auto", "always", "background"]
AUTO_BYTES = 4 << 20
"""Bytes of rows up to which `snapshot="auto"` writes the snapshot before a write returns."""
DELAY = 0.4
"""Seconds for which the background lets changes gather; it promises to follow within one."""
RETRY = 1.0
"""Seconds after a failed snapshot until the next attempt."""


class SavedSnapshot(NamedTuple):
    """A snapshot on the disk: what it holds, when it was written, and its size."""

    sequence: int = -1
    """-1 if there is none yet."""
    saved_at: str | None = None
    size: int | None = None


class Checkpointer:
    """Pages that follow the commits, and a snapshot that follows the pages.

    Attributes:
        files: the store's directory.
        store: the store's id.
        pages: every table's rows.
        policy: when a commit waits for its snapshot.
        sequence: the last commit that the pages hold.
        head_digest: digest of the frame that holds it.
        clock: gives the times of snapshots and frames.
        saved: the snapshot that has the name.
        error: why the last attempt to save failed; None since one succeeded.
        check_ownership: called before anything is written; raises ReadOnlyStore if another process may be writing.
    """

    def __init__(
        self,
        files: Files,
        store: str,
        pages: Pages,
        policy: Policy = "always",
        *,
        sequence: int,
        head_digest: str,
        clock: StoreClock,
    ) -> None:
        """Begin with a state, of which no snapshot need be on the disk."""
        self.files, self.store, self.pages, self.policy = files, store, pages, policy
        self.sequence, self.head_digest, self.clock = sequence, head_digest, clock
        self.saved = self._last_durable_name = SavedSnapshot()
        """The snapshot that the name is known to stand for after a power cut: what `saved` was."""
        self.error: str | None = None
        self.check_ownership: Callable[[], None] = lambda: None
        self._identity: Identity | None = None
        self._consistent = True
        """False while a commit is half-way in the pages; if it was interrupted there, until `resume`."""
        self._pages_lock = threading.Lock()
        self._save_lock = threading.Lock()
        self._waiters: list[None] = []
        """One entry for each caller that waits for the background to finish its snapshot."""
        self._background = BackgroundThread("snaptable-snapshot")
        self._replaced = ReplacedFiles(files, self._background, self._waiters.__len__)
        self._not_before = 0.0
        self._is_outdated = False
        """Whether the models say something else of the tables than the snapshot does."""

    def adopt(self, header: SnapshotHeader, size: int) -> None:
        """Take note of the snapshot that was read from the disk."""
        self.saved = self._last_durable_name = SavedSnapshot(header.sequence, header.saved_at, size)
        self._identity = self.files.identity(names.SNAPSHOT)
        self._is_outdated = self.pages.marks is not None and self.pages.marks != header.marks

    # ── after each commit ───────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, commits: Sequence[CommitRecord], head_digest: str) -> None:
        """Apply commits that just became durable to the pages."""
        with self._pages_lock:
            consistent, self._consistent = self._consistent, False
            for commit in commits:
                self.pages.apply(commit)
            self.sequence, self.head_digest = commits[-1].sequence, head_digest
            self._consistent = consistent

    def after_commit(self) -> None:
        """Write the snapshot now, or have the background do it, as the policy says.

        Never raises OSError: the commit is durable in the journal, and the background tries again.
        """
        if self.policy == "background" or (self.policy == "auto" and self.pages.size > AUTO_BYTES):
            self._background.run(self._checkpoint_in_background, max(DELAY, self._not_before - time.monotonic()))
            return
        try:
            with self._hurrying(), self._save_lock:
                self._write()
        except OSError:
            self._background.run(self._checkpoint_in_background, RETRY)
        except ReadOnlyStore as error:
            self.error = str(error)
        else:
            self._background.run(self._sync_name_in_background, DELAY)

    # ── on demand ───────────────────────────────────────────────────────────────────────────────────────────────────

    def checkpoint(self) -> None:
        """Write the present state as a snapshot, and return when file and name are on the disk; O(n).

        Raises:
            OSError: it could not be written; the old snapshot is in its place.
            ReadOnlyStore: this process may no longer write here.
        """
        with self._hurrying(), self._save_lock:
            self._write()
            self._sync_name()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep snapshots from being written for the length of a block."""
        with self._hurrying(), self._save_lock:
            yield

    def checkpoint_if_behind(self) -> None:
        """Write a snapshot, unless the one on the disk is of this very state; raises as `checkpoint`."""
        with self._hurrying(), self._save_lock:
            self._write_if_behind()
            self._sync_name()

    def capture(self) -> tuple[SnapshotHeader, dict[str, list[ChecksummedBytes]]]:
        """Return the present state as a snapshot would hold it, and write nothing; O(groups).

        Raises:
            ReadOnlyStore: the pages may hold half of a commit.
        """
        with self._hurrying(), self._save_lock:
            header, tables, _ = self._mark()
            return header, {name: list(parts) for name, parts in tables.items()}

    def resume(
        self, commits: Sequence[CommitRecord], head_digest: str, rows: Callable[[], Iterable[tuple[str, Key, bytes]]]
    ) -> None:
        """Go on after an interruption behind a sync: the commits in the pages, and a snapshot soon.

        Args:
            commits: those that became durable.
            head_digest: digest of their frame.
            rows: gives every durable row; if `apply` was interrupted, the pages are built anew from them. O(n).
        """
        if self._consistent and self.sequence < commits[-1].sequence:
            self.apply(commits, head_digest)
        elif not self._consistent:
            self._rebuild(commits, head_digest, [Insert(*row) for row in rows()])
        self._background.run(self._checkpoint_in_background, RETRY)

    def _rebuild(self, commits: Sequence[CommitRecord], head_digest: str, rows: Sequence[Insert]) -> None:
        pages = Pages(tuple(self.pages.tables))
        pages.apply_changes(rows)
        pages.numbered.update(self.pages.numbered)
        pages.take_note(self.pages.migrations)
        pages.take_note_of_erased(self.pages.erased)
        pages.marks, pages.speller = self.pages.marks, self.pages.speller
        for commit in commits:
            pages.numbered.update(commit.numbered)
            pages.take_note(commit.named_migrations)
            pages.take_note_of_erased(commit.erased or {})
        with self._pages_lock:
            self.pages = pages
            self.sequence, self.head_digest = commits[-1].sequence, head_digest
            self._consistent = True

    def stop(self) -> None:
        """End the background thread; a snapshot that it is writing is finished first, without pauses."""
        self._waiters.append(None)
        self._background.stop()
        self._replaced.close()

    @contextmanager
    def _hurrying(self) -> Iterator[None]:
        """Have the background hurry if it is writing, before its lock is taken.

        The lock itself is taken by the caller's own `with`: an interruption may keep a generator from being resumed.
        """
        hurried = self._save_lock.locked()
        try:
            if hurried:
                self._waiters.append(None)
            yield
        finally:
            if hurried and self._waiters:
                self._waiters.pop()

    # ── one snapshot, with the save lock held ───────────────────────────────────────────────────────────────────────

    def _write_if_behind(self, pacer: WritePacer | None = None) -> None:
        if self.saved.sequence != self.sequence or self.error is not None or self._is_outdated:
            self._write(pacer)

    def _write(self, pacer: WritePacer | None = None) -> None:
        """Write the present state under the snapshot's name, at the pace of commits beside it if there is a pacer.

        Raises:
            OSError: it could not be written; it was logged.
            ReadOnlyStore: the pages may hold half of a commit, or this process may no longer write here.
        """
        # 1. The present state, marked; what changes from here on keeps a copy.
        header, tables, size = self._mark()
        known = self._identity
        chunks = snapshot_format.chunks(header, tables)
        try:
            # 2. Nobody else may be writing, and what others wrote is kept.
            self.check_ownership()
            self._keep_edited()
            # 3. The new file in the place of the old one.
            # After an interruption it is not known whose file has the name.
            self._identity = None
            with self._replaced.retaining(self.saved.size or 0, slowly=pacer is not None):
                self._identity = replace(
                    self.files,
                    names.temporary(),
                    names.SNAPSHOT,
                    slices(chunks) if pacer else chunks,
                    size=size,
                    pace=pacer or File.start_writeback,
                )
        except (OSError, UnsafeDirectory) as error:
            self._identity = self._identity or known
            raise self._failed(error) from error
        self.error = None
        self.saved = SavedSnapshot(header.sequence, header.saved_at, self._identity.size)
        self._is_outdated = False

    def _mark(self) -> tuple[SnapshotHeader, Mapping[str, Iterable[ChecksummedBytes]], int]:
        """Return the header, the rows of each table in parts, and the size of the present state.

        The parts of a large one are only marked, and rendered one by one while they are written.
        """
        with self._pages_lock:
            if not self._consistent:
                raise ReadOnlyStore(
                    "a commit was interrupted: the journal holds it, the pages may not until the next write"
                )
            counts, numbered, migrations = self.pages.counts(), dict(self.pages.numbered), tuple(self.pages.migrations)
            now = self.clock.timestamp()
            header = SnapshotHeader(
                self.store, self.sequence, now, counts, self.head_digest, numbered, migrations, self.pages.erased,
                self.pages.marks or TableMarks(), self.pages.speller,
            )  # fmt: skip
            size = self.pages.size
            if size <= snapshot_format.CHUNK:
                return header, self.pages.parts(), size
            return header, {name: self._collect(groups) for name, groups in self.pages.mark().items()}, size

    def _collect(self, groups: list[PageGroup]) -> Iterator[ChecksummedBytes]:
        for group in groups:
            with self._pages_lock:
                part = group.collect()
            yield part

    def _keep_edited(self) -> None:
        """Keep a copy of a file that another process wrote under the snapshot's name since this one last did."""
        identity = self.files.identity(names.SNAPSHOT)
        if identity is None or self._identity is None or identity == self._identity:
            return
        # A copy, not a rename: at no instant may the store be without a snapshot.
        kept = keep_bytes(self.files, "edited", self.files.read(names.SNAPSHOT))
        logger.warning("%s was changed by another program while the store was open; kept as %s", names.SNAPSHOT, kept)

    def _sync_name(self) -> None:
        """Make the snapshot's name durable, unless it is."""
        if self._last_durable_name == self.saved:
            return
        try:
            sync(self.files.sync_directory)
        except OSError as error:
            # The next attempt writes a new file: this name may be lost, whatever another sync of it reports.
            self.saved = self._last_durable_name
            raise self._failed(error) from error
        self._last_durable_name = self.saved

    def _failed(self, error: OSError | UnsafeDirectory) -> OSError:
        logger.error("Failed to save database snapshot: %s", error)
        self.error = f"{type(error).__name__}: {error}"
        return error if isinstance(error, OSError) else OSError(str(error))

    # ── in the background ───────────────────────────────────────────────────────────────────────────────────────────

    def _checkpoint_in_background(self) -> None:
        began = time.monotonic()
        try:
            with self._save_lock:
                self._write_if_behind(WritePacer(self._waiters.__len__))
                self._sync_name()
        except OSError:
            self._background.run(self._checkpoint_in_background, RETRY)
        except ReadOnlyStore as error:
            # Pages that an interruption left half changed are built anew before the next write, then saved.
            if self._consistent:
                logger.error("Snapshots have ended: %s", error)  # noqa: TRY400 - not a fault of this code
        except Exception:
            logger.exception("Failed to save database snapshot")
            self._background.run(self._checkpoint_in_background, RETRY)
        now = time.monotonic()
        # The disk is busy with snapshots half of the time at most, however large the data is.
        self._not_before = now + (now - began)

    def _sync_name_in_background(self) -> None:
        try:
            with self._save_lock:
                self._sync_name()
        except OSError:
            self._background.run(self._checkpoint_in_background, RETRY)
