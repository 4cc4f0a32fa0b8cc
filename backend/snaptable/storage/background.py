"""A thread for work that its caller does not wait for: each task when it is due, one after the other."""

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("snaptable")

Task = Callable[[], None]


class BackgroundThread:
    """A daemon thread that runs tasks when they are due; it starts with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._due: dict[Task, float] = {}
        self._wake = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def run(self, task: Task, delay: float = 0.0) -> bool:
        """Run a task once in `delay` seconds, sooner if it is waiting already; return False if the thread was stopped.

        A task that raises is logged, and the thread continues.
        """
        due = time.monotonic() + delay
        with self._wake:
            if self._stopping:
                return False
            if self._due.get(task, due + 1) > due:
                self._due[task] = due
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
                self._wake.notify()
            return True

    def stop(self) -> None:
        """End the thread: a task that is running is finished first, those that wait are dropped."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except Exception:
                logger.exception("Failed in the background")

    def _next(self) -> Task | None:
        """Wait until a task is due, and return it; None after `stop`."""
        with self._wake:
            while not self._stopping:
                task = min(self._due, key=self._due.__getitem__, default=None)
                remaining = None if task is None else self._due[task] - time.monotonic()
                if task is not None and remaining is not None and remaining <= 0:
                    del self._due[task]
                    return task
                self._wake.wait(remaining)
            return None
