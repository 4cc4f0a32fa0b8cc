"""`snaptable backup DIR FILE`: write a store, its history and the folders beside it as one verified zip."""

import argparse

from snaptable.backup.making import Facts
from snaptable.cli.common import EXIT_SOUND, Subcommands, add_directory, say
from snaptable.cli.schema_option import add_schema, load_last, load_schema
from snaptable.cli.secret_options import add_passphrase, read_passphrase
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.offline_backup import back_up_directory
from snaptable.progress import Progress

DESCRIPTION = """Write the state of a store, its history, and the folders beside it (backup_folders of its Database
class) as one zip, read it back, verify it, and only then give it its name. The store may be open. Nothing is replaced:
FILE is a new file, or a folder, in which a name is made of the time and the sequence. A process that removes files
beside the store all the time should make the backup itself: db.backup(path), or BACKEND_BACKUP_DIR."""


def add(commands: Subcommands) -> None:
    """Add the command."""
    parser = commands.add_parser("backup", help="write the store as one verified zip", description=DESCRIPTION)
    add_directory(parser)
    parser.add_argument("file", metavar="FILE", help="a new file, or a folder")
    add_schema(parser)
    parser.add_argument("--folder", metavar="NAME", action="append", help="a folder beside the store to put in too")
    parser.add_argument(
        "--to", metavar="KEY", action="append", help="encrypt for a public key, age1… or ssh-…; may be repeated"
    )
    add_passphrase(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the backup, and say what is in it."""
    directory = StoreDirectory(options.directory)
    passphrase = read_passphrase(wanted=options.passphrase, twice=True)
    models, last = load_schema(options.schema), directory.last_models()
    if models is None:
        models, _ = load_last(last)
    folders = tuple(options.folder or (models.backup_folders if models else ()))
    if models is None and not folders:
        say("Without --schema MODULE:DATABASE or --folder NAME, no folder beside the store goes in.")
    facts = Facts.of(last, folders, models.__schemas__ if models else {})
    with Progress(directory.size(), f"Backing up {directory.root}") as progress:
        made = back_up_directory(
            directory,
            options.file,
            facts,
            recipients=options.to or (),
            passphrase=passphrase,
            on_progress=progress.advance,
        )
    say(str(made))
    say(f"  sha256    {made.sha256}")
    say(f"  holds     {made.files:,} files{', encrypted' * made.encrypted}; read back and verified")
    return EXIT_SOUND
