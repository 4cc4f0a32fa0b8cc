"""An opening that migrates, crashed anywhere: the disk holds one state or the other, and the next one ends the same."""

from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.maintenance.support import lift
from tests.snaptable.migrations.support import library

from snaptable.maintenance.untyped import recover_untyped
from snaptable.migrations import Migration, each, rename, retype
from snaptable.silenced_log import silenced_log
from snaptable.storage.disk import names
from snaptable.testing.crash import Model, states_after
from snaptable.testing.disk import SimulatedDisk

OLD = library(docs={"title": (str, ...), "tags": (str, "")})
NEW = library(
    [
        Migration("names", rename("docs.title", to="name")),
        Migration("tags", retype("docs.tags", using=lambda text: text.split(",")), each("docs", lambda row: row)),
    ],
    docs={"name": (str, ...), "tags": (list[str], ...)},
)
WANTED = [{"id": key, "name": f"title {key}" * 20, "tags": ["a", "b"]} for key in (1, 2, 3)]


@pytest.mark.parametrize("way", ["closed", "killed"])
@pytest.mark.parametrize("model", ["kill", "ordered", "weak"])
def test_a_crash_at_any_point(tmp_path: Path, model: Model, way: str) -> None:
    """Ensure that the store is as before or migrated, never between; with the snapshot before it kept in the end."""
    db = OLD(tmp_path / "s", banner=False, fsync=False).open()
    for key in (1, 2, 3):
        db.tables["docs"].create(id=key, title=f"title {key}" * 20, tags="a,b")
    if way == "killed":
        first = lift(tmp_path / "s")
        db.close()
    else:
        db.close()
        first = lift(tmp_path / "s")
    before = recover_untyped(first, first.read(names.SNAPSHOT)).pages.render()
    began = len(first.operations)
    with silenced_log():
        NEW(first.root, banner=False, filesystem=first.mount).open().close()
    after = recover_untyped(first, first.read(names.SNAPSHOT)).pages.render()
    seen: set[bool] = set()
    for point in range(began, len(first.operations) + 1):
        for state in states_after(first, point, model, max_states=25):
            disk = SimulatedDisk(state)
            found = recover_untyped(disk, disk.read(names.SNAPSHOT))
            assert (found.sequence, found.pages.render()) in ((3, before), (4, after)), point
            seen.add(found.sequence == 4)
            with silenced_log(), NEW(disk.root, banner=False, filesystem=disk.mount) as again:
                rows: list[Any] = [dict(row) for row in again.tables["docs"]]
                assert (again.history.sequence, rows) == (4, WANTED), point
                assert next(iter(again.history)).migrations == ("names", "tags")
            assert b'"title":' in disk.read(names.before(3))
            assert recover_untyped(disk, disk.read(names.SNAPSHOT)).pages.render() == after
    assert seen == {False, True}
