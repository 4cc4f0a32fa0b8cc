"""Simulated processes that have a store open in a test: a database (`StoreHandle`), or an application (`app.py`)."""

import random
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from snaptable.database.database import Database
from snaptable.engines import engine_of
from snaptable.runtime.silenced_log import silenced_log
from snaptable.storage.disk.files import Files
from snaptable.testing.crash import Model
from snaptable.testing.faults import DiskFaults
from snaptable.testing.oracle import CrashReport, CrashSearch, delete_a_row, search_everywhere
from snaptable.testing.recorded_directory import RecordedDirectory, contents_of
from snaptable.testing.recording import D, record, sibling
from snaptable.testing.second_process import SecondProcess, kept_open, try_to_open
from snaptable.testing.survival import assert_survives_restart

CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the threads of a killed process."""
LOG2_OPERATIONS = 7
"""Work is killed before its 2⁷th file operation, and most often early: a write of a small store takes some ten."""

Started = TypeVar("Started", covariant=True)
"""What starting gives: the database, or the client of the application."""


class SeedSource:
    """Random generators whose seeds are reported, so that a person can repeat what they chose."""

    def __init__(self, report: Callable[[str], None], seed: int | None) -> None:
        """Take whom to report a seed to, and the seed of every generator; None to choose a new one each time."""
        self._report, self._seed = report, seed

    def generator(self, method: str, seed: int | None) -> random.Random:
        """Return the generator for a method's choices, and report its seed; `seed` goes before the source's own."""
        seed = self._seed if seed is None else seed
        seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self._report(f"{method}(seed={seed})")
        return random.Random(seed)  # noqa: S311 - a choice that its seed repeats


class StoreProcess(ABC, Generic[Started]):
    """A store's directory, and the simulated process that has it open.

    Attributes:
        directory: where the store is; its files can be looked at.
        disk: the faults of its disk: `full()`, `fail(…)`, `slow(…)`, and `heal()`.
        last_opened: the database that was opened in the directory last; None before any was.
    """

    def __init__(self, directory: Path, seeds: SeedSource, redirect: Callable[[Path], object] | None) -> None:
        """Take a directory; nothing is opened yet.

        Args:
            directory: the store's.
            seeds: of what is chosen at random.
            redirect: lets the one database that every start opens, a module's own, use a directory; None if each start
                makes a new database.
        """
        self.directory = directory
        self.disk = DiskFaults()
        self._seeds, self._redirect = seeds, redirect
        self._recorded: RecordedDirectory | None = None
        self.last_opened: Database | None = None

    # ── what each kind does its own way ─────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def start(self) -> Started:
        """Open the store."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether the store is open."""

    @abstractmethod
    def stop(self) -> None:
        """Close the store cleanly; does nothing if it is closed."""

    @abstractmethod
    def discard(self) -> None:
        """End every thread and transaction of the process, whose disk takes no more operations."""

    # ── openings of databases in the directory ──────────────────────────────────────────────────────────────────────

    def mount(self, directory: Path, /, *, fsync: bool) -> Files:  # noqa: ARG002 - it has one directory
        """Return the disk that a database finds in the directory; another one for each process."""
        if self._recorded is None or not self._recorded.locks:
            self._recorded = RecordedDirectory(self.directory, self.disk, self._recorded, fsync=fsync)
        return self._recorded

    def opened(self, database: Database) -> None:
        """Take note that a database was opened in the directory."""
        self.last_opened = database

    # ── ends ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def restart(self) -> Started:
        """Close cleanly, and open again."""
        self.stop()
        return self.start()

    def kill(self, during: Callable[[], object] | None = None, *, seed: int | None = None) -> Started:
        """Kill the process, and open again: what it had written is there, what it had in memory is not.

        Args:
            during: some work; the process is killed at one of its file operations.
            seed: chooses at which.
        """
        rng = self._seeds.generator("kill", seed) if during is not None else None
        self._kill("the process was killed", during, rng)
        return self.start()

    def power_loss(
        self, during: Callable[[], object] | None = None, *, seed: int | None = None, model: Model = "weak"
    ) -> Started:
        """Cut the power, and open again: of what was not synced, anything may be there.

        Args:
            during: some work; the power is cut at one of its file operations, so that it is not acknowledged.
            seed: chooses among the states that the disk may be in; shown if the test fails.
            model: "weak" for anything that POSIX allows, "ordered" for what ext4 and XFS do.
        """
        rng = self._seeds.generator("power_loss", seed)
        self._kill("the power was cut", during, rng).lose_unsynced(model, rng)
        return self.start()

    def _kill(self, reason: str, work: Callable[[], object] | None, rng: random.Random | None) -> RecordedDirectory:
        recorded = self._recorded
        if recorded is None:
            raise RuntimeError("the store was never opened")
        if work is not None and rng is not None:
            _run_until_killed(recorded, work, rng)
        recorded.kill(reason)
        with silenced_log():
            self.discard()
        return recorded

    @contextmanager
    def _set_aside(self) -> Iterator[None]:
        """Close a database that every start shares for the length of a block, so that it can be opened elsewhere."""
        if self._redirect is None:
            yield
            return
        was_running = self.is_running
        self.stop()
        try:
            yield
        finally:
            self._redirect(self.directory)
            if was_running:
                self.start()

    # ── other processes ─────────────────────────────────────────────────────────────────────────────────────────────

    def second_process(self) -> SecondProcess:
        """Let another process try to open the directory, and return the outcome."""
        return try_to_open(self.directory)

    @contextmanager
    def held_by_second_process(self) -> Iterator[int]:
        """Close, and let another process keep the store open for the length of a block; gives its process id."""
        self.stop()
        with kept_open(self.directory) as pid:
            yield pid


