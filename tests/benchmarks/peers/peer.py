"""What is asked of everybody who stores the rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from tests.benchmarks.rows import Annotation

from snaptable import Row

Tables = Mapping[str, Sequence[Row]]


class Peer(ABC):
    """Store the rows in a directory. Every write returns when it is durable; every row that comes out is typed."""

    name: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def installed(cls) -> bool:
        """Return whether this machine has what it takes, beyond the package."""
        return True

    @abstractmethod
    def open(self) -> None:
        """Open the store, making it where there is none."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def settle(self) -> None:  # noqa: B027 - most have nothing going on behind a write
        """Return when nothing is being written any more."""

    @abstractmethod
    def fill(self, tables: Tables) -> None:
        """Store many rows at once."""

    @abstractmethod
    def insert(self, row: Annotation) -> object:
        """Store an annotation."""

    @abstractmethod
    def set_page(self, key: str, page: int) -> object:
        """Change one field of a stored annotation."""

    @abstractmethod
    def get(self, key: str, /) -> Any:
        """Return an annotation by its key."""

    @abstractmethod
    def find(self, document: str) -> Sequence[Any]:
        """Return the annotations of a document: five or so, by index."""

    @abstractmethod
    def range(self, since: datetime) -> Sequence[Any]:
        """Return the first hundred annotations since a time, in order of time."""

    @abstractmethod
    def scan(self, page: int, x: float) -> Sequence[Any]:
        """Return the annotations of pages from `page` on, right of `x`: no index helps."""
