"""The command itself: its groups, and what went wrong in one line, with the exit status."""

import os
import sys
from collections.abc import Sequence

import click

from snaptable.cli.commands import COMPLETE_VARIABLE, Group
from snaptable.cli.common import EXIT_CALLED_WRONGLY, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_SOUND, CommandError
from snaptable.cli.groups import carry, change, look, look_after, serving
from snaptable.cli.output import visible
from snaptable.runtime.program_name import program

DESCRIPTION = """Look at a store, change it, look after it: the directory that holds db_snapshot.json and its journal.

Commands that look and change take the store by --store, else from SNAPTABLE_STORE, from [tool.snaptable] in
pyproject.toml, or "data"."""
EPILOG = """Exit status: 0 done, 1 problems, differences or nothing found, 2 called wrongly, 3 held by another process,
4 refused by a constraint or a conflict, 5 damaged, 130 interrupted."""


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    if wanted:
        from snaptable import __version__

        click.echo(f"snaptable {__version__}")
        context.exit()


command = Group(
    "snaptable",
    help=DESCRIPTION,
    epilog=EPILOG,
    sections={
        "Look": look.COMMANDS,
        "Change": change.COMMANDS,
        "Look after": look_after.COMMANDS,
        "Carry": carry.COMMANDS,
        "Serve": serving.COMMANDS,
    },
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version.",
        )
    ],
)


def run(arguments: Sequence[str] | None) -> int:
    """Run one command and return its exit status."""
    try:
        given = None if arguments is None else list(arguments)
        status = command.main(given, prog_name=program(), standalone_mode=False, complete_var=COMPLETE_VARIABLE)
        sys.stdout.flush()
        return int(status or EXIT_SOUND)
    except BrokenPipeError:  # the reader has seen enough: `snaptable check data | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except click.exceptions.NoArgsIsHelpError as error:  # called by its name alone
        sys.stderr.write(f"{error.ctx.get_help() if error.ctx else error.format_message()}\n")
        return EXIT_CALLED_WRONGLY
    except CommandError as error:
        sys.stderr.write(f"snaptable: {visible(error.format_message())}\n")
        return error.status
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        usage = context.get_usage() if context is not None else f"usage: {program()} COMMAND …"
        sys.stderr.write(f"{usage}\nsnaptable: error: {visible(error.format_message())}\n")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
