"""How much of the past is kept, and what is found of it."""

from dataclasses import dataclass
from datetime import datetime

HISTORY_BYTES = 256 << 20
"""How many bytes of commits are kept, if the program says nothing else."""


@dataclass(frozen=True)
class Retention:
    """How much of the past is kept, of what the snapshot covers; whole journal files go, the oldest first.

    Attributes:
        max_bytes: bytes of the journal; 0 for none.
        max_days: days since it was committed; None without that bound.
    """

    max_bytes: int = HISTORY_BYTES
    max_days: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is not a bound."""
        if type(self.max_bytes) is not int or self.max_bytes < 0:
            raise ValueError(f"history_bytes is a number of bytes, 0 or above; not {self.max_bytes!r}")
        if self.max_days is not None and not 0 < self.max_days < float("inf"):
            raise ValueError(f"history_days is a number of days above 0, or None; not {self.max_days!r}")


@dataclass(frozen=True)
class HistoryStatus:
    """How far back the past can be seen."""

    first: int
    """The earliest moment that can be reached; 0 while every commit is kept."""
    since: datetime | None
    """When the first commit that is kept was made; None if none is."""
    bytes: int
    """What it takes: of the disk, or of memory."""
    purged: int = 0
    """The last commit from which something was purged; 0 if nothing ever was."""


@dataclass(frozen=True)
class FoundText:
    """A place in a file where one of the texts that were looked for stands.

    Attributes:
        file: its name below the store's directory.
        line: the line, counted from 1; None for a file that is packed or encrypted, and was not searched.
        text: which one; b"" for such a file.
    """

    file: str
    line: int | None
    text: bytes


USUAL = Retention()
"""What is kept if the program says nothing else."""
