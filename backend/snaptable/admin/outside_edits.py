"""Edits of `db_snapshot.json` that were made beside a running store: what they changed, and how they are taken over.

The store keeps the edited file in `quarantine/` before it writes its own. What was changed is found by comparing it
with the state that it was made from, which history has; taking it over is a merge by row and field, as an undo is.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from snaptable import Database, SnaptableError, UndoConflict
from snaptable.errors import ImportRefused
from snaptable.history import Change, Revert
from snaptable.interchange import Record, plan_import
from snaptable.maintenance.differences import Difference, compare
from snaptable.maintenance.edited_snapshot import EditedSnapshot, is_as_written, read_edited
from snaptable.values.row_lines import row_json

FOLDER = "quarantine"
DEALT_WITH = "dealt-with-"
_NAME = re.compile(r"edited-[0-9A-Za-z.+-]{1,60}")


@dataclass(frozen=True)
class OutsideEdit:
    """An edited file that waits.

    Attributes:
        name: in the quarantine.
        at: when it was kept.
        changes: what it changed, secrets masked; of all tables.
        reason: why that isn't known, in words; None if it is.
    """

    name: str
    at: datetime
    changes: Sequence[Change] = ()
    reason: str | None = None


def waiting(directory: Path) -> list[str]:
    """Return the names of the edits that are still to be dealt with, the newest first; O(files in the quarantine)."""
    try:
        names = [each.name for each in (directory / FOLDER).iterdir() if _NAME.fullmatch(each.name)]
    except OSError:
        return []
    return sorted(names, reverse=True)


def look_at(db: Database, directory: Path, name: str) -> OutsideEdit:
    """Return what an edit changed; O(rows)."""
    path = directory / FOLDER / name
    try:
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        comparison = _differences(db, path)
    except OSError as error:
        return OutsideEdit(name, datetime.now(UTC), reason=error.strerror or str(error))
    except SnaptableError as error:
        return OutsideEdit(name, at, reason=str(error).partition(f"{path}")[2].lstrip(":, ") or str(error))
    if comparison is None:
        return OutsideEdit(
            name, at, reason="It is a whole snapshot, or its state before the edit is not kept any more."
        )
    schemas = db.__schemas__
    changes = [
        Change.of(schemas[each.table], each.key, _parsed(each.before), _parsed(each.after))
        for each in comparison[1]
        if each.table in schemas
    ]
    return OutsideEdit(name, at, changes)


def _parsed(row: bytes | None) -> dict[str, object] | None:
    parsed: dict[str, object] | None = None if row is None else json.loads(row)
    return parsed


def _differences(db: Database, path: Path) -> tuple[EditedSnapshot, list[Difference]] | None:
    """Return the edited file, and the rows in which it differs from what it was made of; None if that isn't known."""
    data = path.read_bytes()
    if is_as_written(str(path), data):
        return None
    edited = read_edited(str(path), data)
    try:
        with db.history.at(edited.header.sequence) as past:
            before = {name: _raw_rows(past, name) for name in edited.rows if _has_past(db, name)}
    except (SnaptableError, ValueError):
        return None
    after = {name: rows for name, rows in edited.rows.items() if name in before or name not in db.tables}
    return edited, list(compare(before, after))


def _has_past(db: Database, table: str) -> bool:
    return table in db.tables and not db.__schemas__[table].transient


def _raw_rows(past: Database, table: str) -> dict[str, bytes]:
    return {key: row_json(row) for key, row in past.raw(table).items()}


def take_over(db: Database, directory: Path, name: str, *, dry_run: bool = False) -> Revert:
    """Carry an edit out on the present rows, by row and field, as one commit.

    Raises:
        UndoConflict: later changes, or constraints, are in the way; nothing was written.
        ImportRefused: rows of it don't fit the models.
        SnaptableError: it isn't known what was changed.
    """
    comparison = _differences(db, directory / FOLDER / name)
    if comparison is None:
        raise UndoConflict("what was changed is not known: close the store, and use `snaptable accept`")
    edited, differences = comparison
    with db.history.fork(edited.header.sequence) as fork:
        with fork.transaction():
            for table, of_table in _by_table(differences).items():
                _apply(fork, table, of_table)
        return db.history.merge(fork, note=f"edit of db_snapshot.json, kept as {name}", dry_run=dry_run)


def _by_table(differences: Sequence[Difference]) -> Mapping[str, list[Difference]]:
    by_table: dict[str, list[Difference]] = defaultdict(list)
    for each in differences:
        by_table[each.table].append(each)
    return by_table


def _apply(fork: Database, name: str, differences: Sequence[Difference]) -> None:
    """Make the changes of one table in a fork."""
    if name not in fork.tables:
        raise ImportRefused(f"the edited file has a table {name!r}, which the models have not", table=name)
    table = fork.tables[name]
    for each in differences:
        if each.after is None:
            table.delete(table.schema.parse_key(each.key))
    records = [Record(json.loads(each.after), 0, key=each.key) for each in differences if each.after is not None]
    plan_import(table, records, update=True).apply()


def dismiss(directory: Path, name: str) -> None:
    """Note that an edit was dealt with; its bytes stay in the quarantine.

    Raises:
        OSError: it isn't there, or can't be renamed.
    """
    if not _NAME.fullmatch(name):
        raise FileNotFoundError(name)
    folder = directory / FOLDER
    (folder / name).rename(folder / f"{DEALT_WITH}{name}")
