"""One process at a time, and who it is; readers that need no lock; what becomes of a store whose lock is lost."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.snaptable.storage.conftest import Open
from tests.snaptable.storage.support import (
    JOURNAL,
    SNAPSHOT,
    Store,
    User,
    expect_refusal,
    ids,
    killed,
    opened,
    rows_of,
    tree,
    within,
)
from tests.snaptable.storage.test_processes import ROOT, child

from snaptable import DatabaseClosed, OpenError, ReadOnlyStore, StoreLocked, WriteFailed
from snaptable.storage.snapshot import checkpointer

REFUSED = (WriteFailed, ReadOnlyStore)


def holder(directory: Path) -> dict[str, object]:
    """Return what the lock file says."""
    note: dict[str, object] = json.loads((directory / "db.lock").read_text())
    return note


def test_a_second_process_is_refused_at_once(store: Store) -> None:
    """Ensure another process gets StoreLocked without waiting for anything, naming our pid, host and since when."""
    assert store.directory is not None
    # Not how long it took, which a busy machine decides: a wait for the lock would sleep, or never end.
    script = (
        "import sys, time; from tests.snaptable.storage.support import Store\n"
        "slept = []; time.sleep = slept.append\n"
        "try: Store(sys.argv[1]).open()\n"
        "except Exception as error: print(type(error).__name__, not slept, error)\n"
    )
    command = [sys.executable, "-c", script, str(store.directory)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    assert output.startswith("StoreLocked True ")
    since = holder(store.directory)["since"]
    for word in (str(os.getpid()), socket.gethostname(), str(since), str(store.directory)):
        assert word in output
    store.users.insert(User(id="a"))


def test_a_second_database_of_this_process_is_refused_too(store: Store, tmp_path: Path) -> None:
    """Ensure a second object on the directory, by whatever path, is refused, and the first goes on."""
    assert store.directory is not None
    (tmp_path / "link").symlink_to(store.directory)
    for path in (store.directory, tmp_path / "link", store.directory / ".." / store.directory.name):
        for _ in range(2):
            before = tree(store.directory)
            with within(30), pytest.raises(StoreLocked, match=rf"this process \({os.getpid()}\) has it open"):
                Store(path).open()
            assert tree(store.directory) == before
    store.users.insert(User(id="a"))
    store.close()
    assert list(opened(store.directory)["users"]) == ["a"]


def test_who_holds_it_stays_readable(store: Store) -> None:
    """Ensure the holder's note is as it was after refused attempts, and says when the store was opened."""
    assert store.directory is not None
    before = (store.directory / "db.lock").read_bytes()
    for _ in range(3):
        with pytest.raises(StoreLocked):
            Store(store.directory).open()
    assert (store.directory / "db.lock").read_bytes() == before
    note = holder(store.directory)
    assert note["pid"] == os.getpid()
    assert note["host"] == socket.gethostname()
    since = datetime.fromisoformat(str(note["since"]))
    assert datetime.now(UTC) - timedelta(minutes=2) < since <= datetime.now(UTC)


def test_a_damaged_note_is_no_obstacle(directory: Path) -> None:
    """Ensure a lock file with any bytes in it keeps nobody out and nobody in."""
    for content in (b"", b"garbage", b'{"pid": 1}', b"\xff" * 100, b"[1]"):
        opened(directory)
        (directory / "db.lock").write_bytes(content)
        with Store(directory, fsync=False):
            (directory / "db.lock").write_bytes(content)
            with pytest.raises(StoreLocked):
                Store(directory).open()


def test_a_killed_process_leaves_no_lock(directory: Path) -> None:
    """Ensure the lock is held by a live process, is seen from here, and is gone the moment it is killed."""
    with child(directory, "hold") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(StoreLocked, match=str(process.pid)):
            Store(directory).open()
        process.kill()
        process.wait()
        opened(directory)


def test_the_lock_is_free_after_close_and_after_a_refused_open(directory: Path) -> None:
    """Ensure neither a close nor an open that fails for another reason leaves the lock behind."""
    opened(directory)
    good = (directory / SNAPSHOT).read_bytes()
    (directory / SNAPSHOT).write_bytes(b"{")
    kept = []
    for _ in range(2):
        with pytest.raises(OpenError) as raised:
            Store(directory, fsync=False).open()
        kept.append(raised)
    (directory / SNAPSHOT).write_bytes(good)
    opened(directory)
    with Store(directory, fsync=False) as one:
        one.close()
        one.open()
        one.close()
        opened(directory)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_writes_nothing(store: Store) -> None:
    """Ensure a fork refuses to read and write, closes without touching the store, and the parent keeps its lock."""
    assert store.directory is not None
    store.users.insert(User(id="a"))
    before = tree(store.directory)
    pid = os.fork()
    if pid == 0:  # pragma: no cover - another process
        status = 1
        try:
            for access in (lambda: store.users.insert(User(id="child")), lambda: ids(store)):
                try:
                    access()
                    status = 2
                except DatabaseClosed:
                    status = 0 if status != 2 else 2
            store.close()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert tree(store.directory) == before
    with pytest.raises(StoreLocked):
        Store(store.directory).open()
    store.users.insert(User(id="b"))
    assert list(opened(killed(store))["users"]) == ["a", "b"]


