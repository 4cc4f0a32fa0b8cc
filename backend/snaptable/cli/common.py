"""What the commands share: exit statuses, output, and the question before anything is changed."""

import argparse
import sys
from collections.abc import Mapping
from typing import TypeAlias

EXIT_SOUND = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What `add_subparsers` returns; argparse has no public name for it."""


class UsageError(Exception):
    """A wrong call of the command."""


def add_directory(parser: argparse.ArgumentParser) -> None:
    """Add the argument that every command has."""
    parser.add_argument("directory", metavar="DIR", help="the store's directory, which holds db_snapshot.json")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the option that answers the question."""
    parser.add_argument("--yes", action="store_true", help="do it without asking")


def say(text: str = "") -> None:
    """Write a line to standard output."""
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")


def ask(question: str, *, yes: bool) -> bool:
    """Return whether the user agrees: with `--yes`, or by answering y or yes; any other answer is a no."""
    if yes:
        return True
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    answer = sys.stdin.readline() if sys.stdin else ""
    if not answer.endswith("\n"):
        say()
    if answer.strip().lower() in ("y", "yes"):
        return True
    say("Nothing was changed.")
    return False


def describe_counts(counts: Mapping[str, int]) -> str:
    """Return how many rows each table has, in words."""
    return ", ".join(f"{count:,} {table}" for table, count in counts.items()) or "no tables"


def describe_number(count: int, singular: str, plural: str | None = None) -> str:
    """Return a number and its noun: "1 commit", "2 commits"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
