"""The examples of the documentation are run: each docstring's on a database of its own."""

import doctest
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import snaptable
from snaptable import Database, Row, Table
from snaptable.database.lifecycle import Lifecycle
from snaptable.query.grouped import Grouped
from snaptable.query.questions import Questions

MODULES = [
    "",
    "changes.attribution",
    "conditions.aggregates",
    "conditions.columns",
    "conditions.constructors",
    "contract",
    "database.database",
    "database.declarations",
    "database.lifecycle",
    "errors",
    "history.history",
    "query.grouped",
    "query.query",
    "query.questions",
    "schema.markers",
    "schema.on_update",
    "schema.row",
    "schema.tables",
    "secrets",
    "table",
]


class User(Row):
    id: str
    age: int = 0


class Library(Database):
    users: Table[User]


def examples() -> Iterator[doctest.DocTest]:
    """Give the examples of every docstring that has some."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in MODULES:
        module = import_module(f"snaptable.{name}".rstrip("."))
        yield from (found for found in finder.find(module) if found.examples)


@pytest.mark.parametrize("example", [pytest.param(found, id=found.name) for found in examples()])
def test_example(example: doctest.DocTest, capsys: pytest.CaptureFixture[str]) -> None:
    """What an example prints is what it says. Its database holds ann and ben, as `Table` describes."""
    names: dict[str, Any] = {name: getattr(snaptable, name) for name in snaptable.__all__}
    with Library("memory:") as db:
        db.users.insert_many([User(id="ann", age=31), User(id="ben", age=25)])
        example.globs |= {**names, "__name__": __name__, "User": User, "Library": Library, "db": db}
        failed, _ = doctest.DocTestRunner(verbose=False).run(example, clear_globs=False)
    assert failed == 0, capsys.readouterr().out


def _public() -> Iterator[tuple[str, object]]:
    for kind in (Database, Lifecycle, Table, snaptable.Query, Questions, Grouped):
        for name, member in vars(kind).items():
            if not name.startswith("_"):
                yield f"{kind.__name__}.{name}", member
    for name in ("Row", "PrimaryKey", "Unique", "Index", "ForeignKey", "numbered", "new_id", "utc_now", "table"):
        yield name, getattr(snaptable, name)
    for name in ("asc", "contains", "desc", "inserted", "one_of", "starts_with", "Avg", "Count", "Max", "Min", "Sum"):
        yield name, getattr(snaptable, name)


WITHOUT_EXAMPLE = {"Database.import_legacy", "Database.migrations", "Database.backup_folders"}


@pytest.mark.parametrize(("name", "member"), [pytest.param(*found, id=found[0]) for found in _public()])
def test_every_public_name_has_an_example(name: str, member: Any) -> None:
    """Whoever calls help() on a method sees it used; properties say in a line what they are."""
    if isinstance(member, property):
        assert member.fget is not None
        assert member.fget.__doc__
    else:
        assert member.__doc__
        assert ">>> " in member.__doc__ or name in WITHOUT_EXAMPLE
