"""The background thread: tasks when they are due, one after the other, whatever one of them raises."""

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from snaptable.storage.background import BackgroundThread

SECONDS = 30.0


@pytest.fixture
def background() -> Iterator[BackgroundThread]:
    """Give a background thread that is stopped at the end."""
    thread = BackgroundThread("test")
    yield thread
    thread.stop()


def test_tasks_run_in_order_on_one_thread(background: BackgroundThread) -> None:
    """Ensure tasks that are due at once run in the order in which they came, on a thread of their own."""
    ran: list[tuple[int, str]] = []
    done = threading.Event()
    for number in range(100):
        background.run(lambda number=number: ran.append((number, threading.current_thread().name)))  # type: ignore[misc]
    background.run(done.set)
    assert done.wait(SECONDS)
    assert ran == [(number, "test") for number in range(100)]


def test_a_delayed_task_runs_once_at_the_earliest_time(background: BackgroundThread) -> None:
    """Ensure a task asked for several times waits as long as the shortest delay says, and runs once."""
    ran: list[float] = []
    done = threading.Event()

    def task() -> None:
        ran.append(time.monotonic())
        done.set()

    began = time.monotonic()
    for delay in (3600.0, 0.05, 1800.0):
        background.run(task, delay)
    assert done.wait(SECONDS)
    time.sleep(0.05)
    assert len(ran) == 1
    assert ran[0] - began >= 0.05


def test_a_task_that_raises_is_logged_and_the_thread_continues(
    background: BackgroundThread, caplog: pytest.LogCaptureFixture
) -> None:
    """Ensure an exception ends neither the thread nor what waits, and is not swallowed."""
    done = threading.Event()

    def fail() -> None:
        raise ZeroDivisionError("division by zero")

    background.run(fail)
    background.run(done.set)
    with caplog.at_level(logging.ERROR):
        assert done.wait(SECONDS)
    assert "division by zero" in caplog.text


def test_what_waits_is_dropped_at_the_stop() -> None:
    """Ensure stopping doesn't wait for delayed tasks, and refuses new ones."""
    background = BackgroundThread("test")
    ran: list[int] = []
    background.run(lambda: ran.append(1), 3600.0)
    began = time.monotonic()
    background.stop()
    assert time.monotonic() - began < SECONDS
    assert not background.run(lambda: ran.append(2))
    assert ran == []
