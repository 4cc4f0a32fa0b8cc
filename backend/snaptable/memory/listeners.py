"""Those who are told that commits became durable."""

from collections.abc import Callable
from threading import RLock


class Listeners:
    """Functions that are called after each batch of commits that became durable; under the latch, as all of this is."""

    def __init__(self, latch: RLock) -> None:
        """Begin without any; they are added and removed under the latch."""
        self._latch = latch
        self._calls: tuple[Callable[[], None], ...] = ()

    def add(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called; return what ends that. O(listeners)."""
        with self._latch:
            self._calls = (*self._calls, call)

        def end() -> None:
            """Call the function no more."""
            with self._latch:
                self._calls = tuple([each for each in self._calls if each is not call])

        return end

    def tell(self) -> None:
        """Call them all, in the order in which they were added; with the latch held."""
        for call in self._calls:
            call()
