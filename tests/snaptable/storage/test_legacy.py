"""Taking over the older format: every row or none, its maps ignored, its bytes kept."""

import copy
import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field
from tests.snaptable.storage.support import JOURNAL, QUARANTINE, SNAPSHOT, parse_snapshot, tree

from snaptable import (
    CorruptSnapshot,
    Database,
    ForeignKey,
    LegacySnapshot,
    OpenError,
    Row,
    SchemaMismatch,
    Table,
    Unique,
    UnsupportedFormat,
)

Plain = dict[str, dict[str, Any]]


class Owner(Row):
    id: str
    email: Annotated[str, Unique()]
    age: int = 0


class Paper(Row):
    id: str
    user_id: Annotated[str, ForeignKey(Owner, on_delete="cascade")]
    filename: str
    metadata: dict[str, Any] = Field(default_factory=dict)


class Archive(Database):
    users: Table[Owner]
    documents: Table[Paper]


OLD: Plain = {
    "users": {
        "2": {"id": "2", "email": "b@x", "age": 40},
        "1": {"id": "1", "email": "ä@x"},
    },
    "documents": {
        "d1": {"id": "d1", "user_id": "1", "filename": "a.pdf", "metadata": {"k": [1, None, {"x": 1e22}]}},
        "d2": {"id": "d2", "user_id": "2", "filename": 'odd "name",\n.pdf', "metadata": {}},
    },
    "extractions": {},
    "users_by_email": {"b@x": "2", "ä@x": "1", "gone@x": "9"},
    "documents_by_user": {"1": ["d1"], "2": [], "9": ["d9", "d8"]},
}


def put(directory: Path, plain: object) -> bytes:
    """Put a file of the older format in a directory; return its bytes."""
    directory.mkdir(mode=0o700, exist_ok=True)
    data = json.dumps(plain, indent=2).encode()
    (directory / SNAPSHOT).write_bytes(data)
    return data


def changed(**changes: object) -> Plain:
    """Return the old file's content with some of its tables changed."""
    return {**copy.deepcopy(OLD), **changes}  # type: ignore[dict-item]


def expect_refusal(directory: Path, kind: type[OpenError], *words: str) -> None:
    """Check that a directory is not taken over, says why, and is as it was."""
    before = tree(directory)
    with pytest.raises(OpenError) as raised, Archive(directory, fsync=False):
        pytest.fail("it was taken over")
    assert type(raised.value) is kind, raised.value
    for word in words:
        assert word in str(raised.value)
    assert tree(directory) == before


