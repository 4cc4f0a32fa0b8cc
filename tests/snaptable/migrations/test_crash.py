"""An opening that migrates, crashed anywhere: the disk holds one state or the other, and the next one ends the same."""

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.maintenance.support import lift
from tests.snaptable.migrations.support import library

from snaptable import MigrationNeeded, OpenError, WriteFailed
from snaptable.changes.records import CommitRecord
from snaptable.maintenance.untyped import recover_untyped
from snaptable.migrations import Migration, each, rename, retype
from snaptable.runtime.silenced_log import silenced_log
from snaptable.storage import store
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import segment as segment_module
from snaptable.storage.journal.segment import Segment
from snaptable.testing.crash import MODELS, Model, states_after
from snaptable.testing.disk import SimulatedDisk
from snaptable.testing.faults import How

OLD = library(docs={"title": (str, ...), "tags": (str, "")})
NEW = library(
    [
        Migration("names", rename("docs.title", to="name")),
        Migration("tags", retype("docs.tags", using=lambda text: text.split(",")), each("docs", lambda row: row)),
    ],
    docs={"name": (str, ...), "tags": (list[str], ...)},
)
WANTED = [{"id": key, "name": f"title {key}" * 20, "tags": ["a", "b"]} for key in (1, 2, 3)]


def left_behind(directory: Path, way: str) -> SimulatedDisk:
    """Return a disk as an older program left it: closed, or killed."""
    db = OLD(directory, banner=False, fsync=False).open()
    for key in (1, 2, 3):
        db.tables["docs"].create(id=key, title=f"title {key}" * 20, tags="a,b")
    if way == "closed":
        db.close()
    disk = lift(directory)
    db.close()
    return disk


def search(first: SimulatedDisk, model: Model) -> set[str]:
    """Migrate, crash at every point in every way, and return which states the crashes left behind.

    Raises:
        AssertionError: some crash left another state, or the next opening makes something else of it.
    """
    before = recover_untyped(first, first.read(names.SNAPSHOT)).pages.render()
    began = len(first.operations)
    with silenced_log():
        NEW(first.root, banner=False, filesystem=first.mount).open().close()
    after = recover_untyped(first, first.read(names.SNAPSHOT)).pages.render()
    seen: set[str] = set()
    for point in range(began, len(first.operations) + 1):
        for state in states_after(first, point, model, max_states=18):
            disk = SimulatedDisk(state)
            found = recover_untyped(disk, disk.read(names.SNAPSHOT))
            assert (found.sequence, found.pages.render()) in ((3, before), (4, after)), point
            seen.add("migrated" if found.sequence == 4 else "as before")
            with silenced_log(), suppress(MigrationNeeded):
                with NEW(disk.root, filesystem=disk.mount, read_only=True) as reader:
                    assert (reader.history.sequence, reader.tables["docs"].count()) == (4, 3)
                assert found.sequence == 4
            with silenced_log(), NEW(disk.root, banner=False, filesystem=disk.mount) as again:
                rows: list[Any] = [dict(row) for row in again.tables["docs"]]
                assert (again.history.sequence, rows) == (4, WANTED), point
                assert next(iter(again.history)).migrations == ("names", "tags")
            assert b'"title":' in disk.read(names.before(3))
            assert recover_untyped(disk, disk.read(names.SNAPSHOT)).pages.render() == after
    return seen


@pytest.mark.parametrize("way", ["closed", "killed"])
@pytest.mark.parametrize("model", ["kill", "ordered", "weak"])
def test_a_crash_at_any_point(tmp_path: Path, model: Model, way: str) -> None:
    """Ensure that the store is as before or migrated, never between; with the snapshot before it kept in the end."""
    assert search(left_behind(tmp_path / "s", way), model) == {"as before", "migrated"}


def not_synced(files: Files, temporary: str, name: str, buffers: Sequence[bytes]) -> None:
    """Give a name new content, and wait for nothing."""
    file = files.create(temporary)
    file.write(buffers)
    file.close()
    files.replace(temporary, name)


def copy_not_synced(patch: pytest.MonkeyPatch) -> None:
    """Keep the snapshot from before without waiting for the disk."""
    patch.setattr(store, "replace_durably", not_synced)


def no_copy(patch: pytest.MonkeyPatch) -> None:
    """Keep nothing from before."""
    patch.setattr(store, "replace_durably", lambda *_: None)


def names_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Commit what migrations changed without their names."""
    original = Segment.begin

    def begin(segment: Segment, commits: Sequence[CommitRecord] = ()) -> None:
        original(segment, [replace(commit, migrations=()) for commit in commits])

    patch.setattr(Segment, "begin", begin)


def no_commit(patch: pytest.MonkeyPatch) -> None:
    """Let the snapshot alone hold what migrations changed, under the old sequence."""
    patch.setattr(store.Store, "_commit_migrations", lambda *_: None)


def commit_not_synced(patch: pytest.MonkeyPatch) -> None:
    """Go on before the frame is on the disk."""
    patch.setattr(segment_module, "replace_durably", not_synced)


@pytest.mark.parametrize("broken", [copy_not_synced, no_copy, names_forgotten, no_commit, commit_not_synced])
def test_the_search_notices_what_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Ensure that with one mechanism taken out some state breaks a promise."""
    source = left_behind(tmp_path / "s", "closed")
    broken(monkeypatch)

    def search_all() -> None:
        for model in MODELS:
            assert search(SimulatedDisk(source.contents.copy()), model) == {"as before", "migrated"}

    with pytest.raises((AssertionError, OSError, OpenError)):
        search_all()


@pytest.mark.parametrize("how", ["before", "after", "short"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("way", ["closed", "killed"])
def test_any_operation_of_the_disk_may_fail(tmp_path: Path, way: str, error: int, how: How) -> None:
    """Ensure that an opening which fails leaves one state or the other, and that the next one ends the same."""
    source, failures = left_behind(tmp_path / "s", way), 0
    for number in range(200):
        disk = SimulatedDisk(source.contents.copy())
        before = recover_untyped(disk, disk.read(names.SNAPSHOT)).pages.render()
        fault = disk.faults.fail("change", error, times=1, after=number, how=how)
        with silenced_log():
            try:
                NEW(disk.root, banner=False, filesystem=disk.mount).open().close()
            except (OpenError, WriteFailed):
                failures += 1
                found = recover_untyped(disk, disk.read(names.SNAPSHOT))
                assert found.sequence in (3, 4), number
                assert found.sequence == 4 or found.pages.render() == before, number
            done = not fault.trigger_count
            disk.faults.heal()
            with NEW(disk.root, banner=False, filesystem=disk.mount) as again:
                rows: list[Any] = [dict(row) for row in again.tables["docs"]]
                assert (again.history.sequence, rows) == (4, WANTED), number
        if done:
            break
    assert 3 < failures < number < 199
