"""What was purged from a store, purged from an older backup of it as well, before that takes its place.

A store lists the keys whose content was erased, by digests, and up to which commit. Rows of these keys in a backup from
before go, and what its journal holds of them; rows that refer to them go too, or lose the reference, as the models say.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from snaptable.changes.records import ChangeRecord, CommitRecord, ErasedKeys, Insert, PurgedChange, Replace, key_digest
from snaptable.errors import OpenError
from snaptable.maintenance.shared_steps import write_snapshot
from snaptable.maintenance.untyped import Rows, UntypedStore, pages_of, recover_untyped, rows_of
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.journal.rewriting import rewrite_segment
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.store import read_snapshot
from snaptable.values.row_lines import row_json

Reference = tuple[str, str, str, str]
"""A foreign key: the table and field that hold it, the table that it is of, and what a deletion there does."""


@dataclass(frozen=True)
class Erased:
    """The keys that were purged from a store.

    Attributes:
        store: the store's id; None if there is none.
        keys: as the store lists them.
    """

    store: str | None = None
    keys: ErasedKeys = field(default_factory=dict)

    @classmethod
    def of(cls, files: Files) -> "Erased":
        """Return what a store lists; of one that is damaged, what the header of its snapshot does. O(n)."""
        try:
            snapshot = read_snapshot(files)
            state = recover_untyped(files, snapshot)
        except OpenError:
            return cls(*snapshot_format.claimed_erased(snapshot or b""))
        return cls(state.id, state.pages.erased)


def without_erased(
    files: Files, state: UntypedStore, erased: Erased, references: Iterable[Reference]
) -> tuple[UntypedStore, int]:
    """Purge a closed copy of what was purged since, and return its state, and the number of rows that went; O(n).

    Args:
        files: the copy's directory.
        state: what it holds.
        erased: the keys; those of another store are none of this one.
        references: the foreign keys of the tables.

    Raises:
        OSError: the files could not be written.
    """
    assert state.id is not None
    if erased.store != state.id:
        return state, 0
    pages = state.pages
    since = _purged_since(erased.keys, pages.erased)
    pages.take_note_of_erased(erased.keys)
    is_erased = pages.erased_since(state.id, state.sequence)
    if not any(since.values()):
        return state, 0
    # 1. The rows, and what refers to them.
    rows = rows_of(pages)
    gone = {(table, key) for table, of_table in rows.items() for key in of_table if is_erased(table, key)}
    _take_out(rows, gone, list(references))
    left = replace(state, pages=pages_of(rows, pages.numbered, pages.migrations))
    left.pages.marks = pages.marks
    left.pages.take_note_of_erased(pages.erased)
    # 2. What the journal holds of them, and of rows that were purged after they had been deleted.
    store = state.id

    def is_erased_from(sequence: int, table: str, key: str) -> bool:
        """Return whether what a commit says of a key was purged."""
        keys = since.get(table, {})
        return bool(keys) and keys.get(key_digest(store, table, key), 0) >= sequence

    for first, following in journal_directory.spans(files):
        rewrite_segment(
            files, first, following or state.sequence + 1, state.sequence, lambda commit: _kept(commit, is_erased_from)
        )
    # 3. The snapshot.
    write_snapshot(files, left)
    return left, len(gone)


def _purged_since(keys: ErasedKeys, known: ErasedKeys) -> ErasedKeys:
    """Return the keys whose purge a backup doesn't list: it may hold commits of rows that were deleted by then."""
    return {
        table: {digest: last for digest, last in of_table.items() if known.get(table, {}).get(digest, 0) < last}
        for table, of_table in keys.items()
    }


def _take_out(rows: Rows, gone: set[tuple[str, str]], references: list[Reference]) -> None:
    """Remove rows, and what refers to them, until nothing does; `gone` has all of them then."""
    going = set(gone)
    while going:
        for table, key in going:
            del rows[table][key]
        dependents: set[tuple[str, str]] = set()
        for table, name, target, on_delete in references:
            for key, data in list(rows.get(table, {}).items()):
                row = json.loads(data)
                if row.get(name) is None or (target, str(row[name])) not in going:
                    continue
                if on_delete == "set null":
                    rows[table][key] = row_json({**row, name: None})
                else:
                    dependents.add((table, key))
        gone |= dependents
        going = dependents


def _kept(commit: CommitRecord, is_erased_from: Callable[[int, str, str], bool]) -> CommitRecord:
    """Return what is kept of a commit; the commit itself, if that is all of it."""
    is_erased = partial(is_erased_from, commit.sequence)
    changes = tuple([_kept_change(change, is_erased) for change in commit.changes])
    is_same = all(one is other for one, other in zip(changes, commit.changes, strict=True))
    return commit if is_same else replace(commit, changes=changes)


def _kept_change(change: ChangeRecord, is_erased: Callable[[str, str], bool]) -> ChangeRecord:
    if isinstance(change, PurgedChange) or not is_erased(change.table, str(change.key)):
        return change
    if isinstance(change, Insert):
        return PurgedChange(change.table, change.key, kind="insert")
    return PurgedChange(change.table, change.key, kind="replace" if isinstance(change, Replace) else "delete")
