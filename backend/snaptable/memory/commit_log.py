"""What the engine needs of whatever makes commits durable, and the log of a database that keeps nothing."""

from collections.abc import Callable
from typing import Any, Protocol

from snaptable.changes import Commit

Batch = Any
"""The commits that one sync makes durable; of it the engine needs `veils`, its own dictionary of what it hides."""


class CommitLog(Protocol):
    """Make commits durable, in order, several with one sync."""

    @property
    def refusal(self) -> Exception | None:
        """Why writes are refused at the moment."""

    def enqueue(self, commit: Commit, join: Callable[[Batch], None]) -> Batch:
        """Add a commit to the open batch; `join(batch)` runs before the batch can close."""

    def tail(self) -> Batch | None:
        """Return the last batch that isn't durable yet."""

    def wait(self, batch: Batch) -> None:
        """Return when a batch is durable, leading it where nobody does; raise its error."""

    async def wait_async(self, batch: Batch) -> None:
        """Return when a batch is durable, without holding the event loop; raise its error."""

    def heal(self) -> None:
        """Try to make writes work again where a full disk made them fail."""


class _VolatileBatch:
    """Be a batch that is durable as soon as it exists."""

    def __init__(self) -> None:
        self.veils: dict[Any, Any] = {}


class VolatileLog:
    """Keep nothing: every commit is as durable as it will ever be."""

    refusal: Exception | None = None

    def __init__(self, on_durable: Callable[[Batch], None]) -> None:
        self._on_durable = on_durable

    def enqueue(self, commit: Commit, join: Callable[[Batch], None]) -> Batch:  # noqa: ARG002 - it isn't kept
        """Show the commit to everybody at once."""
        batch = _VolatileBatch()
        join(batch)
        self._on_durable(batch)
        return batch

    def tail(self) -> Batch | None:
        """Return None: nothing is ever waiting."""
        return None

    def wait(self, batch: Batch) -> None:
        """Return at once."""

    async def wait_async(self, batch: Batch) -> None:
        """Return at once."""

    def heal(self) -> None:
        """Do nothing: nothing can fail."""
