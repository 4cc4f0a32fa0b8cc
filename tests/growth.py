"""How the cost of something grows: CPU time of n against 4n, which a loaded machine disturbs less than seconds."""

import gc
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FACTOR = 4
BOUND = 9.0
"""What 4n may cost, in times of n: 4 if in proportion, 16 if quadratic."""
NOTHING = 0.002
"""CPU seconds in which no growth can be measured, and none that matters can hide."""
ROUNDS = 4


def assert_proportional(act: Callable[[T], object], make: Callable[[int], T], n: int) -> None:
    """Check that `act(make(4 * n))` costs at most in proportion to `act(make(n))`.

    Each is the best of several, and measured again before it is called worse than that: other work on the machine only
    ever makes it slower.
    """
    small, large = make(n), make(FACTOR * n)
    least_small = least_large = float("inf")
    for _ in range(ROUNDS):
        least_small = min(least_small, _seconds(act, small))
        least_large = min(least_large, _seconds(act, large))
        if least_large < max(NOTHING, BOUND * least_small):
            return
    raise AssertionError(f"n = {n}: {least_small * 1e3:.2f} ms, 4n: {least_large * 1e3:.2f} ms")


def _seconds(act: Callable[[T], object], argument: T) -> float:
    enabled = gc.isenabled()
    gc.disable()
    start = time.thread_time()
    try:
        act(argument)
    finally:
        taken = time.thread_time() - start
        if enabled:
            gc.enable()
    return taken
