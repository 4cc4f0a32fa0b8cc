"""Stores checked against a Database class: types, keys, constraints, and that each row would be written as it stands.

The only module of the tools that knows models, and the engine that loads them.
"""

from snaptable.changes import key_json
from snaptable.database import Database
from snaptable.errors import CorruptSnapshot, OpenError, SchemaMismatch
from snaptable.maintenance.external_edit import Validate, Validation
from snaptable.maintenance.findings import Finding
from snaptable.maintenance.row_problems import RowProblem
from snaptable.maintenance.stable_read import read_until_stable
from snaptable.maintenance.untyped import ignore_progress, rows_of
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.loader import TableLoader, without_garbage_collection
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.recovery import load_snapshot, recover
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import Pages
from snaptable.storage.store import read_snapshot

Models = type[Database]


def validator_of(models: Models) -> Validate:
    """Return the function that loads a snapshot into models."""

    def validate(data: bytes) -> Validation:
        """Return a snapshot's rows as the models write them, or what doesn't fit; O(n)."""
        pages, loader = Pages(tuple(models.__schemas__)), _loader_of(models)
        try:
            load_snapshot("the snapshot", data, pages, loader)
            loader.finish(pages.numbered)
        except (SchemaMismatch, CorruptSnapshot) as error:
            return Validation({}, [RowProblem.parse(text) for text in loader.problems or [str(error)]])
        return Validation(rows_of(pages))

    return validate


def _loader_of(models: Models) -> TableLoader:
    return TableLoader(MemoryEngine(models.__schemas__).tables, ignore_progress)


def check_models(files: Files, models: Models) -> list[Finding]:
    """Return what in a store, which would open without models, doesn't fit them; O(n).

    Read again if a writer changed the files meanwhile.
    """
    return read_until_stable(files, lambda: _check_models(files, models), bool)


def _check_models(files: Files, models: Models) -> list[Finding]:
    snapshot, loader = read_snapshot(files), _loader_of(models)
    if snapshot is not None and not snapshot_format.is_ours(snapshot):
        return []  # of the older format: its rows are converted before they are validated
    try:
        with without_garbage_collection():
            recover(files, snapshot, Pages(tuple(models.__schemas__)), loader)
    except SchemaMismatch as error:
        problems = map(RowProblem.parse, loader.problems or [str(error)])
        return [_finding_of(files, snapshot, problem) for problem in problems]
    except OpenError as error:
        return [Finding("problem", names.SNAPSHOT, str(error), error.offset, error.line)]
    except OSError as error:
        return [Finding("problem", names.SNAPSHOT, str(error))]
    return []


def _finding_of(files: Files, snapshot: bytes | None, problem: RowProblem) -> Finding:
    """Return a finding at the row that a problem names: in the snapshot if that holds it, else in the journal."""
    if problem.table is None or problem.key is None:
        return Finding("problem", names.SNAPSHOT, problem.text)
    line_start = b"\n" + key_json(problem.key) + b": "
    sections = snapshot_format.read(str(files.path(names.SNAPSHOT)), snapshot).sections if snapshot else ()
    for section in sections:
        position = (b"\n" + section.data).find(line_start) if section.table == problem.table else -1
        if position >= 0:
            offset = section.offset + position
            line = section.line_at(offset)
            return Finding("problem", names.SNAPSHOT, problem.text, offset, line, problem.table, problem.key)
    return Finding("problem", names.JOURNAL, problem.text, table=problem.table, key=problem.key)
