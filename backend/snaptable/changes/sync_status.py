"""How commits reach the disk, as an operator is told."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SyncStatus:
    """How commits reach the disk: since the start, in frames of one commit or several, each with its sync.

    Attributes:
        last_at: the time of the last.
        count: how many of the last ones the figure is of.
        p99_seconds: what ninety-nine of a hundred of these did not exceed, from its encoding to the end of its sync.
    """

    last_at: datetime
    count: int
    p99_seconds: float
