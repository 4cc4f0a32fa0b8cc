"""`snaptable backup DIR FILE`: write a store, its history and the folders beside it as one verified zip."""

from collections.abc import Sequence

from snaptable.backup.making import Facts
from snaptable.cli.common import EXIT_SOUND, output, say
from snaptable.cli.schema_option import load_last, load_schema
from snaptable.cli.secret_options import read_passphrase
from snaptable.cli.settings import schema_of
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.offline_backup import back_up_directory
from snaptable.runtime.progress import Progress


def run(
    *, store: str, file: str, schema: str | None, folder: Sequence[str], recipient: Sequence[str], passphrase: bool
) -> int:
    """Make the backup, and say what is in it."""
    directory = StoreDirectory(store)
    phrase = read_passphrase(wanted=passphrase, twice=True)
    models, last = load_schema(schema_of(schema, store)), directory.last_models()
    if models is None:
        models, _ = load_last(last)
    folders = tuple(folder or (models.backup_folders if models else ()))
    if models is None and not folders:
        say("Without --schema MODULE:DATABASE or --folder NAME, no folder beside the store goes in.")
    facts = Facts.of(last, folders, models.__schemas__ if models else {})
    with Progress(directory.size(), f"Backing up {directory.root}") as progress:
        made = back_up_directory(
            directory,
            file,
            facts,
            recipients=recipient,
            passphrase=phrase,
            on_progress=progress.advance,
        )
    out = output()
    if out.as_json:
        told = {"file": str(made.path), "sequence": made.sequence, "sha256": made.sha256, "files": made.files}
        out.document(told | {"bytes": made.size, "encrypted": made.encrypted, "rows": dict(made.rows)})
    say(str(made))
    say(f"  sha256    {made.sha256}")
    say(f"  holds     {made.files:,} files{', encrypted' * made.encrypted}; read back and verified")
    return EXIT_SOUND
