"""A dry run of migrations: what an opening would do to a store, worked out without changing a byte."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from snaptable.database.database import Database
from snaptable.errors import OpenError
from snaptable.maintenance.untyped import ignore_progress
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.loader import TableLoader, without_garbage_collection
from snaptable.migrations.declared import Migration
from snaptable.migrations.step import Step
from snaptable.secrets import masked
from snaptable.storage.disk.files import Files
from snaptable.storage.fill_ins import described
from snaptable.storage.migration import load, load_tables, read_raw
from snaptable.storage.raw_rows import RawTables, UnwritableRow, encoded
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import Pages
from snaptable.storage.store import read_snapshot

MOST_SAMPLES = 3
"""Rows of a step that are shown."""
TextRows = dict[str, dict[str, bytes]]


@dataclass(frozen=True)
class Sample:
    """A row before a step, and after it, as JSON with secrets masked; None for no row."""

    table: str
    key: str
    before: str | None
    after: str | None


@dataclass
class StepReport:
    """What a step does.

    Attributes:
        migration: the migration's name.
        step: the step, as it is written in code.
        touched: how many rows it changes, adds or removes, by table.
        samples: some of them.
    """

    migration: str
    step: str
    touched: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)


@dataclass
class DryRun:
    """What an opening would do.

    Attributes:
        pending: the migrations that it would apply, in order.
        steps: what their steps do, up to one that fails.
        filled_in: what it would fill in by itself, a line each.
        problems: why it would be refused; each may be of several lines.
    """

    pending: tuple[str, ...] = ()
    steps: list[StepReport] = field(default_factory=list)
    filled_in: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def dry_run(files: Files, models: type[Database]) -> DryRun:
    """Return what an opening with some models would do; nothing is changed. O(n) a step.

    Raises:
        OpenError: the store can't be read, or has migrations that the models don't know.
    """
    changes = models._schema_changes_of()
    snapshot = read_snapshot(files)
    if snapshot is not None and not snapshot_format.is_ours(snapshot):
        return DryRun(problems=["the snapshot is of the older format: opening it takes it over, and migrates nothing"])
    before, _ = read_raw(files, snapshot)
    report = DryRun(changes.pending(before.migrations))
    pages = Pages(tuple(models.__schemas__))
    loader = TableLoader(MemoryEngine(models.__schemas__).tables, ignore_progress)
    with without_garbage_collection():
        try:
            if report.pending:
                tables = RawTables(before)
                watch = _Watch(tables, models, report)
                changes.apply(tables, report.pending, tables.numbered, watch)
                load_tables(str(files.root), tables, pages, loader, changes, report.pending)
            else:
                load(files, snapshot, pages, loader, changes)
        except OpenError as error:
            report.problems.append(str(error))
    report.filled_in = list(described(loader.fill_ins.values(), ("filled in", "rewritten")))
    return report


class _Watch:
    """What takes note of each step: the rows that it changed."""

    def __init__(self, tables: RawTables, models: type[Database], report: DryRun) -> None:
        self._tables, self._report = tables, report
        self._secrets = frozenset(name for schema in models.__schemas__.values() for name in schema.secrets)
        self._rows = self._encoded()

    def __call__(self, migration: Migration, step: Step) -> None:
        """Compare the rows with those before the step."""
        rows, report = self._encoded(), StepReport(migration.name, str(step))
        for table in dict.fromkeys((*self._rows, *rows)):
            self._compare(report, table, self._rows.get(table, {}), rows.get(table, {}))
        self._rows = rows
        self._report.steps.append(report)

    def _encoded(self) -> TextRows:
        return {
            name: {key: _written(name, key, row) for key, row in rows.items()} for name, rows in self._tables.items()
        }

    def _compare(self, report: StepReport, table: str, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> None:
        touched = [key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]
        if touched:
            report.touched[table] = len(touched)
            report.samples += [
                Sample(table, key, self._shown(old.get(key)), self._shown(new.get(key)))
                for key in touched[:MOST_SAMPLES]
            ]

    def _shown(self, row: bytes | None) -> str | None:
        return None if row is None else json.dumps(masked(json.loads(row), self._secrets), ensure_ascii=False)


def _written(table: str, key: str, row: Mapping[str, object]) -> bytes:
    """Return a row as it would be written; a value that can't be is named at the end, when all is loaded."""
    try:
        return encoded(table, key, row, ())
    except UnwritableRow:
        return b'{"?":"a value that can\'t be written as JSON"}'