# ── readers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_reading_beside_a_writer(store: Store) -> None:
    """Ensure read_only opens while another holds the store, sees what is committed, changes nothing, and stays so."""
    assert store.directory is not None
    store.users.insert(User(id="a"))
    with store.transaction():
        store.users.insert(User(id="half done"))
        before = tree(store.directory)
        with Store(store.directory, read_only=True) as reader:
            assert ids(reader) == ["a"]
            assert reader.check() == []
        assert tree(store.directory) == before
    with Store(store.directory, read_only=True) as reader:
        store.users.insert(User(id="later"))
        assert ids(reader) == ["a", "half done"]


def test_reading_what_is_in_the_journal_only(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a reader sees commits that the snapshot doesn't have yet, and a torn end does not disturb it."""
    monkeypatch.setattr(checkpointer, "DELAY", 3600.0)
    db = open_store(snapshot="background")
    assert db.directory is not None
    for key in "abc":
        db.users.insert(User(id=key))
    copy = killed(db)
    journal = copy / JOURNAL / "1.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    before = tree(copy)
    with Store(copy, read_only=True) as reader:
        assert ids(reader) == ["a", "b"]
    assert tree(copy) == before
    with Store(db.directory, read_only=True) as reader:
        assert ids(reader) == ["a", "b", "c"]


def test_a_reader_refuses_writes(directory: Path) -> None:
    """Ensure every kind of write, and persist(), is ReadOnlyStore."""
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="a"))
    with Store(directory, read_only=True) as reader:
        for write in (
            lambda: reader.users.insert(User(id="b")),
            lambda: reader.users.update("a", note="x"),
            lambda: reader.users.delete("a"),
            lambda: reader.users.where().delete(),
            reader.persist,
        ):
            with pytest.raises(ReadOnlyStore, match="read_only"):
                write()
        assert not reader.status().writable
        assert rows_of(reader)["users"]["a"]["note"] == ""


def test_reading_nothing_makes_nothing(tmp_path: Path) -> None:
    """Ensure read_only on a directory that is missing, or empty, is an OpenError and leaves it so."""
    (tmp_path / "empty").mkdir()
    for name in ("missing", "missing/deeper", "empty"):
        expect_refusal(tmp_path / name, OpenError, str(tmp_path / name), read_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_readers_come_and_go_beside_a_busy_writer(directory: Path) -> None:
    """Ensure readers that open again and again beside another process's writes always see a committed state."""
    with child(directory, "threads", "auto") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        seen, begun = 0, time.monotonic()
        while time.monotonic() - begun < (2.5 if seen else 30):
            with Store(directory, read_only=True) as reader:
                posts = reader.posts.where().all()
                assert reader.check() == []
                assert reader.users.count() == len(posts) + bool(posts)
                assert reader.status().sequence == len(posts) >= seen
                seen = len(posts)
    assert seen > 0


# ── a lock that is lost ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["deleted", "replaced", "renamed", "removed", "another in its place"])
def test_a_lock_that_excludes_nobody_any_more(open_store: Open, tmp_path: Path, how: str) -> None:
    """Ensure writes are refused once the lock file or the directory is not what it was, and reads go on."""
    db = open_store(snapshot="background")
    assert db.directory is not None
    db.users.insert(User(id="a"))
    db.persist()
    if how == "deleted":
        (db.directory / "db.lock").unlink()
    elif how == "replaced":
        (tmp_path / "new").write_text("{}")
        (tmp_path / "new").replace(db.directory / "db.lock")
    elif how == "removed":
        shutil.rmtree(db.directory)
    else:
        db.directory.rename(tmp_path / "elsewhere")
        if how != "renamed":
            with Store(db.directory, fsync=False) as other:
                other.users.insert(User(id="other"))
    before = tree(tmp_path)
    for _ in range(2):
        with pytest.raises(REFUSED, match="reopen"):
            db.users.insert(User(id="b"))
    with pytest.raises(REFUSED):
        db.persist()
    assert ids(db) == ["a"]
    assert not db.status().writable
    time.sleep(0.5)
    try:
        db.close()
    except WriteFailed:
        assert not db.is_open
    assert tree(tmp_path) == before


def test_a_store_that_lost_its_lock_does_not_overwrite_its_successor(open_store: Open) -> None:
    """Ensure a snapshot that was still to follow is not written over that of whoever took the store meanwhile."""
    db = open_store(snapshot="background")
    assert db.directory is not None
    db.users.insert(User(id="a"))
    (db.directory / "db.lock").unlink()
    with Store(db.directory, fsync=False) as other:
        assert ids(other) == ["a"]
        other.users.insert(User(id="b"))
        after = tree(db.directory)
        time.sleep(0.7)
        with pytest.raises(REFUSED):
            db.users.insert(User(id="c"))
        assert tree(db.directory) == after
    after = tree(db.directory)
    try:
        db.close()
    except WriteFailed:
        assert not db.is_open
    assert tree(db.directory) == after
    assert list(opened(db.directory)["users"]) == ["a", "b"]
