"""What depends on how much is stored: starting, memory, and commits beside the writing of a large snapshot."""

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import create_model
from tests.benchmarks.bench import Bench, Finding, finding, make
from tests.benchmarks.measure import Measured, Side, each
from tests.benchmarks.peers.ours import Ours
from tests.benchmarks.rows import MODELS

PLAIN: dict[str, Any] = {
    name: create_model(model.__name__, **{field: (info.annotation, ...) for field, info in model.model_fields.items()})  # type: ignore[call-overload]
    for name, model in MODELS.items()
}
"""The models as somebody writes them who knows nothing of us: not frozen, nothing forbidden."""


# ── starting ────────────────────────────────────────────────────────────────────────────────────────────────────────


def start_100k(bench: Bench) -> Iterator[Finding]:
    """Start with 100k rows."""
    yield from _start(bench, "100k")


def start_1m(bench: Bench) -> Iterator[Finding]:
    """Start with 1M rows."""
    yield from _start(bench, "1M")


def _start(bench: Bench, size: str) -> Iterator[Finding]:
    """Have every row in memory, typed: each time in a new interpreter, the garbage collector off for everybody."""
    rounds = bench.rounds if size == "100k" else bench.few
    sides = {"snaptable": "snaptable", "sqlite": "sqlite, WAL FULL", "sqlite validated": "sqlite, WAL FULL"}
    if bench.installed("SQLModel, WAL FULL"):
        sides["SQLModel"] = "SQLModel, WAL FULL"
    found = {side: Measured(side) for side in sides}
    peers = list(dict.fromkeys(sides.values()))
    # A user compiles the modules once, not at each start: so does a first start of few rows, which is not counted.
    small = dict(zip(peers, bench.all_built(peers, "1k"), strict=True))
    for side, peer in sides.items():
        bench.apart(seconds_to_start, side, peer, small[peer])
    bench.all_built(peers, size)
    for _ in range(rounds):
        for side, peer in sides.items():
            directory = bench.built(peer, size)
            found[side].rounds.append(bench.apart(seconds_to_start, side, peer, directory))
    for side in ("sqlite", "sqlite validated", "SQLModel"):
        key = f"start {size} {side}"
        yield finding(key, (found["snaptable"], found[side])) if side in found else bench.missing(key)


def seconds_to_start(side: str, name: str, directory: Path) -> float:
    """Return how long a peer takes until all its rows are there."""
    for path in directory.rglob("*"):
        path.read_bytes() if path.is_file() else None  # warm
    peer: Any = make(name, directory)
    load = LOADS[side]
    gc.collect()
    gc.disable()
    began = time.perf_counter()
    peer.open()
    held = load(peer)
    took = time.perf_counter() - began
    gc.enable()
    peer.close()
    del held
    return took


LOADS: dict[str, Callable[[Any], object]] = {
    "snaptable": lambda peer: peer.db,  # open() has loaded, validated and indexed everything
    "sqlite": lambda peer: peer.load(validated=False),
    "sqlite validated": lambda peer: peer.load(validated=True),
    "SQLModel": lambda peer: peer.load(),
}


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def memory(bench: Bench) -> Iterator[Finding]:
    """Compare how much a process grows by 100k rows: ours with indexes and all, and models in plain dictionaries."""
    total = bench.total("100k")
    ours, stopgap = bench.built("snaptable", "100k"), bench.built("stop-gap", "100k")
    found = [Measured("snaptable"), Measured("dictionary")]
    for _ in range(bench.few):
        found[0].rounds.append(bench.apart(growth_of_ours, ours) / total)
        found[1].rounds.append(bench.apart(growth_of_dictionaries, stopgap / "db_snapshot.json") / total)
    yield finding("memory", found, unit="B")


