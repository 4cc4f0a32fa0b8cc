"""Places: a sequence with a mark of the history that it is of, for those who leave and come back.

A sequence alone is not enough: behind a backup that was put back, the same numbers stand for other commits. The mark is
a digest of the store, the sequence and the commit's time, which is to the microsecond. Not of the frame: a purge
rewrites frames, "memory:" has none, and one frame may hold several commits.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from snaptable.contract import CommitSource
from snaptable.errors import HistoryGone
from snaptable.history.moments import spelled
from snaptable.history.rewind import gone

_PLACE = re.compile(r"([0-9]{1,18})(?:-([0-9a-f]{8}))?")


@dataclass(frozen=True)
class Place:
    """Behind which commit a reader is, and of which history; prints as `4711-9f2c11aa`.

    Attributes:
        sequence: the commit.
        mark: 8 hex digits; None if it isn't known, so that the place can't be checked.
    """

    sequence: int
    mark: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Return the place that a text spells.

        Raises:
            ValueError: it spells none.
        """
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError("a place is a sequence, with or without a mark behind it: 4711-9f2c11aa")
        return cls(int(match[1]), match[2])

    @classmethod
    def behind(cls, source: CommitSource, sequence: int, at: datetime | None = None) -> "Place":
        """Return the place behind a commit; without its time, that is read: O(1) of a recent one, else a segment."""
        if at is None:
            commit = next(iter(source.oldest_first(sequence - 1, sequence)), None) if sequence else None
            at = None if commit is None else datetime.fromisoformat(commit.at)
        text = f"{source.store}\0{sequence}\0{'' if at is None else spelled(at)}"
        return cls(sequence, blake2b(text.encode(), digest_size=4).hexdigest())

    def check(self, source: CommitSource) -> None:
        """Do nothing if all commits behind the place are kept.

        Raises:
            HistoryGone: some are gone, or the place is of another history.
        """
        if self.sequence > source.sequence:
            raise HistoryGone(f"commit {self.sequence} is of another history; the last one here is {source.sequence}")
        if self.sequence < source.first:
            raise gone(source, self.sequence)
        if self.mark is not None and self.mark != Place.behind(source, self.sequence).mark:
            raise HistoryGone(f"commit {self.sequence} is of another history: a backup was put back since")

    def __str__(self) -> str:
        return str(self.sequence) if self.mark is None else f"{self.sequence}-{self.mark}"
