"""The batches that are not durable yet: the open one, which commits join, and the one that is being written."""

import threading
from collections.abc import Callable, Iterable
from typing import Generic

from snaptable.changes.records import CommitRecord
from snaptable.storage.commit_batch import CommitBatch, U


class BatchQueue(Generic[U]):
    """Where commits wait for their frame, in order.

    Attributes:
        refusal: why writes are refused; None while they are accepted.
        failure: the batches that are being taken back, and why; not None for long, unless that was interrupted.
    """

    def __init__(self, new_undo: Callable[[], U]) -> None:
        """Begin without a batch; `new_undo` returns what the engine keeps in a new one until it is durable."""
        self.refusal: Exception | None = None
        self.failure: tuple[list[CommitBatch[U]], Exception] | None = None
        self._new_undo = new_undo
        self._mutex = threading.Lock()
        self._open: CommitBatch[U] | None = None
        self._in_flight: CommitBatch[U] | None = None

    def enqueue(self, commit: CommitRecord, join: Callable[[CommitBatch[U]], None]) -> CommitBatch[U]:
        """Add a commit to the open batch, and return that.

        Args:
            commit: the next in sequence.
            join: called with the batch before it can close.

        Raises:
            ReadOnlyStore, WriteFailed: writes are refused; nothing was added.
        """
        with self._mutex:
            if self.refusal is not None:
                raise self.refusal
            batch = self._open
            if batch is None:
                batch = self._open = CommitBatch(self._new_undo())
            batch.commits.append(commit)
            join(batch)
            return batch

    def resume_enqueue(self, commit: CommitRecord, join: Callable[[CommitBatch[U]], None]) -> CommitBatch[U] | None:
        """Finish an `enqueue` that was interrupted; return the batch, or None if the commit was not added."""
        with self._mutex:
            for batch in (self._open, self._in_flight):
                if batch is not None and any(each is commit for each in batch.commits):
                    join(batch)
                    return batch
        return None

    def last_pending(self) -> CommitBatch[U] | None:
        """Return the newest batch that isn't durable yet; None if all are."""
        with self._mutex:
            return self._open or self._in_flight

    def _close_open(self, batch: CommitBatch[U]) -> None:
        """Let nothing join a batch any more: it is about to be written."""
        with self._mutex:
            self._in_flight = batch
            if self._open is batch:
                self._open = None

    def _acknowledge(self, batch: CommitBatch[U]) -> None:
        """Tell those who wait that a batch is durable."""
        if self._in_flight is batch:
            self._in_flight = None
        batch.finish()

    def _tell_failed(self, failed: Iterable[CommitBatch[U]], failure: Exception) -> None:
        """Tell those who wait that batches, which `_take_all` gave, have been taken back."""
        for each in failed:
            each.finish(failure)
        self.failure = None

    def _take_all(self, batch: CommitBatch[U], failure: Exception) -> tuple[list[CommitBatch[U]], Exception]:
        """Refuse further commits, and return the batches that fail, newest first, and why.

        The same ones again if that was done before, and interrupted behind it.
        """
        with self._mutex:
            if self.failure is None:
                failed = [batch] if self._open is None else [self._open, batch]
                self._open, self._in_flight, self.failure = None, None, (failed, failure)
            self.refusal = self.failure[1]
            return self.failure
