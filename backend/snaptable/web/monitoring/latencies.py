"""Durations in buckets: bounded memory, and percentiles to within a tenth.

Eight buckets for each doubling, from 0.1 ms to 100 s, as in an HDR histogram (hdrhistogram.org).
"""

from bisect import bisect_right
from collections.abc import Iterable

SHORTEST = 0.0001
"""Seconds below which durations are not told apart."""
PER_DOUBLING = 8
DOUBLINGS = 20
BUCKETS = PER_DOUBLING * DOUBLINGS + 2
_BOUNDS = [SHORTEST * 2 ** (number / PER_DOUBLING) for number in range(BUCKETS - 1)]
"""Where each bucket ends and the next begins, in seconds."""


class Latencies:
    """How often each duration came, about.

    Attributes:
        count: how many durations.
        seconds: their sum.
    """

    __slots__ = ("_buckets", "count", "seconds")

    def __init__(self) -> None:
        """Begin without any."""
        self.count = 0
        self.seconds = 0.0
        self._buckets = [0] * BUCKETS

    def add(self, seconds: float) -> None:
        """Count a duration; O(1)."""
        self.count += 1
        self.seconds += seconds
        self._buckets[bisect_right(_BOUNDS, seconds)] += 1

    def percentile(self, share: float) -> float | None:
        """Return the duration in seconds that a share of all, from 0 to 1, did not exceed; None if there are none."""
        if not self.count:
            return None
        left, number = share * self.count, 0
        while (left := left - self._buckets[number]) > 0 and number < BUCKETS - 1:
            number += 1
        return float(SHORTEST * 2 ** (number / PER_DOUBLING))

    def cumulative(self, step: int = 2) -> list[tuple[float, int]]:
        """Return how many were shorter than each bound in seconds, a bound at every `step` doublings."""
        bounds = range(0, DOUBLINGS + 1, step)
        return [(SHORTEST * 2**each, sum(self._buckets[: each * PER_DOUBLING + 1])) for each in bounds]

    @classmethod
    def sum_of(cls, parts: "Iterable[Latencies]") -> "Latencies":
        """Return all durations of several."""
        total = cls()
        for part in parts:
            total.count += part.count
            total.seconds += part.seconds
            total._buckets = [first + second for first, second in zip(total._buckets, part._buckets, strict=True)]
        return total
