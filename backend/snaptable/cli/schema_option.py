"""The option `--schema MODULE:DATABASE`: the Database class whose models rows are checked against."""

import argparse
import importlib
import sys
from pathlib import Path

from snaptable import Database, SchemaError
from snaptable.cli.common import UsageError


def add_schema(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--schema", metavar="MODULE:DATABASE", help="check rows against the models too, e.g. app.main:Library"
    )


def load_schema(name: str | None) -> type[Database] | None:
    """Return the Database class that `module:Class` names, None for None; modules in the working directory count.

    Raises:
        UsageError: the module or the class does not exist, or is not a Database.
    """
    if name is None:
        return None
    module_name, colon, class_name = name.partition(":")
    if not (module_name and colon and class_name):
        raise UsageError(f"--schema {name}: write MODULE:DATABASE, e.g. app.main:Library")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        database = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, SchemaError) as error:
        raise UsageError(f"--schema {name}: {error}") from error
    if not (isinstance(database, type) and issubclass(database, Database)):
        raise UsageError(f"--schema {name}: {class_name} is not a Database")
    return database
