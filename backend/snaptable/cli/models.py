"""Rows judged by their models: types, keys, constraints, and that each would be written again as it stands."""

import ast
import importlib
import re
import sys
from pathlib import Path

from snaptable.changes import key_json
from snaptable.cli.common import UsageError
from snaptable.database import Database
from snaptable.errors import OpenError, SchemaError, SchemaMismatch
from snaptable.maintenance.check import Finding, read_until_stable
from snaptable.maintenance.external_edit import Judge
from snaptable.maintenance.untyped import rows_of
from snaptable.memory.engine import MemoryEngine
from snaptable.memory.loader import TableLoader, without_garbage_collection
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.recovery import RecoveryResult, load_snapshot, recover
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import Pages
from snaptable.storage.store import read_snapshot

Schema = type[Database]


def load_schema(name: str) -> Schema:
    """Return the database class that `module:Class` names; modules in the working directory are found.

    Raises:
        UsageError: there is none.
    """
    module_name, colon, class_name = name.partition(":")
    if not (module_name and colon and class_name):
        raise UsageError(f"--schema {name}: write MODULE:DATABASE, e.g. app.main:Library")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, SchemaError) as error:
        raise UsageError(f"--schema {name}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Database)):
        raise UsageError(f"--schema {name}: {class_name} is no Database")
    return found


def judge_of(schema: Schema) -> Judge:
    """Return what checks a snapshot against the models, and gives its rows as they would write them."""

    def judge(data: bytes) -> dict[str, dict[str, bytes]]:
        pages, loader = Pages(tuple(schema.__schemas__)), _loader(schema)
        load_snapshot("the edited snapshot", data, pages, loader, RecoveryResult())
        loader.finish(pages.numbered)
        return rows_of(pages)

    return judge


def _loader(schema: Schema) -> TableLoader:
    return TableLoader(MemoryEngine(schema.__schemas__).tables, lambda _: None)


def findings_of(files: Files, schema: Schema) -> list[Finding]:
    """Return what in a store, which would open, does not fit the models; looks again where a writer moved on."""
    return read_until_stable(files, lambda: _findings(files, schema), bool)


def _findings(files: Files, schema: Schema) -> list[Finding]:
    found, loader = read_snapshot(files), _loader(schema)
    if found is not None and not snapshot_format.is_ours(found):
        return []
    try:
        with without_garbage_collection():
            recover(files, found, Pages(tuple(schema.__schemas__)), loader)
    except SchemaMismatch as error:
        return [_finding(files, found, problem) for problem in loader.problems or [str(error)]]
    except (OpenError, OSError) as error:
        return [Finding("problem", names.SNAPSHOT, str(error), getattr(error, "offset", None))]
    return []


_PLACE = re.compile(r"(\w+)\[(?:UUID\()?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|-?\d+)\)?\]")


def _finding(files: Files, found: bytes | None, problem: str) -> Finding:
    """Return a finding at the row that a problem names first, where the snapshot holds it."""
    match = _PLACE.match(problem)
    if match is None:
        return Finding("problem", names.SNAPSHOT, problem)
    table, key = match[1], str(ast.literal_eval(match[2]))
    sections = snapshot_format.read(str(files.path(names.SNAPSHOT)), found).sections if found else ()
    for section in sections:
        at = (b"\n" + section.data).find(b"\n" + key_json(key) + b": ")
        if section.table == table and at >= 0 and found is not None:
            offset = section.offset + at
            return Finding(
                "problem", names.SNAPSHOT, problem, offset, snapshot_format.locate(found, offset).line, table, key
            )
    return Finding("problem", names.JOURNAL, problem, table=table, key=key)
