"""Fixtures of the commands' tests."""

from pathlib import Path

import pytest
from tests.snaptable.cli.support import fill
from tests.snaptable.storage.support import SNAPSHOT, Rows, Store, killed

from snaptable.storage import group_commit


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Give a place for a store; nothing is there yet."""
    return tmp_path / "data"


@pytest.fixture
def states(directory: Path) -> list[Rows]:
    """Fill a store with eight commits in one journal file and close it; give its states."""
    with Store(directory, fsync=False) as db:
        return fill(db)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal go on in a new file with each commit."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 100)


@pytest.fixture
def behind(tmp_path: Path) -> Path:
    """Give a killed store whose snapshot is that of the second commit; the journal holds eight."""
    with Store(tmp_path / "other", fsync=False) as db:
        fill(db, last=2)
        second = (tmp_path / "other" / SNAPSHOT).read_bytes()
        fill(db, first=2)
        return killed(db, keep=second)
