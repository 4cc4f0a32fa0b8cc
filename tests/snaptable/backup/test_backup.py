"""Backups made: one state with its history and the folders beside it, in a zip that any tool opens."""

import asyncio
import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, BinaryIO

import pytest
from tests.snaptable.backup.support import Store, User, blob, contents, fill, opened, rows_of, unpack
from tests.snaptable.storage.faults import Disk, FaultyFiles

from snaptable import (
    BackupError,
    Database,
    DatabaseClosed,
    Row,
    SchemaError,
    Secret,
    Table,
    TransactionError,
    WriteFailed,
)
from snaptable.backup import archive, backups_in, store_of
from snaptable.backup.making import Facts
from snaptable.backup.naming import name_of
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.offline_backup import back_up_directory
from snaptable.storage import group_commit
from snaptable.storage.disk import renames
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory


def make(where: Path, **options: object) -> Store:
    """Return a store without syncs and banner."""
    return Store(where, **{"fsync": False, "banner": False, **options})  # type: ignore[arg-type]


def faulty(disk: Disk, directory: Path, *, fsync: bool) -> Files:
    """Return a directory on a disk that fails when told to."""
    return FaultyFiles(directory, disk, fsync=fsync)


def test_a_backup_holds_rows_history_and_folders(tmp_path: Path) -> None:
    """Ensure a zip with the very files of a store, whose rows, past, numbers and blobs are all there."""
    with make(tmp_path / "data") as db:
        states = fill(db)
        blob(tmp_path / "data", "aa", b"A" * 1000)
        blob(tmp_path / "data", "deep/er/bb", os.urandom(5000))
        blob(tmp_path / "data", ".incoming-1", b"half")
        before = contents(tmp_path / "data")
        made = db.backup(tmp_path / "monday.zip")
        assert contents(tmp_path / "data") == before
        assert (made.path, made.sequence, made.encrypted) == (tmp_path / "monday.zip", 8, False)
        assert made.rows == {"users": 2, "notes": 1}
        assert made.size == made.path.stat().st_size
        assert made.sha256 == sha256(made.path.read_bytes()).hexdigest()
        assert abs(made.at - datetime.now(UTC)) < timedelta(minutes=1)
        assert "sequence 8, 2 users, 1 notes" in str(made)
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
        db.users.insert(User(id="later", name="later"))
    with zipfile.ZipFile(made.path) as zipped:
        assert zipped.testzip() is None
        assert set(zipped.namelist()) == {
            "db_snapshot.json", "db_journal/1.jsonl", "blobs/aa", "blobs/deep/er/bb", "manifest.json"
        }  # fmt: skip
        manifest = json.loads(zipped.read("manifest.json"))
        assert manifest["models"] == "tests.snaptable.backup.support:Store"
        assert manifest["members"]["blobs/aa"] == {"size": 1000, "sha256": sha256(b"A" * 1000).hexdigest()}
    with opened(made.path, tmp_path / "copy") as copy:
        assert rows_of(copy) == states[-1]
        assert copy.history.sequence == 8
        for sequence, state in enumerate(states):
            with copy.history.at(sequence) as past:
                assert {name: dict(sorted(rows.items(), key=str)) for name, rows in rows_of(past).items()} == {
                    name: dict(sorted(rows.items(), key=str)) for name, rows in state.items()
                }
        assert copy.notes.create(user_id="ann").id == 5
    assert contents(tmp_path / "copy")["blobs/deep/er/bb"] == before["blobs/deep/er/bb"]


def test_its_last_64_bytes_are_the_sum_of_all_before(tmp_path: Path) -> None:
    """Ensure whoever has no tool of ours can verify the whole file."""
    with make(tmp_path / "data") as db:
        fill(db)
        data = db.backup(tmp_path / "x.zip").path.read_bytes()
    assert sha256(data[:-64]).hexdigest().encode() == data[-64:]


