"""Readers, writers and the snapshot at once: whatever instant one looks at the file, it is a whole committed state."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.snaptable.storage.faults import Disk, FaultyStore
from tests.snaptable.storage.support import (
    JOURNAL,
    SNAPSHOT,
    Post,
    Store,
    User,
    killed,
    opened,
    parse_snapshot,
    segments,
)

from snaptable.storage import group_commit

SECONDS = 1.5
PATIENCE = 30.0
"""Seconds after which what should have ended counts as hanging."""


@contextmanager
def busy(db: Store, threads: int = 4) -> Iterator[list[int]]:
    """Let threads write while the block runs; the list counts what they had acknowledged.

    Each transaction moves one unit between two accounts, so that their sum is 1,000 in every committed state, and adds
    a post, so that the number of posts is that of the sequence.
    """
    stop = threading.Event()
    done = [0] * threads

    def work(number: int) -> None:
        chance = random.Random(number)
        while not stop.is_set():
            source, target = chance.sample("abcdefgh", 2)
            with db.transaction():
                for key, change in ((source, -1), (target, 1)):
                    db.users.update(key, note=str(int(db.users[key].note) + change))
                db.posts.insert(Post(user_id=source, text="x" * chance.choice([1, 500])))
            done[number] += 1

    with ThreadPoolExecutor(threads) as pool:
        running: list[Future[None]] = [pool.submit(work, number) for number in range(threads)]
        try:
            yield done
        finally:
            stop.set()
            for future in running:
                future.result(PATIENCE)


def lasting(seconds: float, enough: Callable[[], bool]) -> Iterator[None]:
    """Yield again and again for some seconds, and on until there was enough, if the machine is busy."""
    begun = time.monotonic()
    while time.monotonic() - begun < (seconds if enough() else PATIENCE):
        yield


def begin(db: Store) -> None:
    """Make eight accounts with 1,000 in all, under the first sequence."""
    db.users.insert_many([User(id=key, note="125") for key in "abcdefgh"])


def balanced(notes: list[str]) -> bool:
    """Return whether the accounts' sum is what it was."""
    return sum(map(int, notes)) == 1_000


@pytest.mark.parametrize("policy", ["auto", "always", "background"])
def test_the_file_is_a_committed_state_at_any_time(directory: Path, policy: str) -> None:
    """Ensure every copy of the file parses, verifies, is a committed state, and none is older than one before."""
    with Store(directory, fsync=False, snapshot=policy) as db:  # type: ignore[arg-type]
        begin(db)
        seen = 0
        with busy(db):
            for _ in lasting(SECONDS, lambda: seen > 1):  # noqa: B023 - it is the present one that counts
                header, rows = parse_snapshot((directory / SNAPSHOT).read_bytes())
                assert header["sequence"] >= seen
                seen = header["sequence"]
                if seen:
                    assert len(rows["posts"]) == seen - 1
                    assert balanced([row["note"] for row in rows["users"].values()])
        assert seen > 1


def test_what_was_acknowledged_is_in_the_file(directory: Path) -> None:
    """Ensure that a write that returned before one looks is in the file one sees, writers going on."""
    with Store(directory, fsync=False) as db:
        begin(db)
        with busy(db) as done:
            for _ in lasting(SECONDS / 2, lambda: sum(done) > 1):
                acknowledged = sum(done)
                assert len(parse_snapshot((directory / SNAPSHOT).read_bytes())[1]["posts"]) >= acknowledged


def test_a_copy_of_everything_at_any_time_opens(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a kill at any instant, with writers and the background at work, opens with all that was acknowledged."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 20_000)
    with Store(directory, fsync=False, snapshot="background") as db:
        begin(db)
        copies = []
        with busy(db) as done:
            for _ in range(12):
                before = sum(done)
                for _ in lasting(0.1, lambda before=before: sum(done) >= before + 5):  # type: ignore[misc]
                    time.sleep(0.01)
                acknowledged = sum(done)
                # The snapshot first: a copy takes time, and the journal must reach at least as far.
                snapshot = (directory / SNAPSHOT).read_bytes()
                copies.append((acknowledged, killed(db, keep=snapshot)))
        for acknowledged, copy in copies:
            rows = opened(copy)
            assert len(rows["posts"]) >= acknowledged
            assert balanced([row["note"] for row in rows["users"].values()])
    assert len(segments(directory)) > 1


def test_sequences_have_no_gap(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the journal numbers the commits 1, 2, 3 … through all its files, whoever wrote them."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 30_000)
    with Store(directory, fsync=False) as db:
        begin(db)
        with busy(db, threads=8) as done:
            for _ in lasting(SECONDS / 2, lambda: sum(done) > 100):
                time.sleep(0.01)
        total = sum(done) + 1
        assert db.status().sequence == total
    seen: list[int] = []
    for path in segments(directory):
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert lines[0]["snaptable"]["first"] == len(seen) + 1 == int(path.stem)
        for frame in lines[1:]:
            if frame["frame"] != "closed":
                sequences = [commit["sequence"] for commit in frame["commits"]]
                assert frame["frame"] == [sequences[0], sequences[-1]]
                seen += sequences
    assert seen == list(range(1, total + 1))
    assert (directory / JOURNAL).is_dir()


def test_readers_see_committed_states_only(directory: Path) -> None:
    """Ensure a query beside writers sees one committed state, and never goes back in time."""
    with Store(directory, fsync=False, snapshot="background") as db:
        begin(db)
        with busy(db):
            seen = 0
            for _ in lasting(SECONDS, lambda: seen > 1):  # noqa: B023 - it is the present one that counts
                assert balanced([user.note for user in db.users.where().all()])
                count = db.posts.count()
                assert count >= seen
                seen = count
        assert db.check() == []


def test_writers_go_on_while_a_snapshot_is_written(directory: Path) -> None:
    """Ensure neither one persist() nor two at once hold a writer up while a slow disk takes a snapshot."""
    disk, syncs, written = Disk(), list[tuple[float, float]](), list[tuple[float, float]]()
    saving: list[Future[None]] = []

    def slow_snapshots(operation: str, name: str) -> None:
        """Let a snapshot's sync take half a second, and as long as a busy machine needs for some writes."""
        if operation == "sync" and name.startswith(".db_snapshot"):
            begun, before = time.perf_counter(), len(written)
            for _ in lasting(0.5, lambda: len(written) > before + 6 or all(future.done() for future in saving)):
                time.sleep(0.01)
            syncs.append((begun, time.perf_counter()))

    with FaultyStore(directory, disk, snapshot="background") as db:
        begin(db)
        disk.before = slow_snapshots
        with ThreadPoolExecutor(2) as pool:
            saving += [pool.submit(db.persist) for _ in range(2)]
            while not all(future.done() for future in saving):
                begun = time.perf_counter()
                db.users.update("a", note=str(len(written)))
                written.append((begun, time.perf_counter()))
            for future in saving:
                future.result(PATIENCE)
        disk.before = None
    # Not how long the longest took: on a busy machine a thread may have to wait for half a second by itself.
    assert len(syncs) >= 2  # a third one is the background's, if both were done before it looked
    for begun, ended in syncs[:2]:
        assert sum(begun < start and end < ended for start, end in written) >= 5
