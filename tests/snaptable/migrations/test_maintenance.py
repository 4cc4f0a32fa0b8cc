"""Stores that have seen migrations, looked after by the other tools: none of these forgets a name."""

import json
import shutil
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from tests.snaptable.cli.support import command
from tests.snaptable.migrations.support import fill as fill_store
from tests.snaptable.migrations.support import library, rows_in

from snaptable import Database, SchemaMismatch, SnapshotEdited, StoreNewer
from snaptable.migrations import Migration, rename

OLD = library(docs={"title": (str, ...)})
NAMES = Migration("names", rename("docs.title", to="name"))
NEW = library([NAMES], docs={"name": (str, ...)})
ROWS: list[dict[str, Any]] = [{"id": key, "name": f"name {key}"} for key in (1, 2)]


@pytest.fixture(params=["migrated", "fresh"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a store with two rows: migrated, or made by the newer program from the start."""
    if request.param == "fresh":
        fill_store(tmp_path / "s", NEW, docs=ROWS)
    else:
        fill_store(tmp_path / "s", OLD, docs=[{"id": row["id"], "title": row["name"]} for row in ROWS])
        assert rows_in(tmp_path / "s", NEW)["docs"] == ROWS
    return tmp_path / "s"


def has_seen(directory: Path) -> bool:
    """Return whether the snapshot's header, and opening, know the name."""
    header = json.loads((directory / "db_snapshot.json").read_bytes())["snaptable"]
    assert rows_in(directory, NEW, migrate="manual")["docs"]
    with pytest.raises(StoreNewer):
        OLD(directory, banner=False).open()
    return bool(header.get("migrations") == ["names"] and header["format"] == 2)


def test_repair_keeps_the_names(store: Path) -> None:
    """From the journal, or from a snapshot beside a damaged journal."""
    copy = Path(shutil.copytree(store, store.with_name("copy")))
    (store / "db_snapshot.json").write_bytes(b"{")
    assert command("repair", store, "--yes").status == 0
    assert rows_in(store, NEW)["docs"] == ROWS
    assert has_seen(store)
    last = max((copy / "db_journal").iterdir(), key=lambda path: int(path.stem))
    last.write_bytes(last.read_bytes()[:-40] + b"x" * 40)
    command("repair", copy, "--yes")
    assert rows_in(copy, NEW)["docs"] == ROWS
    assert has_seen(copy)


@pytest.mark.parametrize("with_journal", [True, False])
def test_an_accepted_edit_keeps_the_names(store: Path, *, with_journal: bool) -> None:
    """Whether the state before is known or not, in any layout."""
    if not with_journal:
        shutil.rmtree(store / "db_journal")
    path = store / "db_snapshot.json"
    for edit in (lambda text: text.replace("name 1", "one"), lambda text: json.dumps(json.loads(text), indent=1)):
        path.write_text(edit(path.read_text()))
        with pytest.raises(SnapshotEdited):
            NEW(store, banner=False).open()
        assert command("accept", store, "--yes").status == 0
    assert [row["name"] for row in rows_in(store, NEW)["docs"]] == ["one", "name 2"]
    assert has_seen(store)


def test_a_snapshot_from_before_a_migration_is_not_accepted_behind_it(tmp_path: Path) -> None:
    """It says how to go back; that works, with the program of that time."""
    fill_store(tmp_path / "s", OLD, docs=[{"id": 1, "title": "a"}])
    rows_in(tmp_path / "s", NEW)
    shutil.copy(tmp_path / "s" / "db_before" / "1.json", tmp_path / "s" / "db_snapshot.json")
    for program in (OLD, NEW):
        with pytest.raises((SnapshotEdited, StoreNewer)):
            program(tmp_path / "s", banner=False).open()
    assert command("accept", tmp_path / "s", "--yes").says("before the migrations 'names'", "db_journal").status == 1
    (tmp_path / "s" / "db_journal").rename(tmp_path / "journal")
    assert rows_in(tmp_path / "s", OLD)["docs"] == [{"id": 1, "title": "a"}]
    assert rows_in(tmp_path / "s", NEW)["docs"] == [{"id": 1, "name": "a"}]


def test_a_backup_has_the_names_and_an_older_one_is_migrated(store: Path, tmp_path: Path) -> None:
    """Restored, it opens without migrating again; one from before is migrated at its opening."""
    with NEW(store, banner=False) as db:
        db.backup(tmp_path / "new.zip")
    fill_store(tmp_path / "old", OLD, docs=[{"id": 7, "title": "seven"}])
    with OLD(tmp_path / "old", banner=False) as old:
        old.backup(tmp_path / "old.zip")
    with ZipFile(tmp_path / "new.zip") as archive:
        assert "db_snapshot.json" in archive.namelist()
    assert command("restore", tmp_path / "new.zip", tmp_path / "r1", "--yes").status == 0
    assert has_seen(tmp_path / "r1")
    assert command("restore", tmp_path / "old.zip", tmp_path / "r2", "--yes").status == 0
    assert rows_in(tmp_path / "r2", NEW)["docs"] == [{"id": 7, "name": "seven"}]


@pytest.mark.parametrize("new", [NEW, library(docs={"title": (str, ...), "city": (str, "Bern")})])
def test_a_backup_is_restored_to_a_moment_before(tmp_path: Path, new: type[Database]) -> None:
    """Before a migration, or before what was filled in: the program of that time opens it, and the newer one again."""
    fill_store(tmp_path / "s", OLD, docs=[{"id": 1, "title": "a"}])
    with new(tmp_path / "s", banner=False) as db:
        db.tables["docs"].delete(1)
        db.backup(tmp_path / "new.zip")
    for program in (OLD, new):
        target = tmp_path / program.__name__ / str(id(program))
        target.parent.mkdir(exist_ok=True)
        assert command("restore", tmp_path / "new.zip", target, "--at", "1", "--yes").status == 0
        (row,) = rows_in(target, program)["docs"]
        assert "a" in row.values()


def test_a_reader_that_is_refreshed_past_a_migration_says_so(tmp_path: Path) -> None:
    """It can't show rows of another shape; a reader of the newer program reads on."""
    fill_store(tmp_path / "s", OLD, docs=[{"id": 1, "title": "a"}])
    with OLD(tmp_path / "s", banner=False, read_only=True) as reader:
        rows_in(tmp_path / "s", NEW)
        with pytest.raises((StoreNewer, SchemaMismatch)):
            reader.refresh()
        assert [dict(row) for row in reader.tables["docs"]] == [{"id": 1, "title": "a"}]
    with NEW(tmp_path / "s", banner=False) as db, NEW(tmp_path / "s", banner=False, read_only=True) as late:
        db.tables["docs"].create(id=2, name="b")
        late.refresh()
        assert late.tables["docs"].count() == 2
