"""The store and the models that are meant when a command names none: the environment, then the project."""

import os
from dataclasses import dataclass
from pathlib import Path

from snaptable.cli.common import UsageError

DEFAULT_STORE = "data"


@dataclass(frozen=True)
class Project:
    """What `[tool.snaptable]` of a pyproject.toml says.

    Attributes:
        folder: where the file is; paths are relative to it.
        store: the store; None if it names none.
        schema: the Database class as `module:Class`; None likewise.
    """

    folder: Path
    store: str | None = None
    schema: str | None = None


def find_project() -> Project | None:
    """Return what the nearest pyproject.toml here or above says that has `[tool.snaptable]`; None without.

    Raises:
        UsageError: it is not TOML, or says something else.
    """
    import tomllib

    for folder in (Path.cwd(), *Path.cwd().parents):
        path = folder / "pyproject.toml"
        try:
            plain = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError:
            continue
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: {error}") from None
        tool = plain.get("tool")
        told = tool.get("snaptable") if isinstance(tool, dict) else None
        if told is not None:
            return _project(path, told)
    return None


def _project(path: Path, told: object) -> Project:
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise UsageError(f'{path}: [tool.snaptable] has texts: store = "data", schema = "app.main:Library"')
    unknown = set(told) - {"store", "schema"}
    if unknown:
        raise UsageError(f"{path}: [tool.snaptable] has store and schema, not {min(unknown)}")
    return Project(path.parent, told.get("store"), told.get("schema"))


def store_of(given: str | None) -> str:
    """Return the store that is meant: the one given, else of SNAPTABLE_STORE, the project, or "data"."""
    named = given or os.environ.get("SNAPTABLE_STORE")
    if named:
        return named
    project = find_project()
    if project is None or project.store is None:
        return DEFAULT_STORE
    return project.store if "://" in project.store else os.path.normpath(project.folder / project.store)


def schema_of(given: str | None, store: str) -> str | None:
    """Return the Database class that is meant, as `module:Class`; None if nothing names one.

    The project's is that of the project's own store: another store has other models.
    """
    named = given or os.environ.get("SNAPTABLE_SCHEMA")
    if named:
        return named
    project = find_project()
    if project is None or project.schema is None:
        return None
    own = project.store if project.store is not None else DEFAULT_STORE
    is_own = store == own if "://" in store else _resolved(project.folder / own) == _resolved(Path(store))
    return project.schema if is_own else None


def _resolved(path: Path) -> str:
    return os.path.realpath(path)
