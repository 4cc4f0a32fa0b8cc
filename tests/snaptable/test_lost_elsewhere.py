"""The ways in which other stores lost or mangled data, each tried here; each test names the report it comes from."""

import errno
import json
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import pytest

from snaptable import (
    CorruptSnapshot,
    Database,
    DatabaseClosed,
    ForeignKey,
    Index,
    InvalidKey,
    InvalidRow,
    Row,
    SnaptableError,
    StoreLocked,
    Table,
    Unique,
    UniqueViolation,
    UnsafeDirectory,
    WriteFailed,
)
from snaptable import table as indexes
from snaptable.storage.disk.files import Files
from snaptable.storage.snapshot import checkpointer
from snaptable.testing.disk import SimulatedDisk


class Owner(Row):
    """A row that others refer to."""

    id: str
    name: Annotated[str, Index()] = ""


class Thing(Row):
    """A row with every kind of index, and a value of any kind."""

    id: str
    owner: Annotated[str | None, ForeignKey(Owner, on_delete="cascade")] = None
    code: Annotated[str | None, Unique()] = None
    rank: Annotated[int, Index(ordered=True)] = 0
    tags: Annotated[tuple[str, ...], Index(each=True)] = ()
    data: Any = None


class Numbered(Row):
    """A row that the table numbers."""

    id: int | None = None


class Store(Database):
    """The store of these tests."""

    owners: Table[Owner]
    things: Table[Thing] = indexes(Index("owner", "rank", ordered=True))
    numbered: Table[Numbered]


def on_disk(directory: Path) -> dict[str, Any]:
    """Return what anybody reads in the snapshot."""
    snapshot: dict[str, Any] = json.loads((directory / "db_snapshot.json").read_bytes())
    return snapshot


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory, but for the lock, and for the zeros reserved behind the journal."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != "db.lock")
    return {str(path.relative_to(directory)): path.read_bytes().rstrip(b"\0") for path in files}


def test_tinydb_89_a_value_that_cannot_be_written_leaves_the_file_whole(tmp_path: Path) -> None:
    """A value JSON can't hold is refused before a byte is written."""
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="1"))
        before = tree(tmp_path)
        with pytest.raises(InvalidRow):
            db.things.insert(Thing(id="2", data={"handle": object()}))
        assert tree(tmp_path) == before


def test_nedb_265_the_new_file_is_synced_before_it_gets_the_name() -> None:
    """Every rename in the record of a disk follows a sync of the file that is renamed, with no write between."""
    disk = SimulatedDisk()
    db = Store("/simulated", filesystem=lambda _, *, fsync: disk)
    with db:
        db.things.insert(Thing(id="1"))
        db.persist()
    synced: set[int] = set()
    renames = 0
    for operation in disk.operations:
        if operation.kind == "sync":
            synced.add(operation.inode)
        elif operation.kind in ("write", "truncate"):
            synced.discard(operation.inode)
        elif operation.kind == "rename":
            renames += 1
            assert operation.inode in synced, operation.name
    assert renames >= 3


def test_tinydb_113_a_file_that_gets_shorter_keeps_nothing_of_the_longer(tmp_path: Path) -> None:
    """After a large row is gone the file is exactly one JSON value again."""
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="big", data="x" * 50_000))
        db.things.delete("big")
        assert on_disk(tmp_path)["things"] == {}
        assert (tmp_path / "db_snapshot.json").stat().st_size < 1000


def test_lokijs_526_lowdb_562_saves_at_the_same_time_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    """Snapshots from several threads at once all succeed, and leave one whole file and no other."""
    with Store(tmp_path, snapshot="background") as db:
        failures: list[Exception] = []

        def save(number: int) -> None:
            try:
                db.things.insert(Thing(id=str(number)))
                db.persist()
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=save, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(on_disk(tmp_path)["things"]) == 12
        assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EBUSY], ids=["lowdb_157_EPERM", "docker_json_server_2_EBUSY"])
