"""The command `snaptable`: check a store, repair it, take an edit of its snapshot over, back it up, restore it."""

from snaptable.cli.main import main

__all__ = ["main"]
