"""`snaptable repair DIR`: what is safe, said first, with every byte that goes kept in the quarantine."""

import argparse
from collections.abc import Iterator

from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, add_directory, add_yes, ask, counted, locked, say, store_in
from snaptable.maintenance.repair import carry_out
from snaptable.maintenance.salvage import RepairPlan, plan
from snaptable.maintenance.untyped import recover_untyped
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.reader import CommitSummary
from snaptable.storage.store import read_snapshot

DESCRIPTION = """Make a damaged store open again, as far as that is safe. Says what it would do and asks; keeps every
byte it sets aside in quarantine/; names the commits that can't be saved. The store must be closed."""
MOST_KEYS = 20


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("repair", help="make a damaged store open again", description=DESCRIPTION)
    add_directory(parser)
    add_yes(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what it would do, and end")
    parser.add_argument(
        "--discard-edit", action="store_true", help="treat a snapshot that was edited by hand as a damaged one"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Plan, say, ask, do; return 0 where the store opens now."""
    files = store_in(options.directory)
    if options.dry_run:
        return _explain(files, plan(files, discard_edit=options.discard_edit))
    with locked(files):
        made = plan(files, discard_edit=options.discard_edit)
        status = _explain(files, made)
        if status or not made.needed:
            return status
        if not ask("Go on?", yes=options.yes):
            return EXIT_FAILED
        for name in carry_out(files, made):
            say(f"  kept      {name}")
    say(f"Done: the store opens. See for yourself: {names.command('check', files.root)}")
    return EXIT_SOUND


def _explain(files: Files, made: RepairPlan) -> int:
    """Say what a repair would do; return 1 where nothing is safe."""
    if made.raw is None:
        say(f"{files.root}: nothing that could be done is safe; nothing was changed.")
        say(f"  {made.refusal}")
        say("  Put a copy of the snapshot back. A damaged line can also be mended in an editor:")
        say(f"  {names.command('check', files.root)} names it, {names.command('accept', files.root)} takes it over.")
        say(f"  To start afresh, move {names.SNAPSHOT} and {names.JOURNAL} away.")
        return EXIT_FAILED
    if not made.needed:
        recover_untyped(files, read_snapshot(files))  # raises where that is not true
        say(f"{files.root}: nothing to repair; the store opens at sequence {made.raw.state.sequence}.")
        return EXIT_SOUND
    say(f"{files.root}: this would be done")
    for step in _steps(made):
        say(f"  - {step}")
    state = made.raw.state
    say(f"  result    sequence {state.sequence}, {counted(made.raw.pages.counts())}; from {made.origin}")
    _print_lost(made)
    return EXIT_SOUND


def _steps(made: RepairPlan) -> Iterator[str]:
    kept = f"its bytes are kept in {names.QUARANTINE}/"
    if made.replace and made.raw:
        what = "" if made.former is None else f" ({'it is not whole' if made.damaged else 'it is older'}); {kept}"
        yield f"{names.SNAPSHOT} is written anew, at sequence {made.raw.state.sequence}{what}"
    if made.cut:
        piece, end = made.cut
        why = "the end of a write that was never acknowledged" if not piece.broken else "damaged, or not to be applied"
        yield f"{piece.name} is cut at byte {end}; the {len(piece.data) - end} bytes behind are {why}: they are kept"
    for piece in made.aside:
        yield f"{piece.name} is set aside ({made.why(piece)}); {kept}"
    for name in made.leftovers:
        yield f"{name}, which was never finished, is set aside; {kept}"


def _print_lost(made: RepairPlan) -> None:
    if not (made.lost or made.unreadable or made.missing):
        say("  No acknowledged commit is lost by this.")
        return
    say("Commits that can't be saved:")
    doubtful = [(found, " (damaged: what is left of it says so)") for found in made.unreadable]
    for found, doubt in sorted([*((found, "") for found in made.lost), *doubtful], key=lambda item: item[0].sequence):
        say(f"  sequence {_named(found)}{doubt}")
    for first, last in made.missing:
        which = f"sequence {first}" if first == last else f"sequences {first} to {last}"
        say(f"  {which}: nothing readable is left")


def _named(found: CommitSummary) -> str:
    tables = (f"{table} {_keys(keys)}" for table, keys in found.rows.items())
    return f"{found.sequence}, {found.at}: {'; '.join(tables)}"


def _keys(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - MOST_KEYS} more" if len(keys) > MOST_KEYS else ""
    return ", ".join(map(repr, keys[:MOST_KEYS])) + more
