"""Carry: what goes elsewhere."""

import click

COMMANDS: tuple[click.Command, ...] = ()
