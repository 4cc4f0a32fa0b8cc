"""The past: states, differences, undo and the history of a row, against what it takes to get there without."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.bench import Bench, Finding, finding
from tests.benchmarks.measure import Measured, Side, each
from tests.benchmarks.peers.ours import Ours

ROWS = "100k"
BACK = 1_000
"""Commits between the present and the past that is asked for."""


def past(bench: Bench) -> Iterator[Finding]:
    """Look 1,000 commits back in a store of 100k rows."""
    with bench.filled("snaptable", ROWS) as ours:
        keys = bench.rows(ROWS).keys(BACK)
        for number, key in enumerate(keys):
            ours.set_page(key, 1_000 + number)
        ours.settle()
        before = ours.db.history.sequence - BACK
        opening = _openings(bench, ours)
        for name, operation in {
            "at opening": lambda: ours.db.history.at(before).close(),
            "at and look": lambda: _look(ours, before),
            "diff opening": lambda: len(ours.db.history.diff(before)),
        }.items():
            yield finding(name, [_timed("snaptable", operation, len(opening.rounds)), opening])
        yield finding("undo update", bench.interleave([_undos(ours, keys), _updates(ours, keys)]))
        yield finding("history raw", bench.interleave([_histories(ours, keys), _raw(ours.directory)]))


def _timed(name: str, operation: Callable[[], object], rounds: int) -> Measured:
    operation()
    measured = Measured(name)
    for _ in range(rounds):
        began = time.perf_counter()
        operation()
        measured.rounds.append(time.perf_counter() - began)
    return measured


def _openings(bench: Bench, ours: Ours) -> Measured:
    """Time opening the same store: what a past costs whoever restores a copy of the file."""

    def reopen() -> None:
        ours.close()
        ours.open()

    return _timed("opening", reopen, bench.few)


def _look(ours: Ours, before: int) -> None:
    with ours.db.history.at(before) as then:
        then.annotations.where(page=7).count()
        then.documents.where(filename="report-7.pdf").all()


def _undos(ours: Ours, keys: list[str]) -> Side:
    """Undo the commit before, again and again: each undo is a commit that the next takes back."""

    def undo(_: str) -> None:
        ours.db.history.undo(ours.db.history.sequence)

    return Side("snaptable", each(undo, lambda count: (keys * (count // len(keys) + 1))[:count]))


def _updates(ours: Ours, keys: list[str]) -> Side:
    numbers = iter(range(10_000, 10**9))
    return Side(
        "update",
        each(lambda key: ours.set_page(key, next(numbers)), lambda count: (keys * (count // len(keys) + 1))[:count]),
    )


def _histories(ours: Ours, keys: list[str]) -> Side:
    """Read every commit that changed one row."""
    read: Callable[[str], object] = lambda key: list(ours.db.history.commits("annotations", key))  # noqa: E731
    return Side("snaptable", each(read, lambda count: (keys * (count // len(keys) + 1))[:count]))


def _raw(directory: Path) -> Side:
    """Read the journal's bytes, and nothing more."""

    def read(_: int) -> None:
        for path in sorted((directory / "db_journal").iterdir()):
            path.read_bytes()

    return Side("raw", each(read, partial(_counted)))


def _counted(count: int) -> range:
    return range(count)
