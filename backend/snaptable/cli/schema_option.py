"""The option `--schema MODULE:DATABASE`: the Database class whose models rows are checked against."""

import importlib
import sys
from contextlib import redirect_stdout
from pathlib import Path

from snaptable import Database, SchemaError
from snaptable.cli.common import UsageError


def load_last(name: str) -> tuple[type[Database] | None, str]:
    """Return the Database class that opened a store last, if it can be imported here, and what to say of that.

    Args:
        name: the class as `module:Class`, "" if it is unknown.
    """
    if not name:
        return None, "without --schema MODULE:DATABASE types and constraints were not checked."
    try:
        with redirect_stdout(sys.stderr):
            models = load_schema(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the module does, the command goes on without
        reason = str(error).removeprefix(f"--schema {name}: ")
        last = f"{name}, which opened the store last, can't be imported here ({reason})"
        return None, f"types and constraints were not checked: {last}; see --schema MODULE:DATABASE."
    return models, f"Checked against {name}, which opened the store last; --schema MODULE:DATABASE names others."


def load_schema(name: str | None, option: str = "--schema") -> type[Database] | None:
    """Return the Database class that `module:Class` names, None for None; modules in the working directory count.

    Raises:
        UsageError: the module or the class does not exist, or is not a Database.
    """
    if name is None:
        return None
    module_name, colon, class_name = name.partition(":")
    if not (module_name and colon and class_name):
        raise UsageError(f"{option} {name}: write MODULE:DATABASE, e.g. app.main:Library")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        database = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, SchemaError) as error:
        raise UsageError(f"{option} {name}: {error}") from error
    if not (isinstance(database, type) and issubclass(database, Database)):
        raise UsageError(f"{option} {name}: {class_name} is not a Database")
    return database
