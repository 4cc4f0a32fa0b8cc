"""Change: take back, go back, erase. Beside a running server these go through its socket."""

import click

from snaptable.cli.commands import Command
from snaptable.cli.groups.parameters import (
    at_option,
    dry_run_option,
    flag,
    key_argument,
    option,
    schema_option,
    store_option,
    table_argument,
    yes_option,
)

UNDO = """Take back what commits did, as one ordinary commit: field by field, so that what others changed since stays.
Says what it would do, with everything that is in the way, and asks."""
REWIND = """Make rows what they were at a moment, as one ordinary commit: all rows, those of a table, or one. Says what
it would do and asks. What was done since stays in the history, and this can be undone too."""
PURGE = """Erase what a row was, now and in all of the past; that it was, and when it changed, is kept. Then every file
of the store is searched for its values, and the receipt says what is left where. Nothing brings them back."""
IMPORT = """Read rows of another file into a table: JSON, JSON lines, CSV, sqlite, and the files of json-server, lowdb
and TinyDB. A text stays a text unless the model says otherwise ("01234"). What is wrong is told by line, and nothing is
written then; else all of it is one commit. Over 1,000 rows it asks."""
FORMATS = ("json", "jsonl", "csv", "sqlite", "json-server", "lowdb", "tinydb", "snapshot")
MODELS = "The Database class, for a store that is closed. [default: pyproject.toml, or the one that opened it last]"
NOTE = "Why; kept with the commit."

COMMANDS: tuple[click.Command, ...] = (
    Command(
        "undo",
        [
            click.Argument(["sequences"], metavar="SEQUENCE…", nargs=-1, required=True),
            store_option(),
            schema_option(MODELS),
            option("--note", metavar="TEXT", help=NOTE),
            flag("--force", help="Override what was changed since; never a constraint."),
            flag("--cascade", help="Delete rows that refer to those that go, too."),
            dry_run_option(),
            yes_option(),
        ],
        UNDO,
        short_help="take back what commits did",
    ),
    Command(
        "rewind",
        [
            table_argument(required=False),
            key_argument(required=False),
            at_option("As they were after", required=True),
            store_option(),
            schema_option(MODELS),
            option("--note", metavar="TEXT", help=NOTE),
            dry_run_option(),
            yes_option(),
        ],
        REWIND,
        short_help="make rows what they were",
    ),
    Command(
        "purge",
        [
            table_argument(),
            key_argument(),
            store_option(),
            schema_option(MODELS),
            click.Option(["--cascade/--no-cascade"], default=True, help="Erase what goes with it too. [default: yes]"),
            flag("--keys", help="Erase the key as well, where others referred to it, too."),
            yes_option(),
        ],
        PURGE,
        short_help="erase a row from all of the past",
    ),
    Command(
        "import",
        [
            table_argument(),
            click.Argument(["file"], metavar="FILE", type=click.Path(exists=True, dir_okay=False)),
            store_option(),
            schema_option(MODELS),
            option("--format", "format_name", type=click.Choice(FORMATS), help="Of the file. [default: by its name]"),
            option("--from", "source", metavar="NAME", help="The table in the file, if that has another name."),
            flag("--update", help="Change rows whose key is there; else that is a fault."),
            option(
                "--map", "mapping", metavar="NAME=FIELD", multiple=True, help="The field that a name means; or none."
            ),
            option("--rejects", metavar="FILE", help="Write the rows that are wrong, with the reasons."),
            option("--note", metavar="TEXT", help=NOTE),
            dry_run_option(),
            yes_option(),
        ],
        IMPORT,
        short_help="rows of another file into a table",
        module="import_rows",
    ),
)
