"""How many streams there may be at once: of all callers, of one, and of the strangers of one network."""

from collections import Counter
from collections.abc import Callable, Hashable

from snaptable.client_networks import network_of
from snaptable.web.problems import Problem

SHARE = 4
"""The part of all streams that strangers of one network may have, so that no stranger takes every place."""
RETRY_AFTER = {"Retry-After": "15"}


class _Network:
    """What tells a network from a caller of the same name."""


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
        self._most_of_network = min(most, max(most_of_caller, most // SHARE))
        self._of_caller: Counter[Hashable] = Counter()

    @property
    def count(self) -> int:
        """How many there are."""
        return self._of_caller.total()

    def take(self, caller: Hashable | None, address: str | None = None) -> Callable[[], None]:
        """Count a stream, and return what gives its place back.

        Args:
            caller: who asks; None for one who is not known, and is counted by network.
            address: where the request comes from; None if that is not known either: no limit but that of all.

        Raises:
            Problem: 503, there are too many.
        """
        if self.count >= self._most:
            raise Problem(503, "Too many feeds are open; try again in a moment.", headers=RETRY_AFTER)
        most = self._most_of_caller
        if caller is None and address is not None:
            caller, most = (_Network, network_of(address)), self._most_of_network
        if caller is not None and self._of_caller[caller] >= most:
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
