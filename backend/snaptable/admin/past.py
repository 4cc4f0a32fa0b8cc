"""Commits as pages show them: of tables that are shown, and of a large one only as much as is read.

A commit may hold the rows of a whole import. What a page says of it, it says of a few; the others aren't parsed.
"""

from collections.abc import Collection
from dataclasses import replace

from snaptable.changes import ChangeRecord, Delete, Insert, PurgedChange
from snaptable.history import Commit

MOST = 200
"""Changes of a commit that a page shows."""


def shown(commit: Commit, tables: Collection[str], most: int = MOST) -> tuple[Commit, int]:
    """Return a commit with its first changes to some tables alone, and how many there are; O(changes), parsing a few.

    Args:
        commit: as history gives it.
        tables: the names of those that are shown.
        most: how many changes.
    """
    records = tuple(record for record in commit._records if record.table in tables)
    return replace(commit, _records=records[:most]), len(records)


def of_row(commit: Commit, table: str, key: object) -> Commit:
    """Return a commit with its changes to one row alone."""
    records = tuple(record for record in commit._records if record.table == table and str(record.key) == str(key))
    return replace(commit, _records=records)


def summary(commit: Commit) -> str:
    """Return what a commit did, in a few words; O(changes), none of which is parsed."""
    kinds = {_kind(record) for record in commit._records}
    tables = list(dict.fromkeys(record.table for record in commit._records))
    did = "Took back" if commit.undoes else kinds.pop() if len(kinds) == 1 else "Changed"
    count = len(commit._records)
    return f"{did} {count:,} row{'' if count == 1 else 's'} of {', '.join(tables[:3])}, #{commit.sequence:,}"


def _kind(record: ChangeRecord) -> str:
    if isinstance(record, PurgedChange):
        return {"insert": "Added", "delete": "Deleted"}.get(record.kind, "Changed")
    return "Added" if isinstance(record, Insert) else "Deleted" if isinstance(record, Delete) else "Changed"
