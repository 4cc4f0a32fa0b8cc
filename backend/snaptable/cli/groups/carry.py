"""Carry: what goes elsewhere, read beside the process that has the store open."""

import click

from snaptable.cli.commands import Command
from snaptable.cli.groups.parameters import (
    argument,
    at_option,
    flag,
    option,
    schema_option,
    store_option,
    table_argument,
)

EXPORT = """Write rows into a file: JSON, JSON lines, CSV, sqlite, TinyDB; of one table, or of all. Secrets are masked,
and tables without a past left out.

\b
  snaptable export users users.csv
  snaptable export everything.sqlite --at 14:00
  snaptable export --of users ann ann.json     everything that is somebody's, and what it refers to"""
FIXTURE = """From a moment to a test: cut rows as they were, with what they refer to and what refers to them, into a
file that their program opens, and write a test that opens it. Secrets are masked.

\b
  snaptable fixture users ada --at 4710     tests/fixtures/users-ada.json, test_users_ada.py"""
GIT = """Have git show and merge snapshots by row and field: `snaptable git install`, once in each clone. Then
`git diff` lists rows and fields, and what two people changed in different rows or fields is merged, and checked by the
models that [tool.snaptable] names. (diff and merge are what git calls.)"""
FORMATS = ("json", "jsonl", "csv", "sqlite", "json-server", "lowdb", "tinydb")
OVERWRITE = "Replace files that are there."

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
        "export",
        [
            click.Argument(["targets"], metavar="[TABLE] FILE", nargs=-1, required=True),
            store_option(),
            option("--format", "format_name", type=click.Choice(FORMATS), help="Of the file. [default: by its name]"),
            option(
                "--of", "of", nargs=2, metavar="TABLE KEY", help="A row, what refers to it, and what these refer to."
            ),
            at_option("As it was after", files=True),
            flag("--overwrite", help=OVERWRITE),
        ],
        EXPORT,
        short_help="rows as JSON, CSV or sqlite",
    ),
    Command(
        "fixture",
        [
            table_argument(),
            click.Argument(["keys"], metavar="KEY…", nargs=-1, required=True),
            at_option("As they were after", files=True),
            store_option(),
            schema_option("The Database class that the test imports. [default: the one that opened the store last]"),
            option("-o", "--output", "file", metavar="FILE", help="[default: tests/fixtures/TABLE-KEY.json]"),
            click.Option(["--referring/--no-referring"], default=True, help="Also what refers to them. [default: yes]"),
            click.Option(["--test/--no-test", "has_test"], default=True, help="Write a test too. [default: yes]"),
            flag("--overwrite", help=OVERWRITE),
        ],
        FIXTURE,
        short_help="rows as they were, and a test that opens them",
    ),
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
    Command(
        "git",
        [
            click.Argument(["action"], type=click.Choice(["install", "diff", "merge"])),
            click.Argument(["arguments"], nargs=-1, metavar="…"),
            option(
                "--pattern",
                "patterns",
                multiple=True,
                metavar="GLOB",
                help="The files. [default: db_snapshot.json, tests/fixtures/*.json]",
            ),
        ],
        GIT,
        short_help="git diff and git merge by row and field",
        module="git_drivers",
    ),
)
