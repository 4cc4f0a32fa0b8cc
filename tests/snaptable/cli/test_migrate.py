"""`snaptable migrate`: what is pending is shown step by step, and applied only when it was agreed to."""

from pathlib import Path
from typing import Annotated

import pytest
from tests.snaptable.cli.support import command, unchanged

from snaptable import Database, Row, Secret, Table
from snaptable.migrations import Migration, add, each, rename, retype


class Doc(Row):
    id: int
    title: str
    password: str = "hush"


class Old(Database):
    docs: Table[Doc]


class Paper(Row):
    id: int
    name: str
    hash: Annotated[str, Secret()]
    pages: int


class New(Database):
    docs: Table[Paper]
    migrations = [  # noqa: RUF012
        Migration("names", rename("docs.title", to="name"), rename("docs.password", to="hash")),
        Migration("pages", add("docs.pages", 1), each("docs", lambda row: None if row["id"] == 5 else row)),
    ]


class Wrong(Database):
    docs: Table[Paper]
    migrations = [New.migrations[0], Migration("pages", retype("docs.name", using=int))]  # noqa: RUF012


class Without(Database):
    docs: Table[Paper]


class City(Doc):
    city: str = "Bern"


class Filled(Database):
    docs: Table[City]


NEW, OLD = f"{__name__}:New", f"{__name__}:Old"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of five rows."""
    with Old(tmp_path / "s", banner=False) as db:
        db.docs.insert_many(Doc(id=key, title=f"title {key}") for key in range(1, 6))
    return tmp_path / "s"


def test_a_dry_run_shows_each_step_and_changes_nothing(store: Path) -> None:
    """Rows touched, three of them before and after, secrets masked; beside a writer too."""
    with Old(store, banner=False):
        result = unchanged(store, "migrate", store, "--schema", NEW, "--dry-run")
    result = unchanged(store, "migrate", store, "--schema", NEW, "--dry-run")
    assert result.status == 0
    result.says(
        "1. names",
        'rename("docs.title", to="name"): 5 rows of docs',
        '- {"id": 1, "title": "title 1"',
        '+ {"id": 1, "name": "title 1"',
        "2. pages",
        'add("docs.pages", 1): 5 rows of docs',
        'each("docs", <lambda>): 1 row of docs',
        "+ (no docs 5)",
    )
    assert "hush" not in result.out
    assert "title 4" not in result.out


def test_it_is_applied_when_it_was_agreed_to(store: Path) -> None:
    """Once; then nothing is pending."""
    assert unchanged(store, "migrate", store, "--schema", NEW, answer="n\n").says("Nothing was changed").status == 1
    assert command("migrate", store, "--schema", NEW, answer="y\n").says("Done", "sequence 2", "4 docs").status == 0
    assert unchanged(store, "migrate", store, "--schema", NEW).says("nothing is pending").status == 0
    with New(store, banner=False, migrate="manual") as db:
        assert [row.name for row in db.docs] == [f"title {key}" for key in range(1, 5)]
    assert unchanged(store, "migrate", store, "--schema", OLD).says("newer version").status == 1


def test_what_would_be_refused_is_a_problem(store: Path) -> None:
    """With its place, or with the line to paste."""
    result = unchanged(store, "migrate", store, "--schema", f"{__name__}:Wrong", "--yes")
    assert result.says("problem", "'pages'", "docs['1']", "ValueError").status == 1
    result = unchanged(store, "migrate", store, "--schema", f"{__name__}:Without", "--yes")
    assert result.says("problem", 'rename("docs.title", to="name")').status == 1


def test_what_is_filled_in_by_itself_is_shown_and_applied_too(store: Path) -> None:
    """A new field with a default."""
    filled = f"{__name__}:Filled"
    assert (
        unchanged(store, "migrate", store, "--schema", filled, "--dry-run").says("docs.city", "by itself").status == 0
    )
    assert command("migrate", store, "--schema", filled, "--yes").says("Done").status == 0
    assert command("migrate", store, "--schema", filled).says("nothing is pending").status == 0


def test_without_a_schema_the_models_that_opened_it_last_are_taken(store: Path) -> None:
    """Else it is a wrong call."""
    assert command("migrate", store).says("nothing is pending").status == 0
    (store / "db.lock").unlink()
    assert command("migrate", store).says("--schema").status == 2


def test_check_says_what_is_pending(store: Path) -> None:
    """As a notice; what would fail is a problem, what to write is named."""
    result = unchanged(store, "check", store, "--schema", NEW)
    assert result.says("notice", "would apply the migrations 'names', 'pages'", "5 rows").status == 0
    result = unchanged(store, "check", store, "--schema", f"{__name__}:Wrong")
    assert result.says("problem", "'pages'", "ValueError").status == 1
    result = unchanged(store, "check", store, "--schema", f"{__name__}:Without")
    assert result.says("problem", 'rename("docs.title", to="name")').status == 1
    command("migrate", store, "--schema", NEW, "--yes")
    assert unchanged(store, "check", store, "--schema", NEW).says("sound").status == 0
    assert unchanged(store, "check", store).says("sound", "sequence 2").status == 0
    assert unchanged(store, "check", store, "--schema", OLD).says("newer version").status == 1
