"""The owner of a transaction: a thread, and on an event loop a task; and the line of the program that began it."""

import sys
import threading
import time
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, NamedTuple

from snaptable.runtime.callers import frame_of_caller

if TYPE_CHECKING:
    import asyncio
    from asyncio import AbstractEventLoop, Task


class Place(NamedTuple):
    """The line of the program that began a transaction, and when."""

    code: CodeType
    line: int
    since: float
    """When that was, in seconds of `time.monotonic`."""

    def __str__(self) -> str:
        return f"{self.code.co_qualname} ({Path(self.code.co_filename).name}:{self.line})"


def place_of_caller(frame: FrameType | None) -> Place | None:
    """Return the first place outside this package, from a frame outwards; O(depth)."""
    caller = frame_of_caller(frame)
    return None if caller is None else Place(caller.f_code, caller.f_lineno, time.monotonic())


class Owner:
    """The thread, and on an event loop the task, that a transaction belongs to."""

    __slots__ = ("in_sync_call", "loop", "place", "started", "task", "thread")

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        asyncio: ModuleType | None = sys.modules.get("asyncio")
        self.loop: AbstractEventLoop | None = None if asyncio is None else asyncio._get_running_loop()  # `running_loop`
        """The event loop that the task belongs to; None without one."""
        self.task: Task[object] | None = (
            None if self.loop is None or asyncio is None else asyncio.current_task(self.loop)
        )
        self.started = False
        """Whether it runs with the lock; a task that was just handed the lock has yet to wake up."""
        self.in_sync_call = False
        """Whether it is inside a plain function that `db.run` calls: no other task of its thread can be running."""
        self.place: Place | None = None
        """Where the program began the transaction; None for a single write, which ends by itself."""

    def is_caller(self) -> bool:
        """Return whether the caller is the owner; a task that the owner started is not."""
        return self.thread is threading.current_thread() and (self.in_sync_call or self.task is current_task())

    def is_of_my_thread(self) -> bool:
        """Return whether the owner runs in the caller's thread, so that blocking would be for ever."""
        return self.thread is threading.current_thread()

    def is_dead(self) -> bool:
        """Return whether the owner ended without releasing the lock."""
        if self.task is not None and (self.task.done() or self.task.get_loop().is_closed()):
            return True
        return not self.thread.is_alive()


def running_loop() -> "asyncio.AbstractEventLoop | None":
    """Return the event loop that runs in the calling thread, None without one."""
    # If no module imported asyncio, no loop runs; importing it here would cost every program without tasks 60 ms.
    module: ModuleType | None = sys.modules.get("asyncio")
    loop: asyncio.AbstractEventLoop | None = None if module is None else module._get_running_loop()
    return loop


def on_event_loop() -> bool:
    """Return whether an event loop runs in the calling thread."""
    return running_loop() is not None


def _task_of(loop: "asyncio.AbstractEventLoop") -> "asyncio.Task[object] | None":
    task: asyncio.Task[object] | None = sys.modules["asyncio"].current_task(loop)
    return task


def current_task() -> "asyncio.Task[object] | None":
    """Return the asyncio task that is running, None outside an event loop."""
    loop = running_loop()
    return None if loop is None else _task_of(loop)
