"""`snaptable check DIR`: verify everything, change nothing."""

import argparse
import json
from typing import Any

from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, add_directory, add_schema, counted, progress_of, say, store_in
from snaptable.cli.models import findings_of, load_schema
from snaptable.maintenance.check import Finding, Report, check_store
from snaptable.storage.disk.files import Files

DESCRIPTION = """Verify a store: formats, checksums, strict JSON, counts, keys, and every frame of the journal. Needs no
lock, so the store may be open, and changes nothing."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("check", help="verify everything, change nothing", description=DESCRIPTION)
    add_directory(parser)
    add_schema(parser)
    parser.add_argument("--json", action="store_true", help="write the report as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, report, and return 0 where the store is sound."""
    files = store_in(options.directory)
    schema = load_schema(options.schema) if options.schema else None
    with progress_of(files) as progress:
        report = check_store(files, progress.advance)
        if schema and not report.problems:
            report.findings += findings_of(files, schema)
    if options.json:
        say(json.dumps(_machine(files, report, options.schema), indent=2))
    else:
        _print(files, report, options.schema)
    return EXIT_FAILED if report.problems else EXIT_SOUND


def _machine(files: Files, report: Report, schema: str | None) -> dict[str, Any]:
    state = report.raw.state if report.raw else None
    return {
        "directory": str(files.root),
        "sound": not report.problems,
        "schema": schema,
        "store": state.store if state else None,
        "sequence": state.sequence if state else None,
        "closed": state.clean if state else None,
        "rows": report.raw.pages.counts() if report.raw else None,
        "snapshot": {"bytes": report.bytes, "sequence": state.header.sequence if state and state.header else None},
        "journal": {"files": report.files, "sequences": report.history},
        "problems": [found.json() for found in report.problems],
        "notices": [found.json() for found in report.notices],
    }


def _print(files: Files, report: Report, schema: str | None) -> None:
    problems = report.problems
    say(f"{files.root}: {'sound' if not problems else f'{len(problems)} problem' + 's' * (len(problems) > 1)}")
    if report.raw:
        state, counts = report.raw.state, report.raw.pages.counts()
        say(f"  store     {state.store}, sequence {state.sequence}, {'closed' if state.clean else 'open, or killed'}")
        say(f"  rows      {counted(counts)}")
        if state.header:
            say(f"  snapshot  sequence {state.header.sequence}, saved {state.header.saved_at}, {report.bytes:,} bytes")
    if report.history:
        first, last = report.history
        held = f"sequences {first} to {last}" if last >= first else "no commits"
        say(f"  journal   {report.files} file{'s' * (report.files > 1)}, {held}")
    for found in (*problems, *report.notices):
        say(f"{found.severity}: {_place(found)}{found.reason}")
    if not schema and not problems:
        say("  Types and constraints were not checked: name the models with --schema MODULE:DATABASE.")


def _place(found: Finding) -> str:
    """Return where something was found, as a person looks it up."""
    parts = [found.file] if found.file else []
    parts += [f"line {found.line}"] if found.line else []
    parts += [f"byte {found.byte}"] if found.byte is not None else []
    if found.table is not None:
        parts.append(
            found.table if found.key is None else f"{found.table}[{json.dumps(found.key, ensure_ascii=False)}]"
        )
    return f"{', '.join(parts)}: " if parts else ""
