"""`snaptable migrate DIR --schema MODULE:DATABASE`: apply pending migrations, or show what they would do."""

import argparse

from snaptable import Database
from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_SOUND,
    Subcommands,
    UsageError,
    add_directory,
    add_yes,
    ask,
    describe_number,
    say,
)
from snaptable.cli.schema_option import add_schema, load_last, load_schema
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.migrating import DryRun, StepReport, dry_run

DESCRIPTION = """Apply the migrations of a Database class that a store hasn't seen, as opening it does: show what each
step changes, ask, and do it in one commit. The snapshot before it is kept in db_before/."""
WIDTH = 110
"""Characters that are shown of a row."""


def add(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser("migrate", help="apply pending migrations", description=DESCRIPTION)
    add_directory(parser)
    add_schema(parser)
    add_yes(parser)
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done; the store may be open")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show what is pending, ask, and apply it; return 0 if nothing is pending then."""
    directory = StoreDirectory(options.directory)
    models = _models_of(options.schema, directory)
    report = dry_run(directory.files, models)
    _print_report(directory, report)
    if report.problems:
        return EXIT_FAILED
    if options.dry_run or not (report.pending or report.filled_in):
        return EXIT_SOUND
    if not ask("Apply it?", yes=options.yes):
        return EXIT_FAILED
    with models(directory.root, banner=False, migrate="open") as db:
        status = db.status()
    rows = ", ".join(f"{count:,} {table}" for table, count in status.rows.items())
    say(f"Done: the store is at sequence {status.sequence}, {rows or 'no tables'}.")
    return EXIT_SOUND


def _models_of(schema: str | None, directory: StoreDirectory) -> type[Database]:
    models = load_schema(schema)
    if models is None:
        models, reason = load_last(directory.last_models())
        if models is None:
            raise UsageError(f"name the Database class with its migrations, --schema MODULE:DATABASE: {reason}")
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
