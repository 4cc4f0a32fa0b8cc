"""The commits that an engine remembers, and the states that it is asked to put rows into."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from snaptable.changes.records import Key, TimedCommit
from snaptable.changes.retention import HistoryStatus


class CommitSource(Protocol):
    """The durable commits that an engine remembers."""

    @property
    def store(self) -> str:
        """An id of what they are the commits of."""

    @property
    def sequence(self) -> int:
        """The last durable commit that readers see."""

    @property
    def first(self) -> int:
        """The earliest moment that can be reached; 0 while every commit is kept."""

    @property
    def leaves_numbers_out(self) -> bool:
        """Whether numbers may be missing between commits: then only `first` says which are gone."""

    def status(self) -> HistoryStatus:
        """Return how far back the past can be seen; O(files)."""

    def newest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:
        """Yield the commits with after < sequence <= until, newest first; ends early where older ones are gone.

        With a `key`, those that changed no row of such a key may be left out.
        """

    def oldest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:
        """Yield the same commits in order; begins later where older ones are gone."""

    def last_until(self, at: str) -> int | None:
        """Return the last commit that was not made later than a time, as files spell it; None if none is known."""


@dataclass(frozen=True)
class RowState:
    """A row as it is to be.

    Attributes:
        table, key: the row.
        row: its JSON; None for no row.
    """

    table: str
    key: Key
    row: bytes | None


@dataclass
class CommitNumber:
    """The number of a commit: None until it was made, if it is the caller's to make, and if nothing changed."""

    sequence: int | None = None
