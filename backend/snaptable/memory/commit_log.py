"""What the engine needs of whatever makes commits durable, and the log of a database that keeps nothing."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from snaptable.changes import CommitRecord
from snaptable.memory.point_lookup import BeforeImages
from snaptable.memory.rows import TableRows

UndoRecords = dict[TableRows, BeforeImages]
"""For each table that changed, the rows it had before."""


class CommitBatch(Protocol):
    """The commits that one sync makes durable, as the engine sees them."""

    undo: UndoRecords
    """What readers are shown, and a failure restores, until the batch is durable. Belongs to the engine."""


B = TypeVar("B", bound=CommitBatch)


class CommitLog(Protocol[B]):
    """What makes commits durable: in order, several with one sync."""

    @property
    def refusal(self) -> Exception | None:
        """Why writes are refused at the moment; None while they are accepted."""

    def enqueue(self, commit: CommitRecord, join: Callable[[B], None]) -> B:
        """Add a commit to the open batch and return that; `join(batch)` runs before the batch can close.

        Raises:
            Exception: the present `refusal`; nothing was added.
        """

    def last_pending(self) -> B | None:
        """Return the newest batch that is not durable yet; None if all are."""

    def wait(self, batch: B) -> None:
        """Return when a batch is durable, writing it if no other thread does; raise its error if it failed."""

    async def wait_async(self, batch: B) -> None:
        """Return when a batch is durable, without blocking the event loop; raise its error if it failed."""

    def try_resume(self) -> None:
        """Try to accept writes again after a full disk; leaves `refusal` as it is if that fails."""


AnyCommitLog = CommitLog[Any]
"""A log with whichever batches it makes itself: the engine only hands them back to it."""


class VolatileBatch:
    """A commit that is as durable as it will ever be."""

    def __init__(self) -> None:
        self.undo: UndoRecords = {}


class VolatileLog:
    """The log of a database that keeps nothing: every commit counts as durable at once."""

    def __init__(self, on_durable: Callable[[VolatileBatch], None], *, refusal: Exception | None = None) -> None:
        """Begin.

        Args:
            on_durable: called with each batch.
            refusal: why writes are refused, for a database that was opened to read only.
        """
        self.refusal = refusal
        self._on_durable = on_durable

    def enqueue(self, commit: CommitRecord, join: Callable[[VolatileBatch], None]) -> VolatileBatch:  # noqa: ARG002 - not kept
        """Show the commit to every reader."""
        batch = VolatileBatch()
        join(batch)
        self._on_durable(batch)
        return batch

    def last_pending(self) -> None:
        """Return None: no batch ever waits."""

    def wait(self, batch: VolatileBatch) -> None:
        """Return at once."""

    async def wait_async(self, batch: VolatileBatch) -> None:
        """Return at once."""

    def try_resume(self) -> None:
        """Do nothing: a refusal to write is for good."""