def test_a_rename_that_is_not_allowed_loses_nothing(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the snapshot can't be replaced the write holds all the same, the old file stays, and status says why."""
    monkeypatch.setattr(checkpointer, "RETRY", 3600.0)  # nothing is tried again while the files are copied
    refused = True

    class Stubborn(Files):
        def replace(self, source: str, target: str) -> None:
            if refused and target == "db_snapshot.json":
                raise OSError(number, os.strerror(number), target)
            super().replace(source, target)

    db = Store(tmp_path, filesystem=Stubborn)
    refused = False
    with db:
        db.things.insert(Thing(id="1"))
        before = (tmp_path / "db_snapshot.json").read_bytes()
        refused = True
        db.things.insert(Thing(id="2"))
        assert (tmp_path / "db_snapshot.json").read_bytes() == before
        assert os.strerror(number) in (db.status().snapshot_error or "")
        copy = shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-copy"))
        refused = False
        db.persist()
        assert db.status().snapshot_error is None
        assert set(on_disk(tmp_path)["things"]) == {"1", "2"}
    with Store(copy) as again:
        assert [row.id for row in again.things] == ["1", "2"]


def test_redis_1604_openhab_2267_a_full_disk_zeroes_nothing(tmp_path: Path) -> None:
    """With no room at all, what is there stays as it is, byte for byte, and writing works once there is room."""
    full = False

    class Full(Files):
        def create(self, name: str) -> Any:
            return _NoRoom(super().create(name), lambda: full)

        def append(self, name: str) -> Any:
            return _NoRoom(super().append(name), lambda: full)

    db = Store(tmp_path, filesystem=Full)
    with db:
        db.things.insert(Thing(id="1"))
        before = tree(tmp_path)
        full = True
        for number in range(3):
            with pytest.raises(WriteFailed):
                db.things.insert(Thing(id=f"no {number}"))
        assert tree(tmp_path) == before
        assert [row.id for row in db.things] == ["1"]
        full = False
        db.things.insert(Thing(id="2"))
        assert set(on_disk(tmp_path)["things"]) == {"1", "2"}


class _NoRoom:
    """A file on a disk that may be full."""

    def __init__(self, file: Any, full: Any) -> None:
        self._file, self._full = file, full

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, buffers: Any) -> None:
        if self._full():
            raise OSError(errno.ENOSPC, "no space left")
        self._file.write(buffers)

    def write_synced(self, data: bytes, start: int) -> None:
        self._file.seek(start)
        self.write([data])
        self._file.sync()


def test_music_assistant_4534_a_damaged_file_is_not_followed_by_an_empty_one(tmp_path: Path) -> None:
    """A file that can't be read stops the start; trying again and again changes no byte of it."""
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="1"))
    path = tmp_path / "db_snapshot.json"
    path.write_bytes(path.read_bytes()[:-40])
    before = tree(tmp_path)
    for _ in range(3):
        with pytest.raises(CorruptSnapshot, match="byte"):
            Store(tmp_path).open()
    assert tree(tmp_path) == before


def test_electron_store_35_a_trailing_comma_does_not_wipe_the_store(tmp_path: Path) -> None:
    """A comma too many, as an editor leaves it, is refused with its place; the file stays."""
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="1"))
    path = tmp_path / "db_snapshot.json"
    path.write_bytes(path.read_bytes().replace(b"}\n},\n", b"},\n},\n", 1))
    before = tree(tmp_path)
    with pytest.raises(CorruptSnapshot):
        Store(tmp_path).open()
    assert tree(tmp_path) == before


def test_nedb_a_few_bad_lines_are_not_dropped_and_compacted_away(tmp_path: Path) -> None:
    """One damaged line among a hundred is an error, not a loss of one percent."""
    with Store(tmp_path) as db:
        db.things.insert_many(Thing(id=str(number)) for number in range(100))
    path = tmp_path / "db_snapshot.json"
    path.write_bytes(path.read_bytes().replace(b'"50": {', b'"50": [', 1))
    before = tree(tmp_path)
    with pytest.raises(SnaptableError):
        Store(tmp_path).open()
    assert tree(tmp_path) == before


def test_redis_12762_a_snapshot_without_a_journal_is_the_state_not_nothing(tmp_path: Path) -> None:
    """With the journal gone the snapshot is loaded, and a new journal goes on from it."""
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="1"))
    shutil.rmtree(tmp_path / "db_journal")
    with Store(tmp_path) as db:
        assert [row.id for row in db.things] == ["1"]
        db.things.insert(Thing(id="2"))
    with Store(tmp_path) as db:
        assert [row.id for row in db.things] == ["1", "2"]


def test_tinydb_631_a_write_after_close_does_not_seem_to_succeed(tmp_path: Path) -> None:
    """Every operation of a closed database raises."""
    db = Store(tmp_path).open()
    db.close()
    with pytest.raises(DatabaseClosed):
        db.things.insert(Thing(id="1"))
    with pytest.raises(DatabaseClosed):
        db.things.get("1")
    with pytest.raises(DatabaseClosed), db.transaction():
        pass


