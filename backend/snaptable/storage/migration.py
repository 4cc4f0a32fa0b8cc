"""An opening with migrations: the state on the disk, brought into the shape of today's models, and the commit to that.

A store remembers the names of the migrations it has seen: in the header of its snapshot, in those of its segments, and
in the commits that applied them. If the snapshot's header lacks one that the application has, the files are read
without models first; what is pending is applied to the raw rows; and only the result is validated.

Nothing is written here: `store` commits what this gives.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn, Protocol

from snaptable.changes.attribution import Attribution
from snaptable.changes.records import CommitRecord, FillIn, Key
from snaptable.errors import CorruptSnapshot, MigrationFailed, SchemaMismatch
from snaptable.storage import fill_ins
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.legacy import LegacyImportTarget
from snaptable.storage.raw_rows import RawTables, RawTarget, UnwritableRow, changes_between
from snaptable.storage.recovery import RecoveryResult, recover
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import Pages
from snaptable.values.row_lines import Lines

_PLACE = re.compile(r"([^\W\d]\w*)(?:\[(['\"]?)(.*?)\2\])?", re.DOTALL)
"""How what is wrong with a row begins: its table, and its key."""
VIA = Attribution(via="migration")
"""How the commits of openings are attributed."""


class SchemaChanges(Protocol):
    """The application's migrations, beside its models."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all migrations, in order."""

    def pending(self, applied: Collection[str], path: str | None = None) -> tuple[str, ...]:
        """Return the names that a store has not seen, in order; raises StoreNewer for names the code doesn't know."""

    def refuse_unless_open(self, pending: Sequence[str], path: str, *, read_only: bool) -> None:
        """Raise MigrationNeeded if something is pending that this opening may not apply."""

    def apply(self, db: RawTables, names: Sequence[str], numbered: dict[str, int]) -> None:
        """Carry out the steps of some migrations; raises MigrationFailed."""

    def field_order(self, table: str) -> tuple[str, ...]:
        """Return the fields of a table in the order in which its rows are written."""

    def advice(self, db: RawTables, problems: Sequence[str] = ()) -> list[str]:
        """Return what to write for rows that don't fit, a line each."""


