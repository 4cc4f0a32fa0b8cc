"""Several server processes on one socket: started again when they die, renewed one by one, stopped in order.

    SIGTERM, SIGINT       every worker answers what it is answering, then ends; the exit status is 0
    SIGHUP                a new worker takes each one's place in turn, once it serves: no request is refused
    a worker ends         another takes its place: at once, or after a pause if it had just begun
    this process is gone  the workers stop in order: they would not be started again

The socket belongs to this process, and stays open whatever happens to workers: who connects meanwhile waits a moment.
Workers are forks, of a process that has imported everything and has opened nothing.
"""

import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from types import FrameType

from app.place import Place

Serve = Callable[[Place, socket.socket, Callable[[str], None]], int]
"""Serves on a socket until SIGTERM, and returns the exit status; tells where it serves, in words, once it does."""

START_SECONDS = 60.0
"""How long a worker that takes another's place may take until it serves."""
STOP_SECONDS = 15.0
"""How long a worker may take to stop, besides what the settings give requests; then it is killed."""
SHORT_LIFE = 5.0
"""Seconds of life from which on a worker that died is replaced at once."""
LONGEST_PAUSE = 10.0
EXIT_FAILED = 1
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that the two processes of a fork take differently: a child that has just begun would take one as its parent
does, and lose it. So they wait for it until it has set its own handlers."""

logger = logging.getLogger("app.workers")


class Worker:
    """One process.

    Attributes:
        place: which of them it is.
        announcement: what it said when it began to serve; None before.
    """

    def __init__(self, place: Place, serve: Serve, listener: socket.socket, life: tuple[int, int]) -> None:
        """Start it; `life` is a pipe whose writing end this process alone keeps, as long as it lives."""
        fork = multiprocessing.get_context("fork")
        self.place = place
        self.announcement: str | None = None
        self.begun = time.monotonic()
        self._ours, theirs = fork.Pipe(duplex=False)
        self._process = fork.Process(target=_run, args=(place, serve, listener, life, theirs), name=str(place.number))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    @property
    def pid(self) -> int | None:
        """The process' number."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status; None while it lives, the negative number of a signal that killed it."""
        return self._process.exitcode

    @property
    def waitables(self) -> list[Connection | int]:
        """What has something to tell when it begins to serve, or ends."""
        return [self._process.sentinel, *([] if self.announcement is not None or self._ours.closed else [self._ours])]

    def listen(self) -> None:
        """Take note of what it says."""
        if self.announcement is None and not self._ours.closed and self._ours.poll():
            try:
                self.announcement = str(self._ours.recv())
            except (EOFError, OSError):  # it ended before
                self._ours.close()

    def stop(self) -> None:
        """Ask it to end in order."""
        if self._process.is_alive():
            self._process.terminate()

    def end(self, seconds: float) -> bool:
        """Wait for its end, and kill it if that takes too long; return whether it ended by itself."""
        self._process.join(seconds)
        in_time = not self._process.is_alive()
        if not in_time:
            self._process.kill()
            self._process.join()
        self._ours.close()
        return in_time


