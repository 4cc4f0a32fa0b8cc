"""What the commands share: exit statuses, output, and the question before anything is changed."""

import sys
from collections.abc import Mapping

import click

from snaptable.cli.output import Output

EXIT_SOUND = 0
EXIT_FAILED = 1
EXIT_CALLED_WRONGLY = 2
EXIT_HELD = 3
EXIT_REFUSED = 4
EXIT_DAMAGED = 5
EXIT_INTERRUPTED = 130


class UsageError(click.UsageError):
    """A wrong call of the command."""


class CommandError(click.ClickException):
    """What went wrong, in words, with the exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def output() -> Output:
    """Return where the present command writes to."""
    context = click.get_current_context(silent=True)
    known = context.obj if context is not None else None
    return known if isinstance(known, Output) else Output()


def say(text: str = "") -> None:
    """Write a line for people to standard output: nothing with --quiet or --json."""
    output().say(text)


def ask(question: str, *, yes: bool) -> bool:
    """Return whether the user agrees: with `--yes`, or by answering y or yes; any other answer is a no.

    Raises:
        UsageError: no terminal is there to ask on, and no answer was piped in.
    """
    if yes:
        return True
    if output().as_json:
        raise UsageError("with --json nothing is asked: say --yes to have it done")
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    if is_terminal:
        _write(f"{question} [y/N] ")
    answer = sys.stdin.readline() if sys.stdin else ""
    if not is_terminal:
        if not answer:
            raise UsageError("there is no terminal to ask on: say --yes to have it done. Nothing was changed")
        _write(f"{question} [y/N] ")
    if not answer.endswith("\n"):
        _write("\n")
    if answer.strip().lower() in ("y", "yes"):
        return True
    say("Nothing was changed.")
    return False


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def describe_counts(counts: Mapping[str, int]) -> str:
    """Return how many rows each table has, in words."""
    return ", ".join(f"{count:,} {table}" for table, count in counts.items()) or "no tables"


def describe_number(count: int, singular: str, plural: str | None = None) -> str:
    """Return a number and its noun: "1 commit", "2 commits"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
