"""Commits that share a sync: durable together, failing together, and nobody waits for ever."""

import asyncio
import errno
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from tests.snaptable.storage.faults import Disk, FaultyStore
from tests.snaptable.storage.support import JOURNAL, Store, User, ids, killed, opened

from snaptable import DatabaseClosed, ReadOnlyStore, WriteFailed
from snaptable.storage import commit_delay

REFUSED = (WriteFailed, ReadOnlyStore)
PATIENCE = 30.0
"""Seconds after which what should have ended counts as hanging."""


@pytest.fixture
def disk() -> Disk:
    """Give a disk that does as it is told."""
    return Disk()


def insert(db: Store, key: str) -> User:
    """Insert a user."""
    return db.users.insert(User(id=key))


def in_threads(count: int, work: Callable[[int], list[str]]) -> set[str]:
    """Return the keys that threads, started at once, say were acknowledged."""
    barrier = threading.Barrier(count)

    def run(number: int) -> list[str]:
        barrier.wait(PATIENCE)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return {key for keys in pool.map(run, range(count), timeout=4 * PATIENCE) for key in keys}


def test_threads_share_syncs(directory: Path, disk: Disk) -> None:
    """Ensure commits that wait for a slow disk go into one frame, and every one of them is there after a kill."""
    disk.delays["sync"] = 0.01
    committing = [False] * 16

    def gather(operation: str, name: str) -> None:
        """Let a sync begin when every thread is about to commit, or has ended: they need not run at the same pace."""
        until = time.monotonic() + PATIENCE
        while operation == "sync" and JOURNAL in name and any(committing) and not all(committing):
            assert time.monotonic() < until
            time.sleep(0.001)

    with FaultyStore(directory, disk, snapshot="background") as db:
        before = disk.count("sync", JOURNAL)
        disk.before = gather

        def work(number: int) -> list[str]:
            keys = []
            for step in range(10):
                committing[number] = True
                keys.append(insert(db, f"{number} {step}").id)
                committing[number] = step == 9
            return keys

        acknowledged = in_threads(16, work)
        syncs = disk.count("sync", JOURNAL) - before
        assert len(acknowledged) == 160
        assert syncs < 80
        assert set(opened(killed(db))["users"]) == acknowledged


def test_commits_of_one_tick_share_one_sync(directory: Path, disk: Disk) -> None:
    """Ensure a hundred tasks that commit in the same tick cost one sync, or the two of a new journal file."""

    async def main(db: Store) -> None:
        await asyncio.gather(*(db.run(insert, str(number)) for number in range(100)))

    with FaultyStore(directory, disk, snapshot="background") as db:
        asyncio.run(db.run(insert, "first"))
        before = disk.count("sync", JOURNAL)
        asyncio.run(main(db))
        assert disk.count("sync", JOURNAL) - before == 1
        assert db.users.count() == 101
        assert len(opened(killed(db))["users"]) == 101


