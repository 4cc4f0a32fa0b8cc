"""The seam for test tools: they may watch openings, and give a database a disk of their own.

An application makes its own Database, so a test that wants to choose its disk can't pass `filesystem=`. It watches the
openings instead:

    with observe_opens(observer):
        ...                      # every Database that is opened here asks `observer` for its disk, then tells it
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from snaptable.engines.options import Filesystem
from snaptable.errors import DatabaseClosed

if TYPE_CHECKING:
    from snaptable.memory.engine import MemoryEngine


D_contra = TypeVar("D_contra", contravariant=True)
"""Database, which this module doesn't know: it is told what is opened."""


class OpenObserver(Protocol[D_contra]):
    """What a test tool implements to watch every opening of a database in this process."""

    def filesystem(self, database: D_contra, directory: Path) -> Filesystem | None:
        """Return the disk that a database finds in a directory; None to leave it to others.

        Called by `Database.open` before anything is read, with the absolute directory; not for "memory:".
        """

    def opened(self, database: D_contra) -> None:
        """Take note that a database was opened; called by `Database.open` once it is ready, for "memory:" too."""


_observers: list[OpenObserver[object]] = []
"""The newest last."""


@contextmanager
def observe_opens(observer: OpenObserver[Any]) -> Iterator[None]:
    """Let an observer watch every opening in this process, on any thread, for the length of a block.

    Blocks may be nested and may overlap: the newest observer that gives a disk decides, all are told of the opening.
    """
    _observers.append(observer)
    try:
        yield
    finally:
        # By identity: observers that compare equal are still two.
        position = next(place for place in reversed(range(len(_observers))) if _observers[place] is observer)
        del _observers[position]


def observed_filesystem(database: object, directory: Path) -> Filesystem | None:
    """Return the disk that the newest observer with an answer gives a database; None if none does."""
    for observer in reversed(_observers):
        filesystem: Filesystem | None = observer.filesystem(database, directory)
        if filesystem is not None:
            return filesystem
    return None


def report_open(database: object) -> None:
    """Tell every observer that a database was opened."""
    for observer in tuple(_observers):
        observer.opened(database)


def engine_of(database: object) -> "MemoryEngine":
    """Return the engine of an open database, for tools that look inside it.

    Raises:
        DatabaseClosed: the database is not open.
    """
    memory = getattr(getattr(database, "_engine", None), "memory", None)
    if memory is None:
        raise DatabaseClosed(f"{database!r} is not open, or not in memory")
    engine: MemoryEngine = memory
    return engine
