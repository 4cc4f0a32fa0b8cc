"""Which of several processes this one is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A process among those that serve one address.

    Attributes:
        number: its own, from 1 on; another process that takes its place has the same.
        of: how many there are.
    """

    number: int = 1
    of: int = 1

    def share_of(self, most: int) -> int:
        """Return how many of what all processes may have together this one may, at least one."""
        return max(1, most // self.of)


ALONE = Place()
