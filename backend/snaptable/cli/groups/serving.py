"""Serve: a store over HTTP."""

import click

COMMANDS: tuple[click.Command, ...] = ()