class NoSchemaChanges:
    """No migrations: what a store without an application has."""

    names = ()

    def pending(self, applied: Collection[str], path: str | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """Return none."""
        return ()

    def refuse_unless_open(self, pending: Sequence[str], path: str, *, read_only: bool) -> None:
        """Do nothing."""

    def apply(self, db: RawTables, names: Sequence[str], numbered: dict[str, int]) -> None:
        """Do nothing."""

    def field_order(self, table: str) -> tuple[str, ...]:  # noqa: ARG002 - none is known
        """Return none."""
        return ()

    def advice(self, db: RawTables, problems: Sequence[str] = ()) -> list[str]:  # noqa: ARG002
        """Return none."""
        return []


class MigrationTarget(LegacyImportTarget, Protocol):
    """A recovery target that also takes lines which are in no file."""

    @property
    def fill_ins(self) -> dict[tuple[str, Key], FillIn]:
        """The rows that are not what their files say, by table and key."""

    def load(self, lines: Lines, /) -> Iterable[tuple[bytes, list[Key]]]:
        """Load a table's lines; yield them as pages, bytes and keys of each."""


@dataclass(frozen=True)
class Loaded:
    """The state on the disk, in the shape of today's models.

    Attributes:
        recovery: where it was read from.
        before: the rows as they are on the disk, and the commit that leads to today's; None if there is none to make.
    """

    recovery: RecoveryResult
    before: tuple[Pages, CommitRecord] | None = None


def load(
    files: Files,
    snapshot: bytes | None,
    pages: Pages,
    target: MigrationTarget,
    changes: SchemaChanges,
    *,
    read_only: bool = False,
) -> Loaded:
    """Load what is on the disk, migrated where that is pending; nothing there is changed. O(n).

    Args:
        files: the store's directory.
        snapshot: content of the snapshot, None if there is none.
        pages: empty; filled with the rows.
        target: loaded with the rows.
        changes: the application's migrations.
        read_only: whether nothing may be changed.

    Raises:
        MigrationNeeded, MigrationFailed, StoreNewer: as they say.
        OpenError: as `recover`; a SchemaMismatch says what to write.
    """
    path = str(files.path(names.SNAPSHOT))
    # 1. A fresh store has seen every migration: its rows will be of today's shape.
    if snapshot is None and not journal_directory.segments(files):
        pages.take_note(changes.names)
        return Loaded(RecoveryResult())
    # 2. With something pending, by way of raw rows.
    applied = snapshot_format.claimed_migrations(snapshot or b"")
    if changes.pending(applied, path):
        return _load_raw(files, snapshot, pages, target, changes, read_only=read_only)
    # 3. Else right into the models; if the rows don't fit, with what to write.
    try:
        recovery = recover(files, snapshot, pages, target)
    except SchemaMismatch as error:
        _advise(files, snapshot, target, changes, error)
    refuse_unsafe(path, target, changes, read_only=read_only)
    return Loaded(recovery)


def read_raw(files: Files, snapshot: bytes | None) -> tuple[Pages, RecoveryResult]:
    """Return the rows on the disk without models, and where they were read from; raises as `recover`. O(n)."""
    pages = Pages(())
    if snapshot is not None:
        sections = snapshot_format.read(str(files.path(names.SNAPSHOT)), snapshot).sections
        pages = Pages([section.table for section in sections])
    return pages, recover(files, snapshot, pages, RawTarget(pages))


def _load_raw(
    files: Files,
    snapshot: bytes | None,
    pages: Pages,
    target: MigrationTarget,
    changes: SchemaChanges,
    *,
    read_only: bool,
) -> Loaded:
    path = str(files.path(names.SNAPSHOT))
    # 1. What is there; the journal may hold the commit of a migration that the snapshot doesn't.
    before, recovery = read_raw(files, snapshot)
    pending = changes.pending(before.migrations, path)
    changes.refuse_unless_open(pending, path, read_only=read_only)
    # 2. The steps.
    tables = RawTables(before)
    try:
        changes.apply(tables, pending, tables.numbered)
    except MigrationFailed as error:
        error.path = path
        raise
    # 3. Into the models: every row validated, every constraint.
    load_tables(path, tables, pages, target, changes, pending)
    pages.take_note((*before.migrations, *pending))
    pages.take_note_of_erased(before.erased)
    if not pending:
        refuse_unsafe(path, target, changes, read_only=read_only)
        return Loaded(recovery)
    # 4. The commit that leads there; what was filled in by itself is part of it.
    target.fill_ins.clear()
    made = tuple(changes_between(before, pages))
    commit = CommitRecord(recovery.sequence + 1, made, dict(pages.numbered), VIA, (), pending)
    return Loaded(recovery, (before, commit))


def load_tables(
    path: str,
    tables: RawTables,
    pages: Pages,
    target: MigrationTarget,
    changes: SchemaChanges,
    pending: Sequence[str],
) -> None:
    """Load raw rows into models; O(n).

    Raises:
        MigrationFailed: they don't fit, and something was pending.
        SchemaMismatch: they don't fit, and nothing was.
    """
    try:
        _check_no_table_is_left(path, tables, pages)
        for name, lines in pages.tables.items():
            lines.load(target.load(tables.lines(name, changes.field_order(name))))
        pages.numbered.update(_numbers(tables, pages))
        target.finish(pages.numbered)
    except (SchemaMismatch, CorruptSnapshot, UnwritableRow) as error:
        advised = [str(error), *changes.advice(tables, target.problems)]
        if not pending:
            raise SchemaMismatch("\n  ".join(advised), path=path) from None
        table, key = (error.table, error.key) if isinstance(error, UnwritableRow) else _place_of(target.problems)
        listed = ", ".join(map(repr, pending))
        raise MigrationFailed(
            f"{path}: what the migrations {listed} leave can't be stored; nothing was changed:\n  "
            + "\n  ".join(advised),
            migration=pending[-1],
            table=table,
            key=key,
            path=path,
        ) from None


def _check_no_table_is_left(path: str, tables: RawTables, pages: Pages) -> None:
    left = [name for name in tables if name not in pages.tables and tables[name]]
    if left:
        raise SchemaMismatch(f"{path} holds rows of {', '.join(left)}, which the database doesn't have", path=path)


def _numbers(tables: RawTables, pages: Pages) -> dict[str, int]:
    """Return the last number given out by each table that numbers its keys, never below a key that is there."""
    return {
        name: max([last, *(int(key) for key in map(str, pages.tables[name].keys()) if key.isdecimal())])
        for name, last in tables.numbered.items()
        if name in pages.tables
    }


def _place_of(problems: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the table and the key that the first problem names, as far as it begins with them."""
    match = _PLACE.match(problems[0] if problems else "")
    return (match[1], match[3]) if match else (None, None)


def refuse_unsafe(path: str, target: MigrationTarget, changes: SchemaChanges, *, read_only: bool) -> None:
    """Refuse what an opening would change by itself, and may not.

    Raises:
        SchemaMismatch: the models write values otherwise that the file has: that takes a migration.
        MigrationNeeded: fields would be filled in, and nothing may be changed unasked.
    """
    rewritten = fill_ins.rewritten(target.fill_ins.values())
    if rewritten:
        lines = [f'{table}: retype("{table}.{name}", using=…)' for table, name in rewritten]
        fields = ", ".join(f"{table}.{name}" for table, name in rewritten)
        raise SchemaMismatch(
            "\n  ".join([f"{path}: the models write {fields} otherwise than the file; nothing was changed:", *lines]),
            path=path,
        )
    if not read_only:
        changes.refuse_unless_open(fill_ins.names_of(target.fill_ins.values()), path, read_only=False)


def _advise(
    files: Files, snapshot: bytes | None, target: MigrationTarget, changes: SchemaChanges, error: SchemaMismatch
) -> NoReturn:
    """Raise the error again, with what to write for the rows that don't fit.

    Raises:
        StoreNewer: the journal has migrations that the code doesn't know: that is why they don't fit.
        SchemaMismatch: else.
    """
    advice: list[str] = []
    with suppress(CorruptSnapshot, OSError):
        before, _ = read_raw(files, snapshot)
        changes.pending(before.migrations, error.path)
        advice = changes.advice(RawTables(before), target.problems)
    if not advice:
        raise error
    text = "\n  ".join([str(error), "What to write in the list of migrations:", *advice])
    raise SchemaMismatch(text, path=error.path, line=error.line, offset=error.offset) from None
