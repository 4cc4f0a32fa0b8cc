"""`snaptable restore BACKUP DIR`: verify a backup, put it in the place of a store, keep what was there."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from snaptable import Database
from snaptable.backup.encryption import Decryption
from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_SOUND,
    UsageError,
    ask,
    describe_counts,
    describe_number,
    output,
    say,
)
from snaptable.cli.schema_option import load_last, load_schema
from snaptable.cli.secret_options import read_keys, read_passphrase
from snaptable.cli.settings import schema_of
from snaptable.errors import HistoryGone
from snaptable.history import Moment
from snaptable.maintenance.models import check_models
from snaptable.maintenance.point_in_time import CommitsAgo
from snaptable.maintenance.restore import Unpacked, unpacked
from snaptable.runtime.progress import Progress

MOST_PROBLEMS = 20
"""Rows that don't fit the models, of which so many are shown."""


def run(
    *,
    backup: str,
    store: str,
    at: Moment | CommitsAgo | None,
    schema: str | None,
    erased: str | None,
    identity: Sequence[str],
    passphrase: bool,
    yes: bool,
) -> int:
    """Unpack, verify, explain, ask, swap; return 0 if the store is the one of the backup now."""
    if not Path(backup).is_file():
        raise UsageError(f"{backup} is not a file that is there: name the zip of a backup")
    phrase, keys = read_passphrase(wanted=passphrase), read_keys(list(identity))
    decryption = Decryption.of(keys, phrase) if keys or phrase is not None else None
    with ExitStack() as stack:
        try:
            with Progress(_size(backup), f"Unpacking {backup}") as progress:
                unpacked_backup = stack.enter_context(
                    unpacked(
                        backup,
                        store,
                        at=at,
                        decryption=decryption,
                        erased_from=erased,
                        on_progress=progress.advance,
                    )
                )
        except (ValueError, HistoryGone) as error:
            if at is None:
                raise
            raise UsageError(f"--at: {error}") from error
        return _restore(unpacked_backup, backup, load_schema(schema_of(schema, store)), yes=yes)


def _size(backup: str) -> int:
    """Return about how many bytes are read: the file itself, and what it unpacks to."""
    try:
        return 4 * Path(backup).stat().st_size
    except OSError:
        return 0


def _restore(contents: Unpacked, backup: str, models: type[Database] | None, *, yes: bool) -> int:
    manifest = contents.manifest
    checked = ""
    if models is None:
        models, checked = load_last(manifest.models)
    say(f"{backup}: verified; store {manifest.store}, sequence {manifest.sequence}, made {manifest.made_at}")
    say(f"  result    sequence {contents.state.sequence}, {describe_counts(contents.rows)}")
    if contents.erased:
        say(f"  left out  {describe_number(contents.erased, 'row')} purged since, or referring to such")
    if contents.replaces:
        say(f"  replaces  {contents.directory}, which is kept beside it as {contents.directory.name}.before-restore-…")
    for path in contents.leftovers:
        say(f"  left over {path}, of a restore that was interrupted; remove it")
    if models is not None:
        problems = [finding for finding in check_models(contents.files, models) if finding.severity == "problem"]
        for finding in problems[:MOST_PROBLEMS]:
            say(f"problem: {finding.reason}")
        if problems:
            say("What the backup holds doesn't fit the models; nothing was changed.")
            return EXIT_FAILED
    elif checked:
        say(f"Warning: {checked}")
    if not ask("Restore it?", yes=yes):
        return EXIT_FAILED
    contents.take_place()
    if contents.kept is not None:
        say(f"  kept      {contents.kept}")
    say(f"Done: {contents.directory} is at sequence {contents.state.sequence}, {describe_counts(contents.rows)}.")
    if output().as_json:
        told = {"directory": str(contents.directory), "sequence": contents.state.sequence, "rows": dict(contents.rows)}
        kept = None if contents.kept is None else str(contents.kept)
        output().document(told | {"store": manifest.store, "kept": kept, "left_out": contents.erased})
    return EXIT_SOUND
