"""`refresh`: a database that is read only catches up with the journal of the process that writes."""

import io
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.backup.support import Note, Store, User, fill, opened, rows_of
from tests.snaptable.storage.faults import Disk, FaultyFiles

from snaptable import (
    CorruptJournal,
    Database,
    DatabaseClosed,
    Row,
    SchemaMismatch,
    Table,
    TransactionError,
    Unique,
    WriteFailed,
    inserted,
)
from snaptable.errors import StoreNewer
from snaptable.migrations import Migration, rename
from snaptable.storage import group_commit
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.follower import PlaceLost


def make(where: Path, **options: Any) -> Store:
    """Return a store without syncs and banner."""
    return Store(where, **{"fsync": False, "banner": False, **options})


def in_order(db: Database) -> dict[str, list[Any]]:
    """Return the rows in the order of insertion."""
    return {name: table.where().order_by(inserted()).all() for name, table in db.tables.items()}


def test_a_reader_follows_every_kind_of_commit(tmp_path: Path) -> None:
    """Ensure each commit is shown after a refresh and not before, with indexes, order, numbers and history."""
    with make(tmp_path / "data") as db, make(tmp_path / "data", read_only=True) as reader:
        states = [rows_of(reader)]
        seen: list[Any] = []
        original = db.history.sequence

        def look() -> None:
            states.append(rows_of(reader))

        steps: list[Callable[[], object]] = [
            lambda: db.users.insert(User(id="ann", name="Ann")),
            lambda: db.users.insert(User(id="bob", name="Bob")),
            lambda: db.notes.create(user_id="bob", text="x"),
            lambda: db.users.update("ann", name="Anna"),
            lambda: db.users.delete("bob"),
            lambda: db.users.insert(User(id="bob", name="Ann")),
            lambda: db.persist(),
        ]
        for step in steps:
            before = rows_of(reader)
            step()
            assert rows_of(reader) == before
            assert reader.refresh() == db.history.sequence == reader.history.sequence
            assert in_order(reader) == in_order(db)
            assert reader.check() == []
            look()
            seen.append(reader.users.where(name="Ann").all())
        assert seen[-1] == [User(id="bob", name="Ann")]
        assert original == 0
        assert [commit.sequence for commit in reader.history] == [6, 5, 4, 3, 2, 1]
        with reader.history.at(2) as past:
            assert rows_of(past) == states[2]
        assert reader.refresh() == 6
        assert reader.status().sequence == 6
    with pytest.raises(DatabaseClosed):
        reader.refresh()


def test_databases_that_are_always_current(tmp_path: Path) -> None:
    """Ensure it does nothing for a writer, for "memory:", and for a past."""
    with make(tmp_path / "data") as db, Store("memory:") as memory:
        fill(db)
        fill(memory)
        assert db.refresh() == memory.refresh() == 8
        assert db.history.at(3).refresh() == 3


ids = st.sampled_from("abcd")
changes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), ids, st.integers(0, 3)),
        st.tuples(st.just("delete"), ids, st.just(0)),
        st.tuples(st.just("note"), ids, st.integers(0, 3)),
        st.tuples(st.just("restart"), ids, st.just(0)),
        st.tuples(st.just("look"), ids, st.just(0)),
        st.tuples(st.just("copy"), ids, st.just(0)),
    ),
    max_size=25,
)


def carry_out(db: Store, kind: str, key: str, value: int) -> None:
    """Make one commit, or none."""
    if kind == "put":
        db.users.upsert(User(id=key, name=key, money=value))
    elif kind == "delete" and key in db.users:
        db.users.delete(key)
    elif kind == "note" and key in db.users:
        with db.transaction():
            db.notes.create(user_id=key, text=str(value))
            db.users.update(key, money=value)


@given(changes, st.sampled_from([100, 400, 1 << 20]), st.sampled_from([0, 200_000]))
@settings(max_examples=60)
def test_any_history_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], segment: int, history: int
) -> None:
    """Ensure a reader that looks now and then sees what the writer has, in its order, across restarts and pruning."""
    where = tmp_path_factory.mktemp("refresh") / "data"
    bytes_before, group_commit.SEGMENT_BYTES = group_commit.SEGMENT_BYTES, segment
    try:
        db = make(where, history_bytes=history).open()
        with make(where, read_only=True) as reader:
            for kind, key, value in steps:
                if kind == "restart":
                    db.close()
                    db.open()
                elif kind in ("look", "copy"):
                    assert reader.refresh() == db.history.sequence
                    assert in_order(reader) == in_order(db)
                else:
                    carry_out(db, kind, key, value)
            assert reader.refresh() == db.history.sequence
            assert in_order(reader) == in_order(db)
            assert reader.check() == []
        db.close()
    finally:
        group_commit.SEGMENT_BYTES = bytes_before


