"""How many streams there may be at once: of all callers, and of one."""

from collections import Counter
from collections.abc import Callable, Hashable

from snaptable.web.problems import Problem

RETRY_AFTER = {"Retry-After": "15"}


class OpenStreams:
    """The streams that are open; used on one event loop."""

    def __init__(self, most: int, most_of_caller: int) -> None:
        """Take the limits.

        Raises:
            ValueError: one is not above zero.
        """
        if most < 1 or most_of_caller < 1:
            raise ValueError("give numbers of streams above zero")
        self._most, self._most_of_caller = most, most_of_caller
        self._of_caller: Counter[Hashable] = Counter()

    @property
    def count(self) -> int:
        """How many there are."""
        return self._of_caller.total()

    def take(self, caller: Hashable | None) -> Callable[[], None]:
        """Count a stream, and return what gives its place back; None is a caller who is not known, and not limited.

        Raises:
            Problem: 503, there are too many.
        """
        if self.count >= self._most:
            raise Problem(503, "Too many feeds are open; try again in a moment.", headers=RETRY_AFTER)
        if caller is not None and self._of_caller[caller] >= self._most_of_caller:
            raise Problem(503, "You have too many feeds open; close one.", headers=RETRY_AFTER)
        self._of_caller[caller] += 1
        is_taken = True

        def give_back() -> None:
            """Give the place back, once."""
            nonlocal is_taken
            if is_taken:
                is_taken = False
                self._of_caller[caller] -= 1
                self._of_caller += Counter()  # drops those who have none

        return give_back