def resident() -> int:
    """Return the bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth_of_ours(directory: Path) -> int:
    """Return by how much opening our store makes a process grow."""
    ours = Ours(directory)
    gc.collect()
    before = resident()
    ours.open()
    gc.collect()
    after = resident()
    ours.close()
    return after - before


def growth_of_dictionaries(path: Path) -> int:
    """Return by how much the same rows do, as `Model(**row)` in dictionaries."""
    gc.collect()
    before = resident()
    with path.open(encoding="utf-8") as file:
        plain = json.load(file)
    tables = {name: {key: PLAIN[name](**row) for key, row in rows.items()} for name, rows in plain.items()}
    del plain
    gc.collect()
    after = resident()
    assert len(tables) == len(PLAIN)
    return after - before


# ── commits at a size ───────────────────────────────────────────────────────────────────────────────────────────────


INTERVAL = 0.001
"""Seconds between two commits that are timed."""


def p99_100k(bench: Bench) -> Iterator[Finding]:
    """Commit once a millisecond while a snapshot of 100k rows is written by another thread, and while none is."""
    yield from _p99(bench, "100k")


def p99_1m(bench: Bench) -> Iterator[Finding]:
    """Do the same beside a snapshot of 1M rows."""
    yield from _p99(bench, "1M")


def _p99(bench: Bench, size: str) -> Iterator[Finding]:
    directory = shutil.copytree(bench.built("snaptable", size), bench.directory() / "store")
    os.sync()
    calm, busy, longest = bench.apart(latencies, directory, bench.few)
    yield finding(f"p99 {size}", (busy, calm))
    yield finding(f"longest {size}", (longest, calm))


def latencies(directory: Path, rounds: int) -> tuple[Measured, Measured, Measured]:
    """Return, of each round, the 99th percentile of commits without a snapshot, that beside one, and the longest.

    A commit is timed from when it was due: who waits in line behind a slow one has waited.
    """
    ours = Ours(directory)
    ours.open()
    keys = [row.id for row in ours.db.annotations.all()][::7]
    found = Measured("calm"), Measured("busy"), Measured("longest")
    snapshot = directory / "db_snapshot.json"
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        ours.settle()
        time.sleep(1.0)  # what the last snapshot replaced is freed by then
        # The background begins 0.4 s after the first commit, and is done when the file was replaced.
        until = time.perf_counter() + 0.38
        found[0].rounds.append(_percentile(waits(ours, keys, lambda until=until: time.perf_counter() < until)))  # type: ignore[misc]
        former = snapshot.stat().st_ino
        beside = waits(ours, keys, lambda former=former: snapshot.stat().st_ino == former)  # type: ignore[misc]
        until = time.perf_counter() + 1.0  # in which the former file is freed
        beside += waits(ours, keys, lambda until=until: time.perf_counter() < until)  # type: ignore[misc]
        found[1].rounds.append(_percentile(beside))
        found[2].rounds.append(max(beside))
    ours.close()
    return found


def waits(ours: Ours, keys: list[str], goes_on: Callable[[], bool]) -> list[float]:
    """Commit once in `INTERVAL` as long as something goes on; return the seconds from when each was due."""
    waited, clock, page = list[float](), time.perf_counter, ours.db.status().sequence
    due = clock()
    while goes_on() or len(waited) < 2:
        due += INTERVAL
        time.sleep(max(0.0, due - clock()))
        page += 1
        ours.set_page(keys[page % len(keys)], page)
        waited.append(clock() - due)
    return waited


def _percentile(waited: list[float]) -> float:
    return statistics.quantiles(waited, n=100)[-1]


def size(bench: Bench) -> Iterator[Finding]:
    """Commit at 1M rows and at 1k, in bursts that end before the background begins to write its snapshot."""
    large = "100k" if bench.quick else "1M"
    directories = [
        shutil.copytree(bench.built("snaptable", name), bench.directory() / "store") for name in (large, "1k")
    ]
    os.sync()
    yield finding(f"size {large}", bench.apart(commits_at, directories, bench.again(seconds=0.2)))


def commits_at(directories: list[Path], bench: Bench) -> list[Measured]:
    """Return what commits cost in each of the stores."""
    stores = [Ours(directory) for directory in directories]
    sides = []
    for store in stores:
        store.open()
        sides.append(_random_changes(store))
    found = bench.interleave(sides)
    for store in stores:
        store.close()
    return found


def _random_changes(store: Ours) -> Side:
    keys, page = [row.id for row in store.db.annotations.all()], 0

    def change(key: str) -> None:
        nonlocal page
        page += 1
        store.set_page(key, page)

    step = len(keys) // 7 * 2 + 1  # odd and large: each next key is elsewhere

    def chosen(count: int) -> list[str]:
        return [keys[(page + number) * step % len(keys)] for number in range(count)]

    return Side(store.name, each(change, chosen), store.settle)


# ── importing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def imports(bench: Bench) -> Iterator[Finding]:
    """Import the library in a new interpreter, and pydantic in another."""
    ours, pydantic = Measured("snaptable"), Measured("pydantic")
    for _ in range(bench.rounds):
        for found, statement in ((ours, "import snaptable"), (pydantic, "from pydantic import BaseModel")):
            found.rounds.append(_seconds_to_import(statement))
    budget = Measured("150 ms", [0.15] * bench.rounds)
    yield finding("import", (ours, budget))
    yield finding("import pydantic", (ours, pydantic))


def _seconds_to_import(statement: str) -> float:
    program = (
        f"import sys, time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began); "
        "assert 'fastapi' not in sys.modules"
    )
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