def test_readers_see_whole_commits_while_they_come(tmp_path: Path) -> None:
    """Ensure threads that read while another refreshes see the sum of every state, never part of a commit."""
    with make(tmp_path / "data") as db, make(tmp_path / "data", read_only=True) as reader:
        db.users.insert_many([User(id=str(n), name=str(n), money=10) for n in range(10)])
        reader.refresh()
        stop, wrong = threading.Event(), list[object]()

        def read() -> None:
            while not stop.is_set():
                total = reader.users.where().sum(User.money)
                if total != 100:
                    wrong.append(total)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(150):
            with db.transaction():
                db.users.update(str(number % 10), money=User.money - 3)
                db.users.update(str((number + 1) % 10), money=User.money + 3)
            reader.refresh()
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_not_inside_a_transaction(tmp_path: Path) -> None:
    """Ensure what a transaction reads stays what it was."""
    with make(tmp_path / "data") as db, make(tmp_path / "data", read_only=True) as reader:
        db.users.insert(User(id="a", name="a"))
        with reader.transaction(), pytest.raises(TransactionError, match=r"refresh\(\) inside a transaction"):
            reader.refresh()
        assert reader.users.count() == 0
        assert reader.refresh() == 1


def test_a_feed_of_a_reader_goes_on_with_each_refresh(tmp_path: Path) -> None:
    """Ensure `follow` on a reader gives each commit once it was refreshed, without gaps."""
    with make(tmp_path / "data") as db, make(tmp_path / "data", read_only=True) as reader:
        with reader.history.follow(since=0) as feed:
            got = []
            for number in range(3):
                db.users.insert(User(id=str(number), name=str(number)))
                db.users.update(str(number), money=1)
                reader.refresh()
                commits = iter(feed)
                got += [next(commits).sequence, next(commits).sequence]
        assert got == [1, 2, 3, 4, 5, 6]


def test_beside_another_process(tmp_path: Path) -> None:
    """Ensure a process that writes is followed while it does: every state is one that it had."""
    where = tmp_path / "data"
    make(where).open().close()
    program = (
        "from tests.snaptable.backup.support import Store, User\n"
        f"with Store({str(where)!r}, banner=False) as db:\n"
        "    for n in range(300):\n"
        "        with db.transaction():\n"
        "            db.users.insert(User(id=str(n), name=str(n), money=1))\n"
        "            db.users.insert(User(id=f'-{n}', name=f'-{n}', money=-1))\n"
    )
    with make(where, read_only=True) as reader, subprocess.Popen([sys.executable, "-c", program]) as writer:
        while writer.poll() is None:
            sequence = reader.refresh()
            assert len(reader.users) == 2 * sequence
            assert reader.users.where().sum(User.money) == 0
            time.sleep(0.001)
        assert reader.refresh() == 300
        assert reader.check() == []


def test_a_replaced_store_is_loaded_anew(tmp_path: Path) -> None:
    """Ensure files in the place of the store, of another history or another store, are shown whole, back in time."""
    with make(tmp_path / "data") as db:
        states = fill(db)
        db.backup(tmp_path / "x.zip")
        with make(tmp_path / "data", read_only=True) as reader:
            db.users.insert(User(id="newer", name="newer"))
            assert reader.refresh() == 9
            db.close()
            shutil.rmtree(tmp_path / "data")
            with opened(tmp_path / "x.zip", tmp_path / "data") as restored:
                assert reader.refresh() == 8
                assert rows_of(reader) == states[-1]
                restored.users.insert(User(id="other", name="other"))
                assert reader.refresh() == 9
                assert in_order(reader) == in_order(restored)
            shutil.rmtree(tmp_path / "data")
            with make(tmp_path / "data") as fresh:
                assert reader.refresh() == 0
                fresh.users.insert(User(id="a", name="a"))
                assert reader.refresh() == 1
                assert in_order(reader) == in_order(fresh)
                assert reader.check() == []