def test_a_folder_gets_names_by_time_and_sequence(tmp_path: Path) -> None:
    """Ensure a name for a folder, and no backup ever replaces a file, be it a backup or anything else."""
    with make(tmp_path / "data") as db:
        fill(db)
        first = db.backup(tmp_path)
        assert first.path.name == f"backup-{first.at:%Y%m%dT%H%M%SZ}-8-{first.store[:8]}.zip"
        precious = tmp_path / "precious"
        precious.write_text("mine")
        for taken in (first.path, precious):
            with pytest.raises(BackupError, match="is there already; a backup replaces nothing") as caught:
                db.backup(taken)
            assert caught.value.path == str(taken)
        assert precious.read_text() == "mine"
        assert db.backup(tmp_path / "new" / "folders" / "x.zip").path.exists()
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_any_number_in_one_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure backups made at once, by threads and by the command beside them, fail nowhere and replace nothing."""
    monkeypatch.setattr("time.time_ns", lambda: 1_900_000_000_000_000_000)
    folder = tmp_path / "backups"
    folder.mkdir()
    with make(tmp_path / "data") as db:
        fill(db)
        with ThreadPoolExecutor(4) as pool:
            paths = [made.path for made in pool.map(lambda _: db.backup(folder), range(12))]
        directory = StoreDirectory(str(tmp_path / "data"))
        paths += [back_up_directory(directory, folder, Facts()).path for _ in range(2)]
        assert len(set(paths)) == 14
        assert {path.name for path in paths} == {path.name for path in folder.iterdir()}
        for path in paths:
            with path.open("rb") as file:
                archive.Archive(str(path), file).verify()
        found = backups_in(Files(folder), store_of(db))
        assert sorted(each.number for each in found) == list(range(1, 15))


def test_a_name_that_is_taken_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a file that gets the name while the backup is read back stays, whether a step for that is offered or not.

    A backup in a folder gets another name then; one of a name that somebody gave fails.
    """
    monkeypatch.setattr("time.time_ns", lambda: 1_900_000_000_000_000_000)

    class Slow(Files):
        def open(self, name: str) -> BinaryIO:
            if name.startswith(".backup."):
                taken.write_text("mine")
            return super().open(name)

    with make(tmp_path / "data", filesystem=Slow) as db:
        fill(db)
        for way in ("offered", "not offered"):
            if way == "not offered":
                monkeypatch.setattr(renames, "_CALLS", {})
            folder = tmp_path / way
            folder.mkdir()
            taken = folder / "x.zip"
            with pytest.raises(BackupError, match="is there already"):
                db.backup(folder / "x.zip")
            at = datetime.fromtimestamp(1_900_000_000, UTC)
            taken = folder / name_of(store_of(db), at, db.history.sequence, encrypted=False)
            assert db.backup(folder).path == taken.with_name(f"{taken.stem}_2.zip")
            assert {path.read_text() for path in (taken, folder / "x.zip")} == {"mine"}
            assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "place", ["blobs/x.zip", "db_journal/9.jsonl", "quarantine/x.zip", "db.lock", "blobs", "link/x"]
)
def test_a_backup_never_lies_among_the_stores_own_files(tmp_path: Path, place: str) -> None:
    """Ensure a place from which the next backup, or the store, would read it, is refused, by any name."""
    with make(tmp_path / "data") as db:
        blob(tmp_path / "data", "aa", b"a")
        (tmp_path / "data" / "link").symlink_to(tmp_path / "data" / "blobs")
        with pytest.raises(BackupError, match=r"among the store's own files|is there already"):
            db.backup(tmp_path / "data" / place)
        (tmp_path / "data" / "mine").mkdir()
        assert db.backup(tmp_path / "data" / "mine").path.exists()


@pytest.mark.parametrize("name", ["db_journal", "..", "a/b", "", "quarantine", "db.lock", ".hidden", "DB_Journal"])
def test_folders_beside_the_store_only(tmp_path: Path, name: str) -> None:
    """Ensure a class can't have the store's own folders, or places elsewhere, backed up as its own."""

    class Odd(Database):
        backup_folders = (name,)

    with Odd(tmp_path / "data", banner=False) as db, pytest.raises(BackupError, match="can't be a folder beside"):
        db.backup(tmp_path / "x.zip")


def test_names_are_reserved() -> None:
    """Ensure no table takes the name of what every Database has."""
    for name in ("backup", "refresh", "backup_folders"):
        with pytest.raises(SchemaError, match="taken by an attribute of every Database"):
            type("Odd", (Database,), {"__annotations__": {name: Table[User]}, "__module__": __name__})


