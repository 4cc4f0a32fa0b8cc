"""Timing in short interleaved rounds: A, B, A, B …, a ratio for each round, and the median of the ratios.

The disk's speed drifts from second to second; two sides that take turns drift together. Before the rounds each side is
run once, which warms files and caches. The garbage collector is left as every program has it,
but what was loaded before the rounds is frozen, so that nobody's rows are walked while somebody else is timed.
"""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Work = Callable[[], object]
Run = Callable[[float], float]
"""Measures for about so many seconds, and returns what one operation took, in seconds."""


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Side:
    """Be one of those that are compared."""

    name: str
    run: Run
    settle: Callable[[], None] = nothing
    """Called after each round: returns when nothing goes on behind it."""


@dataclass(frozen=True)
class Measured:
    """Be what one side took: seconds an operation, one value for each round."""

    name: str
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median, in seconds an operation."""
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Ratio:
    """Be the median of some ratios, and their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, above: Sequence[float], below: Sequence[float]) -> "Ratio":
        """Return the ratios of the values of each round."""
        ratios = [one / other for one, other in zip(above, below, strict=True)]
        if len(ratios) == 1:
            return cls(ratios[0], ratios[0], ratios[0])
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return cls(median, low, high)


class Counted:
    """Time as many operations as take about so long; the first call finds out how many that are, and warms up."""

    def __init__(self, prepare: Callable[[int], Work]) -> None:
        """Measure what `prepare` makes ready: a function that does so many operations; only that is timed."""
        self._prepare, self._count = prepare, 0

    def __call__(self, seconds: float) -> float:
        """Return what an operation took."""
        if not self._count:
            self._count = self._calibrated(seconds)
        return self._seconds(self._count) / self._count

    def _calibrated(self, seconds: float) -> int:
        count = 1
        while (took := self._seconds(count)) < seconds / 3:
            count = int(count * min(10.0, max(2.0, seconds / 2 / took))) + 1
        return max(1, round(count * seconds / took))

    def _seconds(self, count: int) -> float:
        work = self._prepare(count)
        began = time.perf_counter()
        work()
        return time.perf_counter() - began


def each(operation: Callable[..., object], arguments: Callable[[int], Sequence[object]]) -> Counted:
    """Measure one call of `operation` for each argument, the arguments made before the clock starts."""

    def prepare(count: int) -> Work:
        given = arguments(count)

        def work() -> None:
            for argument in given:
                operation(argument)

        return work

    return Counted(prepare)


def interleave(sides: Sequence[Side], *, seconds: float, rounds: int) -> list[Measured]:
    """Return what each side takes, over rounds in which they take turns for about so many seconds each."""
    measured = [Measured(side.name) for side in sides]
    for side in sides:
        side.run(seconds)
        side.settle()
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for side, found in zip(sides, measured, strict=True):
            found.rounds.append(side.run(seconds))
            side.settle()
    return measured
