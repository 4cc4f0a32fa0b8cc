"""`snaptable migrate DIR --schema MODULE:DATABASE`: apply pending migrations, or show what they would do."""

from snaptable import Database
from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_SOUND,
    UsageError,
    ask,
    describe_number,
    output,
    say,
)
from snaptable.cli.schema_option import load_last, load_schema
from snaptable.cli.settings import schema_of
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.migrating import DryRun, StepReport
from snaptable.maintenance.migrating import dry_run as pending_changes

WIDTH = 110
"""Characters that are shown of a row."""


def run(*, store: str, schema: str | None, yes: bool, dry_run: bool) -> int:
    """Show what is pending, ask, and apply it; return 0 if nothing is pending then."""
    directory = StoreDirectory(store)
    models = _models_of(schema_of(schema, store), directory)
    report = pending_changes(directory.files, models)
    _print_report(directory, report)
    if report.problems:
        _finish(report, None)
        return EXIT_FAILED
    if dry_run or not (report.pending or report.filled_in):
        _finish(report, None)
        return EXIT_SOUND
    if not ask("Apply it?", yes=yes):
        return EXIT_FAILED
    with models(directory.root, banner=False, migrate="open") as db:
        status = db.status()
    rows = ", ".join(f"{count:,} {table}" for table, count in status.rows.items())
    say(f"Done: the store is at sequence {status.sequence}, {rows or 'no tables'}.")
    _finish(report, status.sequence)
    return EXIT_SOUND


def _finish(report: DryRun, sequence: int | None) -> None:
    """Write the report for programs; `sequence` is the commit that was made, None if none was."""
    if output().as_json:
        told = {"applied": sequence is not None, "sequence": sequence, "pending": list(report.pending)}
        steps = [vars(step) | {"samples": [vars(sample) for sample in step.samples]} for step in report.steps]
        output().document(told | {"filled_in": report.filled_in, "problems": report.problems, "steps": steps})


def _models_of(schema: str | None, directory: StoreDirectory) -> type[Database]:
    models = load_schema(schema)
    if models is None:
        last = directory.last_models()
        models = load_last(last)[0]
        if models is None:
            known = f"; {last}, which opened the store last, can't be imported here" if last else ""
            raise UsageError(f"name the Database class with its migrations by --schema MODULE:DATABASE{known}")
    return models


# ── the report ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _print_report(directory: StoreDirectory, report: DryRun) -> None:
    for number, name in enumerate(report.pending, 1):
        say(f"{number}. {name}")
        for step in report.steps:
            if step.migration == name:
                _print_step(step)
    for line in report.filled_in:
        say(f"{line}, by itself")
    for problem in report.problems:
        say(f"problem: {problem}")
    if not (report.pending or report.filled_in or report.problems):
        say(f"{directory.root}: nothing is pending.")


def _print_step(report: StepReport) -> None:
    touched = ", ".join(f"{describe_number(count, 'row')} of {table}" for table, count in report.touched.items())
    say(f"   {report.step}: {touched or 'no rows'}")
    for sample in report.samples:
        absent = f"(no {sample.table} {sample.key})"
        say(f"     - {absent if sample.before is None else _shorten(sample.before)}")
        say(f"     + {absent if sample.after is None else _shorten(sample.after)}")


def _shorten(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
