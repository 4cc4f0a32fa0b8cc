"""Serve: a store over HTTP; and the shell's completion."""

import click

from snaptable.cli.commands import Command
from snaptable.cli.groups.parameters import flag, option

SERVE = """Serve a database over HTTP: REST for every table, /changes, /docs, /health, and the admin page.

\b
  snaptable serve app.main:Library    a Database class and its store
  snaptable serve db.json             a JSON file: lists and maps of objects are tables

Of a file it says what it inferred: keys, types, times, references by user_id and userId, unique fields. The file is
never written: its rows are taken over into db-data/ beside it, once. There is no login: it listens on this machine."""
COMPLETION = """Write the script that completes commands, options and tables:

\b
  bash   eval "$(snaptable completion bash)"                 in ~/.bashrc
  zsh    eval "$(snaptable completion zsh)"                  in ~/.zshrc
  fish   snaptable completion fish | source                  in ~/.config/fish/config.fish"""

COMMANDS: tuple[click.Command, ...] = (
    Command(
        "serve",
        [
            click.Argument(["target"], metavar="MODULE:CLASS | FILE.json"),
            option(
                "-s",
                "--store",
                "store",
                metavar="STORE",
                help="The store's directory. [default: of a class as other commands have it, of a file beside it]",
            ),
            option("--host", default="127.0.0.1", metavar="ADDRESS", help="Where to listen. [default: this machine]"),
            option("--port", type=click.IntRange(0, 65535), default=8000, metavar="N", help="[default: 8000; 0 any]"),
            option(
                "--name", "names", multiple=True, metavar="HOST", help="A name it may be asked by besides localhost."
            ),
            flag("--open", "open_browser", help="Open it in the browser."),
            click.Option(["--admin/--no-admin"], default=True, help="The admin page. [default: yes, if installed]"),
            option("--save-models", metavar="FILE.py", help="Write the models that were inferred."),
        ],
        SERVE,
        short_help="REST, live feed and admin for a database or a JSON file",
    ),
    Command(
        "completion",
        [click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"]))],
        COMPLETION,
        short_help="what makes the shell complete names",
    ),
)
