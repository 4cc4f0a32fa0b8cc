"""What every scenario is handed: the rows, peers filled with them, and how long to measure."""

import gc
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from tests.benchmarks.measure import Measured, Ratio, Side, interleave
from tests.benchmarks.peers.peer import Peer
from tests.benchmarks.rows import Rows
from tests.benchmarks.targets import TARGETS, Target

P = ParamSpec("P")
T = TypeVar("T")
SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000}
PEERS = {
    "snaptable": "ours:Ours",
    "sqlite, WAL FULL": "sqlite:SqliteWal",
    "sqlite, default": "sqlite:SqliteDefault",
    "SQLModel, WAL FULL": "sqlmodel:SqlModelWal",
    "SQLModel, default": "sqlmodel:SqlModelDefault",
    "LMDB": "lmdb:Lmdb",
    "ZODB": "zodb:Zodb",
    "Redis, always": "redis:Redis",
    "TinyDB": "tinydb:TinyDb",
    "stop-gap": "stopgap:Stopgap",
}


@dataclass(frozen=True)
class Point:
    """Be one point of the plot of growth."""

    cost: str
    name: str
    rows: int
    seconds: float


@dataclass(frozen=True)
class Finding:
    """Be what was measured of a target; without a ratio, why it could not be."""

    key: str
    target: Target
    ratio: Ratio | None = None
    ours: float = 0.0
    theirs: float = 0.0
    unit: str = "s"
    note: str = ""


def finding(key: str, both: Sequence[Measured], unit: str = "s") -> Finding:
    """Return the finding of a target from two sides that took turns, ours first."""
    target, (ours, theirs) = TARGETS[key], both
    above, below = (ours, theirs) if target.kind == "cost" else (theirs, ours)
    return Finding(key, target, Ratio.of(above.rounds, below.rounds), ours.median, theirs.median, unit)


class Bench:
    """Be one run of the benchmarks."""

    def __init__(
        self,
        work: Path,
        *,
        stores: Path | None = None,
        quick: bool = False,
        rounds: int = 9,
        seconds: float = 0.3,
        most: int | None = None,
    ) -> None:
        """Measure in `work`, `rounds` times about `seconds` each side; filled stores are kept in `stores`.

        No size has more than `most` rows.
        """
        self.work, self.stores, self.quick = work, stores or work, quick
        self.rounds, self.seconds = (3, 0.1) if quick else (rounds, seconds)
        self.most = most
        self.few = max(1, self.rounds // 3)
        """Rounds of what takes long, or hardly varies."""
        self.points: list[Point] = []
        self._rows: dict[str, Rows] = {}

    @classmethod
    def tiny(cls, work: Path) -> Self:
        """Return the shortest run that has everything in it; its figures mean nothing."""
        return cls(work, rounds=1, seconds=0.001, most=500)

    def again(self, *, rounds: int | None = None, seconds: float) -> Self:
        """Return a run in the same place that measures otherwise; nothing is loaded yet, so it can be sent `apart`."""
        if self.most is not None:
            rounds, seconds = self.rounds, self.seconds
        return type(self)(self.work, stores=self.stores, rounds=rounds or self.rounds, seconds=seconds, most=self.most)

    def say(self, text: str) -> None:
        """Tell how far it is."""
        print(f"  {text}", file=sys.stderr, flush=True)  # noqa: T201

    def total(self, size: str) -> int:
        """Return how many rows a size has."""
        return min(SIZES[size], self.most or SIZES[size])

    def installed(self, name: str) -> bool:
        """Return whether a peer can be measured on this machine."""
        try:
            return _class_of(name).installed()
        except ImportError:
            return False

    def rows(self, size: str) -> Rows:
        """Return the rows of a size, made once."""
        if size not in self._rows:
            self._rows[size] = Rows(self.total(size))
        return self._rows[size]

    def directory(self) -> Path:
        """Return a new directory."""
        return Path(tempfile.mkdtemp(dir=self.work))

    def built(self, name: str, size: str) -> Path:
        """Return the directory of a closed store of a size, filled the first time it is asked for."""
        (directory,) = self.all_built([name], size)
        return directory

    def all_built(self, names: Sequence[str], size: str) -> list[Path]:
        """Return the directories of closed stores of a size, and fill those that are not there yet."""
        directories = {name: self.stores / f"{name.replace(', ', '-').replace(' ', '-')}-{size}" for name in names}
        missing = {name: self.directory() for name, directory in directories.items() if not directory.exists()}
        if missing:
            self.say(f"        filling {' and '.join(missing)} with {size} rows")
            if size == "1M":
                self.apart(fill, missing, Rows, self.total(size))  # that many rows would stay in this process
            else:
                fill(missing, self.rows, size)
        for name, fresh in missing.items():
            fresh.rename(directories[name])
        return list(directories.values())

    @contextmanager
    def filled(self, name: str, size: str, **options: Any) -> Iterator[Any]:
        """Hold a peer, or ourselves, open on a copy of a filled store."""
        directory = self.directory() / "store"
        shutil.copytree(self.built(name, size), directory)
        peer = make(name, directory, **options)
        peer.open()
        try:
            peer.settle()
            os.sync()  # what was copied must not be written back while somebody is timed
            yield peer
        finally:
            peer.close()
            shutil.rmtree(directory)

    def missing(self, key: str) -> Finding:
        """Return the finding that a target's peer is not installed."""
        return Finding(key, TARGETS[key], note="not installed")

    def interleave(self, sides: Sequence[Side]) -> list[Measured]:
        """Let the sides take turns; see `measure`."""
        return interleave(sides, seconds=self.seconds, rounds=self.rounds)

    def apart(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a new interpreter: clean memory, nothing warm but the files, also of compiled modules."""
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context, initializer=keep_compiled) as pool:
            return pool.submit(function, *args, **kwargs).result()

    def rest(self) -> None:
        """Leave nothing of one scenario to the next."""
        gc.unfreeze()
        gc.collect()
        os.sync()


def keep_compiled() -> None:
    """Let this process and those that it starts keep the modules they compile, as a user's do.

    Images of containers often forbid it: then each start would compile all modules anew, for 95 ms.
    """
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def make(name: str, directory: Path, **options: Any) -> Peer:
    """Return a peer, or ourselves, in a directory; not open yet."""
    return _class_of(name)(directory, **options)


def _class_of(name: str) -> type[Peer]:
    module, found = PEERS[name].split(":")
    peer: type[Peer] = getattr(importlib.import_module(f"tests.benchmarks.peers.{module}"), found)
    return peer


def fill(directories: Mapping[str, Path], rows: Callable[[T], Rows], size: T) -> None:
    """Fill stores with the rows of a size and close them; the directories are by the names of the peers."""
    made = rows(size).tables()
    for name, directory in directories.items():
        peer = make(name, directory)
        peer.open()
        peer.fill(made)
        peer.close()
