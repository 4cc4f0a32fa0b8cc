"""A database captured at one commit, as files: what a copy of it consists of. Engine-neutral."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CapturedFile:
    """A file of a copy.

    Attributes:
        name: with `/` between folders.
        size: in bytes, about.
        read: yields its bytes, once; raises FileNotFoundError if it was removed since it was listed.
    """

    name: str
    size: int
    read: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Capture:
    """A database at one commit, as the files that a copy of it consists of.

    Attributes:
        store: id of the store.
        sequence: the commit.
        at: the time of the copy, as files spell it.
        rows: number of rows, by table.
        files: read one after the other, in this order.
    """

    store: str
    sequence: int
    at: str
    rows: Mapping[str, int]
    files: Iterable[CapturedFile]
