"""Look: what is there, what was, and what happens. None of these takes the lock, or needs the program."""

import click

from snaptable.cli.commands import Command
from snaptable.cli.groups.parameters import (
    at_option,
    flag,
    key_argument,
    moment_argument,
    option,
    schema_option,
    store_option,
    table_argument,
)
from snaptable.cli.moment_option import MomentType

TABLES = """Show the tables: rows, bytes, secret fields. With --advise show the queries that took long in the server
that has the store open, and the indexes to write."""
GET = """Show a row. Of a key that is a UUID its first characters are enough."""
FIND = """Show the rows of a table for which every filter holds.

\b
  'pages >= 10'   'role in user,admin'   'tags has urgent'   'name contains inv'
  'name starts_with Inv'   'note is null'   'box.x < 3'   'sent >= 2026-11-28'
  invoice         in any text field, whatever its case

So do pages__gte=10 and the others of a REST address."""
LOG = """Show what was committed, the newest first: all, of a table, or of a row."""
SHOW = """Show a commit with everything that it changed: the last one, or that of a number (57), or so many before the
last (~3)."""
DIFF = """Show in which rows two states differ: moments, snapshots, folders, backups (file:PATH). Without B the second
is the present one, without A the first is the one before the last commit. Ends with 1 if there are differences."""
WATCH = """Show commits as they are made, until Ctrl-C. Reads beside the process that has the store open."""
SHELL = """Start Python with the database as `db`, to read only, and its models. Without a schema `db` has the raw rows:
db.row("users", "ann"), db.rows("users"), db.commits()."""
SINCE = "Only commits after this moment."

COMMANDS: tuple[click.Command, ...] = (
    Command(
        "tables",
        [
            store_option(),
            at_option("As they were: after"),
            flag("--advise", help="Show slow queries, and the indexes that would help."),
        ],
        TABLES,
        short_help="the tables, and how large they are",
    ),
    Command(
        "get",
        [table_argument(), key_argument(), store_option(), at_option("As it was: after", files=True)],
        GET,
        short_help="one row",
    ),
    Command(
        "find",
        [
            table_argument(),
            click.Argument(["filters"], metavar="[FILTER]…", nargs=-1),
            store_option(),
            option("--sort", metavar="FIELDS", help="By these fields, as in -upload_date,id."),
            option("--limit", metavar="N", type=click.IntRange(min=0), help="At most N rows; 0 for all."),
            option("--fields", metavar="FIELDS", help="Only these fields, as in id,name."),
            flag("--count", "only_count", help="Only how many there are."),
            at_option("As they were: after", files=True),
            flag("--explain", help="Show how the program's own query would be answered; needs a schema."),
            schema_option("The Database class, for --explain."),
        ],
        FIND,
        short_help="the rows that filters leave",
        lines=True,
    ),
    Command(
        "log",
        [
            table_argument(required=False),
            key_argument(required=False),
            store_option(),
            option("--since", metavar="MOMENT", type=MomentType(), help=SINCE),
            option("--until", metavar="MOMENT", type=MomentType(), help="Only commits up to this moment."),
            option("--actor", metavar="NAME", help="Only commits that somebody made."),
            option(
                "-n", "--limit", "limit", metavar="N", type=click.IntRange(min=0), help="At most N commits; 0 for all."
            ),
        ],
        LOG,
        short_help="what was committed, by whom",
        lines=True,
    ),
    Command(
        "show",
        [click.Argument(["sequence"], metavar="[SEQUENCE]", required=False), store_option()],
        SHOW,
        short_help="one commit",
    ),
    Command(
        "diff",
        [
            moment_argument("first", "[A]"),
            moment_argument("second", "[B]"),
            store_option(),
            option("--table", "tables", metavar="TABLE", multiple=True, help="Only rows of this table."),
        ],
        DIFF,
        short_help="in which rows two states differ",
    ),
    Command(
        "watch",
        [
            click.Argument(["tables"], metavar="[TABLE]…", nargs=-1),
            store_option(),
            option("-n", "--limit", "limit", metavar="N", type=click.IntRange(min=1), help="End after N commits."),
        ],
        WATCH,
        short_help="commits as they are made",
        lines=True,
    ),
    Command(
        "shell",
        [
            store_option(),
            schema_option("The Database class."),
            option("-c", "--code", "code", metavar="CODE", help="Run this, and end."),
        ],
        SHELL,
        short_help="Python with the database",
    ),
)