def test_a_write_that_was_given_up_is_taken_back(tmp_path: Path) -> None:
    """Ensure a reader that saw a frame whose sync then failed shows what the writer went on with."""
    disk = Disk()

    def files(directory: Path, *, fsync: bool) -> Files:
        return FaultyFiles(directory, disk, fsync=fsync)

    with make(tmp_path / "data", filesystem=files) as db, make(tmp_path / "data", read_only=True) as reader:
        db.users.insert(User(id="a", name="a"))
        disk.fail("sync", name="db_journal", how="after")
        with pytest.raises(WriteFailed):
            db.users.insert(User(id="ghost", name="ghost"))
        reader.refresh()  # it may show it: the bytes are there
        db.persist()
        db.users.insert(User(id="b", name="b"))
        assert reader.refresh() == 2
        assert in_order(reader) == in_order(db)


def test_a_write_under_way_is_left_for_the_next_time(tmp_path: Path) -> None:
    """Ensure the end of the journal, cut anywhere, is either shown or waited for, and never an error."""
    with make(tmp_path / "data") as db:
        db.users.insert(User(id="a", name="a"))
        before = (tmp_path / "data" / "db_journal" / "1.jsonl").read_bytes().rstrip(b"\0")
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
        db.users.insert(User(id="b", name="b"))
        after = (tmp_path / "data" / "db_journal" / "1.jsonl").read_bytes().rstrip(b"\0")
    path = tmp_path / "copy" / "db_journal" / "1.jsonl"
    with make(tmp_path / "copy", read_only=True) as reader:
        assert reader.refresh() == 1
        for end in range(len(before), len(after)):
            path.write_bytes(after[:end] + b"\0" * 100)
            assert reader.refresh() == 1
        path.write_bytes(after + b"\0" * 100)
        assert reader.refresh() == 2
        assert reader.users.count() == 2


def test_damage_is_told_and_changes_nothing(tmp_path: Path) -> None:
    """Ensure damage, behind which commits follow, is an error by file and byte, each time, and what was shown stays."""
    with make(tmp_path / "data") as db, make(tmp_path / "data", read_only=True) as reader:
        db.users.insert(User(id="a", name="a"))
        reader.refresh()
        db.users.insert(User(id="b", name="b"))
        db.users.insert(User(id="c", name="c"))
        path = tmp_path / "data" / "db_journal" / "1.jsonl"
        sound = path.read_bytes()
        path.write_bytes(sound.replace(b'"id":"b"', b'"id":"B"'))
        for _ in range(2):
            with pytest.raises(CorruptJournal, match=r"1\.jsonl, byte \d+: damaged, and sequence 3 follows") as caught:
                reader.refresh()
            assert caught.value.path == str(path)
            assert reader.users.count() == 1
        path.write_bytes(sound)
        assert reader.refresh() == 3


class Strict(Row):
    id: str
    name: Annotated[str, Unique()]
    money: Annotated[int, Unique()] = 0


class StrictNote(Row):
    id: int
    user_id: str
    text: str = ""


class StrictStore(Database):
    users: Table[Strict]
    notes: Table[StrictNote]


class OneTable(Database):
    users: Table[User]


def test_models_that_differ(tmp_path: Path) -> None:
    """Ensure a commit that doesn't fit the reader's models is refused whole, with its place, and the reader goes on."""
    with make(tmp_path / "data") as db, StrictStore(tmp_path / "data", read_only=True) as reader:
        db.users.insert(User(id="a", name="a", money=1))
        assert reader.refresh() == 1
        with db.transaction():
            db.users.insert(User(id="b", name="b", money=2))
            db.users.insert(User(id="c", name="c", money=1))
        for _ in range(2):
            with pytest.raises(SchemaMismatch, match="its money is taken"):
                reader.refresh()
            assert [user.id for user in reader.users] == ["a"]
        assert reader.check() == []
        db.users.update("c", money=3)
        assert reader.refresh() == 3
        with OneTable(tmp_path / "data", read_only=True) as narrow:
            db.notes.create(user_id="a")
            with pytest.raises(SchemaMismatch, match="rows of notes, which the database doesn't have"):
                narrow.refresh()