def test_a_file_that_fits(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ensure rows become rows in their order, maps are ignored, and the old bytes are kept aside before all else."""
    data = put(directory, OLD)
    with caplog.at_level("INFO", "snaptable"), Archive(directory, fsync=False) as db:
        assert [user.id for user in db.users.where().all()] == ["2", "1"]
        assert db.users["1"] == Owner(id="1", email="ä@x", age=0)
        assert db.documents["d1"].metadata == {"k": [1, None, {"x": 1e22}]}
        assert db.documents["d2"].filename == 'odd "name",\n.pdf'
        assert db.check() == []
        assert db.users.where(Owner.email == "b@x").one().id == "2"
        header, rows = parse_snapshot((directory / SNAPSHOT).read_bytes())
        assert header["rows"] == {"users": 2, "documents": 2}
        assert list(rows["users"]) == ["2", "1"]
        db.users.insert(Owner(id="3", email="c@x"))
    assert "Recovered: 2 users, 2 documents" in caplog.messages
    (kept,) = (directory / QUARANTINE).iterdir()
    assert kept.read_bytes() == data
    assert kept.name in caplog.text
    with Archive(directory, fsync=False) as db:
        assert db.users.count() == 3
    assert list((directory / QUARANTINE).iterdir()) == [kept]


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (changed(users={"1": {"id": "1", "email": 5}}, documents={}), ["users", "1", "email"]),
        (changed(users={"1": {"id": "1"}}, documents={}), ["users", "1", "email"]),
        (changed(users={"1": {"id": "1", "email": "a", "admin": True}}, documents={}), ["users", "1", "admin"]),
        (changed(users={"1": {"id": "2", "email": "a"}}, documents={}), ["users", "1", "id"]),
        (changed(users={"1": {"email": "a"}}, documents={}), ["users", "1", "id"]),
        (
            changed(users={"1": {"id": "1", "email": "a"}, "2": {"id": "2", "email": "a"}}, documents={}),
            ["users", "2", "email"],
        ),
        (changed(users={}), ["documents", "d1", "d2", "user_id"]),
        (changed(users={"1": "damaged", "2": ["x"]}, documents={}), ["users", "1"]),
        (changed(users={"1": {"id": "1", "email": "a"}, "2": None}, documents={}), ["users", "2"]),
        (changed(users={"1": []}, documents={}), ["users", "1"]),
    ],
    ids=["type", "missing", "unknown", "key", "no key", "unique", "foreign key", "texts", "null", "list"],
)
def test_a_row_that_does_not_fit(directory: Path, plain: Plain, words: list[str]) -> None:
    """Ensure it is reported by table, key and field, and nothing at all is changed."""
    put(directory, plain)
    expect_refusal(directory, SchemaMismatch, *words)


def test_all_that_does_not_fit_is_listed(directory: Path) -> None:
    """Ensure the report goes on over every table."""
    put(
        directory,
        changed(users={"1": {"id": "1", "email": 5}, "2": {"id": "2"}}, documents={"d": {"id": "d", "user_id": "1"}}),
    )
    expect_refusal(directory, SchemaMismatch, "'1'", "'2'", "'d'", "email", "filename")


@pytest.mark.parametrize(
    "unknown",
    [{"p": {"id": "p"}}, {"theme": "dark"}, {"a": ["x"]}, {"n": 5}, {"p": {}}],
    ids=["rows", "texts", "lists", "numbers", "empty row"],
)
def test_a_table_nobody_knows(directory: Path, unknown: object) -> None:
    """Ensure a map that is neither a table of ours nor derived is refused by name, unless it is empty."""
    put(directory, changed(projects=unknown))
    expect_refusal(directory, SchemaMismatch, "projects")
    put(directory, changed(projects={}))
    with Archive(directory, fsync=False) as db:
        assert db.users.count() == 2


class Diary(Database):
    notes_by_day: Table[Owner]


def test_a_table_named_like_a_derived_map(directory: Path) -> None:
    """Ensure a table of ours is never taken for a map to rebuild, whatever its name and its values."""
    put(directory, {"notes_by_day": {"1": "text", "2": ["x"]}})
    before = tree(directory)
    with pytest.raises(SchemaMismatch, match="notes_by_day"), Diary(directory, fsync=False):
        pytest.fail("its rows were dropped")
    assert tree(directory) == before
    put(directory, {"notes_by_day": {"1": {"id": "1", "email": "a"}}})
    with Diary(directory, fsync=False) as db:
        assert db.notes_by_day["1"].email == "a"


@pytest.mark.parametrize("missing", ["users_by_email", "documents_by_user", "extractions", "documents"])
def test_missing_maps(directory: Path, missing: str) -> None:
    """Ensure an older file that lacks a map, derived or not, is taken over."""
    plain = changed()
    del plain[missing]
    put(directory, plain)
    with Archive(directory, fsync=False) as db:
        assert db.users.count() == 2


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ('{"users": {"1": {"id": "1", "email": "a"}, "1": {"id": "1", "email": "b"}}}', CorruptSnapshot, ["twice"]),
        ('{"users": {}, "users": {}}', CorruptSnapshot, ["twice", "users"]),
        ('{"users": {"1": {"id": "1", "email": "a", "age": NaN}}}', CorruptSnapshot, ["NaN"]),
        ('{"users": {"1": {"id": "1", "email": "\\ud800"}}}', CorruptSnapshot, []),
        ('{"users": {"1": {"id": "1", "email": "a"}}', CorruptSnapshot, ["byte"]),
        ('{"users": {"1": {"id": "1", "email": "a"}}},', CorruptSnapshot, ["byte"]),
        ('{"users": [{"id": "1"}]}', UnsupportedFormat, []),
        ('[{"id": "1"}]', UnsupportedFormat, []),
        ('{"users": {}, "version": 3}', UnsupportedFormat, ['"version" is a number']),
        ('{"users": {}, "documents": []}', UnsupportedFormat, ['"documents" is a list']),
        ('{"users": null, "documents": {}}', UnsupportedFormat, ['"users" is null']),
        ('{"users": "", "documents": true}', UnsupportedFormat, ['"users" is a text', '"documents" is a truth value']),
        ('"users"', UnsupportedFormat, ["it is a text"]),
        ("null", UnsupportedFormat, ["it is null"]),
    ],
)
def test_a_file_that_is_not_of_the_format(directory: Path, text: str, kind: type[OpenError], words: list[str]) -> None:
    """Ensure damage and other shapes are refused as what they are."""
    directory.mkdir(mode=0o700)
    (directory / SNAPSHOT).write_text(text)
    expect_refusal(directory, kind, str(directory / SNAPSHOT), *words)


def test_not_beside_a_journal(directory: Path) -> None:
    """Ensure an older file put in place of a store's snapshot does not pass for its beginning."""
    with Archive(directory, fsync=False) as db:
        db.users.insert(Owner(id="x", email="x"))
    put(directory, OLD)
    expect_refusal(directory, OpenError, JOURNAL)


def test_not_for_reading_only(directory: Path) -> None:
    """Ensure read_only takes nothing over, says so, and changes nothing."""
    put(directory, OLD)
    before = tree(directory)
    with pytest.raises(OpenError, match="open it for writing"), Archive(directory, read_only=True):
        pytest.fail("it was opened")
    assert tree(directory) == before


class Converting(Archive):
    """Convert what the application knows better: addresses to lower case, papers of nobody set aside."""

    def import_legacy(self, old: LegacySnapshot) -> None:
        """Change, set aside and report rows."""
        for key, row in old.tables["users"].items():
            row["email"] = row["email"].lower()
            if row["email"].startswith("bad"):
                old.problem("users", key, "email", "is bad")
        for key, row in list(old.tables["documents"].items()):
            if row["user_id"] not in old.tables["users"]:
                old.set_aside("documents", key, "its user is gone")


def test_the_application_converts_and_sets_aside(directory: Path) -> None:
    """Ensure import_legacy() changes rows before they are validated; rows set aside are kept whole with the reason."""
    stray = {"id": "d3", "user_id": "9", "filename": "lost.pdf", "metadata": {"ü": 1}}
    data = put(directory, changed(documents={**OLD["documents"], "d3": stray}))
    with Converting(directory, fsync=False) as db:
        assert db.documents.count() == 2
        assert db.check() == []
    kept = {path.name: path.read_bytes() for path in (directory / QUARANTINE).iterdir()}
    assert len(kept) == 2
    assert data in kept.values()
    (aside,) = [json.loads(line) for content in kept.values() if content != data for line in content.splitlines()]
    assert aside["row"] == stray
    assert (aside["table"], aside["key"], aside["reason"]) == ("documents", "d3", "its user is gone")


def test_a_problem_the_application_reports(directory: Path) -> None:
    """Ensure a problem that import_legacy() reports refuses the file, beside those the models find."""
    put(directory, changed(users={"1": {"id": "1", "email": "BAD@x"}, "2": {"id": "2", "email": "B@x", "age": "old"}}))
    before = tree(directory)
    with pytest.raises(SchemaMismatch) as raised, Converting(directory, fsync=False):
        pytest.fail("it was taken over")
    for word in ("users", "'1'", "email", "is bad", "'2'", "age"):
        assert word in str(raised.value)
    assert tree(directory) == before


class KeepingMore(Archive):
    """Keep a file beside the rows."""

    def import_legacy(self, old: LegacySnapshot) -> None:
        """Ask for the file to be written."""
        old.before_saving(lambda: (old.directory / "extra").write_text("kept"))


@pytest.mark.parametrize(
    "plain",
    [
        changed(documents={**OLD["documents"], "d9": {"id": "d9", "user_id": "1", "filename": None}}),
        changed(documents={**OLD["documents"], "d9": {"id": "d9", "user_id": "gone", "filename": "a.pdf"}}),
        changed(users={**OLD["users"], "3": {"id": "3", "email": "b@x"}}),
    ],
    ids=["type", "foreign key", "unique"],
)
def test_nothing_beside_the_rows_is_written_before_all_fit(directory: Path, plain: Plain) -> None:
    """Ensure what the application keeps beside the rows is written after the last row, and the constraints, fit."""
    put(directory, plain)
    before = tree(directory)
    with pytest.raises(SchemaMismatch), KeepingMore(directory, fsync=False):
        pytest.fail("it was taken over")
    assert tree(directory) == before
    put(directory, OLD)
    with KeepingMore(directory, fsync=False):
        assert (directory / "extra").read_text() == "kept"


def test_what_cannot_be_kept_beside_the_rows_refuses_the_file(directory: Path) -> None:
    """Ensure an OSError of the application's own files leaves the old file as it is, and says what failed."""

    class Full(Archive):
        def import_legacy(self, old: LegacySnapshot) -> None:
            old.before_saving(lambda: (old.directory / "missing" / "extra").write_text(""))

    put(directory, OLD)
    before = tree(directory)
    with pytest.raises(OpenError, match=r"could not be taken over.*missing"), Full(directory, fsync=False):
        pytest.fail("it was taken over")
    assert tree(directory) == before


def test_an_error_in_the_conversion_changes_nothing(directory: Path) -> None:
    """Ensure an exception of the application leaves the file and the lock as they were."""

    class Broken(Archive):
        def import_legacy(self, old: LegacySnapshot) -> None:
            old.tables["users"].clear()
            raise ZeroDivisionError

    put(directory, OLD)
    before = tree(directory)
    with pytest.raises(ZeroDivisionError), Broken(directory, fsync=False):
        pass
    assert tree(directory) == before
    with Archive(directory, fsync=False) as db:
        assert db.users.count() == 2
