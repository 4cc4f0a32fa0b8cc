"""A store's lives in one test: started, restarted, killed, cut off; `StoreHandle` and `app.AppHandle` are its kinds."""

import random
import shutil
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, Self

from snaptable.database import Database
from snaptable.silenced_log import silenced_log
from snaptable.storage.disk.files import Files
from snaptable.testing.crash import Model
from snaptable.testing.faults import DiskFaults
from snaptable.testing.oracle import CrashReport, crash_everywhere, delete_a_row
from snaptable.testing.recorded_directory import RecordedDirectory, contents_of
from snaptable.testing.recording import D
from snaptable.testing.second_process import SecondProcess, holding, try_to_open
from snaptable.testing.survival import assert_survives_restart

PATIENCE = 5.0
"""Seconds that what a killed process left running is waited for."""
LONGEST = 7
"""What is cut off is cut before its 2⁷th file operation, most often early: a write of a small store takes some ten."""


class StoreProcess(ABC):
    """Be a directory with a store in it, and whoever has it open.

    Attributes:
        directory: where the store is; its files can be looked at.
        disk: what goes wrong with its disk: `full()`, `fail(…)`, `slow(…)`, and `heal()`.
    """

    def __init__(self, directory: Path, report: Callable[[str], None], seed: int | None) -> None:
        """Take a directory; nothing is opened yet.

        Args:
            directory: the store's.
            report: told what a person needs to do the same again.
            seed: chooses what is left to chance; None to choose anew each time.
        """
        self.directory = directory
        self.disk = DiskFaults()
        self._report, self._seed = report, seed
        self._mirror: RecordedDirectory | None = None
        self._opened_by: weakref.ReferenceType[Database] | None = None

    # ── what a kind of store adds ───────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def start(self) -> Any:
        """Open it."""

    @abstractmethod
    def stop(self) -> None:
        """Close it cleanly; do nothing where it is closed."""

    @abstractmethod
    def drop(self) -> None:
        """Let go of everything that ran, now that its disk is dead."""

    # ── the disk ────────────────────────────────────────────────────────────────────────────────────────────────────

    def files_for(self, db: Database) -> Files:
        """Return the disk that a database finds in the directory."""
        if self._mirror is None or not self._mirror.held:
            self._mirror = RecordedDirectory(self.directory, self.disk, self._mirror, fsync=db._fsync)
        return self._mirror

    def opened(self, db: Database) -> None:
        """Take note that a database was opened in the directory."""
        self._opened_by = weakref.ref(db)

    def opened_by(self) -> Database | None:
        """Return the database that opened the directory last."""
        return None if self._opened_by is None else self._opened_by()

    # ── ends ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def restart(self) -> Any:
        """Close cleanly, and open again."""
        self.stop()
        return self.start()

    def kill(self, during: Callable[[], object] | None = None, *, seed: int | None = None) -> Any:
        """Let the process die, and open again: what it had written is there, what it had in memory is not.

        Args:
            during: some work to die in, at one of its file operations.
            seed: chooses at which.
        """
        chance = random.Random() if during is None else self._chance("kill", seed)  # noqa: S311 - unused
        self._end("the process was killed", during, chance)
        return self.start()

    def power_loss(
        self, during: Callable[[], object] | None = None, *, seed: int | None = None, model: Model = "weak"
    ) -> Any:
        """Cut the power, and open again: of what was not synced, anything may be there.

        Args:
            during: some work to cut off, at one of its file operations; it is not acknowledged then.
            seed: chooses among the states that the disk may be in; shown where the test fails.
            model: "weak" for anything that POSIX allows, "ordered" for what ext4 and XFS do.
        """
        chance = self._chance("power_loss", seed)
        mirror = self._end("the power was cut", during, chance)
        mirror.cut(model, chance)
        return self.start()

    def _chance(self, what: str, seed: int | None) -> random.Random:
        seed = self._seed if seed is None else seed
        seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self._report(f"{what}(seed={seed})")
        return random.Random(seed)  # noqa: S311 - to be had again by its seed

    def _end(self, reason: str, during: Callable[[], object] | None, chance: random.Random) -> RecordedDirectory:
        mirror = self._mirror
        if mirror is None:
            raise RuntimeError("the store was never opened")
        if during is not None:
            self._work(mirror, during, chance)
        mirror.die(reason)
        with silenced_log():
            self.drop()
        return mirror

    @staticmethod
    def _work(mirror: RecordedDirectory, during: Callable[[], object], chance: random.Random) -> None:
        mirror.countdown = int(2 ** chance.uniform(0, LONGEST)) - 1
        try:
            with silenced_log():
                during()
        except Exception:
            # What the client of a dying process is told is of no interest; an error of its own is.
            if mirror.countdown >= 0:
                raise

    # ── others ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def second_process(self) -> SecondProcess:
        """Let another process try to open the directory, and return what came of it."""
        return try_to_open(self.directory)

    @contextmanager
    def held_by_second_process(self) -> Iterator[int]:
        """Close, and let another process hold the store for the length of a block; gives its process id."""
        self.stop()
        with holding(self.directory) as pid:
            yield pid


