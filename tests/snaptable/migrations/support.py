"""What the tests of migrations share: database classes made from fields, and stores left by an older program."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import create_model

from snaptable import Database, Row, Table


def library(migrations: object = (), /, **tables: dict[str, Any]) -> type[Database]:
    """Make a Database class from the fields of each table, as `create_model` takes them; `id` is added as an int."""
    models = {
        name: create_model(f"Row_{name}", __base__=Row, **({"id": (int, ...)} | fields))
        for name, fields in tables.items()
    }
    body = {
        "__module__": __name__,
        "__annotations__": {name: Table[model] for name, model in models.items()},  # type: ignore[valid-type]
        "migrations": migrations,
    }
    return type("Library", (Database,), body)


def fill(directory: Path, database: type[Database], **rows: Sequence[dict[str, Any]]) -> None:
    """Write rows to each table, a commit each, and close."""
    with database(directory, banner=False, fsync=False) as db:
        for table, each in rows.items():
            for row in each:
                db.tables[table].create(**row)


def rows_in(directory: Path, database: type[Database], **options: Any) -> dict[str, list[dict[str, Any]]]:
    """Open, check that all is sound, and return the rows of every table in their order."""
    with database(directory, banner=False, fsync=False, **options) as db:
        assert db.check() == []
        return {name: [row.model_dump(mode="json") for row in table.where()] for name, table in db.tables.items()}


def names_in(directory: Path, database: type[Database]) -> list[tuple[str, ...]]:
    """Return the migrations of each commit that has some, oldest first."""
    with database(directory, banner=False, fsync=False) as db:
        return [commit.migrations for commit in db.history.commits(oldest_first=True) if commit.migrations]
