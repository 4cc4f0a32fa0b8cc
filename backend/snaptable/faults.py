"""What errors list: conflicts of an undo, faults of the rows of a file; and how a long list is cut."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Conflict:
    """What is in the way of taking a change back.

    Attributes:
        table, key: the row that would be changed.
        field: the field, None if it is about the whole row.
        kind: "changed since", "key taken", "unique", "still referenced", "refers to missing", "purged".
        then: the value that the change left; None for no row.
        now: the value there is; None for no row.
        by: the commit that changed it since, None if it isn't known or none did.
        other: the row in the way, as (table, key), for "unique" and "still referenced".
    """

    table: str
    key: object
    field: str | None
    kind: str
    then: object = None
    now: object = None
    by: int | None = None
    other: tuple[str, object] | None = None

    def __str__(self) -> str:
        place = f"{self.table} {self.key}" + (f" {self.field}" if self.field else "")
        by = f" by commit {self.by}" if self.by is not None else ""
        other = f" ({self.other[0]} {self.other[1]})" if self.other else ""
        return f"{place}: {self.kind}{by}{other}"


@dataclass(frozen=True)
class ImportFault:
    """What is wrong with a row of a file.

    Attributes:
        line: where it begins, counted from 1; in sqlite the number of the row.
        field: the field, None if it is about the whole row.
        reason: why, without any of the row's values.
    """

    line: int
    field: str | None
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: " + (f"{self.field}: " if self.field else "") + self.reason


def listed(items: Sequence[str], most: int) -> list[str]:
    """Return the first `most` of the things that a message lists, and how many more there are, if there are more."""
    return [*items[:most], *([f"… and {len(items) - most:,} more"] if len(items) > most else [])]
