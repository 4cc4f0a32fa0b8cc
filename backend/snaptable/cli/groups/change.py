"""Change: take back, go back, erase, bring in."""

import click

COMMANDS: tuple[click.Command, ...] = ()
