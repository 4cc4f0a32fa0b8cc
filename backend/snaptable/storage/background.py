"""A thread for work that its caller does not wait for: each task when it is due, one after the other."""

import logging
import queue
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("snaptable")

Task = Callable[[], None]


class BackgroundThread:
    """A daemon thread that runs tasks when they are due; it starts with the first one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._mutex = threading.Lock()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._arrivals: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        """Tasks to run at once; None for a change of `_due`, or the end."""
        self._due: dict[Task, float] = {}
        """Tasks that wait, and the time until which they do."""
        self._wakes_at = float("inf")
        """The time at which the thread looks at `_due` by itself."""

    def run(self, task: Task, delay: float = 0.0) -> bool:
        """Run a task in `delay` seconds; return False if the thread was stopped.

        A delayed task that is waiting already is run once, at the earlier time. A task that raises is logged, and the
        thread continues.
        """
        if self._stopping:
            return False
        if self._thread is None:
            self._start()
        if delay <= 0:
            self._arrivals.put(task)
            return True
        due = time.monotonic() + delay
        if self._due.get(task, due + 1) <= due:
            return True  # it is still waiting, so it sees what led to this call
        with self._mutex:
            if self._due.get(task, due + 1) <= due:
                return True
            self._due[task] = due
            is_early, self._wakes_at = due < self._wakes_at, min(due, self._wakes_at)
        if is_early:
            self._arrivals.put(None)
        return True

    def _start(self) -> None:
        with self._mutex:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread: a task that is running is finished first, those that wait are dropped."""
        self._stopping = True
        self._arrivals.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            task = self._next()
            if task is not None:
                try:
                    task()
                except Exception:
                    logger.exception("Failed in the background")

    def _next(self) -> Task | None:
        """Wait for a task and return it; None if something else has changed."""
        timeout = None
        with self._mutex:
            self._wakes_at = min(self._due.values(), default=float("inf"))
            if self._due:
                timeout = self._wakes_at - time.monotonic()
                if timeout <= 0:
                    task = min(self._due, key=self._due.__getitem__)
                    del self._due[task]
                    self._wakes_at = float("-inf")  # it looks again before it waits
                    return task
        try:
            return self._arrivals.get(timeout=timeout)
        except queue.Empty:
            return None
