"""Commits as pages show them: of tables that are shown, and of a large one only as much as is read.

A commit may hold the rows of a whole import. What a page says of it, it says of a few; the others aren't parsed.
"""

from collections.abc import Collection

from snaptable.history import Commit

KINDS = {"insert": "Added", "replace": "Changed", "delete": "Deleted"}
MOST = 200
"""Changes of a commit that a page shows."""


def shown(commit: Commit, tables: Collection[str], most: int = MOST) -> tuple[Commit, int]:
    """Return a commit with its first changes to some tables alone, and how many there are; O(changes), parsing a few.

    Args:
        commit: as history gives it.
        tables: the names of those that are shown.
        most: how many changes.
    """
    return commit.beginning(tables, most), sum(place.table in tables for place in commit.places)


def of_row(commit: Commit, table: str, key: object) -> Commit:
    """Return a commit with its changes to one row alone."""
    return commit.only(table, key)


def summary(commit: Commit) -> str:
    """Return what a commit did, in a few words; O(changes), none of which is parsed."""
    kinds = {KINDS[place.kind] for place in commit.places}
    tables = list(dict.fromkeys(place.table for place in commit.places))
    did = "Took back" if commit.undoes else kinds.pop() if len(kinds) == 1 else "Changed"
    count = len(commit.places)
    return f"{did} {count:,} row{'' if count == 1 else 's'} of {', '.join(tables[:3])}, #{commit.sequence:,}"
