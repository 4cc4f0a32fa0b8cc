"""`snaptable accept DIR`: take over what was edited by hand in `db_snapshot.json` while the store was closed."""

import argparse
import json
from itertools import groupby
from typing import Any

from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_SOUND,
    UsageError,
    add_directory,
    add_schema,
    add_yes,
    ask,
    counted,
    locked,
    say,
    store_in,
)
from snaptable.cli.models import judge_of, load_schema
from snaptable.maintenance.external_edit import Difference, Edit, examine, take_over
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.store import read_snapshot

DESCRIPTION = """Take over an edit of db_snapshot.json that was made while the store was closed: show it by table, key
and field, ask, and make it a commit like any other. The edited file is kept in quarantine/."""
WIDTH = 80


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("accept", help="take over an edit of db_snapshot.json", description=DESCRIPTION)
    add_directory(parser)
    add_schema(parser)
    add_yes(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show the edit, ask, take it over; return 0 where the snapshot is as the library writes it."""
    files = store_in(options.directory)
    judge = judge_of(load_schema(options.schema)) if options.schema else None
    with locked(files):
        found = read_snapshot(files)
        if found is None:
            raise UsageError(f"there is no {names.SNAPSHOT} in {files.root}; see {names.command('repair', files.root)}")
        edit = examine(files, found, judge)
        if edit is None:
            say(f"{files.path(names.SNAPSHOT)} is as it was written: there is no edit to take over.")
            return EXIT_SOUND
        _show(files, edit)
        if judge is None:
            say("Warning: types and constraints were not checked; name the models with --schema MODULE:DATABASE.")
        if not ask("Take it over?", yes=options.yes):
            return EXIT_FAILED
        for name in take_over(files, edit):
            say(f"  kept      {name}")
    say(f"Done: the store is at sequence {edit.raw.state.sequence}, {counted(edit.raw.pages.counts())}.")
    return EXIT_SOUND


# ── the difference ──────────────────────────────────────────────────────────────────────────────────────────────────


def _show(files: Files, edit: Edit) -> None:
    path = files.path(names.SNAPSHOT)
    if not edit.known:
        say(f"{path} was edited. The journal doesn't reach back to the start, so only the new content can be shown:")
        say(f"  {counted(edit.raw.pages.counts())}")
        say(f"A new journal begins; the old one is set aside in {names.QUARANTINE}/.")
        return
    if not edit.differences:
        say(f"{path} was laid out anew; no row was changed.")
    for table, found in groupby(edit.differences, key=lambda difference: difference.table):
        say(table)
        for difference in found:
            _show_row(difference)
    if edit.newer:
        say(f"{edit.newer} commits of the journal that the file didn't hold yet stay.")


def _show_row(found: Difference) -> None:
    key = _short(found.key)
    if found.after is None:
        say(f"  - {key}")
    elif found.before is None:
        say(f"  + {key}: {_short(json.loads(found.after))}")
    else:
        say(f"  ~ {key}")
        before, after = json.loads(found.before), json.loads(found.after)
        for name, (old, new) in found.fields.items():
            said = _short(old) if name in before else "(not there)"
            says = _short(new) if name in after else "(gone)"
            say(f"      {name}: {said} -> {says}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
