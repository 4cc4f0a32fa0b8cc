"""The files that snapshots replace, kept open for a moment: a commit need not wait until their blocks are freed.

The kernel frees a file's blocks when its last name goes, within the rename, or when the last process that has it open
closes it: 7 ms for 36 MB, 60 ms for 300 MB, in which its journal takes no commit. So a large file is cut to nothing in
steps first, in the background. A reader who has it open must not find it cut: a write lease, which the kernel grants
only if no other process has the file open, tells. A copy under another name is safe too: a file that has a name is not
cut.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from snaptable.storage.background import BackgroundThread
from snaptable.storage.disk import names
from snaptable.storage.disk.files import File, Files

RETAIN_FROM = 1 << 20
"""Size in bytes from which on freeing a file takes longer than opening and closing it."""
CUT, REST = 8 << 20, 0.002
"""Bytes that are cut off at once, and seconds between two cuts."""
DELAY = 0.5
"""Seconds until the first cut: who was just opening the file by its former name has it open by then."""
RETRY, TRIES = 1.0, 30
"""Seconds between two looks at whether readers are gone, and looks until the file is closed as it is."""
MOST = 2
"""Files that wait at a time to be cut; of those that are closed as they are, one."""


class ReplacedFiles:
    """Snapshots that were replaced, open until the background has freed them."""

    def __init__(self, files: Files, background: BackgroundThread, urgent: Callable[[], object]) -> None:
        """Begin without any; `urgent` returns something true while a caller waits for the background."""
        self._files, self._background, self._urgent = files, background, urgent
        self._open: dict[File, tuple[int, float]] = {}
        """How often each may be looked at still, and when next; 0 for what is not cut, but closed as it is."""

    @contextmanager
    def retaining(self, size: int, *, slowly: bool) -> Iterator[None]:
        """Keep the present snapshot, of `size` bytes, open over a block that replaces it.

        Args:
            size: small files are not kept.
            slowly: whether to free it in steps; for the next snapshot it is not waited for.
        """
        file = self._files.retain(names.SNAPSHOT) if size >= RETAIN_FROM else None
        try:
            yield
        finally:
            if file is not None:
                self._keep(file, slowly=slowly)

    def _keep(self, file: File, *, slowly: bool) -> None:
        waiting = list(self._open)  # the background takes files out meanwhile
        for oldest in waiting[: max(len(waiting) + 1 - (MOST if slowly else 1), 0)]:
            self._drop(oldest)
        delay = DELAY if slowly else 0.0
        self._open[file] = (TRIES if slowly else 0, time.monotonic() + delay)
        if not self._background.run(self._free, delay):
            self.close()

    def _free(self) -> None:
        """Free the files that no other process has open; look at the others later."""
        for file, (_, due) in list(self._open.items()):
            if due <= time.monotonic():
                self._look_at(file)
        if self._open:
            self._background.run(self._free, RETRY)

    def _look_at(self, file: File) -> None:
        # Taken out first: no other thread may close it while it is cut, and open another file by its number.
        tries, _ = self._open.pop(file, (None, 0.0))
        if tries is None:
            return
        is_mine = file.lease() if tries else None
        if is_mine is False:
            self._open[file] = (tries - 1, time.monotonic() + RETRY)
            return
        if is_mine:
            self._cut(file)
        _close(file)

    def _cut(self, file: File) -> None:
        """Cut a file to nothing in steps; unless a writer waits, or opens it by its number in this process."""
        try:
            size = file.identity().size
            while size > 0 and not self._urgent() and file.lease():
                size = max(0, size - CUT)
                file.truncate(size)
                time.sleep(REST)
        except OSError:
            return  # it is closed as it is

    def close(self) -> None:
        """Close the files that are open still; never raises."""
        for file in list(self._open):
            self._drop(file)

    def _drop(self, file: File) -> None:
        if self._open.pop(file, None) is not None:
            _close(file)


def _close(file: File) -> None:
    try:
        file.close()
    except OSError:
        return  # its content was replaced: nothing depends on it
