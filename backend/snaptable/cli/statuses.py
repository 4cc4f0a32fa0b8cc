"""The exit status that an error means."""

from snaptable.cli.common import (
    EXIT_CALLED_WRONGLY,
    EXIT_DAMAGED,
    EXIT_FAILED,
    EXIT_HELD,
    EXIT_REFUSED,
)
from snaptable.errors import (
    ConstraintError,
    CorruptBackup,
    CorruptJournal,
    CorruptSnapshot,
    HistoryPurged,
    InvalidRow,
    SnapshotEdited,
    StoreLocked,
    UndoConflict,
)

_REFUSED = (ConstraintError, UndoConflict, HistoryPurged, InvalidRow)
_DAMAGED = (CorruptSnapshot, SnapshotEdited, CorruptJournal, CorruptBackup)
BY_NAME = {
    "NotAStore": EXIT_CALLED_WRONGLY,  # a class of a module that is costly to import
    "StoreLocked": EXIT_HELD,
    **{kind.__name__: EXIT_REFUSED for base in _REFUSED for kind in (base, *base.__subclasses__())},
    **{kind.__name__: EXIT_DAMAGED for kind in _DAMAGED},
}
"""By the names of errors: a server tells them by name."""


def status_of(error: Exception, *, looks_after: bool = False) -> int:
    """Return the exit status of an error.

    Args:
        error: what was raised.
        looks_after: whether the command is one of those that damage is for: it has found problems then, as ever.
    """
    if isinstance(error, StoreLocked):
        return EXIT_HELD
    status = next((BY_NAME[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in BY_NAME), EXIT_FAILED)
    return EXIT_FAILED if looks_after and status in (EXIT_DAMAGED, EXIT_REFUSED) else status
