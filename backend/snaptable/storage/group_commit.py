"""Group commit: one journal frame, and one sync, for all commits that wait.

The first commit of a batch leads it: its thread waits until the batch before is done, closes its own, which other
commits have joined meanwhile, writes it, and wakes their threads. For event loops a background thread leads, from the
end of the tick, so that all commits of a tick are one batch and a slow disk does not block the loop.

A batch is `open → closed → durable`, or `→ failed` with every batch behind it: those were built on it.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from snaptable.changes.retention import Retention
from snaptable.errors import DatabaseClosed, ReadOnlyStore, SnaptableError, WriteFailed
from snaptable.storage.background import BackgroundThread
from snaptable.storage.batch_queue import BatchQueue
from snaptable.storage.commit_batch import CommitBatch, CommitCallbacks, U
from snaptable.storage.commit_delay import CommitDelay
from snaptable.storage.disk.files import DISK_FULL, Files, SyncFailed
from snaptable.storage.disk.lock import Lock
from snaptable.storage.journal.segment import Segment
from snaptable.storage.journal.writer import JournalWriter
from snaptable.storage.snapshot.checkpointer import Checkpointer
from snaptable.storage.sync_times import SyncTimes

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("snaptable")

SEGMENT_BYTES = 8 << 20
"""Size in bytes at which the journal continues in a new segment."""
RESUME_PAUSE = 1.0
"""Seconds between two attempts to write everything to new files."""
_AT_ONCE = float("-inf")
"""When the last attempt was, for one that is to be made at once. No call: behind each, another Ctrl-C may come."""
LEADER_TIMEOUT = 1.0
"""Seconds after which a waiting thread checks whether its leader was lost (an exception between two steps)."""


class GroupCommit(BatchQueue[U]):
    """The log that makes commits durable, in order.

    Attributes:
        sequence: the last durable commit.
        checkpointer: makes the snapshot follow.
        journal: what frames are written to.
        syncs: how long the last frames took.
        leader_lock: held while a batch is written. A lock, not a block that a generator makes: one that is interrupted
            as it is entered would keep it for ever.
    """

    def __init__(
        self,
        files: Files,
        lock: Lock,
        checkpointer: Checkpointer,
        segment: Segment,
        callbacks: CommitCallbacks[U],
        retention: Retention,
    ) -> None:
        super().__init__(callbacks.new_undo)
        self.sequence = checkpointer.sequence
        self.checkpointer = checkpointer
        self.check_ownership = checkpointer.check_ownership = lock.check_ownership
        self.journal = JournalWriter(files, segment, checkpointer.store, checkpointer.clock, retention)
        self.leader_lock = threading.Lock()
        self._callbacks = callbacks
        self.syncs = SyncTimes()
        self._transient = False
        """Whether what made writes fail may pass, as a full disk does."""
        self._unfinished: CommitBatch[U] | None = None
        """A durable batch whose last steps were interrupted twice; they are done before anything else is written."""
        self._last_resume = _AT_ONCE
        self._deferred_start: Callable[[], None] | None = None
        """The steps that a full disk kept the start from doing; None if they are done."""
        self._closed = False
        self._leader_thread = BackgroundThread("snaptable-commit")
        self._delay = CommitDelay()

    # ── commits wait ────────────────────────────────────────────────────────────────────────────────────────────────

    def wait(self, batch: CommitBatch[U]) -> None:
        """Return when a batch is durable, leading it if no other thread does.

        Raises:
            WriteFailed: it could not be made durable and was rolled back.
        """
        claimed = False
        try:
            claimed = batch.claim()
            if claimed:
                with self.leader_lock:
                    self._write_batch(batch)
        except BaseException:
            if claimed and not batch.done:
                batch.unclaim()
            raise
        while not (batch.done or batch.wait(LEADER_TIMEOUT)):
            self._lead(batch)
        if batch.error is not None:
            batch.result()

    def wait_async(
        self, batch: CommitBatch[U], loop: "asyncio.AbstractEventLoop | None"
    ) -> "asyncio.Future[None] | None":
        """Return what is done when a batch is durable or failed, which its `result` tells; None if it is already.

        The background thread leads it, from the end of this tick of the loop, which is the caller's.
        """
        assert loop is not None
        future = batch.future(loop)
        if batch.scheduled is not loop:  # another loop may be stopped before the end of its tick
            batch.scheduled = loop
            loop.call_soon(self._lead_in_background, batch)
        return future

    def _lead_in_background(self, batch: CommitBatch[U]) -> None:
        if batch.claim():
            self._leader_thread.run(partial(self._lead_for_tasks, batch))

    def _lead_for_tasks(self, batch: CommitBatch[U]) -> None:
        """Lead a batch, once those whom the one before acknowledged have joined it, or could have."""
        self._delay.wait(batch)
        began = time.monotonic()
        self._lead(batch)
        self._delay.begin(time.monotonic() - began)

    def _lead(self, batch: CommitBatch[U]) -> None:
        with self.leader_lock:
            self._write_batch(batch)

    # ── one batch ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _write_batch(self, batch: CommitBatch[U]) -> None:
        """Make a batch durable, with the leader lock held; does nothing if that was done, or failed, meanwhile.

        An exception may come between any two steps (Ctrl-C). Before the frame is known to be on the disk it counts as
        a failed write; after that the steps that are left are done all the same, each so that it can be done twice.
        """
        if self.failure is not None:
            self._finish_failure()
        if batch.done:
            return
        left = self._in_flight
        if left is not None and left is not batch and left.last_sequence <= self.sequence:
            self._finish_durable(left)  # two interruptions at once kept its leader from that
        last = batch.commits[-1].sequence
        if last <= self.sequence:
            self._finish_durable(batch)
            return
        durable = False
        try:
            self._close_batch(batch)
            # 1. Still the owner? A lock file that was removed or replaced excludes no other process.
            self.check_ownership()
            # 2. One frame with all commits, on the disk.
            segment = self.journal.segment
            if segment.size >= SEGMENT_BYTES:
                segment = self._next_segment()
            batch.at = self.syncs.timed(segment.append, batch.commits)
            durable = True
            # 3. Durable from here on: commits that joined while it was closed are in it too.
            self.sequence = batch.commits[-1].sequence
            # 4. The snapshot's pages.
            self.checkpointer.apply(batch.commits, segment.head_digest)
            # 5. Every reader may see it.
            self._callbacks.durable(batch)
            # 6. The snapshot, if a write waits for it. Its failure takes nothing back: the frame is durable.
            self.checkpointer.after_commit()
        except BaseException as error:
            if durable:
                self._finish_durable(batch)
                raise
            try:
                self._fail(batch, error)
            except BaseException:
                self._fail(batch, error)  # it was interrupted; the rest of it is done
                raise
            if not isinstance(error, (OSError, SnaptableError)):
                raise
        else:
            # 7. The acknowledgement. Whom it reaches may join the batch that was begun meanwhile, if there is one.
            self._delay.expect(len(self._open.commits) + len(batch.commits) if self._open else 0)
            self._acknowledge(batch)

    def _finish_durable(self, batch: CommitBatch[U]) -> None:
        """Do what is left to do for a batch whose frame is durable, after an interruption; O(n) if pages were torn."""
        try:
            self.sequence = max(self.sequence, batch.last_sequence)
            self._callbacks.durable(batch)
            self.checkpointer.resume(batch.commits, self.journal.head_digest, self._callbacks.durable_rows)
            self._unfinished = None
        except BaseException as error:
            # Interrupted once more: the next write tries again.
            self._unfinished, self._transient, self._last_resume = batch, True, _AT_ONCE
            self.refusal = ReadOnlyStore(f"a commit was left unfinished ({error!r}); the next write tries again")
            raise
        finally:
            self._acknowledge(batch)

    def _close_batch(self, batch: CommitBatch[U]) -> None:
        self._close_open(batch)
        if self.refusal is not None:
            raise self.refusal
        if batch.commits[0].sequence != self.sequence + 1:
            raise ReadOnlyStore("writes are refused until the store is reopened: an interrupted commit left a gap")

    def _next_segment(self) -> Segment:
        """Continue the journal in a new segment, the present one being large, and return it."""
        self.journal.continue_behind(self.sequence, self.checkpointer.pages.migrations)
        self.journal.prune(self.checkpointer.saved.sequence)
        return self.journal.segment

    def check_writable(self) -> None:
        """Check that batches may be written; with the `leader_lock` held, before the files of the journal are changed.

        Raises:
            ReadOnlyStore, WriteFailed: writes are refused.
            DatabaseClosed: it was closed.
        """
        if self._closed:
            raise DatabaseClosed("the database was closed meanwhile")
        if self.refusal is not None:
            raise self.refusal
        self.check_ownership()

    def begin_segment(self) -> None:
        """Continue the journal in a new file, which is on the disk when this returns; with the `leader_lock` held.

        Raises:
            OSError, SyncFailed: it is not on the disk for certain; the next write begins it once more.
        """
        if self.journal.segment.first <= self.sequence:
            self.journal.continue_behind(self.sequence, self.checkpointer.pages.migrations)
        if not self.journal.size:
            self.journal.segment.begin()

    # ── when it fails ───────────────────────────────────────────────────────────────────────────────────────────────

    def _fail(self, batch: CommitBatch[U], error: BaseException) -> None:
        """Take back a batch, and the one built on it; can be done again if interrupted."""
        if batch.done:
            return
        failure: Exception = WriteFailed(f"the write could not be made durable and was rolled back: {error}")
        failure.__cause__ = error.__cause__ if isinstance(error, SyncFailed) else error
        # 1. Nothing may be built on what is being taken back.
        failed, failure = self._take_all(batch, failure)
        self._transient = True
        if not isinstance(error, OSError):
            self._last_resume = _AT_ONCE  # interrupted: the next write begins new files at once
        # 2. Memory, the newest batch first.
        self._callbacks.failed(failed, self.sequence, failure)
        # 3. Whether the next write may be tried.
        self.refusal = self._refusal_after(error)
        logger.error("Failed to write the journal: %s", error)
        # 4. Those who wait.
        self._tell_failed(failed, failure)

    def finish_failure(self) -> None:
        """Do what interruptions left undone of taking back commits; before the next transaction begins."""
        with self.leader_lock:
            self._finish_failure()

    def _finish_failure(self) -> None:
        if self.failure is not None:
            failed, failure = self.failure
            self._callbacks.failed(failed, self.sequence, failure)
            self._tell_failed(failed, failure)

    def _refusal_after(self, error: BaseException) -> Exception | None:
        """Return why writes are refused from now on; None if the segment is as it was before."""
        if isinstance(error, ReadOnlyStore):
            return error
        is_known = isinstance(error, OSError) and not isinstance(error, SyncFailed)
        if is_known and self.journal.segment.truncate_to_last_frame():
            return None
        cause = error.__cause__ if isinstance(error, SyncFailed) else error
        # A full disk passes once there is room; a disk that failed needs a person.
        self._transient = not isinstance(cause, OSError) or cause.errno in DISK_FULL
        self.journal.segment.drop()
        return ReadOnlyStore(
            f"writes are refused since a write to the journal failed ({cause}); rows can still be read. "
            f"persist() tries to write everything to a new file, reopening the store does too"
        )

    def defer_start(self, start: Callable[[], None], error: OSError) -> None:
        """Refuse writes until the steps of the start have been done, for which the disk had no room.

        Args:
            start: does them; called before the next write, by `persist` and by `close`.
            error: why they could not be done.
        """
        self._deferred_start, self._transient = start, True
        self.refusal = ReadOnlyStore(
            f"writes are refused until there is room: the store was opened on a full disk ({error}); rows can be read. "
            f"The next write tries again, persist() does too"
        )
        logger.error("The disk is full (%s): rows can be read, writes are refused until there is room", error)

    def try_resume(self) -> None:
        """Try to accept writes again after a full disk; at most once a second, because it writes everything."""
        now = time.monotonic()
        if self._transient and now - self._last_resume >= RESUME_PAUSE:
            self._last_resume = now
            try:
                with self.leader_lock:
                    self._switch_files()
            except (OSError, SnaptableError):
                return  # still no room; the refusal stands and says so
            except BaseException:
                self._last_resume = _AT_ONCE  # interrupted: the next write tries at once
                raise

    def _switch_files(self) -> bool:
        """Write everything to new files: a snapshot, and a segment behind which nothing doubtful follows.

        Returns:
            Whether that was done; False if writes are not refused.
        """
        if self.refusal is None:
            return False
        self.check_ownership()
        if self._unfinished is not None:
            self._finish_durable(self._unfinished)
        self._finish_failure()
        if self._deferred_start is not None:
            self._deferred_start()
            self._deferred_start, self._transient, self.refusal = None, False, None
            return True
        # 1. All that is durable, in a new snapshot.
        self.checkpointer.checkpoint()
        # 2. A new segment; recovery ignores what the old one holds behind its beginning.
        migrations = self.checkpointer.pages.migrations
        self.journal.replace_doubtful(self.journal.behind(self.sequence, self.checkpointer.head_digest, migrations))
        self._transient, self.refusal = False, None
        return True

    # ── now, and at the end ─────────────────────────────────────────────────────────────────────────────────────────

    def persist(self) -> None:
        """Write a snapshot now; if a failed sync made writes refused, accept them again.

        Raises:
            OSError: it could not be written.
            ReadOnlyStore: not by this process: another may be writing.
        """
        self._drain()
        self.check_ownership()
        with self.leader_lock:
            switched = self._switch_files()
        if not switched:
            self.checkpointer.checkpoint()

    def close(self) -> None:
        """Finish what is waiting, write the last snapshot, and mark the journal as closed cleanly.

        Raises:
            OSError: the last snapshot could not be written; the journal holds everything.
            ReadOnlyStore: nor may it be written: another process may be writing.
        """
        # 1. What is waiting.
        self._drain()
        self._leader_thread.stop()
        self.checkpointer.stop()
        with self.leader_lock:
            try:
                self.check_ownership()
                # 2. The last snapshot, in new files if the old ones are in doubt.
                if self._gives_up_start():
                    return
                self._switch_files()
                self.checkpointer.checkpoint_if_behind()
                # 3. The mark.
                self.journal.segment.close(self.sequence)
                self.journal.prune(self.checkpointer.saved.sequence)
            finally:
                self._closed = True
                self.journal.segment.drop()

    def _gives_up_start(self) -> bool:
        """Return whether the disk is full since the start: this process wrote nothing, and has nothing to save."""
        if self._deferred_start is None:
            return False
        try:
            self._switch_files()
        except OSError as error:
            logger.warning("The store is closed as it was opened, the disk being full: %s", error)
            return True
        return False

    def _drain(self) -> None:
        """Return when no batch is waiting to become durable, whether it did or failed: those who wait are told."""
        while (pending := self.last_pending()) is not None:
            pending.claim()
            self._lead(pending)
