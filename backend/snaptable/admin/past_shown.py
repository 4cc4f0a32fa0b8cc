"""The past as pages may show it: changes of tables that are shown, and what is in the way of a way back, in words."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from snaptable.admin import words
from snaptable.admin.rows import Labels
from snaptable.errors import Conflict
from snaptable.history import Change


class ShownSite(Protocol):
    """What is asked of a site here."""

    @property
    def shown(self) -> Sequence[str]:
        """The names of the tables that it shows."""

    @property
    def labels(self) -> Labels:
        """How rows are called in links."""


def visible(site: ShownSite, changes: Iterable[Change]) -> list[Change]:
    """Return the changes of tables that a site shows."""
    shown = set(site.shown)
    return [change for change in changes if change.table in shown]


def label_of(site: ShownSite, change: Change) -> str:
    """Return what the row of a change is called; "" where that is its key, or it is erased."""
    field = site.labels.fields.get(change.table)
    value = (change.after or change.before or {}).get(field) if field else None
    return "" if value is None or value == "" or str(value) == str(change.key) else str(value)


def visible_conflicts(site: ShownSite, conflicts: Iterable[Conflict]) -> list[Conflict]:
    """Return what is in the way, without rows of tables that a site doesn't show: their keys, and their values."""
    shown = set(site.shown)
    there = [each for each in conflicts if each.table in shown]
    return [replace(each, other=None) if each.other and each.other[0] not in shown else each for each in there]


def in_words(conflict: Conflict) -> str:
    """Return what is in the way, as one says it."""
    by = f" by #{conflict.by:,}" if conflict.by is not None else ""
    field = conflict.field or "the row"
    other = f"{conflict.other[0]} {words.short_key(conflict.other[1])}" if conflict.other else "another row"
    said = {
        "changed since": f"{field} was changed since{by}" if conflict.now is not None else f"it was deleted since{by}",
        "key taken": f"its key has a row again{by}",
        "unique": f"{other} has the same {field}",
        "still referenced": f"{other} refers to it",
        "refers to missing": f"{field} would refer to a row that is gone",
        "purged": "what it was is erased",
    }
    return said.get(conflict.kind, conflict.kind)


def counts_of(changes: Iterable[Change]) -> dict[str, int]:
    """Return how many rows were added, changed and removed."""
    counts = {"insert": 0, "replace": 0, "delete": 0}
    for change in changes:
        counts[change.kind] += 1
    return counts