def test_when_it_can_be_made(tmp_path: Path) -> None:
    """Ensure not inside a transaction, whose changes it would lack, and not of a closed database; beside one it can."""
    with make(tmp_path / "data") as db:
        fill(db)
        with db.transaction(), pytest.raises(TransactionError, match=r"backup\(\) inside a transaction"):
            db.backup(tmp_path / "x.zip")
        assert not (tmp_path / "x.zip").exists()
        inside, done = threading.Event(), threading.Event()

        def hold() -> None:
            with db.transaction():
                db.users.insert(User(id="open", name="open"))
                inside.set()
                done.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        assert inside.wait(30)
        made = db.backup(tmp_path / "x.zip")
        done.set()
        thread.join()
    assert made.rows["users"] == 2
    with pytest.raises(DatabaseClosed):
        db.backup(tmp_path / "y.zip")
    with opened(made.path, tmp_path / "copy") as copy:
        assert "open" not in copy.users


def test_under_writes_it_is_one_state_with_all_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure, while threads write and old commits go: sums hold, what had returned is there, history has no gap."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 3000)
    monkeypatch.setattr(journal_directory, "LEAST_BYTES", 100)
    stop, made = threading.Event(), []
    with make(tmp_path / "data", history_bytes=12_000) as db:
        db.users.insert_many([User(id=str(n), name=str(n), money=100) for n in range(4)])

        def write(number: int) -> None:
            count = 0
            while not stop.is_set():
                count += 1
                with db.transaction():
                    db.users.update(str(number), money=User.money - count)
                    db.users.update(str(number + 2), money=User.money + count)
                    db.notes.create(user_id=str(number), text=str(count))
                db.notes.where(user_id=str(number)).order_by().limit(1).delete() if count % 3 else None

        threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for number in range(8):
            acknowledged = db.history.sequence
            made.append((acknowledged, db.backup(tmp_path / f"{number}.zip")))
        until = time.monotonic() + 30
        while db.history.sequence == made[0][1].sequence:
            assert time.monotonic() < until
        made.append((db.history.sequence, db.backup(tmp_path / "last.zip")))
        stop.set()
        for thread in threads:
            thread.join()
    for number, (acknowledged, backup) in enumerate(made):
        assert backup.sequence >= acknowledged
        with opened(backup.path, tmp_path / f"copy-{number}") as copy:
            assert copy.history.sequence == backup.sequence
            assert sum(user.money for user in copy.users) == 400
            assert rows_of(copy) == rows_of(copy.history.at(backup.sequence))
            commits = [commit.sequence for commit in copy.history]
            assert commits == list(range(backup.sequence, copy.history.first, -1))
    assert made[-1][1].sequence > made[0][1].sequence


def test_files_removed_meanwhile_are_noticed(tmp_path: Path) -> None:
    """Ensure a backup begins again if a file is gone before it was copied, and fails if that goes on."""
    gone: list[str] = []

    class Vanishing(Files):
        def open(self, name: str) -> BinaryIO:
            if name.startswith("blobs/") and len(gone) < most:
                gone.append(name)
                self.remove(name)
            return super().open(name)

    where = tmp_path / "data"
    with make(where, filesystem=Vanishing) as db:
        fill(db)
        for most, count in ((1, 4), (3, 9)):
            gone.clear()
            for number in range(count):
                blob(where, str(number), b"x")
            if most < 3:
                db.backup(tmp_path / "x.zip")
                assert len([name for name in archive_names(tmp_path / "x.zip") if "blobs" in name]) == 3
            else:
                with pytest.raises(BackupError, match=r"such as blobs/.*removed while it ran"):
                    db.backup(tmp_path / "y.zip")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x.zip"]


@pytest.mark.parametrize("kind", ["symlink", "symlinked folder", "dangling", "hard link", "fifo"])
def test_what_is_no_plain_file_of_ours_is_refused(tmp_path: Path, kind: str) -> None:
    """Ensure a link beside the store never brings another file into the backup, and no pipe blocks it."""
    secret = tmp_path / "secret"
    secret.write_text("not yours")
    path = blob(tmp_path / "data", "aa", b"a").with_name("odd")
    with make(tmp_path / "data") as db:
        if kind == "symlinked folder":
            (path.parent / "odd").symlink_to(tmp_path)
        elif "link" in kind and kind != "hard link":
            path.symlink_to(secret)
        elif kind == "dangling":
            path.symlink_to(tmp_path / "nowhere")
        elif kind == "hard link":
            os.link(secret, path)
        else:
            os.mkfifo(path)
        with pytest.raises(BackupError, match=r"odd (is a symlink|has a second name|is not a regular file)"):
            db.backup(tmp_path / "x.zip")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["data", "secret"]


