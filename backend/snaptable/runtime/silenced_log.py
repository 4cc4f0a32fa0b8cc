"""Silence for tools that open stores by themselves: what they see, they report in their own words."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced_log() -> Iterator[None]:
    """Log nothing of the store for the length of a block, on any thread."""
    logger = logging.getLogger("snaptable")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
