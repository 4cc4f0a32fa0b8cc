"""Warnings that strangers can cause: at most one of a kind a minute, with the number of those left out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

PAUSE_SECONDS = 60.0


@dataclass(slots=True)
class _Kind:
    """When a warning was last written, and how many were left out since."""

    written: float
    left_out: int = 0


class OccasionalLog:
    """A logger that writes one warning of a kind a minute."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        """Take the logger, and a clock in seconds that never goes back."""
        self._logger = logger
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def write(self, kind: str, message: str) -> None:
        """Write a warning unless one of this kind was written within the last minute; O(1).

        Args:
            kind: one of a few constants.
            message: without anything that a client sent.
        """
        now = self._clock()
        last = self._kinds.get(kind)
        if last is not None and now - last.written < PAUSE_SECONDS:
            last.left_out += 1
            return
        more = f" ({last.left_out} more of these since the last such line)" if last and last.left_out else ""
        self._kinds[kind] = _Kind(now)
        self._logger.warning("%s%s", message, more)
