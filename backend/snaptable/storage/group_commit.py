"""Group commit: one journal frame, and one sync, for all commits that wait.

The first commit of a batch leads it: it waits until the batch before is done, closes its own, which has gathered
followers meanwhile, writes it, and wakes them. Threads lead in their own time; for event loops a thread of ours leads,
begun at the end of the tick, so that all commits of a tick are one batch and a slow disk does not hold the loop.

A batch is `open → closed → durable`, or `→ failed` with every batch behind it: those were built on it.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from snaptable.changes import Commit
from snaptable.errors import ReadOnlyStore, SnaptableError, WriteFailed
from snaptable.storage.commit_batch import CommitBatch
from snaptable.storage.disk.files import DISK_FULL, Files, SyncFailed
from snaptable.storage.disk.lock import Lock
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.segment import Segment
from snaptable.storage.snapshot.checkpointer import Checkpointer

logger = logging.getLogger("snaptable")

SEGMENT_BYTES = 8 << 20
"""Size at which the journal goes on in a new file."""
HEAL_PAUSE = 1.0
"""Seconds between two tries to write everything to new files."""
IMPATIENCE = 1.0
"""Seconds a follower waits before it looks whether its leader was lost (an exception between two steps)."""


@dataclass(frozen=True)
class CommitCallbacks:
    """Be the engine's ear: which batch became durable, which ones (newest first) must be taken back, and to where."""

    durable: Callable[[CommitBatch], None]
    failed: Callable[[Iterable[CommitBatch], int, Exception], None]


