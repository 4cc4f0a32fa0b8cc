"""Reading: by key against a dictionary of the very same rows, and everything else against those who store them."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from random import Random

from tests.benchmarks.bench import Bench, Finding, finding
from tests.benchmarks.measure import Measured, Side, each
from tests.benchmarks.peers.peer import Peer

ROWS = "100k"
PAGE, RIGHT_OF = 390, 0.5
"""The filter of a scan: one annotation in eighty passes it."""


def get(bench: Bench) -> Iterator[Finding]:
    """Get by key: ours and `dict.get` over the same row objects, called in the same loop."""
    with bench.filled("snaptable", ROWS) as ours:
        stored = {row.id: row for row in ours.db.annotations.all()}
        # Keys as they come from outside: other objects than those that the rows hold, in an order of their own.
        keys = ["".join(key) for key in stored]
        Random(1).shuffle(keys)
        for name, chosen in (("get hot", keys[:1]), ("get random", keys)):
            sides = [
                Side(side, each(operation, _around(chosen)))
                for side, operation in (("snaptable", ours.db.annotations.get), ("dict.get", stored.get))
            ]
            yield finding(name, bench.interleave(sides))


def _around(keys: list[str]) -> Callable[[int], Sequence[str]]:
    return lambda count: (keys * (count // len(keys) + 1))[:count]


def reads(bench: Bench) -> Iterator[Finding]:
    """Ask for typed rows: by key, by index, in order of an ordered index."""
    with bench.filled("snaptable", ROWS) as ours, bench.filled("sqlite, WAL FULL", ROWS) as sqlite:
        rows = bench.rows(ROWS)
        for name, arguments in (("get", rows.keys), ("find", rows.parents), ("range", rows.moments)):
            sides = [Side(peer.name, each(getattr(peer, name), arguments)) for peer in (ours, sqlite)]
            yield finding(f"{name} sqlite", bench.interleave(sides))


def scan(bench: Bench) -> Iterator[Finding]:
    """Scan all annotations with a filter that no index helps: again and again, and first thing after an opening."""
    with bench.filled("snaptable", ROWS) as ours, bench.filled("sqlite, WAL FULL", ROWS) as sqlite:
        peers = (ours, sqlite)
        yield finding("scan sqlite", bench.interleave([scans(peer) for peer in peers]))
        first = [Measured(peer.name) for peer in peers]
        for _ in range(bench.rounds):
            for peer, found in zip(peers, first, strict=True):
                peer.close()
                peer.open()
                began = time.perf_counter()
                peer.scan(PAGE, RIGHT_OF)
                found.rounds.append(time.perf_counter() - began)
        yield finding("first scan sqlite", first)


def scans(peer: Peer) -> Side:
    """Scan, each time with another bound, a hair's breadth away: nobody shall answer from memory of the question."""
    bounds = (RIGHT_OF + number * 1e-9 for number in count())
    return Side(peer.name, each(partial(peer.scan, PAGE), lambda times: list(islice(bounds, times))))
