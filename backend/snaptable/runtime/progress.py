"""The progress of what takes long: nothing for two seconds, then a bar on a terminal, log lines elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

logger = logging.getLogger("snaptable")

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that pass in silence; then seconds between log lines."""
BAR_SECONDS = 0.1
BAR_WIDTH = 40
STRIDE = 256
"""Rows counted together: looking at the clock costs as much as yielding a row."""


class Progress:
    """What is done of something long, shown once it has taken a while."""

    def __init__(self, total: int, doing: str) -> None:
        """Begin with nothing done.

        Args:
            total: how much there is to do, in bytes or rows; 0 if that is not known.
            doing: what is being done, as in "Loading data/db_snapshot.json".
        """
        self._total = total
        self._doing = doing
        self._done = 0
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._next = time.monotonic() + PATIENCE
        self._shown = False

    def __enter__(self) -> "Progress":
        """Begin to count the time."""
        return self

    def advance(self, count: int) -> None:
        """Take note of more that is done."""
        self._done += count
        now = time.monotonic()
        if now < self._next:
            return
        share = min(1.0, self._done / self._total) if self._total else None
        if self._terminal:
            print(f"\r{self._doing} {self._bar(share)}", end="", file=sys.stderr, flush=True)  # noqa: T201
            self._next, self._shown = now + BAR_SECONDS, True
        else:
            told = f"{self._done:,} rows" if share is None else f"{share * 100:.0f}%"
            logger.info("%s: %s", self._doing, told)
            self._next = now + PATIENCE

    def _bar(self, share: float | None) -> str:
        if share is None:
            return f"{self._done:,} rows"
        filled = round(share * BAR_WIDTH)
        return f"{'█' * filled}{'░' * (BAR_WIDTH - filled)} {share:4.0%}"

    def through(self, rows: Iterable[T]) -> Iterator[T]:
        """Yield rows as they are, counting them."""
        return in_strides(rows, self.advance)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal's line."""
        if self._shown:
            print(file=sys.stderr)  # noqa: T201


def in_strides(rows: Iterable[T], take_note: Callable[[int], None]) -> Iterator[T]:
    """Yield rows as they are, and take note of how many were yielded, some at a time."""
    count = 0
    for row in rows:
        yield row
        count += 1
        if count == STRIDE:
            take_note(count)
            count = 0
    take_note(count)
