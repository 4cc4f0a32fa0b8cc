"""Restores, crashed anywhere, under three models of what a power cut may leave of folders, names and bytes."""

from pathlib import Path

import pytest
from tests.snaptable.crash import restores
from tests.snaptable.crash.restores import MODELS, WAYS, RestoreReport, restored

from snaptable.maintenance import restore
from snaptable.storage.disk.files import Files


@pytest.mark.parametrize("way", list(WAYS))
def test_no_crash_leaves_half_a_store(tmp_path: Path, way: str) -> None:
    """Ensure the place holds the old store or the new one, whole; in the end the new one; and the old one is kept."""
    run, report = restored(tmp_path, **WAYS[way]), RestoreReport()
    for model in MODELS:
        restores.search(run, report, model, seed=20261128, most=12, every=2)
    assert report.failures == []
    assert min(report.states.values()) >= 8
    assert (
        set(report.found) == {"old", "new"}
        if way not in ("to nothing", "in two steps")
        else {"new"} < set(report.found)
    )


def _no_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(restore, "sync", lambda *_: None)


def _no_sync_of_folders(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(restores.RecordedFiles, "sync_directory", lambda *_: None)


def _swapped_at_once(patch: pytest.MonkeyPatch) -> None:
    real = restores.RecordedFiles.sync_directory

    def only_folders_inside(files: Files, name: str = "") -> None:
        if name:
            real(files, name)  # type: ignore[arg-type]

    patch.setattr(restores.RecordedFiles, "sync_directory", only_folders_inside)


@pytest.mark.parametrize("broken", [_no_sync, _no_sync_of_folders, _swapped_at_once])
def test_the_search_notices_what_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: object) -> None:
    """Ensure that without the syncs of files, of folders, or of the names beside, some state breaks a promise."""
    broken(monkeypatch)  # type: ignore[operator]
    run, report = restored(tmp_path), RestoreReport()
    for model in ("ordered", "weak"):
        restores.search(run, report, model, seed=1, most=12, every=2)
    assert report.failures
