"""The pace of a large file that is written beside commits: small slices, each synced, each followed by a rest.

The device has one queue: a frame of the journal waits for what was handed over before it. 300 MB written 2 MiB at a
time made frames wait 5.5 ms (99th percentile); 128 KiB at a time, with as long a rest behind each, 0.3 ms.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from snaptable.storage.disk.files import File, sync

SLICE = 1 << 17
"""Bytes between two syncs."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.0002, 0.1
"""Seconds between two slices of a file."""


def slices(chunks: Iterable[Sequence[bytes]], size: int = SLICE) -> Iterator[list[bytes]]:
    """Yield the same bytes `size` at a time, the last ones fewer; buffers are cut only where they don't fit."""
    gathered, room = list[bytes](), size
    for buffer in chain.from_iterable(chunks):
        rest = buffer
        while len(rest) >= room:
            part, rest = rest[:room], rest[room:]
            yield [*gathered, part]
            gathered, room = [], size
        if rest:
            gathered.append(rest)
            room -= len(rest)
    if gathered:
        yield gathered


class WritePacer:
    """The pace of one file: each slice is synced, and followed by a rest as long as it took.

    Without the syncs, the journal's next sync would wait for the backlog of this file; without the rests, commits would
    find the disk, or the interpreter, busy.
    """

    def __init__(self, urgent: Callable[[], object]) -> None:
        """Begin a file; `urgent` returns something true while a caller waits for it."""
        self._urgent = urgent
        self._since = time.monotonic()

    def __call__(self, file: File) -> None:
        """Sync a slice of the file and rest; only start writing it back while a caller waits for the file.

        Raises:
            SyncFailed: the sync failed.
        """
        if self._urgent():
            file.start_writeback()
            return
        sync(file.sync)
        time.sleep(max(SHORTEST_PAUSE, min(time.monotonic() - self._since, LONGEST_PAUSE)))
        self._since = time.monotonic()