def test_a_batch_waits_for_the_tasks_that_the_one_before_acknowledged(
    directory: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that who comes back at once shares the frame of those who were waiting, and no third frame is written."""
    monkeypatch.setattr(commit_delay, "COMMIT_DELAY", PATIENCE)
    synced = threading.Event()

    async def main(db: Store) -> None:
        async def comes_back() -> None:
            await db.run(insert, "1")
            for _ in range(5):
                await asyncio.sleep(0)
            await db.run(insert, "2")

        async def waits() -> None:
            while not synced.is_set():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0)
            await db.run(insert, "3")

        await asyncio.gather(comes_back(), waits())

    with FaultyStore(directory, disk, snapshot="background") as db:
        asyncio.run(db.run(insert, "first"))
        before = disk.count("sync", JOURNAL)
        disk.delays["sync"] = 0.5  # it waits as long as a batch takes at most
        disk.before = lambda operation, name: synced.set() if operation == "sync" and JOURNAL in name else None
        asyncio.run(main(db))
        assert disk.count("sync", JOURNAL) - before == 2
        assert set(opened(killed(db))["users"]) == {"first", "1", "2", "3"}


def test_a_task_alone_waits_for_nobody(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that commits one after the other, and waves of tasks, are led at once: any pause would be far too long."""
    monkeypatch.setattr(commit_delay, "COMMIT_DELAY", 10 * PATIENCE)
    monkeypatch.setattr(commit_delay, "COMMIT_DELAY_STEP", 10 * PATIENCE)

    async def main(db: Store) -> None:
        for number in range(5):
            await db.run(insert, f"alone {number}")
            await asyncio.gather(*(db.run(insert, f"{number} {task}") for task in range(8)))

    with Store(directory, banner=False) as db:
        asyncio.run(asyncio.wait_for(main(db), PATIENCE))
        assert db.users.count() == 45


def test_a_slow_sync_does_not_hold_the_loop(directory: Path, disk: Disk) -> None:
    """Ensure the event loop goes on while a disk takes its time, under every policy."""
    beats, syncs, held = 0, 0, list[str]()
    stop = False

    def slow(operation: str, name: str) -> None:
        """Let a sync take as long as the loop needs to go on five times."""
        nonlocal syncs
        if operation == "sync":
            syncs += 1
            until, enough = time.monotonic() + PATIENCE, beats + 5
            while beats < enough and not stop:
                if time.monotonic() > until:
                    return held.append(name)
                time.sleep(0.001)
        return None

    async def main(db: Store) -> None:
        nonlocal stop

        async def beat() -> None:
            nonlocal beats
            while not stop:
                await asyncio.sleep(0.001)
                beats += 1

        beating = asyncio.create_task(beat())
        await asyncio.gather(*(db.run(insert, str(key)) for key in range(5)))
        stop = True
        await beating

    for policy in ("auto", "background"):
        with FaultyStore(directory / policy, disk, snapshot=policy) as db:
            stop, syncs, disk.before = False, 0, slow
            asyncio.run(main(db))
            disk.before = None
            assert syncs > 0
            assert held == []


def test_threads_and_tasks_together(directory: Path, disk: Disk) -> None:
    """Ensure threads and an event loop that write at once all return, and all they wrote is there."""
    disk.delays["sync"] = 0.002

    async def tasks(db: Store) -> None:
        for step in range(10):
            await asyncio.gather(*(db.run(insert, f"task {step} {number}") for number in range(5)))

    with FaultyStore(directory, disk) as db:

        def work(number: int) -> list[str]:
            if number == 0:
                asyncio.run(tasks(db))
                return [f"task {step} {key}" for step in range(10) for key in range(5)]
            return [insert(db, f"{number} {step}").id for step in range(20)]

        acknowledged = in_threads(5, work)
        assert len(acknowledged) == 130
        assert set(ids(db)) == acknowledged
        assert set(opened(killed(db))["users"]) == acknowledged


@pytest.mark.parametrize(
    ("operation", "how", "error"),
    [
        ("sync", "after", errno.EIO),
        ("sync", "lost", errno.EIO),
        ("sync", "lost", errno.ENOSPC),
        ("write", "short", errno.ENOSPC),
    ],
)
@pytest.mark.parametrize("skip", [0, 1, 4, 9])
def test_a_failure_among_many_threads(
    directory: Path, disk: Disk, operation: str, how: str, error: int, skip: int
) -> None:
    """Ensure all of a failed frame and what was built on it raises, and exactly what was acknowledged stays."""
    disk.delays["sync"] = 0.003
    with FaultyStore(directory, disk, snapshot="background") as db:
        insert(db, "counter")
        failures: list[str] = []

        def bump(key: str) -> None:
            with db.transaction():
                db.users.update("counter", note=f"{len(db.users['counter'].note)}")
                insert(db, key)
                insert(db, key + " twin")

        def work(number: int) -> list[str]:
            done = []
            for step in range(6):
                key = f"{number} {step}"
                try:
                    bump(key)
                except REFUSED:
                    failures.append(key)
                else:
                    done.append(key)
            return done

        disk.fail(operation, error, name=JOURNAL, skip=skip, how=how)
        acknowledged = in_threads(8, work)
        assert failures
        assert db.check() == []
        expected = {"counter"} | acknowledged | {f"{key} twin" for key in acknowledged}
        assert set(ids(db)) == expected
        assert db.status().sequence == len(acknowledged) + 1 or error == errno.ENOSPC
        db.persist()
        bump("more")
        expected |= {"more", "more twin"}
        assert set(opened(killed(db))["users"]) == expected
    assert set(opened(directory)["users"]) == expected


def test_an_open_transaction_falls_with_what_it_stands_on(directory: Path, disk: Disk) -> None:
    """Ensure a transaction that has seen a commit that then fails can't go on, nor commit, and leaves nothing."""
    entered, go = threading.Event(), threading.Event()

    def hold(operation: str, name: str) -> None:
        if operation == "sync" and JOURNAL in name and armed:
            entered.set()
            go.wait(PATIENCE)

    armed = False
    disk.before = hold
    with FaultyStore(directory, disk) as db, ThreadPoolExecutor(1) as pool:
        insert(db, "a")
        armed = True
        disk.fail("sync", errno.EIO, name=JOURNAL)
        first = pool.submit(insert, db, "ghost")
        assert entered.wait(PATIENCE)
        assert db.users.get("ghost") is None, "a reader saw what isn't durable"

        def upon_it() -> None:
            with db.transaction():
                assert db.users.get("ghost") is not None
                insert(db, "upon it")
                go.set()
                with pytest.raises(WriteFailed):
                    first.result(PATIENCE)
                assert db.users.get("ghost") is None
                with pytest.raises(REFUSED):
                    insert(db, "more")

        with pytest.raises(REFUSED):
            upon_it()
        armed = False
        assert ids(db) == ["a"]
        assert db.check() == []
        db.persist()
        insert(db, "b")
        assert list(opened(killed(db))["users"]) == ["a", "b"]


def test_tasks_hear_of_the_failure(directory: Path, disk: Disk) -> None:
    """Ensure every task of a failed frame gets WriteFailed, none hangs, and later ones work after persist()."""

    async def main(db: Store) -> None:
        disk.fail("sync", errno.EIO, name=JOURNAL, how="after")
        errors = await asyncio.wait_for(
            asyncio.gather(*(db.run(insert, str(number)) for number in range(20)), return_exceptions=True), PATIENCE
        )
        assert all(isinstance(error, WriteFailed) and isinstance(error.__cause__, OSError) for error in errors)
        with pytest.raises(ReadOnlyStore):
            await db.run(insert, "refused")
        await asyncio.to_thread(db.persist)
        await asyncio.wait_for(db.run(insert, "b"), PATIENCE)

    with FaultyStore(directory, disk) as db:
        insert(db, "a")
        asyncio.run(main(db))
        assert ids(db) == ["a", "b"]
        assert list(opened(killed(db))["users"]) == ["a", "b"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unexpected_error_does_not_silence_the_loop_for_ever(directory: Path, disk: Disk) -> None:
    """Ensure an error that nobody foresaw reaches the task it hit, and the next `db.run` returns."""

    async def main(db: Store) -> None:
        for kind in ("write", "sync", "sync"):
            disk.fail(kind, RuntimeError("unforeseen"), name=JOURNAL)
            with pytest.raises((WriteFailed, RuntimeError)):
                await asyncio.wait_for(db.run(insert, "ghost"), PATIENCE)
            await asyncio.to_thread(db.persist)
            await asyncio.wait_for(db.run(insert, f"{kind} {db.users.count()}"), PATIENCE)

    with FaultyStore(directory, disk) as db:
        asyncio.run(main(db))
        assert db.users.count() == 3
        assert list(opened(killed(db))["users"]) == ids(db)


def test_an_interrupted_leader_leaves_nobody_waiting(directory: Path, disk: Disk) -> None:
    """Ensure Ctrl-C in the sync of the thread that leads fails its frame only; all who wait hear of it, or go on."""
    disk.delays["sync"] = 0.005
    with FaultyStore(directory, disk, snapshot="background") as db:
        insert(db, "first")
        disk.fail("sync", KeyboardInterrupt(), name=JOURNAL, skip=2)

        def work(number: int) -> list[str]:
            done = []
            for step in range(5):
                try:
                    done.append(insert(db, f"{number} {step}").id)
                except (*REFUSED, KeyboardInterrupt):
                    continue
            return done

        acknowledged = in_threads(6, work) | {"first"}
        assert set(ids(db)) == acknowledged
        db.persist()
        insert(db, "last")
        assert set(opened(killed(db))["users"]) == acknowledged | {"last"}


def test_closing_waits_for_what_was_begun(directory: Path, disk: Disk) -> None:
    """Ensure a close while threads write lets each write be acknowledged and kept, or refused."""
    disk.delays["sync"] = 0.005
    db = FaultyStore(directory, disk, snapshot="background").open()
    begun = threading.Event()

    def work(number: int) -> list[str]:
        done: list[str] = []
        if number == 0:
            assert begun.wait(PATIENCE)
            time.sleep(0.05)
            db.close()
            return done
        with suppress(DatabaseClosed):
            while True:
                done.append(insert(db, f"{number} {len(done)}").id)
                begun.set()
        return done

    acknowledged = in_threads(6, work)
    assert acknowledged
    assert set(opened(directory)["users"]) == acknowledged