def test_large_files_get_large_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure files beyond the sizes of an old zip come back: here the border is at 1,000 bytes."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    monkeypatch.setattr(archive, "_LARGE", 500)
    content = os.urandom(3_000_000)
    for number in range(20):
        blob(tmp_path / "data", str(number), content if number == 3 else b"x")
    with make(tmp_path / "data") as db:
        db.users.insert_many([User(id=str(n), name=str(n)) for n in range(500)])
        made = db.backup(tmp_path / "x.zip")
    assert contents(unpack(made.path, tmp_path / "copy"))["blobs/3"] == content


def test_a_file_of_gigabytes_is_never_in_memory_whole(tmp_path: Path) -> None:
    """Ensure memory does not grow with a file beside the store: 40 MB of holes, in a process that may have little."""
    path = blob(tmp_path / "data", "big", b"")
    os.truncate(path, 40 << 20)
    program = (
        "import resource, sys; from pathlib import Path; from tests.snaptable.backup.support import Store\n"
        f"with Store({str(tmp_path / 'data')!r}, banner=False) as db:\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"    made = db.backup({str(tmp_path / 'x.zip')!r})\n"
        "    assert made.size > 40 << 20, made.size\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 20 << 20


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """Ensure a backup that finds no room fails saying so, leaves no file, and the store goes on; at each write."""
    disk, where = Disk(), tmp_path / "data"
    with make(where, filesystem=partial(faulty, disk)) as db:
        fill(db)
        blob(where, "aa", os.urandom(100_000))
        count = writes_of_a_backup(db, disk, tmp_path / "good.zip")
        for skip in range(count):
            disk.fail("write", errno.ENOSPC, name=".backup.", skip=skip, how="short")
            with pytest.raises(BackupError, match=r"No space left.*the disk is full") as caught:
                db.backup(tmp_path / "x.zip")
            assert isinstance(caught.value.__cause__, OSError)
            disk.mend()
            assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "good.zip"]
        db.users.insert(User(id="after", name="after"))
        assert db.status().writable


def writes_of_a_backup(db: Store, disk: Disk, path: Path) -> int:
    """Return how many writes a backup takes."""
    before = disk.count("write", ".backup.")
    db.backup(path)
    return disk.count("write", ".backup.") - before


def test_a_full_disk_of_the_store_is_no_obstacle(tmp_path: Path) -> None:
    """Ensure a store that refuses writes, its disk being full or broken, can be backed up to another one."""
    disk = Disk()
    with make(tmp_path / "data", filesystem=partial(faulty, disk)) as db:
        states = fill(db)
        disk.fail("sync", name="db_journal", times=1_000)
        with pytest.raises(WriteFailed):
            db.users.insert(User(id="lost", name="lost"))
        disk.fail("write", errno.ENOSPC, name="db_", times=1_000)
        assert not db.status().writable
        made = db.backup(tmp_path / "x.zip")
        disk.mend()
    with opened(made.path, tmp_path / "copy") as copy:
        assert rows_of(copy) == states[-1]


def test_damaged_history_ends_the_history_of_the_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ensure damage in an old journal file is told, and neither kept nor a reason to have no backup."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 100)
    with make(tmp_path / "data") as db:
        states = fill(db)
        path = tmp_path / "data" / "db_journal" / "4.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"changes"', b'"CHANGES"'))
        made = db.backup(tmp_path / "x.zip")
        path.write_bytes(path.read_bytes().replace(b'"CHANGES"', b'"changes"'))
    assert "has no history before commit 4" in caplog.text
    with opened(made.path, tmp_path / "copy") as copy:
        assert rows_of(copy) == states[-1]
        assert copy.history.first == 4


class Card(Row):
    id: str
    number: Annotated[str, Secret()]


class Wallet(Database):
    cards: Table[Card]


