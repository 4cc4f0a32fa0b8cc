"""`assert_survives_restart`: names table, key and field of what would not come back equal, in any database."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from snaptable import Database, Row, Table
from snaptable.testing import assert_survives_restart
from snaptable.testing.survival import differences
from snaptable.values.sameness import same


class Draft(Row):
    id: int | None = None
    title: str
    parts: dict[str, list[float]] = Field(default_factory=dict)


class Desk(Database):
    drafts: Table[Draft]


@pytest.mark.parametrize("url", ["memory:", "data"])
def test_what_is_stored_survives(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open database whose rows all come back equal passes, wherever it is kept, and is left as it was."""
    monkeypatch.chdir(tmp_path)
    with Desk(url) as db:
        db.drafts.insert_many([Draft(title="one"), Draft(title="two", parts={"a": [0.1, -0.0]})])
        assert_survives_restart(db)
        assert db.drafts.where().count() == 2
        db.drafts.insert(Draft(title="three"))


@pytest.mark.parametrize("url", ["memory:", "data"])
def test_what_would_differ_is_named(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row in memory that is not the one in the files is named by table, key and field, with both values."""
    monkeypatch.chdir(tmp_path)
    with Desk(url) as db:
        db.drafts.insert(Draft(id=7, title="one"))
        other = {"drafts": [Draft(id=7, title="uno")]}
        shown = lambda database: rows_of(db) if database is db else other  # noqa: E731
        monkeypatch.setattr("snaptable.testing.survival.rows_of", shown)
        with pytest.raises(
            AssertionError, match=r"after a kill: drafts\[7\]\.title: 'one' came back as 'uno'"
        ) as raised:
            assert_survives_restart(db)
        assert "after a clean restart: drafts[7].title" in str(raised.value)


def rows_of(db: Database) -> dict[str, list[Any]]:
    """Return what a database shows."""
    return {name: table.where().all() for name, table in db.tables.items()}


def test_rows_that_are_missing_new_or_elsewhere_are_named() -> None:
    """Each kind of difference has its own words."""
    db = Desk("memory:")
    one, two, three = (Draft(id=number, title=str(number)) for number in (1, 2, 3))
    changed = two.model_copy(update={"title": "zwei"})
    reported = list(differences(db, {"drafts": [one, two]}, {"drafts": [changed, three]}))
    assert reported == [
        "drafts[1] is not there",
        "drafts[2].title: '2' came back as 'zwei'",
        "drafts[3] was not there before",
    ]
    reported = list(differences(db, {"drafts": [one, two]}, {"drafts": [two, one]}))
    assert reported == ["drafts: the rows come back in another order"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1,)),
        ({"a": 1}, {"a": 2}),
        ([1], [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_equal_is_not_enough(first: object, second: object) -> None:
    """Values that compare equal but are not the same to a program are told apart."""
    assert not same(first, second, strict=True)
    assert same(first, first, strict=True)


def test_a_file_that_would_not_open_is_reported(tmp_path: Path) -> None:
    """Damage that the open database does not know of yet is reported before the restart that would meet it."""
    with Desk(tmp_path / "data") as db:
        db.drafts.insert(Draft(title="one"))
        good = (tmp_path / "data" / "db_snapshot.json").read_bytes()
        (tmp_path / "data" / "db_snapshot.json").write_bytes(good[:-20])
        with pytest.raises(AssertionError, match="would not come back: CorruptSnapshot"):
            assert_survives_restart(db)
