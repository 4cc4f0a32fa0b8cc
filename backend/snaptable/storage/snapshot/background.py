"""A thread for what a write need not wait for: each chore at its time, one after the other, the large ones slowly."""

import logging
import threading
import time
from collections.abc import Callable

from snaptable.storage.disk.files import File, sync

logger = logging.getLogger("snaptable")

BackgroundTask = Callable[[], None]
SLICE = 4
"""Chunks of a file that are synced together."""
LEAST_REST, LONGEST_REST = 0.0002, 0.1
"""Seconds between two chunks of a file."""


class Background:
    """Do chores on a thread of its own, which begins with the first of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._due: dict[BackgroundTask, float] = {}
        self._wake = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def do(self, chore: BackgroundTask, delay: float = 0.0) -> None:
        """See to it that a chore is done so many seconds from now, or sooner where it waits already."""
        due = time.monotonic() + delay
        with self._wake:
            if self._stopping or self._due.get(chore, due + 1) <= due:
                return
            self._due[chore] = due
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._wake.notify()

    def stop(self) -> None:
        """End the thread; a chore that it is doing is finished first, the others are forgotten."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (chore := self._next()) is not None:
            try:
                chore()
            except Exception:
                logger.exception("Failed in the background")

    def _next(self) -> BackgroundTask | None:
        """Wait until a chore is due and return it; None when it is time to stop."""
        with self._wake:
            while not self._stopping:
                chore = min(self._due, key=self._due.__getitem__, default=None)
                rest = None if chore is None else self._due[chore] - time.monotonic()
                if chore is not None and rest is not None and rest <= 0:
                    del self._due[chore]
                    return chore
                self._wake.wait(rest)
            return None


class WritePacer:
    """Be the pace at which a large file is written beside commits: each slice synced, and as long a rest behind it.

    Without the syncs the next sync of the journal would find a backlog before it on the disk; without the rests commits
    would find the disk, or the interpreter, busy.
    """

    def __init__(self, hurry: Callable[[], object]) -> None:
        """Begin; `hurry` says whether somebody waits for the file."""
        self._hurry = hurry
        self._number = 0
        self._since = time.monotonic()

    def __call__(self, file: File) -> None:
        """Be called after each chunk of the file."""
        self._number += 1
        if self._hurry():
            file.push()
            return
        if self._number % SLICE == 0:
            sync(file.sync)
        time.sleep(max(LEAST_REST, min(time.monotonic() - self._since, LONGEST_REST)))
        self._since = time.monotonic()
