"""Two people's snapshots merged, as version control merges text: by row and field, from the state that both began with.

For seed data and fixtures that are kept in a repository, without a journal. The result is a snapshot of its own, with
a checksum of its own; rows stand as in the first one's file, new ones behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from snaptable.errors import Conflict
from snaptable.history.records import Change
from snaptable.history.three_way import Step, carry_out
from snaptable.maintenance.differences import is_same
from snaptable.maintenance.untyped import Rows, load_untyped, pages_of, rows_of
from snaptable.runtime.clock import timestamp
from snaptable.schema.tables import TableSchema
from snaptable.storage.journal.format import GENESIS
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.format import SnapshotHeader
from snaptable.storage.snapshot.table_marks import TableMarks
from snaptable.values.row_lines import row_json


@dataclass(frozen=True)
class State:
    """What a snapshot file holds; nothing, for a file that isn't there.

    Attributes:
        rows: each row's JSON, by table and key.
        header: what the file says of itself; None without one.
        migrations: those that it has seen.
    """

    rows: Rows
    header: SnapshotHeader | None = None
    migrations: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str) -> "State":
        """Read a file; an empty one isn't a snapshot yet.

        Raises:
            CorruptSnapshot, SnapshotEdited, UnsupportedFormat: it does not verify.
            OSError: it can't be read.
        """
        data = Path(path).read_bytes()
        if not data:
            return cls({})
        store = load_untyped(path, data)
        return cls(rows_of(store.pages), store.header, tuple(store.pages.migrations))

    @property
    def marks(self) -> TableMarks:
        """What its header says of the tables."""
        return self.header.marks if self.header else TableMarks()


@dataclass(frozen=True)
class Merged:
    """A merge.

    Attributes:
        data: the snapshot; None if there are conflicts.
        conflicts: what both changed otherwise.
    """

    data: bytes | None
    conflicts: tuple[Conflict, ...]


def changes_between(old: State, new: State) -> Iterator[Change]:
    """Yield the rows in which two states differ, secrets masked, by table; O(n)."""
    marks = new.marks if new.header else old.marks
    for table in dict.fromkeys((*old.rows, *new.rows)):
        before, after = old.rows.get(table, {}), new.rows.get(table, {})
        for key in dict.fromkeys((*before, *after)):
            change = Change.between(_schema(table, marks), key, before.get(key), after.get(key))
            if change is not None:
                yield change


def merged(base: State, ours: State, theirs: State) -> Merged:
    """Return ours with what theirs changed since the base; O(n).

    Args:
        base: what both began with.
        ours: the state whose order of rows is kept.
        theirs: the other one.
    """
    header = ours.header or theirs.header
    if header is None:
        return Merged(b"", ())
    schemas = {table: _schema(table, header.marks) for table in (*ours.rows, *theirs.rows, *base.rows)}
    target = carry_out(
        list(_steps(base, theirs)), lambda table, key: ours.rows.get(table, {}).get(str(key)), lambda *_: None, schemas,
        force=False,
    )  # fmt: skip
    if target.conflicts:
        return Merged(None, tuple(target.conflicts))
    rows = {table: dict(ours.rows.get(table, {})) for table in dict.fromkeys((*ours.rows, *theirs.rows))}
    for (table, key), row in target.rows.items():
        if row is None:
            rows[table].pop(str(key), None)
        else:
            rows[table][str(key)] = row_json(row)
    return Merged(_snapshot(header, rows, ours, theirs), ())


def _steps(base: State, theirs: State) -> Iterator[Step]:
    for table in dict.fromkeys((*base.rows, *theirs.rows)):
        before, after = base.rows.get(table, {}), theirs.rows.get(table, {})
        for key in dict.fromkeys((*before, *after)):
            if not is_same(before.get(key), after.get(key)):
                yield Step(table, key, before.get(key), after.get(key))


def _snapshot(header: SnapshotHeader, rows: Rows, ours: State, theirs: State) -> bytes:
    headers = [state.header for state in (ours, theirs) if state.header is not None]
    numbered: dict[str, int] = {}
    for each in headers:
        numbered |= {table: max(last, numbered.get(table, 0)) for table, last in each.numbered.items()}
    pages = pages_of(rows, numbered, dict.fromkeys((*ours.migrations, *theirs.migrations)))
    for each in headers:
        pages.take_note_of_erased(each.erased)
    complete = replace(
        header,
        sequence=max(each.sequence for each in headers) + 1,
        saved_at=timestamp(),
        rows=pages.counts(),
        head_digest=GENESIS,
        numbered=numbered,
        migrations=tuple(pages.migrations),
        erased=pages.erased,
    )
    return b"".join(snapshot_format.compose(complete, pages.render()))


def _schema(table: str, marks: TableMarks) -> TableSchema:
    """Return what stands for a table's schema: what is secret in it."""
    secrets = frozenset(marks.secret.get(table, ()))
    return TableSchema(table, BaseModel, "id", str, numbered=False, secrets=secrets)
