"""Rows that belong together, over references: what all belongs to a row, and what a row can't be without."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from snaptable.cli.common import UsageError
from snaptable.history.fields import Fields
from snaptable.maintenance.raw_store import RawStore

Place = tuple[str, str]
"""A table's name, and the text of a row's key."""


@dataclass
class Closure:
    """Some rows, and those that belong to them.

    Attributes:
        rows: by table and key, in the order of the file.
        missing: references to rows that aren't there.
    """

    rows: dict[str, dict[str, Fields]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows of each table."""
        return {table: len(rows) for table, rows in self.rows.items() if rows}


def closure_of(store: RawStore, table: str, keys: list[str], *, referring: bool = True) -> Closure:
    """Return rows, what refers to them, and what all of these refer to; O(n).

    Args:
        store: the state that they are of.
        table: the table of the rows.
        keys: their keys.
        referring: whether rows that refer to them belong to them too, and those that refer to these.

    Raises:
        UsageError: no such row exists.
    """
    for key in keys:
        if store.row(table, key) is None:
            raise UsageError(f"{table} has no row {key!r}{_when(store)}")
    rows = {each.name: dict(store.rows(each.name)) for each in store.tables() if not each.transient}
    wanted = {(table, key) for key in keys}
    if referring:
        _add_referring(rows, store.references, wanted)
    result = Closure()
    _add_referred(rows, store.references, wanted, result.missing)
    for name, of_table in rows.items():
        result.rows[name] = {key: row for key, row in of_table.items() if (name, key) in wanted}
    return result


def _when(store: RawStore) -> str:
    return f" at commit {store.sequence}" if store.is_past else ""


Rows = Mapping[str, Mapping[str, Fields]]
References = Mapping[str, Mapping[str, tuple[str, str]]]


def _add_referring(rows: Rows, references: References, wanted: set[Place]) -> None:
    """Add rows that refer to wanted ones, and those that refer to these; a circle ends."""
    added = set(wanted)
    while added:
        added = {place for place in _referring(rows, references, added) if place not in wanted}
        wanted |= added


def _referring(rows: Rows, references: References, targets: set[Place]) -> Iterator[Place]:
    for table, of_table in references.items():
        for name, (target, _) in of_table.items():
            keys = {key for other, key in targets if other == target}
            if keys:
                yield from ((table, key) for key, row in rows.get(table, {}).items() if _text(row.get(name)) in keys)


def _add_referred(rows: Rows, references: References, wanted: set[Place], missing: list[str]) -> None:
    """Add what wanted rows refer to, and what that refers to: without it they break a constraint."""
    added = set(wanted)
    while added:
        following: set[Place] = set()
        for table, key in added:
            for name, (target, _) in references.get(table, {}).items():
                text = _text(rows[table][key].get(name))
                if text is None:
                    continue
                if text not in rows.get(target, {}):
                    missing.append(f"{table} {key}: {name} refers to {target} {text}, which isn't there")
                elif (target, text) not in wanted:
                    following.add((target, text))
        wanted |= following
        added = following


def _text(value: object) -> str | None:
    return None if value is None else str(value)