class Workers:
    """The process that has workers, and serves nothing itself."""

    def __init__(self, count: int, serve: Serve, listener: socket.socket, *, stop_seconds: float) -> None:
        """Take their number, what each does, and a bound socket; `stop_seconds` is what requests are given."""
        self._places = [Place(number, count) for number in range(1, count + 1)]
        self._serve, self._listener = serve, listener
        self._stop_seconds = stop_seconds + STOP_SECONDS
        self._life = os.pipe()
        self._workers: dict[int, Worker] = {}
        self._due: dict[int, float] = {}
        """When a worker that died is to be replaced, by number."""
        self._deaths: dict[int, int] = {}
        """How often in a row one died that had just begun, by number."""
        self._wakes = multiprocessing.get_context("fork").Pipe(duplex=False)
        self._is_stopping = False
        self._is_renewing = False

    def run(self) -> int:
        """Serve until told to stop, and return the exit status: that of a worker that could not start, if one can't."""
        self._listener.listen()
        with self._signals():
            # 1. The first makes what is missing in the database; if it can't serve, none can.
            for places in (self._places[:1], self._places[1:]):
                for place in () if self._is_stopping else places:
                    self._start(place)
                self._wait(lambda: all(each.announcement is not None for each in self._workers.values()))
                failed = [each.status for each in self._workers.values() if each.status is not None]
                if failed and not self._is_stopping:
                    self._stop()
                    return failed[0] if failed[0] > 0 else EXIT_FAILED
            # 2. All serve.
            if not self._is_stopping:
                sys.stdout.write(self._workers[1].announcement or "")
                sys.stdout.flush()
            # 3. Until a signal comes.
            while not self._is_stopping:
                self._look_after()
            return self._stop()

    def _start(self, place: Place) -> Worker:
        worker = self._workers[place.number] = Worker(place, self._serve, self._listener, self._life)
        return worker

    def _look_after(self) -> None:
        """Replace workers that ended, renew them if that was asked for, then wait for what happens next."""
        for worker in list(self._workers.values()):
            if worker.status is not None and worker.place.number not in self._due:
                self._take_note_of_death(worker)
        for number, due in list(self._due.items()):
            if time.monotonic() >= due and not self._is_stopping:
                del self._due[number]
                self._start(self._places[number - 1])
        if self._is_renewing and not self._is_stopping:
            self._is_renewing = False
            self._renew()
            return
        now = time.monotonic()
        watched = [worker for number, worker in self._workers.items() if number not in self._due]
        self._next_event(min([max(0.0, due - now) for due in self._due.values()], default=None), watched)

    def _take_note_of_death(self, worker: Worker) -> None:
        number, lived = worker.place.number, time.monotonic() - worker.begun
        worker.end(0)
        self._deaths[number] = self._deaths.get(number, 0) + 1 if lived < SHORT_LIFE else 0
        pause = 0.0 if lived >= SHORT_LIFE else min(LONGEST_PAUSE, 0.5 * 2.0 ** (self._deaths[number] - 1))
        self._due[number] = time.monotonic() + pause
        status = worker.status or 0
        what = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        logger.error("Worker %d, process %s, %s: another takes its place in %.1f s", number, worker.pid, what, pause)

    def _renew(self) -> None:
        """Replace each worker by a new one, one after the other; one that can't start leaves the old one in place."""
        logger.info("Renewing %d workers", len(self._places))
        for place in self._places:
            old = self._workers[place.number]
            if old.status is not None:
                continue  # another takes its place anyway
            new = Worker(place, self._serve, self._listener, self._life)
            self._wait(lambda new=new: new.announcement is not None, START_SECONDS, new)  # type: ignore[misc]
            if self._is_stopping or new.announcement is None:
                new.stop()
                new.end(self._stop_seconds)
                if not self._is_stopping:
                    logger.error("Worker %d could not be renewed: the old one goes on", place.number)
                return
            self._workers[place.number] = new
            old.stop()
            old.end(self._stop_seconds)
        logger.info("All workers are new")

    def _stop(self) -> int:
        """Have every worker end in order; return the exit status."""
        for worker in self._workers.values():
            worker.stop()
        ended = [worker.end(self._stop_seconds) for worker in self._workers.values()]
        for number in self._life:
            os.close(number)
        return 0 if all(ended) else EXIT_FAILED

    # ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _wait(self, is_so: Callable[[], bool], seconds: float | None = None, *others: Worker) -> None:
        """Wait until something is so, a worker that is waited for ends, this process is to stop, or time is up."""
        end = None if seconds is None else time.monotonic() + seconds
        watched = others or tuple(self._workers.values())
        while not self._is_stopping and not is_so() and all(each.status is None for each in watched):
            if end is not None and time.monotonic() >= end:
                return
            self._next_event(None if end is None else end - time.monotonic(), watched)

    def _next_event(self, seconds: float | None, workers: Sequence[Worker]) -> None:
        """Wait until one of some workers says something or has ended, or a signal comes.

        One that has ended ends the wait at once: its end may have been too fresh for the caller to see. A process
        closes its files, which is what is waited for, a little before its status can be read.
        """
        wait([self._wakes[0], *(waitable for each in workers for waitable in each.waitables)], seconds)
        while self._wakes[0].poll():
            self._wakes[0].recv_bytes()
        for worker in workers:
            worker.listen()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals do what they are to."""

        def note(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGHUP:
                self._is_renewing = True
            else:
                self._is_stopping = True
            self._wakes[1].send_bytes(b"!")

        before = {number: signal.signal(number, note) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _run(place: Place, serve: Serve, listener: socket.socket, life: tuple[int, int], parent: Connection) -> None:
    """Serve in this process, a worker's."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal sends it to all; it is for the parent
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    os.close(life[1])
    threading.Thread(target=_stop_with_parent, args=(life[0],), name="life", daemon=True).start()
    random.seed()  # each draws its own pauses

    def tell(announcement: str) -> None:
        """Tell the parent that this process serves."""
        with suppress(OSError):
            parent.send(announcement)

    raise SystemExit(serve(place, listener, tell))


def _stop_with_parent(life: int) -> None:
    """Stop this process in order when the other end of a pipe is closed: its parent has gone."""
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGTERM)
