"""Parameters that several commands have."""

from typing import Any

import click

from snaptable.cli.moment_option import MomentType
from snaptable.cli.secret_options import VARIABLE


def argument(name: str, metavar: str | None = None, **options: Any) -> click.Argument:
    """Return an argument."""
    return click.Argument([name], metavar=metavar or name.upper(), **options)


def option(*names: str, **options: Any) -> click.Option:
    """Return an option."""
    return click.Option(list(names), **options)


def flag(*names: str, **options: Any) -> click.Option:
    """Return an option that is there or not."""
    return click.Option(list(names), is_flag=True, **options)


def store_argument() -> click.Argument:
    """Return the argument of commands that look after a store."""
    return argument("store", "STORE")


def store_option() -> click.Option:
    """Return the option of commands that look at a store, or change it."""
    text = "The store: a folder, a snapshot, a backup. [default: SNAPTABLE_STORE, pyproject.toml, data]"
    return option("-s", "--store", "store", metavar="STORE", help=text)


def schema_option(text: str = "Check rows against the models too, e.g. app.main:Library.") -> click.Option:
    """Return the option that names the models."""
    return option("--schema", metavar="MODULE:DATABASE", help=text)


def yes_option() -> click.Option:
    """Return the option that answers the question."""
    return flag("--yes", help="Do it without asking.")


def dry_run_option(text: str = "Only show what would be done.") -> click.Option:
    """Return the option that changes nothing."""
    return flag("--dry-run", help=text)


def at_option(text: str, *, files: bool = False, **options: Any) -> click.Option:
    """Return the option that names a moment."""
    moments = "a commit (57), some commits ago (~3), or a time (14:00, 2026-11-28T14:00, 2h: ago)"
    return option("--at", metavar="MOMENT", type=MomentType(files=files), help=f"{text} {moments}.", **options)


def passphrase_option() -> click.Option:
    """Return the option that asks for a passphrase."""
    text = f"Ask for a passphrase, unless the environment variable {VARIABLE} holds it."
    return flag("--passphrase", help=text)


def table_argument(*, required: bool = True) -> click.Argument:
    """Return the argument that names a table."""
    return click.Argument(
        ["table"], metavar="TABLE" if required else "[TABLE]", required=required, shell_complete=_complete_table
    )


def key_argument(*, required: bool = True) -> click.Argument:
    """Return the argument that names a row's key."""
    return click.Argument(["key"], metavar="KEY" if required else "[KEY]", required=required)


def moment_argument(name: str, metavar: str) -> click.Argument:
    """Return the argument that names a state."""
    return click.Argument([name], metavar=metavar, required=False, type=MomentType(files=True))


def _complete_table(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the tables whose names begin so, for the shell."""
    from snaptable.cli.completion import tables_in

    return [name for name in tables_in(ctx.params.get("store")) if name.startswith(incomplete)]