def _run_until_killed(recorded: RecordedDirectory, work: Callable[[], object], rng: random.Random) -> None:
    recorded.operations_left = int(2 ** rng.uniform(0, LOG2_OPERATIONS)) - 1
    try:
        with silenced_log():
            work()
    except Exception:
        # An error that the kill caused is expected; an error before it is the work's own.
        if recorded.operations_left >= 0:
            raise


class StoreHandle(StoreProcess[D], Generic[D]):
    """A store of a test, and its open database.

    Attributes:
        db: the open database; another object after each restart, unless the test brought its own.
    """

    db: D

    def __init__(
        self,
        make: Callable[[Path], D],
        directory: Path,
        seeds: SeedSource,
        redirect: Callable[[Path], D] | None,
        fork: "Callable[[Callable[[Path], D], Path], StoreHandle[D]]",
    ) -> None:
        """Take what the handle is made of, see `StoreProcess`; nothing is opened yet.

        Args:
            make: returns a closed database for a directory.
            directory: the store's.
            seeds: of what is chosen at random.
            redirect: `make`, if it returns a module's one database each time.
            fork: returns the handle for a copy of a directory.
        """
        super().__init__(directory, seeds, redirect)
        self._make, self._fork = make, fork

    def start(self) -> D:
        """Open the store in a new database, and return that."""
        self.db = self._make(self.directory)
        return self.db.open()

    @property
    def is_running(self) -> bool:
        """Whether the database is open."""
        return self.db.is_open

    def stop(self) -> None:
        """Close the database; does nothing if it is closed."""
        self.db.close()

    def discard(self) -> None:
        """End the database's threads, and roll back its open transaction."""
        abandon(self.db)

    def fork(self) -> "StoreHandle[D]":
        """Return the handle of a copy of the files as they are now, open: two futures of one past."""
        return self._fork(self._maker(), self.directory)

    def _maker(self) -> Callable[[Path], D]:
        """Return a function that makes other databases than the open one, for other directories."""
        return self._make if self._redirect is None else partial(sibling, self.db)

    def crash_everywhere(
        self,
        workload: Callable[[D], object],
        *,
        check: Callable[[D], object] | None = None,
        follow_up: Callable[[D], object] = delete_a_row,
        seed: int = 0,
        max_states: int = 25,
        nested: int = 0,
    ) -> CrashReport:
        """Run a workload on a copy of the store, then open every state that a crash at any moment may have left.

        See `snaptable.testing.crash_everywhere` for the arguments and for what is verified in each. A database that
        the test brought is closed meanwhile: the workload is called with that very object.
        """
        search = CrashSearch(seed=seed, max_states=max_states, nested=nested, follow_up=follow_up, check=check)
        with self._set_aside(), silenced_log():
            recording = record(self._make, workload, contents_of(self.directory))
        recording.make = self._maker()
        return search_everywhere(recording, search)

    def assert_survives_restart(self) -> None:
        """Assert that every row would come back equal; see `snaptable.testing.assert_survives_restart`."""
        assert_survives_restart(self.db)


def abandon(db: Database) -> None:
    """End what a database of a killed process still runs: its own open transaction, and its threads."""
    if not db.is_open:
        return
    engine = engine_of(db)
    if engine.in_transaction() and engine.open_transaction is not None:
        engine.roll_back(engine.open_transaction)

    def close() -> None:
        """Close the database, if that works."""
        with suppress(Exception):
            db.close()

    # In a thread, since another thread may keep a transaction open for as long as it likes.
    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(CLOSE_TIMEOUT)


def copy_store(source: Path, target: Path) -> None:
    """Copy a directory, sharing blocks with it if the file system can."""
    shutil.copytree(source, target, copy_function=_copy_file)
    target.chmod(0o700)


def _copy_file(source: str, target: str) -> None:
    with Path(source).open("rb") as old, Path(target).open("xb") as new:
        try:
            import fcntl

            fcntl.ioctl(new.fileno(), 0x40049409, old.fileno())  # FICLONE: Btrfs, XFS
        except (ImportError, OSError):
            shutil.copyfileobj(old, new)
    shutil.copystat(source, target)
