"""The directory of the journal: which segments there are, which are kept as history, which are removed."""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from snaptable.changes.retention import Retention
from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace_durably
from snaptable.storage.disk.files import Files, sync
from snaptable.storage.disk.quarantine import keep_bytes

logger = logging.getLogger("snaptable")

_LINE_TIME = re.compile(rb'^\{"frame":(?:\[\d+,\d+\]|"closed"),"at":"([^"]*)"', re.MULTILINE)
LEAST_BYTES = 1 << 16
"""What a segment counts at least, so that a thousand short runs don't leave a thousand files."""


def segments(files: Files) -> list[int]:
    """Return the first sequences of the segments, ascending; files of other names are left alone."""
    firsts = (names.first_of(name) for name in files.list(names.JOURNAL))
    return sorted(first for first in firsts if first is not None)


def spans(files: Files) -> list[tuple[int, int | None]]:
    """Return the first sequence of each segment, and that of the one behind it; None behind the last."""
    firsts = segments(files)
    return [(first, following) for first, following in pairwise((*firsts, None)) if first is not None]


def path_of(first: int) -> str:
    """Return a segment's name below the store's directory."""
    return f"{names.JOURNAL}/{names.segment(first)}"


def read(files: Files, first: int) -> bytes:
    """Return a segment's content without the zeros behind its last line; raises as `Files.read`."""
    return files.read(path_of(first)).rstrip(b"\0")


def prune(files: Files, checkpoint_sequence: int, retention: Retention) -> None:
    """Remove the oldest segments, as far as they are beyond the bounds and the snapshot covers them.

    Args:
        files: the store's directory.
        checkpoint_sequence: the snapshot's sequence.
        retention: how much is kept of what the snapshot covers.

    Raises:
        OSError: not all of them were removed; nothing is lost.
    """
    covered = [first for first, following in pairwise(segments(files)) if following - 1 <= checkpoint_sequence]
    sizes = {first: max(LEAST_BYTES, _size(files, first)) for first in covered}
    excess = sum(sizes.values()) - retention.max_bytes
    expired = []
    for first in covered:
        if excess <= 0 and not _is_older(files, first, retention.max_days):
            break
        expired.append(first)
        excess -= sizes[first]
    if expired:
        # The snapshot's name may not be on the disk yet; it must be, before segments that only it covers are removed.
        sync(files.sync_directory)
    # The oldest first: a crash between two removals leaves a shorter history, not one with a gap.
    remove(files, expired)


def _is_older(files: Files, first: int, days: float | None) -> bool:
    """Return whether every commit of a segment is older than some days, by the time of its last line."""
    if days is None:
        return False
    bound = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
    times = _LINE_TIME.findall(read(files, first))
    return bool(times) and max(times) < bound


def total_size(files: Files) -> int:
    """Return the bytes of all segments; O(segments)."""
    return sum(_size(files, first) for first in segments(files))


def _size(files: Files, first: int) -> int:
    identity = files.identity(path_of(first))
    return identity.size if identity else 0


def keep_copy(files: Files, first: int) -> None:
    """Keep a copy of a segment whose end is in doubt; nothing in it is the only copy of anything."""
    if files.identity(path_of(first)) is not None:
        kept = keep_bytes(files, names.segment(first), read(files, first))
        logger.warning("Journal %s, whose end is in doubt, is kept as %s", names.segment(first), kept)


def rewrite(files: Files, first: int, data: bytes) -> None:
    """Put a new file with these bytes in the place of a segment, and return when it is on the disk.

    Raises:
        OSError, SyncFailed: the old or the new file is there, whole.
    """
    replace_durably(files, names.temporary_segment(), path_of(first), [data])


def remove(files: Files, firsts: Sequence[int]) -> None:
    """Remove segments, the oldest first, each durably before the next is removed.

    A segment may hold, behind its end, frames that were given up when the next one was begun; without that next one
    they would count.
    """
    for first in sorted(firsts):
        files.remove(path_of(first))
        files.sync_directory(names.JOURNAL)
