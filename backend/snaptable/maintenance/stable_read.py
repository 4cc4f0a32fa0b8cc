"""Reading a store beside its writer: read again if the files changed meanwhile and the result is doubtful."""

import time
from collections.abc import Callable
from typing import TypeVar

from snaptable.errors import OpenError
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files, Identity
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.store import READ_PAUSES

T = TypeVar("T")


def read_until_stable(files: Files, read: Callable[[], T], is_doubtful: Callable[[T], bool]) -> T:
    """Return what `read` gives, trying again while it is doubtful and a writer changed the files meanwhile.

    Args:
        files: the store's directory.
        read: reads the files; called at most four times.
        is_doubtful: whether a result may come from files of different moments.
    """
    for pause in READ_PAUSES:
        before = fingerprint(files)
        result = read()
        if not is_doubtful(result) or fingerprint(files) == before:
            return result
        time.sleep(pause)
    return read()


def read_beside_writer(files: Files, read: Callable[[], T]) -> T:
    """Return what `read` gives, trying again where it raises and a writer changed the files meanwhile.

    Raises:
        OpenError, OSError: as `read` does, of files that don't change.
    """
    for pause in READ_PAUSES:
        before = fingerprint(files)
        try:
            return read()
        except (OpenError, FileNotFoundError):
            if fingerprint(files) == before:
                raise
            time.sleep(pause)
    return read()


def fingerprint(files: Files) -> list[Identity | None]:
    """Return the identities of snapshot and journal files: they change with every commit and every checkpoint."""
    try:
        segments = journal_directory.segments(files)
    except OSError:
        return []
    return [files.identity(name) for name in (names.SNAPSHOT, *map(journal_directory.path_of, segments))]
