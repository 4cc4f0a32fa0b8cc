"""The option `--schema MODULE:DATABASE`: the Database class whose models rows are checked against."""

import ast
import importlib
import importlib.util
import sys
from contextlib import redirect_stdout
from importlib.machinery import PathFinder
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
        _check_defined(name)
        with redirect_stdout(sys.stderr):
            models = load_schema(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the module does, the command goes on without
        reason = str(error).removeprefix(f"--schema {name}: ")
        last = f"{name}, which opened the store last, can't be imported here ({reason})"
        return None, f"types and constraints were not checked: {last}; see --schema MODULE:DATABASE."
    return models, f"Checked against {name}, which opened the store last; --schema MODULE:DATABASE names others."


def _check_defined(name: str) -> None:
    """Refuse a name that a store has for its models, unless a module here defines that class; nothing is imported.

    The store, or the backup, may be a stranger's, and any program that lies here be what it names.

    Raises:
        UsageError: no such module is here, or it has no such class.
    """
    module, _, class_name = name.partition(":")
    _look_here()
    first, *inner = module.split(".")
    spec = importlib.util.find_spec(first) if first.isidentifier() else None
    for part in inner:
        spec = None if spec is None else PathFinder.find_spec(part, spec.submodule_search_locations or [])
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UsageError(f"No module named {first!r}" if not inner or spec is None else f"{module} is no module here")
    tree = ast.parse(Path(spec.origin).read_bytes())
    if not any(isinstance(each, ast.ClassDef) and each.name == class_name and each.bases for each in ast.walk(tree)):
        raise UsageError(f"module {module!r} has no attribute {class_name!r} that is a class")


def _look_here() -> None:
    """Have modules in the working directory found."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)


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
    _look_here()
    try:
        database = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, SchemaError) as error:
        raise UsageError(f"{option} {name}: {error}") from error
    if not (isinstance(database, type) and issubclass(database, Database)):
        raise UsageError(f"{option} {name}: {class_name} is not a Database")
    return database
