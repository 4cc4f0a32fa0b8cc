"""Slow at scale: who writes the whole file for one more message pays for all the others, each time."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from demos.lesson.naive import NaiveStore, many
from demos.lesson.steps import Lane, Step, snapshot_in
from demos.lesson.tables import Mail, fill

SIZES = (1_000, 10_000, 100_000)
RUNS = 5
GROWTH = 4.0
"""How much more one message may cost at the last size than at the first."""


def best_of(act: Callable[[], object], runs: int = RUNS) -> float:
    """Return the milliseconds that something takes, the best of some runs."""
    best = float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - began)
    return 1000 * best


def judged(points: Sequence[tuple[int, float]], file: Path, why: str) -> Step:
    """Return the last step: what the last size costs against the first."""
    (small, little), (large, much) = points[0], points[-1]
    says = f"One more message costs {little:.2f} ms at {small:,} and {much:.2f} ms at {large:,}: {why}"
    return Step(f"{much:.2f} ms", says, file, held=much <= GROWTH * max(little, 0.05), points=points)


def naive(folder: Path, sizes: Sequence[int] = SIZES) -> Iterator[Step]:
    """Add a message to lists of several sizes, which are in memory already."""
    store = NaiveStore(snapshot_in(folder))
    points: list[tuple[int, float]] = []
    for size in sizes:
        messages = many(size)
        points.append((size, best_of(partial(store.save, messages), 3)))
        yield Step(f"{points[-1][1]:.2f} ms", f"for one more message at {size:,} …", store.path, points=[*points])
    yield judged(points, store.path, "the whole file is written.")


def ours(folder: Path, sizes: Sequence[int] = SIZES) -> Iterator[Step]:
    """Add a message to stores of several sizes."""
    points: list[tuple[int, float]] = []
    file = snapshot_in(folder)
    for size in sizes:
        file = snapshot_in(folder / str(size))
        # As it is by itself past 4 MiB: the file follows within a second. Durable it is at once, by the journal.
        with Mail(folder / str(size), snapshot="background", banner=False) as db:
            fill(db, size)
            points.append((size, best_of(lambda db=db: db.messages.create(sender=1, text="one more"), 20)))  # type: ignore[misc]
        yield Step(f"{points[-1][1]:.2f} ms", f"for one more message at {size:,} …", file, points=[*points])
    yield judged(points, file, "a line is appended to the journal, and synced.")


LANE = Lane(
    "scale",
    "Slow at scale",
    "What does one more message cost, beside a thousand, and beside a hundred thousand?",
    naive,
    ours,
)
