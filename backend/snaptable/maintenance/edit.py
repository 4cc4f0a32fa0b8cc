"""An edit that can be accepted, and the commit that it becomes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, Insert, Replace
from snaptable.maintenance.differences import Difference, compare
from snaptable.maintenance.edited_snapshot import EditedSnapshot, refuse_edit
from snaptable.maintenance.row_problems import RowProblem
from snaptable.maintenance.untyped import Rows, UntypedStore, highest_number, pages_of
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.format import SnapshotHeader


@dataclass(frozen=True)
class Validation:
    """A snapshot's rows as the models write them, or what in them doesn't fit the models."""

    rows: Rows
    problems: Sequence[RowProblem] = ()


Validate = Callable[[bytes], Validation]
"""Takes a snapshot's bytes and loads them into the models."""


@dataclass(frozen=True)
class Edit:
    """An edit that can be accepted.

    Attributes:
        data: the bytes of the edited file.
        store: the state that the commit is added to; if the base is unknown, the state that the file holds.
        differences: the rows that were changed, if that is known.
        commit: what is added to the state, None if no row was changed.
        newer_commits: number of commits that the journal holds beyond the edited file; they stay.
        is_base_known: whether the state before the edit is known.
        put_back: sequence and time of an older snapshot that was put back; None if the file was edited.
    """

    data: bytes
    store: UntypedStore
    differences: Sequence[Difference] = ()
    commit: CommitRecord | None = None
    newer_commits: int = 0
    is_base_known: bool = True
    put_back: tuple[int, str] | None = None


def validated_rows(
    edited: EditedSnapshot, present: Rows, target: Rows, numbers: Mapping[str, int], validate: Validate
) -> Rows:
    """Return rows as the models write them, as far as they differ from the present ones.

    Raises:
        SchemaMismatch: they don't fit the models.
    """
    validation = validate(compose(edited.header, target, numbers))
    refuse_edit(edited.path, edited.data, validation.problems)
    return {
        table: {
            key: row if row == present.get(table, {}).get(key) else validation.rows[table][key]
            for key, row in rows.items()
        }
        for table, rows in target.items()
        if rows or table in validation.rows
    }


def compose(header: SnapshotHeader, rows: Rows, numbers: Mapping[str, int]) -> bytes:
    """Return rows as the bytes of a snapshot."""
    pages = pages_of(rows, numbers)
    whole = replace(header, rows=pages.counts(), numbered=numbers)
    return b"".join(snapshot_format.compose(whole, pages.render()))


def last_numbers(header: SnapshotHeader, known: Mapping[str, int], rows: Rows) -> dict[str, int]:
    """Return the last number given out in each table that numbers its keys: never below a key that is there."""
    pages = pages_of(rows, {})
    return {
        table: max(last, header.numbered.get(table, 0), highest_number(pages, table))
        for table, last in {**header.numbered, **known}.items()
    }


def commit_between(store: UntypedStore, present: Rows, target: Rows, header: SnapshotHeader) -> CommitRecord | None:
    """Return the commit that leads from the present rows to others, None if they are the same."""
    changes = tuple(_change_of(difference) for difference in compare(present, target))
    if not changes:
        return None
    known = store.pages.numbered
    numbers = last_numbers(header, known, target)
    moved = {table: last for table, last in numbers.items() if known.get(table) != last}
    return CommitRecord(store.sequence + 1, changes, moved)


def _change_of(difference: Difference) -> ChangeRecord:
    if difference.after is None:
        return Delete(difference.table, difference.key, difference.before)
    if difference.before is None:
        return Insert(difference.table, difference.key, difference.after)
    return Replace(difference.table, difference.key, difference.after, difference.former_values, difference.added)
