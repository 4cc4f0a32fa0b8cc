"""`snaptable check DIR`: verify everything, change nothing."""

import json

from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_SOUND,
    describe_counts,
    describe_number,
    output,
    say,
)
from snaptable.cli.schema_option import load_schema
from snaptable.cli.settings import schema_of
from snaptable.maintenance.check import check_store
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.findings import CheckReport, Finding
from snaptable.maintenance.models import check_models
from snaptable.runtime.progress import Progress


def run(*, store: str, schema: str | None) -> int:
    """Check, report, and return 0 if the store is sound."""
    directory = StoreDirectory(store)
    schema = schema_of(schema, store)
    models = load_schema(schema)
    with Progress(directory.size(), f"Loading {directory.root}") as progress:
        report = check_store(directory.files, progress.advance)
        if models and not report.problems:
            report.findings += check_models(directory.files, models)
    if output().as_json:
        output().document(_report_json(directory, report, schema))
    else:
        _print_report(directory, report, schema)
    return EXIT_FAILED if report.problems else EXIT_SOUND


def _report_json(directory: StoreDirectory, report: CheckReport, schema: str | None) -> dict[str, object]:
    store, header = report.store, report.store.header if report.store else None
    return {
        "directory": str(directory.root),
        "sound": not report.problems,
        "schema": schema,
        "store": store.id if store else None,
        "sequence": store.sequence if store else None,
        "closed": store.is_closed if store else None,
        "rows": store.counts() if store else None,
        "snapshot": {"bytes": report.snapshot_bytes, "sequence": header.sequence if header else None},
        "journal": {"files": report.segments, "sequences": report.sequences},
        "problems": [finding.json() for finding in report.problems],
        "notices": [finding.json() for finding in report.notices],
    }


def _print_report(directory: StoreDirectory, report: CheckReport, schema: str | None) -> None:
    problems = report.problems
    say(f"{directory.root}: {describe_number(len(problems), 'problem') if problems else 'sound'}")
    _print_contents(report)
    for finding in (*problems, *report.notices):
        say(f"{finding.severity}: {_place_of(finding)}{finding.reason}")
    if not schema and not problems:
        say("  Types and constraints were not checked: name the models with --schema MODULE:DATABASE.")


def _print_contents(report: CheckReport) -> None:
    store = report.store
    if store:
        say(f"  store     {store.id}, sequence {store.sequence}, {'closed' if store.is_closed else 'open, or killed'}")
        say(f"  rows      {describe_counts(store.counts())}")
        if header := store.header:
            size = f"{report.snapshot_bytes:,} bytes"
            say(f"  snapshot  sequence {header.sequence}, saved {header.saved_at}, {size}")
    if report.sequences:
        first, last = report.sequences
        commits = f"sequences {first} to {last}" if last >= first else "no commits"
        say(f"  journal   {describe_number(report.segments, 'file')}, {commits}")


def _place_of(finding: Finding) -> str:
    """Return the place of a finding, as a person looks it up."""
    parts = [finding.file] if finding.file else []
    parts += [f"line {finding.line}"] if finding.line else []
    parts += [f"byte {finding.offset}"] if finding.offset is not None else []
    if finding.table is not None:
        key = "" if finding.key is None else f"[{json.dumps(finding.key, ensure_ascii=False)}]"
        parts.append(f"{finding.table}{key}")
    return f"{', '.join(parts)}: " if parts else ""
