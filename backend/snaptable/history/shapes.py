"""Commits and changes as JSON objects: in feeds, over the socket, in the command's documents."""

from snaptable.changes.records import Key, Kind
from snaptable.history.fields import Fields
from snaptable.history.moments import spelled
from snaptable.history.records import Change, Commit

Shape = dict[str, object]


def key_shape(key: Key) -> str | int:
    """Return a key as JSON has it."""
    return key if isinstance(key, int) else str(key)


def change_shape(change: Change, kind: Kind, before: Fields | None, after: Fields | None) -> Shape:
    """Return a change as a JSON object, with two states of its row as they are to be seen, and what it is to them."""
    return {"table": change.table, "key": key_shape(change.key), "kind": kind, "before": before, "after": after}


def commit_shape(commit: Commit, changes: list[Shape]) -> Shape:
    """Return a commit as a JSON object, with some of its changes."""
    return {
        "sequence": commit.sequence,
        "at": spelled(commit.at),
        "actor": commit.actor,
        "note": commit.note,
        "via": commit.via,
        "changes": changes,
    }
