"""Changes, commits and conflicts as JSON objects: in the command's documents, and over the socket."""

from collections.abc import Sequence

from snaptable.errors import Conflict
from snaptable.history import shapes
from snaptable.history.records import Change, Commit, Revert
from snaptable.history.shapes import Shape, key_shape

MOST_CHANGES = 1000
"""Changes of a revert that are told; all are counted."""


def change_shape(change: Change) -> Shape:
    """Return a change as a JSON object, and whether it was purged."""
    shape = shapes.change_shape(change, change.kind, change.before, change.after)
    return shape | ({"purged": True} if change.purged else {})


def commit_shape(commit: Commit) -> Shape:
    """Return a commit as a JSON object, and what it undid or migrated."""
    shape = shapes.commit_shape(commit, [change_shape(change) for change in commit.changes])
    if commit.undoes:
        shape["undoes"] = list(commit.undoes)
    if commit.migrations:
        shape["migrations"] = list(commit.migrations)
    return shape


def conflict_shape(conflict: Conflict) -> Shape:
    """Return what is in the way of an undo."""
    other = None if conflict.other is None else [conflict.other[0], key_shape(conflict.other[1])]
    return {
        "table": conflict.table,
        "key": key_shape(conflict.key),
        "field": conflict.field,
        "kind": conflict.kind,
        "then": _plain(conflict.then),
        "now": _plain(conflict.now),
        "by": conflict.by,
        "other": other,
    }


def revert_shape(revert: Revert) -> Shape:
    """Return what an undo or a restore did, or would do."""
    kinds = [change.kind for change in revert.changes]
    return {
        "commit": revert.commit,
        "removes": kinds.count("delete"),
        "puts_back": kinds.count("insert"),
        "changes": kinds.count("replace"),
        "rows": [change_shape(change) for change in revert.changes[:MOST_CHANGES]],
        "conflicts": conflict_shapes(revert.conflicts),
    }


def conflict_shapes(conflicts: Sequence[Conflict]) -> list[Shape]:
    """Return conflicts, of many the first."""
    return [conflict_shape(each) for each in conflicts[:MOST_CHANGES]]


def _plain(value: object) -> object:
    """Return a value as JSON has it; a unique value comes as Python has it."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)
