"""What a move tells of itself, and what it refuses."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from snaptable.errors import OpenError, SnaptableError
from snaptable.runtime.progress import in_strides

T = TypeVar("T")

MOST_NAMED = 10
"""Rows that can't go, which a refusal names."""


class MoveRefused(OpenError):
    """A move that can't be done as it stands; nothing was written."""


class NotProved(SnaptableError):
    """Rows that came back otherwise than they were sent: the move was rolled back, and this is a defect."""


class Report:
    """The listener to a move's steps; this one keeps them to itself."""

    def step(self, doing: str, rows: int = 0) -> None:
        """Take note that a step begins, and of the number of its rows; 0 if it is not done by the row."""

    def done(self, rows: int) -> None:
        """Take note of rows that are done."""

    def through(self, rows: Iterable[T]) -> Iterator[T]:
        """Yield rows as they are, reporting them."""
        return in_strides(rows, self.done)


@dataclass(frozen=True)
class Moved:
    """A move that is done.

    Attributes:
        rows: number of rows, by table; each was read back and compared.
        sequence: the commit that the source stood at.
        store: the id of the store, which the target keeps.
        files: number of files copied from the folders beside the source.
    """

    rows: Mapping[str, int]
    sequence: int
    store: str
    files: int = 0
