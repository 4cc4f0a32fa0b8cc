"""Commands as click has them: declared without what they need, which is imported when one is carried out."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from snaptable.cli.common import CommandError
from snaptable.cli.output import Output
from snaptable.cli.statuses import status_of
from snaptable.errors import SnaptableError

PREFIX = "usage: "
COMPLETE_VARIABLE = "_SNAPTABLE_COMPLETE"
"""The variable by which a shell asks what completes a word."""
OUTPUT_OPTIONS = ("as_json", "as_lines", "quiet", "no_color")


def lazily(name: str) -> Callable[..., object]:
    """Return what calls `run` of a module of the command, which is imported then."""

    def call(**given: object) -> object:
        """Carry the command out."""
        return import_module(f"snaptable.cli.{name}").run(**given)

    return call


class Command(click.Command):
    """One command: its parameters, the module that carries it out, and what its errors mean.

    Attributes:
        looks_after: whether damage is what it is there for.
    """

    def __init__(
        self,
        name: str,
        params: Sequence[click.Parameter],
        help: str,  # noqa: A002 - click's name for it
        *,
        short_help: str,
        module: str | None = None,
        looks_after: bool = False,
        lines: bool = False,
        epilog: str | None = None,
    ) -> None:
        """Declare it.

        Args:
            name: what it is called by.
            params: its own parameters; those of the output are added.
            help: what it does.
            short_help: the same in a few words.
            module: the module with `run`; of the command's name unless said otherwise.
            looks_after: whether damage is what it is there for.
            lines: whether it can write JSON lines too.
            epilog: examples.
        """
        super().__init__(
            name,
            params=[*params, *_output_options(lines=lines)],
            help=help,
            short_help=short_help,
            callback=lazily(module or name),
            epilog=epilog,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        self.looks_after = looks_after

    def invoke(self, ctx: click.Context) -> object:
        """Carry it out; what the library raises becomes an exit status."""
        from snaptable.runtime.silenced_log import silenced_log

        ctx.obj = Output(**{name: bool(ctx.params.pop(name, False)) for name in OUTPUT_OPTIONS})
        try:
            with silenced_log():
                return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (SnaptableError, OSError) as error:
            raise CommandError(str(error), status_of(error, looks_after=self.looks_after)) from error

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how it is called."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), PREFIX)


class Group(click.Group):
    """Commands in sections."""

    def __init__(self, name: str, sections: Mapping[str, Sequence[click.Command]], **options: Any) -> None:
        commands = {str(each.name): each for section in sections.values() for each in section}
        super().__init__(name, commands=commands, context_settings={"help_option_names": ["-h", "--help"]}, **options)
        self._sections = sections

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name; a name that is nearly one gets the answer."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.commands, 1)
            meant = f"did you mean {near[0]!r}?" if near else "--help lists them"
            raise click.UsageError(f"there is no command {args[0]!r}; {meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how it is called."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), PREFIX)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the commands, by section."""
        for title, commands in self._sections.items():
            if commands:
                with formatter.section(title):
                    formatter.write_dl([(str(each.name), each.get_short_help_str(60)) for each in commands])


def _output_options(*, lines: bool) -> list[click.Parameter]:
    options = [click.Option(["--json", "as_json"], is_flag=True, help="Write one JSON document.")]
    if lines:
        options.append(click.Option(["--jsonl", "as_lines"], is_flag=True, help="Write a JSON document a line."))
    quiet = "Write results and errors only."
    options.append(click.Option(["-q", "--quiet", "quiet"], is_flag=True, help=quiet))
    color = "No colours; so does the environment variable NO_COLOR."
    options.append(click.Option(["--no-color", "no_color"], is_flag=True, help=color))
    return list(options)
