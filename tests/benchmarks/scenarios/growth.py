"""Growth: what each cost is at 1k, 10k, 100k and 1M rows, for the plot; each size in an interpreter of its own."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from tests.benchmarks.bench import SIZES, Bench, Finding, Point
from tests.benchmarks.measure import Side, each
from tests.benchmarks.peers.peer import Peer
from tests.benchmarks.rows import Rows
from tests.benchmarks.scenarios.reading import scans
from tests.benchmarks.scenarios.size import growth_of_dictionaries, growth_of_ours, seconds_to_start
from tests.benchmarks.scenarios.writing import changes, replace_file

MOST = {"snaptable": "1M", "sqlite, WAL FULL": "1M", "SQLModel, WAL FULL": "1M", "stop-gap": "100k", "TinyDB": "10k"}
"""Up to which size who is asked: past that one answer takes seconds."""


def growth(bench: Bench) -> Iterator[Finding]:
    """Measure every cost at every size; finds points for the plot, no ratios."""
    peers = [name for name in (list(MOST)[:2] if bench.quick else MOST) if bench.installed(name)]
    for size in ("1k", "10k", "100k", *(() if bench.quick else ("1M",))):
        there = [name for name in peers if SIZES[size] <= SIZES[MOST[name]]]
        for name in there:
            bench.built(name, size)
        bench.say(f"growth at {size} rows")
        short = bench.again(rounds=bench.few, seconds=0.02 if bench.quick else 0.05)
        bench.points += bench.apart(points_at, size, there, short)
        bench.points += _started(bench, size, there)
    yield from ()


def points_at(size: str, names: Sequence[str], bench: Bench) -> list[Point]:
    """Return what reading and writing cost each of the peers at a size."""
    rows, points = bench.rows(size), list[Point]()

    def measure(cost: str, sides: Sequence[Side]) -> None:
        points.extend(Point(cost, found.name, SIZES[size], found.median) for found in bench.interleave(sides))

    with ExitStack() as opened:
        peers = [opened.enter_context(bench.filled(name, size)) for name in names if name != "stop-gap"]
        stored = {row.id: row for row in peers[0].db.annotations.all()}
        getting = [Side(peer.name, each(peer.get, rows.keys)) for peer in peers]
        measure("get by key", [*getting, Side("dict", each(stored.get, rows.keys))])
        for cost, ask in QUESTIONS.items():
            measure(cost, [ask(peer, rows) for peer in peers])
    with ExitStack() as opened:
        waiting: dict[str, Any] = {"snaptable": {"snapshot": "always"}}
        for name in names:
            if name in ("snaptable", "stop-gap", "TinyDB"):
                peer = opened.enter_context(bench.filled(name, size, **waiting.get(name, {})))
                measure("change, and the whole file shows it", [changes(peer, rows)])
        content, raw = (bench.built("snaptable", size) / "db_snapshot.json").read_bytes(), bench.directory()
        writing = each(lambda _: replace_file(raw, content), range)
        measure("change, and the whole file shows it", [Side("write + fsync + rename", writing)])
    return points


def _finding(peer: Peer, rows: Rows) -> Side:
    return Side(peer.name, each(peer.find, rows.parents))


def _ranging(peer: Peer, rows: Rows) -> Side:
    return Side(peer.name, each(peer.range, rows.moments))


def _scanning(peer: Peer, _: Rows) -> Side:
    return scans(peer)


def _inserting(peer: Peer, rows: Rows) -> Side:
    return Side(peer.name, each(peer.insert, rows.more), peer.settle)


QUESTIONS = {
    "5 rows by index": _finding, "100 rows in order": _ranging, "scan with a filter": _scanning,
    "durable insert": _inserting,
}  # fmt: skip


def _started(bench: Bench, size: str, names: Sequence[str]) -> Iterator[Point]:
    """Start each of the peers that can, and weigh the memory of two."""
    total = SIZES[size]
    sides = {"snaptable": "snaptable", "sqlite, WAL FULL": "sqlite", "SQLModel, WAL FULL": "SQLModel"}
    for name in names:
        if name in sides:
            seconds = bench.apart(seconds_to_start, sides[name], name, bench.built(name, size))
            yield Point("start, all rows typed", name, total, seconds)
    grown = bench.apart(growth_of_ours, bench.built("snaptable", size))
    yield Point("memory a row, bytes", "snaptable", total, grown / total)
    if "stop-gap" in names:
        path = bench.built("stop-gap", size) / "db_snapshot.json"
        yield Point("memory a row, bytes", "stop-gap", total, bench.apart(growth_of_dictionaries, path) / total)