class StoreHandle(StoreProcess, Generic[D]):
    """Be a store of a test.

    Attributes:
        db: the open database; another object after each restart, unless the test brought its own.
    """

    db: D

    def __init__(
        self,
        make: Callable[[Path], D],
        directory: Path,
        report: Callable[[str], None],
        seed: int | None,
        again: Callable[[Path], "StoreHandle[D]"],
    ) -> None:
        """Take what gives a closed database for a directory; `again` gives a handle like this one on a copy."""
        super().__init__(directory, report, seed)
        self._make, self._again = make, again

    def start(self) -> D:
        """Open the store in a new database, and return that."""
        self.db = self._make(self.directory)
        self.db.open()
        return self.db

    def stop(self) -> None:
        """Close the database."""
        self.db.close()

    def drop(self) -> None:
        """Let go of the database's threads, and of a transaction that was open."""
        abandon(self.db)

    def restart(self) -> D:
        """Close cleanly and open again; return the database."""
        self.stop()
        return self.start()

    def kill(self, during: Callable[[], object] | None = None, *, seed: int | None = None) -> D:
        """Let the process die and open again, see `StoreProcess.kill`; return the database."""
        super().kill(during, seed=seed)
        return self.db

    def power_loss(
        self, during: Callable[[], object] | None = None, *, seed: int | None = None, model: Model = "weak"
    ) -> D:
        """Cut the power and open again, see `StoreProcess.power_loss`; return the database."""
        super().power_loss(during, seed=seed, model=model)
        return self.db

    def fork(self) -> Self:
        """Return a handle of a copy of the files as they lie there, open: two futures of one past."""
        return self._again(self.directory)  # type: ignore[return-value]

    def crash_everywhere(
        self,
        workload: Callable[[D], object],
        *,
        further: Callable[[D], object] = delete_a_row,
        seed: int = 0,
        most: int = 25,
        nested: int = 0,
    ) -> CrashReport:
        """Run a workload on a copy, then judge every state a crash may leave; see `snaptable.testing`."""
        contents = contents_of(self.directory)
        options: dict[str, Any] = {"seed": seed, "most": most, "nested": nested}
        return crash_everywhere(self._make, workload, contents=contents, further=further, **options)

    def assert_survives_restart(self) -> None:
        """Ensure that every row would come back equal; see `snaptable.testing.assert_survives_restart`."""
        assert_survives_restart(self.db)


def abandon(db: Database) -> None:
    """End what a database left running whose process is taken for dead."""
    engine = db._engine
    if engine is None:
        return
    if engine.in_transaction() and engine.open_transaction is not None:
        engine.roll_back(engine.open_transaction)

    def close() -> None:
        with suppress(Exception):
            db.close()

    # Another thread may hold a transaction open for as long as it likes.
    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(PATIENCE)


def copy_store(source: Path, target: Path) -> None:
    """Copy a directory, sharing blocks with it where the file system can."""
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
