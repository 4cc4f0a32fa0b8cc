"""Silence for the tools that open stores by themselves: what they find, they report in their own words."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced_log() -> Iterator[None]:
    """Keep the store's log out of the way for the length of a block."""
    logger = logging.getLogger("snaptable")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
