"""What the commands that look share: the store, the table, the key, the moment that were named."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snaptable import HistoryGone
from snaptable.cli.common import UsageError
from snaptable.cli.settings import store_of
from snaptable.history import Moment
from snaptable.maintenance.point_in_time import CommitsAgo
from snaptable.maintenance.raw_opening import opened
from snaptable.maintenance.raw_store import NoHistory, RawStore

WantedState = Moment | CommitsAgo | Path
LEAST_PREFIX = 4
"""Characters of a key that may stand for it, if no other begins so."""


@contextmanager
def looking_at(store: str | None, at: WantedState | None = None) -> Iterator[RawStore]:
    """Open the store that is meant, as of now or of a moment.

    Raises:
        UsageError: the moment is none, or isn't kept.
    """
    with opened(str(at) if isinstance(at, Path) else store_of(store)) as contents:
        yield contents if at is None or isinstance(at, Path) else state_at(contents, at)


def state_at(store: RawStore, at: Moment | CommitsAgo) -> RawStore:
    """Return a store as it was; raises UsageError if that can't be."""
    try:
        return store.at(at)
    except NoHistory:
        raise
    except (ValueError, HistoryGone) as error:
        raise UsageError(str(error)) from error


def check_table(store: RawStore, *tables: str) -> None:
    """Raise UsageError if no such table exists."""
    for table in tables:
        if not store.has_table(table):
            names = ", ".join(each.name for each in store.tables()) or "none"
            raise UsageError(f"{store.path} has no table {table!r}; it has {names}")


def key_in(store: RawStore, table: str, text: str) -> str:
    """Return the key that a text names: the key itself, or the beginning of a single one.

    Raises:
        UsageError: several keys begin so.
    """
    if len(text) < LEAST_PREFIX or store.row(table, text) is not None:
        return text
    keys = [key for key in store.keys(table) if key.startswith(text)]
    if len(keys) > 1:
        shown = ", ".join(keys[:3]) + ", …" * (len(keys) > 3)
        raise UsageError(f"{len(keys)} keys of {table} begin with {text!r}: {shown}")
    return keys[0] if keys else text
