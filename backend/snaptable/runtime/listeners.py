"""Functions that are called when there is news, such as commits."""

from collections.abc import Callable
from contextlib import AbstractContextManager


class Listeners:
    """Functions that are called in the order in which they were added."""

    def __init__(self, mutex: AbstractContextManager[object]) -> None:
        """Begin without any; they are added and removed with the mutex held."""
        self._mutex = mutex
        self._calls: tuple[Callable[[], None], ...] = ()

    def add(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a function called; return what ends that. O(listeners)."""
        with self._mutex:
            self._calls = (*self._calls, call)

        def end() -> None:
            """Call the function no more."""
            with self._mutex:
                self._calls = tuple([each for each in self._calls if each is not call])

        return end

    def __bool__(self) -> bool:
        return bool(self._calls)

    def tell(self) -> None:
        """Call those that there are now."""
        for call in self._calls:
            call()
