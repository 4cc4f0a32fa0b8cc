"""The command `snaptable`: check a store, repair it, take an edit of its snapshot over."""

from snaptable.cli.main import main

__all__ = ["main"]
