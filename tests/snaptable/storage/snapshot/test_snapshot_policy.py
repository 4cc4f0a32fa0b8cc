"""When the snapshot follows a write, what stands beside it, and what an edit of it meets while the store is open."""

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.snaptable.storage.conftest import Open
from tests.snaptable.storage.faults import Disk, FaultyStore
from tests.snaptable.storage.support import (
    QUARANTINE,
    SNAPSHOT,
    Post,
    Store,
    User,
    killed,
    opened,
    read_snapshot,
    rows_of,
)

from snaptable.storage.background import BackgroundThread, Task
from snaptable.storage.snapshot import checkpointer

PATIENCE = 30.0
"""Seconds after which what should have happened counts as missing."""
LARGE = [User(id=str(number), note="x" * (1 << 20)) for number in range(5)]


@pytest.fixture(params=["000", "027", "077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set the process's umask, and set it back."""
    before = os.umask(int(request.param, 8))
    yield int(request.param, 8)
    os.umask(before)


@pytest.mark.parametrize("policy", ["auto", "always"])
def test_the_file_holds_every_write_when_it_returns(open_store: Open, policy: str) -> None:
    """Ensure each kind of write is in the file the moment it returns, while the data is small."""
    db = open_store(snapshot=policy)
    assert db.directory is not None
    steps: list[Callable[[], object]] = [
        lambda: db.users.insert(User(id="a")),
        lambda: db.users.insert_many([User(id="b"), User(id="c")]),
        lambda: db.posts.insert(Post(user_id="a")),
        lambda: db.users.update("b", note="n"),
        lambda: db.users.upsert(User(id="d")),
        lambda: db.users.where(User.note == "").update(note="all"),
        lambda: db.users.delete("a"),
        lambda: db.users.where(User.id == "c").delete(),
    ]
    for number, step in enumerate(steps, 1):
        step()
        header, rows = read_snapshot(db.directory)
        assert header["sequence"] == number
        assert rows == rows_of(db)


async def _insert(db: Store, key: str) -> None:
    await db.run(lambda store: store.users.insert(User(id=key)))


def test_the_file_holds_an_async_write_when_it_returns(store: Store) -> None:
    """Ensure `await db.run` waits for the file too."""
    assert store.directory is not None
    asyncio.run(_insert(store, "a"))
    assert list(read_snapshot(store.directory)[1]["users"]) == ["a"]


def test_always_waits_at_any_size(open_store: Open) -> None:
    """Ensure `always` holds past 4 MiB."""
    db = open_store(snapshot="always")
    assert db.directory is not None
    db.users.insert_many(LARGE)
    db.users.update("3", note="short")
    header, rows = read_snapshot(db.directory)
    assert header["sequence"] == 2
    assert rows["users"]["3"]["note"] == "short"


@pytest.mark.parametrize("policy", ["auto", "background"])
def test_the_background_follows_within_a_second(open_store: Open, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that past 4 MiB, or told so, the file follows within a second without anybody asking."""
    delays: list[float] = []  # what is asked for: when a busy machine gets to it is not the store's doing
    run = BackgroundThread.run

    def watched(self: BackgroundThread, task: Task, delay: float = 0.0) -> bool:
        delays.append(delay)
        return run(self, task, delay)

    monkeypatch.setattr(BackgroundThread, "run", watched)
    db = open_store(snapshot=policy)
    assert db.directory is not None
    db.users.insert_many(LARGE if policy == "auto" else LARGE[:1])
    db.users.update("0", note="newest")
    assert 0 < delays[0] < 1
    deadline = time.monotonic() + PATIENCE
    while db.status().snapshot_sequence != 2:
        assert time.monotonic() < deadline, "the snapshot did not follow"
        time.sleep(0.02)
    assert read_snapshot(db.directory)[0]["sequence"] == 2
    assert read_snapshot(db.directory)[1] == rows_of(db)


def test_the_background_gathers_changes(directory: Path) -> None:
    """Ensure a hundred commits in a row don't mean a hundred snapshots."""
    disk = Disk()
    with FaultyStore(directory, disk, snapshot="background") as db:
        before, begun = disk.count("replace", SNAPSHOT), time.monotonic()
        for number in range(100):
            db.users.insert(User(id=str(number)))
        # More than a few only where a busy machine takes its time over the commits.
        assert disk.count("replace", SNAPSHOT) - before <= 5 + (time.monotonic() - begun) / checkpointer.DELAY


def test_the_background_tries_again_whatever_went_wrong(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ensure an error that is no file error is logged for what it is, and the snapshot follows all the same."""
    disk = Disk()
    with FaultyStore(directory, disk, snapshot="background") as db:
        disk.fail("write", RuntimeError("a bug"), name=".db_snapshot")
        db.users.insert(User(id="a"))
        until = time.monotonic() + PATIENCE
        while "a" not in read_snapshot(directory)[1]["users"] and time.monotonic() < until:
            time.sleep(0.02)
        assert list(read_snapshot(directory)[1]["users"]) == ["a"]
    assert "Failed to save database snapshot" in caplog.messages


@pytest.mark.parametrize("policy", ["auto", "always", "background"])
def test_close_leaves_the_file_complete(open_store: Open, policy: str) -> None:
    """Ensure the file holds the last commit after close, whatever the policy, and opening it replays nothing."""
    db = open_store(snapshot=policy)
    assert db.directory is not None
    db.users.insert(User(id="a"))
    db.users.insert(User(id="b"))
    expected = rows_of(db)
    db.close()
    header, rows = read_snapshot(db.directory)
    assert (header["sequence"], rows) == (2, expected)


def test_persist_makes_the_file_complete_at_once(open_store: Open) -> None:
    """Ensure persist() is a snapshot now."""
    db = open_store(snapshot="background")
    assert db.directory is not None
    db.users.insert(User(id="a"))
    db.persist()
    assert read_snapshot(db.directory)[0]["sequence"] == 1


def test_modes_do_not_depend_on_the_umask(umask: int, tmp_path: Path) -> None:
    """Ensure every file is 0600 and every directory 0700, the parents made on the way included."""
    directory = tmp_path / "deep" / "er" / "data"
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="a"))
        copy = killed(db)
    journal = copy / "db_journal" / "1.jsonl"
    journal.write_bytes(journal.read_bytes() + b"torn")
    for root in (copy, directory):
        with Store(root, fsync=False) as db:
            db.users.insert(User(id="b"))
    assert list((copy / QUARANTINE).iterdir())
    parents = [tmp_path / "deep", tmp_path / "deep" / "er", directory]
    for path in [*parents, *directory.rglob("*"), *(copy / QUARANTINE).iterdir()]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((copy / QUARANTINE).stat().st_mode) == 0o700


def test_modes_under_a_umask_that_takes_everything(tmp_path: Path) -> None:
    """Ensure even a umask of 777 leaves a store that its owner can read."""
    before = os.umask(0o777)
    try:
        with Store(tmp_path / "data", fsync=False) as db:
            db.users.insert(User(id="a"))
    finally:
        os.umask(before)
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_nothing_but_the_named_files_is_left(store: Store) -> None:
    """Ensure no temporary is left behind, open or closed."""
    assert store.directory is not None
    for number in range(20):
        store.users.insert(User(id=str(number)))
    expected = {SNAPSHOT, "db_journal", "db.lock"}
    assert {path.name for path in store.directory.iterdir()} == expected
    store.close()
    assert {path.name for path in store.directory.iterdir()} == expected


def test_leftovers_of_ours_go_and_others_stay(directory: Path) -> None:
    """Ensure an unfinished snapshot a crash left is never loaded and is removed, and nobody else's file is."""
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="a"))
        expected = rows_of(db)
        copy = killed(db)
    newer = (copy / SNAPSHOT).read_bytes().replace(b'"a"', b'"z"')
    ours = copy / f".db_snapshot.{'0' * 32}.tmp"
    others = [copy / ".db_snapshot.mine.tmp", copy / "db_snapshot.json.bak", copy / "notes.tmp", copy / ".hidden"]
    for path in (ours, *others):
        path.write_bytes(newer)
    assert opened(copy) == expected
    assert not ours.exists()
    assert all(path.read_bytes() == newer for path in others)


def test_an_edit_of_an_open_stores_file_is_kept_aside(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Ensure what somebody wrote into the snapshot while the store was open is kept, byte for byte, and reported."""
    assert store.directory is not None
    store.users.insert(User(id="a"))
    edited = (store.directory / SNAPSHOT).read_bytes().replace(b'"note":""', b'"note":"by hand"')
    (store.directory / SNAPSHOT).write_bytes(edited)
    with caplog.at_level(logging.WARNING, "snaptable"):
        store.users.insert(User(id="b"))
    (kept,) = (store.directory / QUARANTINE).iterdir()
    assert kept.read_bytes() == edited
    assert kept.name in caplog.text
    assert list(read_snapshot(store.directory)[1]["users"]) == ["a", "b"]
    store.users.insert(User(id="c"))
    store.close()
    store.open()
    assert list((store.directory / QUARANTINE).iterdir()) == [kept]
    assert store.users["a"].note == ""


def test_a_snapshot_removed_from_under_an_open_store_is_written_again(store: Store) -> None:
    """Ensure the next write brings back a snapshot that somebody removed."""
    assert store.directory is not None
    store.users.insert(User(id="a"))
    (store.directory / SNAPSHOT).unlink()
    store.users.insert(User(id="b"))
    assert list(read_snapshot(store.directory)[1]["users"]) == ["a", "b"]


def test_a_link_in_the_snapshots_place_is_not_written_through(store: Store, tmp_path: Path) -> None:
    """Ensure a symlink put under the snapshot's name while the store is open never leads a write elsewhere."""
    assert store.directory is not None
    target = tmp_path / "precious"
    target.write_text("mine")
    store.users.insert(User(id="a"))
    (store.directory / SNAPSHOT).unlink()
    (store.directory / SNAPSHOT).symlink_to(target)
    store.users.insert(User(id="b"))
    assert target.read_text() == "mine"
    assert store.users.count() == 2
