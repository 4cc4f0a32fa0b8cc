"""How far loading is: nothing for two seconds, then a bar on a terminal, log lines elsewhere."""

import logging
import sys
import time
from types import TracebackType

from snaptable.storage.files import Identity

logger = logging.getLogger("snaptable")

PATIENCE = 2.0
"""Seconds of loading that pass in silence; then seconds between log lines."""
BAR_SECONDS = 0.1
BAR_WIDTH = 40


class Progress:
    """Tell how far a file is loaded, where that takes long."""

    def __init__(self, identity: Identity | None, name: str) -> None:
        self._total = identity[2] if identity else 0
        self._name = name
        self._done = 0
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._next = time.monotonic() + PATIENCE
        self._shown = False

    def __enter__(self) -> "Progress":
        """Begin to count the time."""
        return self

    def advance(self, count: int) -> None:
        """Take note of more bytes done."""
        self._done += count
        now = time.monotonic()
        if now < self._next or not self._total:
            return
        share = min(1.0, self._done / self._total)
        if self._terminal:
            filled = round(share * BAR_WIDTH)
            bar = "█" * filled + "░" * (BAR_WIDTH - filled)
            print(f"\rLoading {self._name} {bar} {share:4.0%}", end="", file=sys.stderr, flush=True)  # noqa: T201
            self._next, self._shown = now + BAR_SECONDS, True
        else:
            logger.info("Loading %s: %.0f%%", self._name, share * 100)
            self._next = now + PATIENCE

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal's line."""
        if self._shown:
            print(file=sys.stderr)  # noqa: T201