def test_json_server_416_two_writes_in_quick_succession_are_both_there(tmp_path: Path) -> None:
    """Nothing that reloads or coalesces drops the second of two writes."""
    with Store(tmp_path) as db:
        threads = [threading.Thread(target=db.things.insert, args=(Thing(id=name),)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(on_disk(tmp_path)["things"]) == {"a", "b"}


def test_tinydb_629_34_7_numbers_do_not_clash_and_order_stays(tmp_path: Path) -> None:
    """A number is never given out again, not after deleting the last row and starting anew; rows keep their order."""
    with Store(tmp_path) as db:
        db.numbered.insert_many(Numbered() for _ in range(3))
        db.numbered.delete(3)
        db.numbered.insert(Numbered(id=10))
    with Store(tmp_path) as db:
        assert db.numbered.insert(Numbered()).id == 11
        db.numbered.delete(11)
    with Store(tmp_path) as db:
        db.numbered.insert(Numbered())
        assert [row.id for row in db.numbered] == [1, 2, 10, 12]
        assert list(on_disk(tmp_path)["numbered"]) == ["1", "2", "10", "12"]


def test_lokijs_639_654_indexes_do_not_drift_from_the_rows(tmp_path: Path) -> None:
    """After a thousand random changes, some rolled back, each index is what a full scan finds."""
    chance = random.Random(639)
    with Store(tmp_path, fsync=False, snapshot="background") as db:
        for number in range(1000):
            key = str(chance.randrange(60))
            try:
                with db.transaction():
                    tags = tuple(chance.choices("abc", k=2))
                    db.things.upsert(
                        Thing(id=key, rank=chance.randrange(9), tags=tags, code=chance.choice("xyz") + key[0])
                    )
                    if number % 5 == 0:
                        db.things.where(Thing.rank == chance.randrange(9)).delete()
                    if number % 7 == 0:
                        raise RuntimeError("rolled back")
            except (RuntimeError, UniqueViolation):
                continue
        assert db.check() == []
        assert len(db.things) > 5


def test_json_server_1772_a_cascade_spares_rows_that_refer_to_nothing(tmp_path: Path) -> None:
    """Deleting an owner takes its own things, not those without an owner."""
    with Store(tmp_path) as db:
        db.owners.insert_many([Owner(id="a"), Owner(id="b")])
        db.things.insert_many([Thing(id="1", owner="a"), Thing(id="2"), Thing(id="3", owner="b")])
        db.owners.delete("a")
        assert [row.id for row in db.things] == ["2", "3"]


def test_sqlite_utils_815_a_failed_operation_leaves_no_transaction_open(tmp_path: Path) -> None:
    """After an error the next write, from another thread too, neither joins nor waits for anything."""
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="1", code="c"))
        with pytest.raises(UniqueViolation):
            db.things.insert(Thing(id="2", code="c"))
        thread = threading.Thread(target=db.things.insert, args=(Thing(id="3"),))
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        assert set(on_disk(tmp_path)["things"]) == {"1", "3"}


def test_sqlite_utils_794_replacing_a_row_fires_no_cascade(tmp_path: Path) -> None:
    """An upsert or a replacement of an owner is no deletion: its things stay."""
    with Store(tmp_path) as db:
        db.owners.insert(Owner(id="a"))
        db.things.insert(Thing(id="1", owner="a"))
        db.owners.upsert(Owner(id="a", name="new"))
        db.owners.replace(Owner(id="a", name="newer"))
        assert db.things["1"].owner == "a"


def test_tinydb_551_nested_values_are_not_shared_with_callers(tmp_path: Path) -> None:
    """Changing what was handed in, or out, changes nothing that is stored."""
    with Store(tmp_path) as db:
        data = {"list": [1]}
        stored = db.things.insert(Thing(id="1", data=data))
        data["list"].append(2)
        stored.data["list"].append(3)
        db.things["1"].data["list"].append(4)
        db.things.where().all()[0].data["list"].append(5)
        assert db.things["1"].data == {"list": [1]}


def test_pydantic_7007_nan_does_not_become_a_null_that_cannot_be_loaded(tmp_path: Path) -> None:
    """NaN is refused at the write, wherever it hides, and the store opens again."""
    with Store(tmp_path) as db:
        for data in (math.nan, {"a": [math.inf]}, [-math.inf]):
            with pytest.raises(InvalidRow, match="data"):
                db.things.insert(Thing(id="1", data=data))
    with Store(tmp_path) as db:
        assert db.things.all() == []


