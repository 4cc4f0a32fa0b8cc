"""What the engine needs of whatever makes commits durable, and the log of a database that keeps nothing."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from snaptable.changes.recent_commits import RecentCommits
from snaptable.changes.records import CommitRecord, TimedCommit
from snaptable.changes.retention import USUAL, HistoryStatus, Retention
from snaptable.memory.point_lookup import BeforeImages
from snaptable.memory.rows import TableRows
from snaptable.runtime.clock import StoreClock
from snaptable.values.row_lines import Key

if TYPE_CHECKING:
    import asyncio

UndoRecords = dict[TableRows, BeforeImages]
"""For each table that changed, the rows it had before."""


class CommitBatch(Protocol):
    """The commits that one sync makes durable, as the engine sees them."""

    @property
    def last_sequence(self) -> int:
        """Its last commit."""

    undo: UndoRecords
    """What readers are shown, and a failure restores, until the batch is durable. Belongs to the engine."""

    def result(self) -> None:
        """Return if it became durable; raise its error if it failed."""


B = TypeVar("B", bound=CommitBatch)


class CommitLog(Protocol[B]):
    """What makes commits durable: in order, several with one sync."""

    @property
    def refusal(self) -> Exception | None:
        """Why writes are refused at the moment; None while they are accepted."""

    @property
    def failure(self) -> object | None:
        """What is being taken back at the moment, or was when an interruption came; None for nothing."""

    def finish_failure(self) -> None:
        """Do what an interruption left undone of taking commits back."""

    def enqueue(self, commit: CommitRecord, join: Callable[[B], None]) -> B:
        """Add a commit to the open batch and return that; `join(batch)` runs before the batch can close.

        Raises:
            Exception: the present `refusal`; nothing was added.
        """

    def resume_enqueue(self, commit: CommitRecord, join: Callable[[B], None]) -> B | None:
        """Finish an `enqueue` that was interrupted; return the batch, or None if the commit was not added."""

    def last_pending(self) -> B | None:
        """Return the newest batch that is not durable yet; None if all are."""

    def wait(self, batch: B) -> None:
        """Return when a batch is durable, writing it if no other thread does; raise its error if it failed."""

    def wait_async(self, batch: B, loop: "asyncio.AbstractEventLoop | None") -> Awaitable[object] | None:
        """Return what a task of a loop awaits until a batch is durable or failed, which its `result` tells.

        None if it is durable already.
        """

    def try_resume(self) -> None:
        """Try to accept writes again after a full disk; leaves `refusal` as it is if that fails."""


AnyCommitLog = CommitLog[Any]
"""A log with whichever batches it makes itself: the engine only hands them back to it."""


class RememberedCommits:
    """The commits of a database that keeps nothing but in memory, up to a size; the oldest are forgotten.

    Attributes:
        store: an id of their own.
        leaves_numbers_out: whether numbers may be missing.
    """

    leaves_numbers_out = False

    def __init__(self, last_visible: Callable[[], int], first: int = 0, retention: Retention = USUAL) -> None:
        """Begin without commits.

        Args:
            last_visible: gives the last commit that readers see.
            first: the earliest moment that can be reached: the one it begins with.
            retention: how much is remembered, in bytes of rows.
        """
        self.store = str(uuid4())
        self._last_visible = last_visible
        self._kept = RecentCommits(first, retention.max_bytes)
        self._clock = StoreClock()

    @property
    def sequence(self) -> int:
        """The last commit that readers see."""
        return self._last_visible()

    @property
    def first(self) -> int:
        """The earliest moment that can be reached."""
        return self._kept.first

    def add(self, commit: CommitRecord) -> None:
        """Remember a commit, unless it is, and forget the oldest if there are too many; O(changes)."""
        self._kept.add(self._clock.timestamp(), commit)

    def forget(self, moment: int) -> None:
        """Forget the commits up to a moment; under the engine's latch, as `add`."""
        self._kept.forget(moment)

    def rewrite(self, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:
        """Put other commits in the place of those up to one; under the engine's latch, as `add`."""
        return self._kept.rewrite(until, rewritten)

    def status(self) -> HistoryStatus:
        """Return how far back the past can be seen; O(1)."""
        oldest = next(self._kept.oldest_first(self.first, self.first + 1), None)
        since = None if oldest is None else datetime.fromisoformat(oldest.at)
        return HistoryStatus(self.first, since, self._kept.size)

    def newest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:  # noqa: ARG002
        """Yield commits, the last first; O(1) each."""
        return self._kept.newest_first(after, until)

    def oldest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:  # noqa: ARG002
        """Yield commits in order; O(1) each."""
        return self._kept.oldest_first(after, until)

    def last_until(self, at: str) -> int | None:
        """Return the last commit that was not made later than a time; None if none is known; O(log n)."""
        return self._kept.last_until(at)


class VolatileBatch:
    """A commit that is as durable as it will ever be."""

    def __init__(self, commit: CommitRecord) -> None:
        self.commit = commit
        self.last_sequence = commit.sequence
        self.undo: UndoRecords = {}

    def result(self) -> None:
        """Return."""


class VolatileLog:
    """The log of a database that keeps nothing: every commit counts as durable at once."""

    def __init__(
        self,
        on_durable: Callable[[VolatileBatch], None],
        commits: RememberedCommits,
        *,
        refusal: Exception | None = None,
    ) -> None:
        """Begin.

        Args:
            on_durable: called with each batch.
            commits: what remembers them.
            refusal: why writes are refused, for a database that was opened to read only.
        """
        self.refusal = refusal
        self.failure = None
        self.commits = commits
        self._on_durable = on_durable
        self._last: VolatileBatch | None = None

    def enqueue(self, commit: CommitRecord, join: Callable[[VolatileBatch], None]) -> VolatileBatch:
        """Show the commit to every reader."""
        self._last = VolatileBatch(commit)
        return self._show(self._last, join)

    def resume_enqueue(self, commit: CommitRecord, join: Callable[[VolatileBatch], None]) -> VolatileBatch | None:
        """Finish an `enqueue` that was interrupted; return the batch, or None if it had not begun."""
        batch = self._last
        if batch is None or batch.commit is not commit:
            return None
        return self._show(batch, join)

    def _show(self, batch: VolatileBatch, join: Callable[[VolatileBatch], None]) -> VolatileBatch:
        """Remember a commit, and then show it: whoever is told of it may look for it at once. Can be done twice."""
        join(batch)
        self.commits.add(batch.commit)
        self._on_durable(batch)
        return batch

    def last_pending(self) -> None:
        """Return None: no batch ever waits."""

    def wait(self, batch: VolatileBatch) -> None:
        """Return at once."""

    def wait_async(self, batch: VolatileBatch, loop: "asyncio.AbstractEventLoop | None") -> None:
        """Return None: there is nothing to wait for."""

    def finish_failure(self) -> None:
        """Do nothing: no commit is ever taken back."""

    def try_resume(self) -> None:
        """Do nothing: a refusal to write is for good."""