def test_the_manifest_names_what_commands_without_models_need(tmp_path: Path) -> None:
    """Ensure secrets, references and transient tables are named, for tools that mask, follow and leave out."""
    with Wallet("memory:") as wallet, make(tmp_path / "data") as db:
        paths = [wallet.backup(tmp_path / "1.zip").path, db.backup(tmp_path / "2.zip").path]
    found = []
    for path in paths:
        with zipfile.ZipFile(path) as zipped:
            found.append(json.loads(zipped.read("manifest.json")))
    assert found[0]["secret"] == {"cards": ["number"]}
    assert found[1]["references"] == [["notes", "user_id", "users", "cascade"]]
    assert found[1]["transient"] == []


class Empty(Database):
    """A database without tables."""


@pytest.mark.parametrize("url", ["memory:", "data"])
def test_databases_without_rows_or_files(tmp_path: Path, url: str) -> None:
    """Ensure a database without tables, rows, or a directory can be backed up; its copy is a store of its own."""
    for models in (Empty, Store):
        with models(url if url == "memory:" else tmp_path / models.__name__ / url, banner=False) as db:
            made = db.backup(tmp_path / f"{models.__name__}.zip")
        with opened(made.path, tmp_path / f"copy-{models.__name__}", models) as copy:
            assert copy.status().sequence == 0


def test_a_moment_of_the_past_and_a_fork_can_be_backed_up(tmp_path: Path) -> None:
    """Ensure the rows of a past are a backup: what a person wants who looks at a moment and likes it."""
    with make(tmp_path / "data") as db:
        states = fill(db)
        past = db.history.at(3).backup(tmp_path / "past.zip")
        with db.history.fork() as fork:
            fork.users.delete("ann")
            fork.backup(tmp_path / "fork.zip")
    assert past.sequence == 3
    with opened(past.path, tmp_path / "copy") as copy:
        assert {name: set(rows) for name, rows in rows_of(copy).items()} == {
            name: set(rows) for name, rows in states[3].items()
        }
        copy.users.delete("bob")
    with Store(tmp_path / "copy", banner=False) as again:
        assert set(again.users.where().all()) == {User(id="ann", name="Ann", money=7)}
    with opened(tmp_path / "fork.zip", tmp_path / "forked") as forked:
        assert [user.id for user in forked.users] == ["bob"]


def test_a_reader_backs_up_what_it_shows(tmp_path: Path) -> None:
    """Ensure a read_only database gives the state that it shows, before a refresh and after it."""
    with make(tmp_path / "data") as db:
        states = fill(db)
        with make(tmp_path / "data", read_only=True) as reader:
            db.users.insert(User(id="new", name="new"))
            first = reader.backup(tmp_path / "1.zip")
            assert reader.refresh() == 9
            second = reader.backup(tmp_path / "2.zip")
            newest = rows_of(db)
    for made, state, number in ((first, states[-1], 8), (second, newest, 9)):
        with opened(made.path, tmp_path / f"copy-{number}") as copy:
            assert (copy.history.sequence, rows_of(copy)) == (number, state)
            assert [commit.sequence for commit in copy.history] == list(range(number, 0, -1))


def test_off_the_event_loop(tmp_path: Path) -> None:
    """Ensure it can be made in a thread while tasks write."""

    def insert(db: Store, number: int) -> User:
        return db.users.insert(User(id=str(number), name=str(number)))

    async def work() -> int:
        with make(tmp_path / "data") as db:
            made = asyncio.create_task(asyncio.to_thread(db.backup, tmp_path / "x.zip"))
            for number in range(20):
                await db.run(insert, number)
            return (await made).sequence

    assert asyncio.run(work()) <= 20


def test_old_and_odd_files_of_folders(tmp_path: Path) -> None:
    """Ensure names of any letters come back, and one that is no text is refused, saying which."""
    odd = "ümläut ☃ \\ : *?\n.pdf"
    blob(tmp_path / "data", odd, b"odd")
    with make(tmp_path / "data") as db:
        made = db.backup(tmp_path / "x.zip")
        assert archive_names(made.path) >= {f"blobs/{odd}"}
        (tmp_path / "data" / "blobs" / os.fsdecode(b"\xff")).write_bytes(b"no text")
        with pytest.raises(BackupError, match="name is no text"):
            db.backup(tmp_path / "y.zip")


def archive_names(path: Path) -> set[str]:
    """Return the names in a backup."""
    with path.open("rb") as file:
        return set(archive.Archive(str(path), file).manifest.members)
