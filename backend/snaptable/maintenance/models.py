"""Stores checked against a Database class: types, keys, constraints, and that each row would be written as it stands.

The only module of the tools that knows models, and the engine that loads them.
"""

from collections.abc import Mapping, Sequence

from snaptable.database.database import Database
from snaptable.errors import CorruptSnapshot, OpenError, SchemaMismatch
from snaptable.maintenance.edit import Validate, Validation
from snaptable.maintenance.findings import Finding
from snaptable.maintenance.row_problems import RowProblem
from snaptable.maintenance.stable_read import read_until_stable
from snaptable.maintenance.untyped import ignore_progress, rows_of
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.loader import TableLoader, without_garbage_collection
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.names import JOURNAL, SNAPSHOT
from snaptable.storage.fill_ins import described
from snaptable.storage.migration import load, read_raw
from snaptable.storage.raw_rows import RawTables
from snaptable.storage.recovery import load_snapshot
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import Pages
from snaptable.storage.store import read_snapshot
from snaptable.values.row_lines import line_key, lines_with_offsets

Models = type[Database]
Row = tuple[str | None, str | None]
"""Table and key; None for a problem that is about no row."""


def validator_of(models: Models) -> Validate:
    """Return the function that loads a snapshot into models."""

    def validate(data: bytes) -> Validation:
        """Return a snapshot's rows as the models write them, or what doesn't fit; O(n)."""
        problems = _unknown_tables(data, models)
        if problems:
            return Validation({}, problems)
        pages, loader = Pages(tuple(models.__schemas__)), _loader_of(models)
        try:
            load_snapshot(SNAPSHOT, data, pages, loader)
            loader.finish(pages.numbered)
        except (SchemaMismatch, CorruptSnapshot) as error:
            return Validation({}, [RowProblem.parse(text) for text in loader.problems or [str(error)]])
        return Validation(rows_of(pages))

    return validate


def _unknown_tables(data: bytes, models: Models) -> list[RowProblem]:
    return [
        RowProblem(f"{section.table}: {models.__name__} has no such table; add it there, or take its rows out")
        for section in snapshot_format.read(SNAPSHOT, data).sections
        if not section.empty and section.table not in models.__schemas__
    ]


def _loader_of(models: Models) -> TableLoader:
    return TableLoader(MemoryEngine(models.__schemas__).tables, ignore_progress)


def check_models(files: Files, models: Models) -> list[Finding]:
    """Return what in a store, which would open without models, doesn't fit them; O(n).

    What opening it for writing would fill in, because the models have it and the file does not, is a notice.

    Read again if a writer changed the files meanwhile.
    """
    return read_until_stable(files, lambda: _check_models(files, models), _has_problem)


def _check_models(files: Files, models: Models) -> list[Finding]:
    snapshot, loader, changes = read_snapshot(files), _loader_of(models), models._schema_changes_of()
    if snapshot is not None and not snapshot_format.is_ours(snapshot):
        return []  # of the older format: its rows are converted before they are validated
    try:
        with without_garbage_collection():
            loaded = load(files, snapshot, Pages(tuple(models.__schemas__)), loader, changes)
    except SchemaMismatch as error:
        problems = [RowProblem.parse(text) for text in loader.problems or [str(error)]]
        places = _places_of(files, snapshot, problems)
        return [*(_finding_of(problem, places) for problem in problems), *_advice(files, snapshot, models, loader)]
    except OpenError as error:
        return [Finding("problem", SNAPSHOT, str(error), error.offset, error.line)]
    except OSError as error:
        return [Finding("problem", SNAPSHOT, str(error))]
    lines = list(described(loader.fill_ins.values(), ("opening would fill in", "opening would rewrite")))
    if loaded.before is not None:
        _, commit = loaded.before
        count, pending = len(commit.changes), ", ".join(map(repr, commit.migrations))
        lines.append(f"opening would apply the migrations {pending}, which change {count:,} row{'s' * (count != 1)}")
    return [Finding("notice", SNAPSHOT, line) for line in lines]


def _advice(files: Files, snapshot: bytes | None, models: Models, loader: TableLoader) -> list[Finding]:
    """Return what to write for rows that don't fit, as far as they can be read without models."""
    try:
        rows = RawTables(read_raw(files, snapshot)[0])
    except (OpenError, OSError):
        return []
    lines = models._schema_changes_of().advice(rows, loader.problems)
    return [Finding("notice", SNAPSHOT, f"for the list of migrations: {line}") for line in lines]


def _has_problem(findings: list[Finding]) -> bool:
    return any(finding.severity == "problem" for finding in findings)


def _places_of(files: Files, snapshot: bytes | None, problems: Sequence[RowProblem]) -> dict[Row, tuple[int, int]]:
    """Return offset and line, in the snapshot, of each row that a problem names, as far as it is there; O(n)."""
    wanted = {(problem.table, problem.key) for problem in problems}
    sections = snapshot_format.read(str(files.path(SNAPSHOT)), snapshot).sections if snapshot else ()
    places: dict[Row, tuple[int, int]] = {}
    for section in sections:
        if section.table not in {table for table, _ in wanted}:
            continue
        line = section.line
        for offset, row in lines_with_offsets(section.data, section.offset):
            if (section.table, key := line_key(row)) in wanted:
                places[section.table, key] = offset, line
            line += 1
    return places


def _finding_of(problem: RowProblem, places: Mapping[Row, tuple[int, int]]) -> Finding:
    """Return a finding at the row that a problem names: in the snapshot if that holds it, else in the journal."""
    row = problem.table, problem.key
    if None in row:
        return Finding("problem", SNAPSHOT, problem.text)
    if row in places:
        return Finding("problem", SNAPSHOT, problem.text, *places[row], *row)
    return Finding("problem", JOURNAL, problem.text, None, None, *row)
