"""The feed: every commit once, in order, for threads and tasks, from any place, until it is closed."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snaptable import Database, HistoryGone, Row, Table
from snaptable.history import Feed
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import commits as journal_commits


class Note(Row):
    id: int | None = None
    text: str = ""


class Other(Row):
    id: str


class Notes(Database):
    notes: Table[Note]
    others: Table[Other]


@pytest.fixture(params=["memory:", "file"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notes]:
    """Give an open store of either engine."""
    with Notes("memory:" if request.param == "memory:" else tmp_path / "data", fsync=False, banner=False) as db:
        yield db


def take(feed: Feed, count: int) -> list[int]:
    """Return the numbers of the next commits."""
    found: list[int] = []
    for commit in feed:
        found.append(commit.sequence)
        if len(found) == count:
            break
    return found


def test_what_was_and_what_comes(db: Notes) -> None:
    """Ensure a feed begins where it is told, and goes on with commits of other threads, none left out."""
    for _ in range(3):
        db.notes.insert(Note())
    with db.history.follow(since=1) as feed, db.history.follow() as news:
        assert take(feed, 2) == [2, 3]
        writer = threading.Thread(target=lambda: [db.notes.insert(Note()) for _ in range(50)])
        writer.start()
        assert take(feed, 50) == list(range(4, 54))
        writer.join()
        assert take(news, 50) == list(range(4, 54))
        assert feed.place == 53


def test_only_some_tables(db: Notes) -> None:
    """Ensure commits of other tables are passed over, and the place moves past them."""
    with db.history.follow(tables=["others"]) as feed:
        db.notes.insert(Note())
        db.others.insert(Other(id="a"))
        assert take(feed, 1) == [2]
    with pytest.raises(ValueError, match="no table 'nobody'"):
        db.history.follow(tables=["nobody"])


def test_for_tasks(db: Notes) -> None:
    """Ensure tasks get every commit while the loop goes on, and a closed feed ends the iteration."""

    async def read(feed: Feed) -> list[int]:
        return [commit.sequence async for commit in feed]

    async def run() -> list[list[int]]:
        feeds = [db.history.follow(since=0) for _ in range(3)]
        readers = [asyncio.create_task(read(feed)) for feed in feeds]
        for _ in range(20):
            await db.run(lambda db: db.notes.insert(Note()))
        while any(feed.place < 20 for feed in feeds):  # noqa: ASYNC110 - a feed has no event of this loop
            await asyncio.sleep(0.01)
        for feed in feeds:
            feed.close()
        return await asyncio.gather(*readers)

    assert asyncio.run(run()) == [list(range(1, 21))] * 3


def test_it_ends_with_the_database(db: Notes) -> None:
    """Ensure a reader that waits ends when the database is closed."""
    found: list[int] = []
    feed = db.history.follow(since=0)
    reader = threading.Thread(target=lambda: found.extend(commit.sequence for commit in feed))
    reader.start()
    db.notes.insert(Note())
    db.close()
    reader.join(timeout=30)
    assert not reader.is_alive()
    assert found in ([1], [])


def test_a_place_that_is_gone_is_told() -> None:
    """Ensure a reader that fell behind what is kept gets an error, not a gap."""
    with Notes("memory:", history_bytes=5_000) as db, db.history.follow() as feed:
        for _ in range(100):
            db.notes.insert(Note())
        with pytest.raises(HistoryGone):
            take(feed, 1)


def test_whoever_is_told_of_a_commit_can_read_it(db: Notes) -> None:
    """Ensure a commit is in the history by the time that readers are told: a feed that is quick must not see a gap."""
    seen: list[list[int]] = []
    with db.history.follow() as feed:
        feed._wakers.add(lambda: seen.append([commit.sequence for commit in db.history.commits()]))
        db.notes.insert(Note())
        db.notes.insert(Note())
    assert seen[:2] == [[1], [2, 1]]


class CountingFiles(Files):
    """A store's directory that counts the bytes which are read from the journal."""

    read_bytes = 0

    def read(self, name: str) -> bytes:
        """Read, and count."""
        data = super().read(name)
        type(self).read_bytes += len(data) if "journal" in name else 0
        return data


def counting(directory: Path, **options: Any) -> Files:
    """Return a directory whose reads are counted."""
    return CountingFiles(directory, **options)


def test_a_follower_does_not_read_the_journal_again_for_each_commit(tmp_path: Path) -> None:
    """Ensure following costs what is new, not what the journal holds already."""
    with Notes(tmp_path / "data", fsync=False, banner=False, snapshot="background", filesystem=counting) as db:
        db.notes.insert_many([Note(text="x" * 1000) for _ in range(1000)])
        with db.history.follow() as feed:
            CountingFiles.read_bytes = 0
            for number in range(2, 52):
                db.notes.insert(Note())
                assert take(feed, 1) == [number]
            assert CountingFiles.read_bytes == 0
            db.notes.update(7, text="y")
            commit = next(iter(feed))
            read = next(db.history.commits(limit=1))
            assert (commit.sequence, commit.at, commit.changes) == (read.sequence, read.at, read.changes)


def test_a_follower_that_falls_behind_what_memory_keeps_reads_the_rest_from_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure commits that memory has forgotten are given all the same, in order."""
    monkeypatch.setattr(journal_commits, "RECENT_BYTES", 5_000)
    with Notes(tmp_path / "data", fsync=False, banner=False) as db, db.history.follow() as feed:
        for _ in range(100):
            db.notes.insert(Note())
        assert take(feed, 95) == list(range(1, 96))
        writer = threading.Thread(target=lambda: [db.notes.insert(Note()) for _ in range(100)])
        writer.start()
        assert take(feed, 105) == list(range(96, 201))
        writer.join()
