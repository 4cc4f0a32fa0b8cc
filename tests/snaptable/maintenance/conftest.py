"""Fixtures of the offline tools' tests: stores with eight commits, closed, killed, or damaged."""

from pathlib import Path

import pytest
from tests.snaptable.maintenance.support import damage, fill
from tests.snaptable.storage.faults import Disk, FaultyStore
from tests.snaptable.storage.support import JOURNAL, SNAPSHOT, Rows, Store, User, killed

from snaptable import WriteFailed
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


@pytest.fixture
def haunted(directory: Path) -> Path:
    """Give a killed store with a frame that was given up, and damage in the file that superseded it."""
    disk = Disk()
    with FaultyStore(directory, disk) as db:
        db.users.insert(User(id="a"))
        disk.fail("sync", name=JOURNAL, how="after")
        with pytest.raises(WriteFailed):
            db.users.insert(User(id="ghost"))
        db.persist()
        sound = (directory / SNAPSHOT).read_bytes()
        db.users.insert(User(id="b"))
        copy = killed(db, keep=sound)
    assert b"ghost" in (copy / JOURNAL / "1.jsonl").read_bytes()
    damage(copy / JOURNAL / "2.jsonl", b'"salt":"', b'"SALT":"')
    return copy
