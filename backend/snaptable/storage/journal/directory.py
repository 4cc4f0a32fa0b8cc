"""The journal's files as a whole: which there are, which are kept as history, which go."""

import logging
from collections.abc import Sequence
from itertools import pairwise

from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace_durably
from snaptable.storage.disk.files import Files, sync
from snaptable.storage.disk.quarantine import keep_bytes

logger = logging.getLogger("snaptable")

HISTORY_BYTES = 64 << 20
"""How much of the journal that the snapshot covers is kept."""
LEAST_BYTES = 1 << 16
"""What a file counts at least, so that a thousand short runs don't leave a thousand files."""


def segments(files: Files) -> list[int]:
    """Return the first sequences of the journal's files, ascending; other names in the folder are left alone."""
    found = (names.first_of(name) for name in files.list(names.JOURNAL))
    return sorted(first for first in found if first is not None)


def spans(files: Files) -> list[tuple[int, int | None]]:
    """Return where each of the journal's files begins, and the one behind it; None behind the last."""
    firsts = segments(files)
    return [(first, following) for first, following in pairwise((*firsts, None)) if first is not None]


def path_of(first: int) -> str:
    """Return a segment's name below the store's directory."""
    return f"{names.JOURNAL}/{names.segment(first)}"


def read(files: Files, first: int) -> bytes:
    """Return what was written to a journal file, without the zeros that were reserved behind it; raises as `read`."""
    return files.read(path_of(first)).rstrip(b"\0")


def prune(files: Files, saved: int) -> None:
    """Remove the oldest journal files that the snapshot at `saved` covers, as far as they are over the bound."""
    firsts = segments(files)
    covered = [first for first, following in pairwise(firsts) if following - 1 <= saved]
    sizes = {first: max(LEAST_BYTES, (files.identity(path_of(first)) or (0, 0, 0, 0))[2]) for first in covered}
    over = sum(sizes.values()) - HISTORY_BYTES
    going = []
    for first in covered:
        if over <= 0:
            break
        going.append(first)
        over -= sizes[first]
    if going:
        # The snapshot's name may not be on the disk yet; it has to be before what only it covers goes.
        sync(files.sync_directory)
    # The oldest first: a crash between two leaves a shorter history, not one with a hole.
    remove(files, going)


def keep_copy(files: Files, first: int) -> None:
    """Keep a copy of a journal file whose end is in doubt; nothing in it is the only copy of anything."""
    if files.identity(path_of(first)) is not None:
        kept = keep_bytes(files, names.segment(first), read(files, first))
        logger.warning("Journal %s, whose end is in doubt, is kept as %s", names.segment(first), kept)


def rewrite(files: Files, first: int, data: bytes) -> None:
    """Put a new file with these bytes in the place of a journal file, and return when it is on the disk."""
    replace_durably(files, names.temporary_segment(), path_of(first), [data])


def remove(files: Files, firsts: Sequence[int]) -> None:
    """Remove journal files, the oldest first, each for good before the next goes.

    A file may hold behind its end what was given up when the next one was begun; without that one it would count.
    """
    for first in sorted(firsts):
        files.remove(path_of(first))
        files.sync_directory(names.JOURNAL)
