"""The pace of a large file that is written beside commits."""

import time
from collections.abc import Callable

from snaptable.storage.disk.files import File, sync

CHUNKS_PER_SYNC = 4
SHORTEST_PAUSE, LONGEST_PAUSE = 0.0002, 0.1
"""Seconds between two chunks of a file."""


class WritePacer:
    """The pace of one file: every few chunks are synced, and after each chunk a pause as long as it took.

    Without the syncs, the journal's next sync would wait for the backlog of this file; without the pauses, commits
    would find the disk, or the interpreter, busy.
    """

    def __init__(self, urgent: Callable[[], object]) -> None:
        """Begin a file; `urgent` returns something true while a caller waits for it."""
        self._urgent = urgent
        self._chunks = 0
        self._since = time.monotonic()

    def __call__(self, file: File) -> None:
        """Pause after a chunk of the file; return at once while a caller waits for it.

        Raises:
            SyncFailed: a sync failed.
        """
        self._chunks += 1
        if self._urgent():
            file.start_writeback()
            return
        if self._chunks % CHUNKS_PER_SYNC == 0:
            sync(file.sync)
        time.sleep(max(SHORTEST_PAUSE, min(time.monotonic() - self._since, LONGEST_PAUSE)))
        self._since = time.monotonic()
