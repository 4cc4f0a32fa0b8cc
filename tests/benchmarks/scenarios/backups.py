"""Backups: made and verified, restored, and a reader that catches up; against the same bytes without us."""

import shutil
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.bench import Bench, Finding, finding
from tests.benchmarks.measure import Measured
from tests.benchmarks.peers.ours import Ours

from snaptable.maintenance.restore import unpacked

ROWS = "100k"


def backups(bench: Bench) -> Iterator[Finding]:
    """Back up 100k rows, and bring them back."""
    folder = bench.directory()
    with bench.filled("snaptable", ROWS) as ours:
        ours.settle()
        files = [path for path in ours.directory.rglob("*") if path.is_file() and path.name != "db.lock"]
        made = _timed(bench, "snaptable", lambda number: ours.db.backup(folder / f"{number}.zip"))
        size = sum(path.stat().st_size for path in files)
        bench.say(f"backup: {size / 1e6:.0f} MB in {made.median:.2f} s, {size / made.median / 1e6:.0f} MB/s")
        yield finding("backup", [made, _timed(bench, "zip", lambda number: _zip(files, folder / f"raw-{number}.zip"))])
        yield finding("restore opening", [_restores(bench, folder), _openings(bench, ours)])
        yield finding("refresh", [*_refreshes(bench, ours)])
    with bench.filled("sqlite, WAL FULL", ROWS) as theirs:
        path = theirs.directory / "rows.db"
        copying = _timed(bench, "sqlite", lambda number: _copy(path, folder / f"{number}.db"))
        yield finding("backup sqlite", [made, copying])


def _timed(bench: Bench, name: str, operation: Callable[[int], object]) -> Measured:
    measured = Measured(name)
    for number in range(bench.few):
        began = time.perf_counter()
        operation(number)
        measured.rounds.append(time.perf_counter() - began)
    return measured


def _zip(files: list[Path], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for path in files:
            zipped.write(path, path.name)


def _restores(bench: Bench, folder: Path) -> Measured:
    def restore(number: int) -> None:
        with unpacked(folder / "0.zip", folder / f"restored-{number}") as found:
            found.take_place()
        shutil.rmtree(folder / f"restored-{number}")

    return _timed(bench, "snaptable", restore)


def _openings(bench: Bench, ours: Ours) -> Measured:
    def reopen(_: int) -> None:
        ours.close()
        ours.open()

    return _timed(bench, "opening", reopen)


def _refreshes(bench: Bench, ours: Ours) -> Iterator[Measured]:
    """Time a reader that catches up with one commit, and the reading of the journal as it is."""
    segments = list((ours.directory / "db_journal").iterdir())
    keys = bench.rows(ROWS).keys(bench.few)
    with type(ours.db)(ours.directory, read_only=True) as reader:
        measured = Measured("snaptable")
        reader.refresh()
        for number, key in enumerate(keys):
            ours.set_page(key, 2_000 + number)
            began = time.perf_counter()
            reader.refresh()
            measured.rounds.append(time.perf_counter() - began)
        yield measured
    yield _timed(bench, "bytes", lambda _: [path.read_bytes() for path in segments])


def _copy(path: Path, target: Path) -> None:
    source, copy = sqlite3.connect(path), sqlite3.connect(target)
    source.backup(copy)
    copy.close()
    source.close()
