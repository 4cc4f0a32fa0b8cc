"""Carry: what goes elsewhere."""

import click

from snaptable.cli.commands import Command
from snaptable.cli.groups.parameters import argument, flag, option, schema_option

MOVE = """Copy every row from a directory to PostgreSQL, or back: tables, rows, indexes, then every row read back and
compared, all in one transaction. The target must be empty; a row that can't go is named before anything is sent. The
store must be closed, unless --follow is given.

\b
  snaptable move data postgresql://me@db.example/library
  snaptable move data postgresql://me@db.example/library --follow
  snaptable move postgresql://me@db.example/library data --schema app.main:Library

A password is best left to ~/.pgpass or PGPASSWORD."""

COMMANDS: tuple[click.Command, ...] = (
    Command(
        "move",
        [
            argument("source"),
            argument("target"),
            schema_option("The Database class. [default: the one that opened the store last]"),
            flag("--follow", "follows", help="The store may be open: then apply each of its commits, until Ctrl-C."),
            flag("--until-closed", help="The same, until the store is closed and everything was applied."),
            option("--folders", metavar="DIR", help="Copy the folders beside the store (its files) to DIR too."),
        ],
        MOVE,
        short_help="to PostgreSQL, or back",
    ),
)
