"""Serve: a store over HTTP; and the shell's completion."""

import click

from snaptable.cli.commands import Command

COMPLETION = """Write the script that completes commands, options and tables:

\b
  bash   eval "$(snaptable completion bash)"                 in ~/.bashrc
  zsh    eval "$(snaptable completion zsh)"                  in ~/.zshrc
  fish   snaptable completion fish | source                  in ~/.config/fish/config.fish"""

COMMANDS: tuple[click.Command, ...] = (
    Command(
        "completion",
        [click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"]))],
        COMPLETION,
        short_help="what makes the shell complete names",
    ),
)