class GroupCommit:
    """Make commits durable, in order."""

    def __init__(
        self, files: Files, lock: Lock, saver: Checkpointer, segment: Segment, listener: CommitCallbacks
    ) -> None:
        self.sequence = saver.sequence
        """The last commit that is durable."""
        self.refusal: Exception | None = None
        self.saver = saver
        saver.alone = self.check_alone
        self._files, self._lock, self._segment, self._listener = files, lock, segment, listener
        self._turn = threading.Lock()
        self._gate = threading.Lock()
        self._open: CommitBatch | None = None
        self._flying: CommitBatch | None = None
        self._curable = False
        self._final = False
        self._healed = float("-inf")
        self._pid = os.getpid()
        self._errands: queue.SimpleQueue[CommitBatch | None] = queue.SimpleQueue()
        self._runner: threading.Thread | None = None

    # ── commits come in ─────────────────────────────────────────────────────────────────────────────────────────────

    def enqueue(self, commit: Commit, join: Callable[[CommitBatch], None]) -> CommitBatch:
        """Add a commit to the open batch.

        Args:
            commit: the next in sequence.
            join: called with the batch before it can close.
        """
        with self._gate:
            if self.refusal is not None:
                raise self.refusal
            batch = self._open
            if batch is None:
                batch = self._open = CommitBatch()
            batch.commits.append(commit)
            join(batch)
            return batch

    def last_pending(self) -> CommitBatch | None:
        """Return the last batch that isn't durable yet."""
        with self._gate:
            return self._open or self._flying

    def wait(self, batch: CommitBatch) -> None:
        """Return when a batch is durable, leading it where nobody does yet.

        Raises:
            WriteFailed: it could not be made durable and was rolled back.
        """
        if batch.claim():
            with self._turn:
                self._lead(batch)
        while not (batch.done or batch.wait(IMPATIENCE)):
            if self._turn.acquire(blocking=False):
                try:
                    self._lead(batch)
                finally:
                    self._turn.release()
        batch.result()

    async def wait_async(self, batch: CommitBatch) -> None:
        """Return when a batch is durable; led, from the end of this tick, by a thread of ours."""
        import asyncio  # a program without tasks doesn't pay for it at its start

        loop = asyncio.get_running_loop()
        future = batch.future(loop)
        if not batch.scheduled:
            batch.scheduled = True
            loop.call_soon(self._lead_elsewhere, batch)
        await future
        batch.result()

    def _lead_elsewhere(self, batch: CommitBatch) -> None:
        if batch.claim():
            if self._runner is None:
                self._runner = threading.Thread(target=self._run_errands, name="snaptable-commit", daemon=True)
                self._runner.start()
            self._errands.put(batch)

    def _run_errands(self) -> None:
        while (batch := self._errands.get()) is not None:
            try:
                with self._turn:
                    self._lead(batch)
            except Exception:
                # Those who wait were told; the thread lives on for the next batch.
                logger.exception("A commit failed unexpectedly")

    # ── one batch ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _lead(self, batch: CommitBatch) -> None:
        """Make a batch durable, with the turn held; does nothing where that was done, or failed, meanwhile.

        An exception may come between any two steps (Ctrl-C). Before the frame is known to be on the disk it counts as
        a failed write; after that memory and pages may be half-way, so nothing is ever written from them again.
        """
        if batch.done:
            return
        durable = False
        try:
            self._close_batch(batch)
            # 1. Still alone? A lock file that was removed or replaced excludes nobody.
            self.check_alone()
            # 2. One frame with all commits, on the disk.
            self._current_segment().append(batch.commits)
            durable = True
            # 3. Durable from here on.
            self.sequence = batch.commits[-1].sequence
            # 4. The snapshot's pages.
            self.saver.apply(batch.commits, self._segment.tip)
            # 5. Everybody may see it.
            self._listener.durable(batch)
            # 6. The snapshot, where a write waits for it. Its failure takes nothing back: the frame is durable.
            self.saver.follow()
        except BaseException as error:
            if durable:
                self._give_up(error)
                raise
            self._fail(batch, error)
            if not isinstance(error, (OSError, SnaptableError)):
                raise
        finally:
            if durable:
                # 7. The acknowledgement.
                self._flying = None
                batch.finish()

    def _close_batch(self, batch: CommitBatch) -> None:
        with self._gate:
            self._flying = batch
            if self._open is batch:
                self._open = None
        if self.refusal is not None:
            raise self.refusal
        if batch.commits[0].sequence != self.sequence + 1:
            raise ReadOnlyStore("writes are refused until the store is reopened: an interrupted commit left a gap")

    def _current_segment(self) -> Segment:
        """Return the journal file to write to: a new one where the present one is large."""
        if self._segment.size >= SEGMENT_BYTES:
            self._segment.end()
            self._segment = Segment(self._files, self.saver.store, self.sequence + 1, self._segment.tip)
            self._prune()
        return self._segment

    def _prune(self) -> None:
        try:
            journal_directory.prune(self._files, self.saver.saved_sequence)
        except (OSError, SnaptableError) as error:
            # Old history that stays costs room, no data: not worth failing a write.
            logger.warning("Old journal files could not be removed: %s", error)

    def check_alone(self) -> None:
        """Make sure that nobody else can be writing here.

        Raises:
            ReadOnlyStore: this is a fork, or the lock file is not the one that was locked.
        """
        if os.getpid() != self._pid:
            raise ReadOnlyStore(
                "this process is a fork of the one that opened the store; open it after the fork instead"
            )
        problem = self._lock.problem()
        if problem is not None:
            raise ReadOnlyStore(f"writes are refused until the store is reopened: {problem}")

    # ── when it fails ───────────────────────────────────────────────────────────────────────────────────────────────

    def _fail(self, batch: CommitBatch, error: BaseException) -> None:
        """Take back a batch, and the one built on it."""
        failure = WriteFailed(f"the write could not be made durable and was rolled back: {error}")
        failure.__cause__ = error.__cause__ if isinstance(error, SyncFailed) else error
        with self._gate:
            behind, self._open, self._flying = self._open, None, None
            # Nothing may be built on what is being taken back.
            self.refusal = failure
        failed = [batch] if behind is None else [behind, batch]
        self._listener.failed(failed, self.sequence, failure)
        self.refusal = self._verdict(error)
        logger.error("Failed to write the journal: %s", error)
        for found in failed:
            found.finish(failure)

    def _verdict(self, error: BaseException) -> Exception | None:
        """Return why writes are refused from now on; None where the file is as it was before."""
        if isinstance(error, ReadOnlyStore):
            return error
        if isinstance(error, OSError) and not isinstance(error, SyncFailed) and self._segment.cut_back():
            return None
        cause = error.__cause__ if isinstance(error, SyncFailed) else error
        # A full disk heals by itself once there is room; a disk that failed wants somebody to look at it.
        self._curable = not isinstance(cause, OSError) or cause.errno in DISK_FULL
        self._segment.abandon()
        return ReadOnlyStore(
            f"writes are refused since a write to the journal failed ({cause}); reading goes on. "
            f"persist() tries to write everything to a new file, reopening the store does too"
        )

    def _give_up(self, error: BaseException) -> None:
        """Refuse writes for good: what memory and pages hold may be half of a commit; the journal holds all of it."""
        self._final, self._curable = True, False
        self.saver.disable()
        self._segment.abandon()
        self.refusal = ReadOnlyStore(
            f"writes are refused until the store is reopened: a commit was interrupted ({error!r})"
        )

    def try_resume(self) -> None:
        """Try to leave the refusal that a full disk caused; at most once a second, for it writes everything."""
        now = time.monotonic()
        if self._curable and now - self._healed >= HEAL_PAUSE:
            self._healed = now
            try:
                with self._turn:
                    self._revive()
            except (OSError, SnaptableError):
                return  # still no room; the refusal stands and says so

    def _revive(self) -> bool:
        """Write everything to new files: a snapshot, and a journal segment that nothing doubtful can follow.

        Return whether that was done; False where writes are not refused.
        """
        if self.refusal is None:
            return False
        if self._final:
            raise self.refusal
        self.check_alone()
        # 1. All that is durable, in a new snapshot.
        self.saver.save()
        # 2. If the new segment needs the name of the one whose end is in doubt: a copy of that.
        if self._segment.first == self.sequence + 1:
            journal_directory.keep_copy(self._files, self._segment.first)
        # 3. A new segment; recovery will not look at what the old one holds behind its beginning.
        segment = Segment(self._files, self.saver.store, self.sequence + 1, self.saver.tip)
        segment.begin()
        self._segment = segment
        self._curable, self.refusal = False, None
        return True

    # ── now, and at the end ─────────────────────────────────────────────────────────────────────────────────────────

    def persist(self) -> None:
        """Write a snapshot now, and make writes work again where that was all they lacked.

        Raises:
            OSError: it could not be written.
            ReadOnlyStore: not from here: somebody else may be writing, or a commit was interrupted.
        """
        self._drain()
        self.check_alone()
        with self._turn:
            revived = self._revive()
        if not revived:
            self.saver.save()

    def close(self) -> None:
        """Finish what is waiting, write the last snapshot, and mark the journal as closed cleanly.

        Raises:
            OSError: the last snapshot could not be written; the journal holds everything.
            ReadOnlyStore: nor is it to be written: somebody else may be writing.
        """
        # 1. What is waiting.
        self._drain()
        self._errands.put(None)
        if self._runner is not None:
            self._runner.join()
        self.saver.stop()
        with self._turn:
            try:
                # 2. Nothing, where it is no longer ours to write, or half-way in memory: the journal holds everything.
                if self._final:
                    return
                self.check_alone()
                # 3. The last snapshot, in new files where the old ones are in doubt.
                self._revive()
                self.saver.save_if_behind()
                # 4. The mark.
                self._segment.close(self.sequence)
                self._prune()
            finally:
                self._segment.abandon()

    def _drain(self) -> None:
        """Return when nothing is waiting to become durable, whether it did or failed: its own callers are told."""
        while (pending := self.last_pending()) is not None:
            pending.claim()
            with self._turn:
                self._lead(pending)
