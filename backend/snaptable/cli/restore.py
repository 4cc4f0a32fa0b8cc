"""`snaptable restore BACKUP DIR`: verify a backup, put it in the place of a store, keep what was there."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from snaptable.backup.encryption import Decryption
from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_SOUND,
    Subcommands,
    UsageError,
    add_yes,
    ask,
    describe_counts,
    describe_number,
    say,
)
from snaptable.cli.moment_option import wanted_moment
from snaptable.cli.schema_option import add_schema, load_last, load_schema
from snaptable.cli.secret_options import add_passphrase, read_keys, read_passphrase
from snaptable.errors import HistoryGone
from snaptable.maintenance.models import check_models
from snaptable.maintenance.restore import Unpacked, unpacked
from snaptable.progress import Progress

DESCRIPTION = """Verify every byte of a backup, unpack it beside DIR, open it there, and swap the two folders; what was
in DIR is kept as DIR.before-restore-TIME. The store must be closed. With --at the state is that of a moment, and the
history ends there. Says what it would do and asks first."""
MOST_PROBLEMS = 20
"""Rows that don't fit the models, of which so many are shown."""


def add(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser("restore", help="put a backup in the place of a store", description=DESCRIPTION)
    parser.add_argument("backup", metavar="BACKUP", help="the file that a backup made")
    parser.add_argument("directory", metavar="DIR", help="the store's directory; a closed store, empty, or new")
    parser.add_argument(
        "--at",
        metavar="MOMENT",
        type=wanted_moment,
        help="the state after a commit (57), some commits ago (~3), or at a time (14:00, 2026-11-28T14:00, 2h: ago)",
    )
    add_schema(parser)
    parser.add_argument(
        "--erased", metavar="STORE", help="a store whose purges hold for the backup too (default: the one in DIR)"
    )
    parser.add_argument("--identity", metavar="FILE", action="append", default=[], help="private keys that decrypt it")
    add_passphrase(parser)
    add_yes(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Unpack, verify, explain, ask, swap; return 0 if the store is the one of the backup now."""
    passphrase, keys = read_passphrase(wanted=options.passphrase), read_keys(options.identity)
    decryption = Decryption.of(keys, passphrase) if keys or passphrase is not None else None
    backup, directory = options.backup, options.directory
    with ExitStack() as stack:
        try:
            with Progress(_size(backup), f"Unpacking {backup}") as progress:
                found = stack.enter_context(
                    unpacked(
                        backup,
                        directory,
                        at=options.at,
                        decryption=decryption,
                        erased_from=options.erased,
                        on_progress=progress.advance,
                    )
                )
        except (ValueError, HistoryGone) as error:
            if options.at is None:
                raise
            raise UsageError(f"--at: {error}") from error
        return _restore(found, options)


def _size(backup: str) -> int:
    """Return about how many bytes are read: the file itself, and what it unpacks to."""
    try:
        return 4 * Path(backup).stat().st_size
    except OSError:
        return 0


def _restore(found: Unpacked, options: argparse.Namespace) -> int:
    manifest, models = found.manifest, load_schema(options.schema)
    checked = ""
    if models is None:
        models, checked = load_last(manifest.models)
    say(f"{options.backup}: verified; store {manifest.store}, sequence {manifest.sequence}, made {manifest.made_at}")
    say(f"  result    sequence {found.state.sequence}, {describe_counts(found.rows)}")
    if found.erased:
        say(f"  left out  {describe_number(found.erased, 'row')} purged since, or referring to such")
    if found.replaces:
        say(f"  replaces  {found.directory}, which is kept beside it as {found.directory.name}.before-restore-…")
    for path in found.leftovers:
        say(f"  left over {path}, of a restore that was interrupted; remove it")
    if models is not None:
        problems = [finding for finding in check_models(found.files, models) if finding.severity == "problem"]
        for finding in problems[:MOST_PROBLEMS]:
            say(f"problem: {finding.reason}")
        if problems:
            say("What the backup holds doesn't fit the models; nothing was changed.")
            return EXIT_FAILED
    elif checked:
        say(f"Warning: {checked}")
    if not ask("Restore it?", yes=options.yes):
        return EXIT_FAILED
    found.take_place()
    if found.kept is not None:
        say(f"  kept      {found.kept}")
    say(f"Done: {found.directory} is at sequence {found.state.sequence}, {describe_counts(found.rows)}.")
    return EXIT_SOUND