def test_it_costs_what_was_added(tmp_path: Path) -> None:
    """Ensure a refresh reads the new bytes, not the journal: counted in bytes and in files."""
    read = {"bytes": 0, "opened": 0}

    class CountingReader(io.BufferedReader):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            read["bytes"] += len(data)
            return data

    class Counting(Files):
        def open(self, name: str) -> BinaryIO:
            read["opened"] += 1
            return CountingReader(super().open(name).detach())  # type: ignore[attr-defined]

    with make(tmp_path / "data", snapshot="background") as db:
        db.users.insert(User(id="a", name="a"))
        with make(tmp_path / "data", read_only=True, filesystem=Counting) as reader:
            for number in range(300):
                db.notes.create(user_id="a", text="x" * 1000 + str(number))
            assert reader.refresh() == 301
            read.update(bytes=0, opened=0)
            db.notes.create(user_id="a", text="last")
            assert reader.refresh() == 302
            assert read["bytes"] < 2000
            assert read["opened"] == 1
            assert reader.notes.count() == 301


def test_pruned_journals_and_many_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a reader far behind is brought up by the snapshot; rows that are equal stay the objects they were."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 200)
    with make(tmp_path / "data", history_bytes=0) as db:
        fill(db)
        with make(tmp_path / "data", read_only=True) as reader:
            ann = reader.users["ann"]
            for number in range(30):
                db.notes.create(user_id="ann", text=str(number))
            assert reader.refresh() == 38
            assert in_order(reader) == in_order(db)
            assert reader.users["ann"] is ann
            assert reader.check() == []
            assert isinstance(reader.notes.where().first(), Note)


class Renamed(Row):
    id: str
    label: str


class Older(Row):
    id: str
    name: str


class Before(Database):
    things: Table[Older]


class After(Database):
    things: Table[Renamed]
    migrations = (Migration("name becomes label", rename("things.name", to="label")),)


def test_a_reader_of_a_store_that_migrates(tmp_path: Path) -> None:
    """Ensure a reader of the former models is told that the store is newer; one of today's reads on, and backs up."""
    where = tmp_path / "data"
    with Before(where, banner=False) as db:
        db.things.insert(Older(id="a", name="x"))
    with Before(where, read_only=True) as former, After(where, banner=False) as db:
        db.things.insert(Renamed(id="b", label="y"))
        with pytest.raises(StoreNewer):
            former.refresh()
        assert [thing.name for thing in former.things] == ["x"]
        with After(where, read_only=True) as reader:
            db.things.insert(Renamed(id="c", label="z"))
            assert reader.refresh() == db.history.sequence
            reader.backup(tmp_path / "x.zip")
            db.history.at(db.history.sequence - 1).backup(tmp_path / "past.zip")
    for name, count in (("x", 3), ("past", 2)):
        with opened(tmp_path / f"{name}.zip", tmp_path / name, After) as copy:
            assert len(copy.things) == count


INTERRUPTED = ("catching_up", "engine", "transaction", "rows", "point_lookup", "durable", "follower", "commit_log")
"""Modules between any two lines of which Ctrl-C is tried."""


class Interruption:
    """Ctrl-C at the n-th line of these modules that is run."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, frame: Any, event: str, _: Any) -> Any:
        """Count a line, and interrupt at the last one."""
        name = frame.f_code.co_filename.rpartition("/")[2].removesuffix(".py")
        if name not in INTERRUPTED:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a file that nobody could close
@pytest.mark.parametrize("anew", [False, True])
def test_interrupted_anywhere(tmp_path: Path, anew: bool) -> None:
    """Ensure Ctrl-C at any line leaves what was shown or what is new, sound, and that the next refresh shows it all."""
    with make(tmp_path / "data", history_bytes=0) as db:
        fill(db)
        with make(tmp_path / "data", read_only=True) as reader:
            for count in range(1, 100_000, 7 if anew else 1):
                before = in_order(reader)
                with db.transaction():
                    db.users.upsert(User(id="x", name=f"x{count}"))
                    db.notes.create(user_id="x", text=str(count))
                    if count % 3:
                        db.users.delete("x")
                if anew:
                    reader._engine._follower = PlaceLostAlways(reader)  # type: ignore[union-attr]
                sys.settrace(interruption := Interruption(count))
                try:
                    with suppress(KeyboardInterrupt):
                        reader.refresh()
                finally:
                    sys.settrace(None)
                shown = in_order(reader)
                assert shown in (before, in_order(db)), count
                assert reader.check() == [], count
                assert reader.refresh() == db.history.sequence, count
                assert in_order(reader) == in_order(db), count
                assert reader.check() == [], count
                if interruption.left > 0:
                    break
            assert count > 50


class PlaceLostAlways:
    """A follower whose journal never leads on."""

    def __init__(self, reader: Database) -> None:
        self.head_digest = ""
        del reader

    def advanced(self) -> Any:
        """Say so."""
        raise PlaceLost