def test_sqlite_utils_a_text_of_digits_stays_a_text(tmp_path: Path) -> None:
    """`01234` comes back as the text it was."""
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="007", code="01234", data={"zip": "01234", "e": "1e5"}))
    with Store(tmp_path) as db:
        assert db.things["007"] == Thing(id="007", code="01234", data={"zip": "01234", "e": "1e5"})


def test_json_server_v1_keys_keep_their_type(tmp_path: Path) -> None:
    """A key `1` of a text table and a key 1 of a number table stay what they are."""
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="1"))
        db.numbered.insert(Numbered(id=1))
    with Store(tmp_path) as db:
        assert db.things["1"].id == "1"
        assert db.numbered[1].id == 1
        with pytest.raises(InvalidKey, match="is a str; a int never is one"):
            db.things.get(1)


def test_nedb_314_a_second_process_is_refused(tmp_path: Path) -> None:
    """Another process that opens the same directory is told who has it, and changes nothing."""
    code = "import sys; from snaptable import Database; Database(sys.argv[1]).open()"
    with Store(tmp_path) as db:
        db.things.insert(Thing(id="1"))
        before = tree(tmp_path)
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert "StoreLocked" in other.stderr
        assert f"process {os.getpid()}" in other.stderr
        assert tree(tmp_path) == before
        with pytest.raises(StoreLocked):
            Store(tmp_path).open()


def test_terminal_10908_a_symlink_is_not_replaced_and_the_mode_is_kept(tmp_path: Path) -> None:
    """A symlink in place of the snapshot is refused, its target untouched; the mode survives every rename."""
    with Store(tmp_path / "a") as db:
        for number in range(3):
            db.things.insert(Thing(id=str(number)))
            assert (tmp_path / "a" / "db_snapshot.json").stat().st_mode & 0o777 == 0o600
    target = tmp_path / "elsewhere.json"
    shutil.move(tmp_path / "a" / "db_snapshot.json", target)
    (tmp_path / "a" / "db_snapshot.json").symlink_to(target)
    before = target.read_bytes()
    with pytest.raises(UnsafeDirectory, match="symlink"):
        Store(tmp_path / "a").open()
    assert target.read_bytes() == before


def test_zodb_290_a_read_after_a_write_is_not_stale(tmp_path: Path) -> None:
    """Once a write has returned, every thread reads it."""
    with Store(tmp_path, fsync=False, snapshot="background") as db:
        db.things.insert(Thing(id="1"))
        written, stale = 0, []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                least = written
                rank = db.things["1"].rank
                if rank < least:
                    stale.append((least, rank))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(1, 400):
            db.things.update("1", rank=number)
            written = number
        done.set()
        for reader in readers:
            reader.join()
        assert stale == []


@pytest.mark.parametrize("tail", [b"", b"\0" * 600], ids=["truncated", "zero_padded"])
def test_redis_5177_a_torn_tail_is_cut_whether_short_or_padded(
    tmp_path: Path, tail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last frame that is cut short, or followed by zeros, loses that frame alone."""
    monkeypatch.setattr(checkpointer, "DELAY", 3600.0)  # the journal alone has it
    with Store(tmp_path / "a", snapshot="background") as db:
        db.things.insert(Thing(id="1"))
        db.things.insert(Thing(id="2"))
        shutil.copytree(tmp_path / "a", tmp_path / "b")
    journal = tmp_path / "b" / "db_journal" / "1.jsonl"
    journal.write_bytes(journal.read_bytes().rstrip(b"\0")[:-30] + tail)
    with Store(tmp_path / "b") as db:
        assert [row.id for row in db.things] == ["1"]


def test_node_json_db_24_a_reader_of_the_file_never_sees_half_a_write(tmp_path: Path) -> None:
    """Whoever reads the snapshot while it is written finds whole JSON, each time."""
    with Store(tmp_path, fsync=False) as db:
        done = threading.Event()
        bad: list[Exception] = []
        seen: set[int] = set()

        def read() -> None:
            while not done.is_set():
                try:
                    seen.add(len(on_disk(tmp_path)["things"]))
                except Exception as error:
                    bad.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        until, number = time.monotonic() + 30, 0
        while number < 150 or (len(seen) <= 3 and time.monotonic() < until):
            db.things.insert(Thing(id=str(number), data="x" * 500))
            number += 1
        done.set()
        reader.join()
        assert bad == []
        assert len(seen) > 3
