"""When and how the snapshot follows the journal: at once, in the background, or both by size.

The pages are changed, and copied as a list, under a lock of their own; writing them out holds nobody up. Snapshots are
written one at a time, so that an older one never replaces a newer.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from snaptable.changes import Commit
from snaptable.errors import ReadOnlyStore, UnsafeDirectory
from snaptable.storage import history, names, snapshot
from snaptable.storage.files import Files, Identity
from snaptable.storage.journal import timestamp
from snaptable.storage.pages import Pages

logger = logging.getLogger("snaptable")

Policy = Literal["auto", "always", "background"]
AUTO_BYTES = 4 << 20
"""Up to so much data, `snapshot="auto"` renews the snapshot before a write returns."""
DELAY = 0.4
"""Seconds the background lets changes gather; it promises to follow within one."""
RETRY = 1.0
"""Seconds after a failed snapshot until the next try."""


class Saver:
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
        self._identity: Identity | None = None
        self.alone: Callable[[], None] = lambda: None
        """Asked before anything is written: raises where somebody else may be writing here."""
        self._disabled = False
        self._changing = threading.Lock()
        self._saving = threading.Lock()
        self._wake = threading.Condition()
        self._due: float | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    def begin(
        self, sequence: int, tip: str, header: snapshot.Header | None, size: int, identity: Identity | None
    ) -> None:
        """Take note of the recovered sequence, and of the snapshot that is on the disk."""
        self.sequence, self.tip = sequence, tip
        if header is not None:
            self.saved_sequence, self.saved_at, self.saved_bytes = header.sequence, header.saved_at, size
            self._identity = identity

    # ── by the committer ────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, commits: Sequence[Commit], tip: str) -> None:
        """Bring the pages up to commits that just became durable."""
        with self._changing:
            for commit in commits:
                self.pages.apply(commit.changes)
                self.pages.numbered.update(commit.numbered)
            self.sequence, self.tip = commits[-1].sequence, tip

    def follow(self) -> None:
        """Renew the snapshot now, or see to it that the background does, as the policy says. Never raises OSError."""
        if self.policy == "background" or (self.policy == "auto" and self.pages.size > AUTO_BYTES):
            self._later(DELAY)
            return
        try:
            self.save()
        except OSError:
            self._later(RETRY)
        except ReadOnlyStore as error:
            self.error = str(error)

    # ── by anybody ──────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self) -> None:
        """Write the present state as a snapshot and return when it is on the disk.

        Raises:
            OSError: it could not be written; the old snapshot is in its place.
            ReadOnlyStore: this process may no longer write here.
        """
        with self._saving:
            header, tables = self._copy()
            self._write(header, tables)

    def save_if_behind(self) -> None:
        """Save, unless the snapshot on the disk is this very state; raises as `save`."""
        if self.saved_sequence != self.sequence or self.error is not None:
            self.save()

    def disable(self) -> None:
        """Never write a snapshot again: the pages may hold half of a commit."""
        self._disabled = True

    def _copy(self) -> tuple[snapshot.Header, dict[str, list[bytes]]]:
        with self._changing:
            if self._disabled:
                raise ReadOnlyStore("a commit was interrupted: the journal holds it, this process's memory may not")
            counts, numbered = self.pages.counts(), dict(self.pages.numbered)
            header = snapshot.Header(self.store, self.sequence, timestamp(), counts, self.tip, numbered)
            return header, self.pages.render()

    def _write(self, header: snapshot.Header, tables: dict[str, list[bytes]]) -> None:
        try:
            self.alone()
            self._keep_edited()
            buffers = snapshot.compose(header, tables)
            snapshot.write(self.files, buffers, self._renamed)
        except (OSError, UnsafeDirectory) as error:
            self.error = f"{type(error).__name__}: {error}"
            logger.error("Failed to save database snapshot: %s", error)  # noqa: TRY400 - one line, to the letter
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
        self.error = None
        self.saved_sequence, self.saved_at = header.sequence, header.saved_at
        self.saved_bytes = sum(map(len, buffers))

    def _renamed(self, identity: Identity) -> None:
        self._identity = identity

    def _keep_edited(self) -> None:
        """Keep a copy of a file that somebody else wrote under the snapshot's name since we last did."""
        found = self.files.identity(names.SNAPSHOT)
        if found is None or self._identity is None or found == self._identity:
            return
        # A copy, not a rename: at no instant may the store be without a snapshot.
        kept = history.keep_bytes(self.files, "edited", self.files.read(names.SNAPSHOT))
        logger.warning("%s was changed by somebody else while the store was open; kept as %s", names.SNAPSHOT, kept)

    # ── in the background ───────────────────────────────────────────────────────────────────────────────────────────

    def _later(self, delay: float) -> None:
        with self._wake:
            if self._due is None and not self._stopping:
                self._due = time.monotonic() + delay
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="snaptable-snapshot", daemon=True)
                    self._thread.start()
                self._wake.notify()

    def _run(self) -> None:
        while self._wait_until_due():
            try:
                self.save_if_behind()
            except OSError:
                self._later(RETRY)
            except ReadOnlyStore as error:
                logger.error("Snapshots have ended: %s", error)  # noqa: TRY400 - no fault of this code
                return
            except Exception:
                logger.exception("Failed to save database snapshot")
                self._later(RETRY)

    def _wait_until_due(self) -> bool:
        """Return True when a snapshot is due, False when it is time to stop."""
        with self._wake:
            while not self._stopping:
                if self._due is not None and (rest := self._due - time.monotonic()) <= 0:
                    self._due = None
                    return True
                self._wake.wait(None if self._due is None else rest)
            return False

    def stop(self) -> None:
        """End the background thread; a snapshot it is writing is finished first."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
