"""Look: what is there, what was, and what happens."""

import click

COMMANDS: tuple[click.Command, ...] = ()
