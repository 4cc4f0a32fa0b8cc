"""How long commits took to sync: the figures that an operator is shown, and what they may cost."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snaptable import Database, Row, Table
from snaptable.storage import sync_times
from snaptable.storage.sync_times import LAST, SyncTimes

AT = "2026-11-28T09:00:00.000000Z"


class Note(Row):
    id: int


class Notes(Database):
    notes: Table[Note]


def test_the_figures_are_of_the_last_frames_and_take_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the percentile by a clock that is told what to say, of no more frames than are kept."""
    now = 0.0

    def write(seconds: float) -> str:
        nonlocal now
        now += seconds
        return AT

    monkeypatch.setattr(sync_times, "perf_counter", lambda: now)
    times = SyncTimes()
    assert times.status() is None
    assert times.timed(write, 2.0) == AT
    status = times.status()
    assert status is not None
    assert (status.last_at, status.count, status.p99_seconds) == (datetime(2026, 11, 28, 9, tzinfo=UTC), 1, 2.0)
    for number in range(100):
        times.timed(write, 1.0 if number < 99 else 4.0)
    status = times.status()
    assert status is not None
    assert (status.count, status.p99_seconds) == (101, 2.0)
    room = sys.getsizeof(times._seconds)
    for _ in range(5 * LAST):
        times.timed(write, 1.0)
    status = times.status()
    assert status is not None
    assert (status.count, status.p99_seconds) == (LAST, 1.0)
    assert sys.getsizeof(times._seconds) < room + 20 * LAST


def test_a_write_that_fails_is_not_counted() -> None:
    """Ensure that what was never on the disk has no time."""

    def write(_: int) -> str:
        raise OSError

    times = SyncTimes()
    with pytest.raises(OSError):  # noqa: PT011 - of this function
        times.timed(write, 1)
    assert times.status() is None


def test_a_store_tells_when_it_synced_last(tmp_path: Path) -> None:
    """Ensure that it is the time of the last commit; nothing before the first, nor where nothing is synced."""
    with Notes(tmp_path / "data", banner=False) as db:
        assert db.status().syncs is None
        for number in range(3):
            db.notes.insert(Note(id=number))
        syncs = db.status().syncs
        assert syncs is not None
        assert (syncs.last_at, syncs.count) == (next(iter(db.history)).at, 3)
        assert syncs.p99_seconds > 0
    with Notes("memory:") as db:
        db.notes.insert(Note(id=1))
        assert db.status().syncs is None
