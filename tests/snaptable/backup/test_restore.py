"""Backups restored: verified, swapped in, what was there kept; to a moment; and never half."""

import errno
import json
import os
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.backup.support import Rows, Store, User, blob, contents, fill, rows_of
from tests.snaptable.storage.faults import Disk, FaultyFiles

from snaptable import BackupError, CorruptBackup, Database, ForeignKey, HistoryGone, Row, StoreLocked, Table, table
from snaptable.backup.making import Facts
from snaptable.history import Moment
from snaptable.maintenance.check import check_store
from snaptable.maintenance.directory import NotAStore, StoreDirectory
from snaptable.maintenance.offline_backup import back_up_directory
from snaptable.maintenance.point_in_time import CommitsAgo
from snaptable.maintenance.restore import Unpacked, unpacked
from snaptable.migrations import Migration, rename
from snaptable.storage import group_commit
from snaptable.storage.disk.files import File, Files


def make(where: Path, **options: Any) -> Store:
    """Return a store without syncs and banner."""
    return Store(where, **{"fsync": False, "banner": False, **options})


def restore(backup: Path, where: Path, **options: Any) -> Unpacked:
    """Restore a backup."""
    with unpacked(backup, where, **options) as found:
        found.take_place()
    return found


def faulty(disk: Disk, directory: Path, *, fsync: bool) -> Files:
    """Return a directory on a disk that fails when told to."""
    return FaultyFiles(directory, disk, fsync=False)


def sorted_rows(rows: Rows) -> Rows:
    """Return rows without their order."""
    return {name: dict(sorted(of_table.items(), key=str)) for name, of_table in rows.items()}


@pytest.fixture
def states() -> list[Rows]:
    """Give a list for the states of the store that `backup` is of."""
    return []


@pytest.fixture
def backup(tmp_path: Path, states: list[Rows]) -> Path:
    """Give a backup of eight commits and two blobs."""
    blob(tmp_path / "source", "aa", b"A" * 100)
    blob(tmp_path / "source", "deep/bb", b"B" * 5000)
    with make(tmp_path / "source") as db:
        states += fill(db)
        return db.backup(tmp_path / "monday.zip").path


def test_in_the_place_of_a_store_that_is_kept(tmp_path: Path, backup: Path, states: list[Rows]) -> None:
    """Ensure the store is that of the backup, writable and sound, and what was there lies beside it, every byte."""
    where = tmp_path / "data"
    with make(where) as db:
        db.users.insert(User(id="old", name="old"))
        blob(where, "zz", b"old")
    before = contents(where)
    found = restore(backup, where)
    assert found.kept is not None
    assert found.kept.parent == tmp_path
    assert found.kept.name.startswith("data.before-restore-2")
    assert contents(found.kept) == before
    assert found.rows == {"users": 2, "notes": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["data", found.kept.name, "monday.zip", "source"])
    assert check_store(Files(where)).problems == []
    with make(where) as db:
        assert rows_of(db) == states[-1]
        assert db.check() == []
        assert [commit.sequence for commit in db.history] == list(range(8, 0, -1))
        db.history.undo(8)
        db.users.insert(User(id="new", name="new"))
        assert (where / "blobs" / "deep" / "bb").read_bytes() == b"B" * 5000
    with make(found.kept) as db:
        assert "old" in db.users
    again = restore(backup, where)
    assert again.kept != found.kept
    for path in where.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("place", ["new", "deep/er/new", "empty"])
def test_where_nothing_was(tmp_path: Path, backup: Path, states: list[Rows], place: str) -> None:
    """Ensure a place that is new or empty is taken, and nothing is left beside it."""
    (tmp_path / "empty").mkdir()
    found = restore(backup, tmp_path / place)
    assert found.kept is None
    with make(tmp_path / place) as db:
        assert rows_of(db) == states[-1]
    assert not list(tmp_path.rglob("*.restoring-*"))


def test_a_symlink_to_a_store_stays_one(tmp_path: Path, backup: Path, states: list[Rows]) -> None:
    """Ensure the directory that a link leads to is replaced, where it is, and the link is left alone."""
    (tmp_path / "disk").mkdir()
    with make(tmp_path / "disk" / "data") as db:
        db.users.insert(User(id="old", name="old"))
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "data")
    found = restore(backup, tmp_path / "link")
    assert found.kept is not None
    assert found.kept.parent == tmp_path / "disk"
    assert (tmp_path / "link").is_symlink()
    with make(tmp_path / "link") as db:
        assert rows_of(db) == states[-1]


def test_what_is_no_place(tmp_path: Path, backup: Path) -> None:
    """Ensure a folder of other things, a file, and a store that is open, are refused before anything is unpacked."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotAStore, match="takes the place of a store, of an empty folder, or of nothing"):
        restore(backup, tmp_path / "home")
    with pytest.raises(Exception, match="is a file"):
        restore(backup, tmp_path / "file")
    with make(tmp_path / "data") as db:
        db.users.insert(User(id="a", name="a"))
        with pytest.raises(StoreLocked):
            restore(backup, tmp_path / "data")
        assert db.status().writable
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file", "home", "monday.zip", "source"]


def test_the_store_is_locked_until_it_is_done(tmp_path: Path, backup: Path) -> None:
    """Ensure nobody opens the store while its successor is unpacked, and what isn't put in place goes."""
    make(tmp_path / "data").open().close()
    before = contents(tmp_path / "data")
    with unpacked(backup, tmp_path / "data"):
        with pytest.raises(StoreLocked):
            make(tmp_path / "data").open()
        assert len(list(tmp_path.glob("data.restoring-*"))) == 1
    assert list(tmp_path.glob("data.restoring-*")) == []
    assert contents(tmp_path / "data") == before
    make(tmp_path / "data").open().close()


def test_where_two_folders_cant_be_swapped_in_one_step(
    tmp_path: Path, backup: Path, states: list[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure two steps do where the system has no single one, taken back if the second fails; mount points are told."""
    make(tmp_path / "data").open().close()
    before = contents(tmp_path / "data")
    monkeypatch.setattr(Files, "exchange", lambda self, first, second: False)
    real = Files.replace

    def failing(self: Files, source: str, target: str) -> None:
        if "restoring" in source:
            raise OSError(errno.EIO, "broken")
        real(self, source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Files, "replace", failing)
        with pytest.raises(BackupError, match=r"can't be replaced.*broken"):
            restore(backup, tmp_path / "data")
    assert contents(tmp_path / "data") == before
    found = restore(backup, tmp_path / "data")
    assert found.kept is not None
    assert contents(found.kept) == before
    with make(tmp_path / "data") as db:
        assert rows_of(db) == states[-1]

    def busy(self: Files, first: str, second: str) -> bool:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Files, "exchange", busy)
    with pytest.raises(BackupError, match=r"may be a mount point.*restore into a new folder below it"):
        restore(backup, tmp_path / "data")


# ── damage ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_byte_counts(tmp_path: Path, backup: Path) -> None:
    """Ensure a bit that changed anywhere is found: in data, names, sizes, times, the directory, the seal."""
    sound = backup.read_bytes()
    damaged = tmp_path / "damaged.zip"
    end = len(sound)
    for place in {*range(60), *range(0, end, 23), *range(end - 150, end)}:
        damaged.write_bytes(sound[:place] + bytes([sound[place] ^ 0x10]) + sound[place + 1 :])
        with pytest.raises(CorruptBackup, match=r"damaged, cut off, or no backup.*nothing of it was used") as caught:
            restore(damaged, tmp_path / "data")
        assert caught.value.path == str(damaged)
    assert not (tmp_path / "data").exists()
    assert list(tmp_path.glob("*restoring*")) == []


def test_other_damage(tmp_path: Path, backup: Path) -> None:
    """Ensure what is cut off, added to, doubled, swapped, empty, or another file, is refused."""
    sound, damaged = backup.read_bytes(), tmp_path / "damaged.zip"
    middle = len(sound) // 2
    kinds = [sound[:end] for end in (0, 1, 63, 64, 65, middle, len(sound) - 1)]
    kinds += [sound + b"\0", b"\0" + sound, sound + sound, sound[middle:] + sound[:middle], sound[:64] * 2, b"x" * 1000]
    kinds += [sha256(b"").hexdigest().encode(), b"no zip" + sha256(b"no zip").hexdigest().encode()]
    for data in kinds:
        damaged.write_bytes(data)
        with pytest.raises(CorruptBackup):
            restore(damaged, tmp_path / "data")
    with pytest.raises(BackupError, match="can't be read"):
        restore(tmp_path / "nowhere.zip", tmp_path / "data")
    with pytest.raises(BackupError, match=r"is not a file|can't be read"):
        restore(tmp_path, tmp_path / "data")


def sealed(path: Path, files: dict[str, bytes], change: Callable[[dict[str, Any]], object], original: Path) -> Path:
    """Write a zip with files of somebody's choice, and with the seal that anybody can work out."""
    with zipfile.ZipFile(original) as zipped:
        manifest = json.loads(zipped.read("manifest.json"))
        kept = {name: zipped.read(name) for name in zipped.namelist() if name != "manifest.json"}
    everything = {**kept, **files}
    manifest["members"] = {
        name: {"size": len(data), "sha256": sha256(data).hexdigest()} for name, data in everything.items()
    }
    change(manifest)
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in everything.items():
            zipped.writestr(name, data)
        zipped.writestr("manifest.json", json.dumps(manifest))
        zipped.comment = b"x" + b"0" * 64
    data = path.read_bytes()[:-64]
    path.write_bytes(data + sha256(data).hexdigest().encode())
    return path


def nothing(_: dict[str, Any]) -> None:
    """Change nothing."""


EVIL_NAMES = [
    "../evil", "/etc/evil", "blobs/../../evil", "blobs//evil", "blobs/./evil", "blobs/", "blobs", "evil", ".ssh/keys",
    "db_journal/evil", "db_journal/01.jsonl", "db_journal/../evil", "quarantine/evil", "db.lock", "Blobs/x",
]  # fmt: skip


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_names_that_lead_elsewhere(tmp_path: Path, backup: Path, name: str) -> None:
    """Ensure no file of a backup that somebody made is written outside of the folder, or as a file of another kind."""
    evil = sealed(tmp_path / "evil.zip", {name: b"evil"}, nothing, backup)
    with pytest.raises(CorruptBackup):
        restore(evil, tmp_path / "data")
    assert not list(tmp_path.rglob("*evil")) or [path.name for path in tmp_path.rglob("*evil")] == []
    assert not (tmp_path / "data").exists()


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda manifest: manifest.update(snaptable_backup=2),
    lambda manifest: manifest.update(snaptable_backup=None),
    lambda manifest: manifest.pop("members"),
    lambda manifest: manifest.update(sequence=7),
    lambda manifest: manifest.update(store="another"),
    lambda manifest: manifest["rows"].update(users=3),
    lambda manifest: manifest["rows"].update(others=1),
    lambda manifest: manifest["members"].pop("blobs/aa"),
    lambda manifest: manifest["members"].update({"blobs/more": {"size": 1, "sha256": "0" * 64}}),
    lambda manifest: manifest["members"]["blobs/aa"].update(size=99),
    lambda manifest: manifest["members"]["blobs/aa"].update(size=101),
    lambda manifest: manifest["members"]["blobs/aa"].update(sha256="0" * 64),
    lambda manifest: manifest["members"].update({"blobs/aa": 5}),
    lambda manifest: manifest.update(folders=["db_journal"]),
    lambda manifest: manifest.update(folders=["blobs", "../../outside"]),
    lambda manifest: manifest.update(folders=["blobs", ".."]),
    lambda manifest: manifest.update(folders=["blobs", "quarantine"]),
    lambda manifest: manifest.update(folders=[]),
    lambda manifest: manifest.update(rows=[]),
]


@pytest.mark.parametrize("change", CHANGES)
def test_manifests_that_lie(tmp_path: Path, backup: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Ensure a manifest that isn't of these files is refused, whoever sealed it."""
    with pytest.raises(CorruptBackup):
        restore(sealed(tmp_path / "lie.zip", {}, change, backup), tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lie.zip", "monday.zip", "source"]


def test_a_manifest_that_would_fill_the_memory(tmp_path: Path, backup: Path) -> None:
    """Ensure a manifest of a few kilobytes that unpacks to very many is refused before it is unpacked."""
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as zipped:
        with zipped.open("manifest.json", "w") as manifest:
            for _ in range(40):
                manifest.write(b" " * (1 << 20))
        zipped.comment = b"x" + b"0" * 64
    data = bomb.read_bytes()[:-64]
    bomb.write_bytes(data + sha256(data).hexdigest().encode())
    tracemalloc.start()
    try:
        with pytest.raises(CorruptBackup, match="manifest is larger"):
            restore(bomb, tmp_path / "data")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_files_that_would_not_open(tmp_path: Path, backup: Path) -> None:
    """Ensure a store that a start would refuse is not put in the place of one that opens."""
    with zipfile.ZipFile(backup) as zipped:
        snapshot, journal = zipped.read("db_snapshot.json"), zipped.read("db_journal/1.jsonl")
    for files in (
        {"db_snapshot.json": snapshot.replace(b"Ann", b"Bad")},
        {"db_snapshot.json": b"{}"},
        {"db_journal/1.jsonl": journal[: len(journal) // 2]},
        {"db_journal/1.jsonl": journal.replace(b'"changes"', b'"CHANGES"', 1)},
    ):
        with pytest.raises(CorruptBackup, match=r"would not open|not the state"):
            restore(sealed(tmp_path / "bad.zip", files, nothing, backup), tmp_path / "data")


# ── to a moment ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("segment", [100, 1 << 20])
def test_every_moment_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment: int) -> None:
    """Ensure the state after each commit comes back, whole stores that work on, with the history up to there."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", segment)
    times: list[datetime] = []
    with make(tmp_path / "source") as db:
        states = fill(db)
        times += [commit.at for commit in db.history.commits(oldest_first=True)]
        backup = db.backup(tmp_path / "x.zip").path
    for sequence, state in enumerate(states):
        moments: list[Moment | CommitsAgo] = [sequence, CommitsAgo(8 - sequence)]
        if sequence:
            moments.append(times[sequence - 1])
        for number, moment in enumerate(moments):
            where = tmp_path / f"{sequence}-{number}"
            assert restore(backup, where, at=moment).state.sequence == sequence
            assert check_store(Files(where)).problems == []
            with make(where) as db:
                assert sorted_rows(rows_of(db)) == sorted_rows(state)
                assert [commit.sequence for commit in db.history] == list(range(sequence, 0, -1))
                for earlier in range(sequence + 1):
                    with db.history.at(earlier) as past:
                        assert sorted_rows(rows_of(past)) == sorted_rows(states[earlier])
                db.users.insert(User(id="new", name="new"))
                assert db.notes.create(user_id="new").id == 5
            with make(where) as db:
                assert "new" in db.users


steps = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "note", "both"]), st.sampled_from("abc"), st.integers(0, 3)),
    max_size=15,
)


@given(steps, st.data(), st.sampled_from([100, 1 << 20]), st.booleans())
@settings(max_examples=40)
def test_any_history_to_any_moment(
    tmp_path_factory: pytest.TempPathFactory, history: list[Any], data: st.DataObject, segment: int, closed: bool
) -> None:
    """Ensure a restore to a moment equals the plain list of states, whatever happened since, in frames of any size."""
    folder = tmp_path_factory.mktemp("moment")
    before, group_commit.SEGMENT_BYTES = group_commit.SEGMENT_BYTES, segment
    try:
        db = make(folder / "source").open()
        states = [rows_of(db)]
        for kind, key, value in history:
            commit(db, kind, key, value)
            if db.history.sequence == len(states):
                states.append(rows_of(db))
        if closed:
            db.close()
            db.open()
        backup = db.backup(folder / "x.zip").path
        db.close()
        sequence = data.draw(st.integers(0, len(states) - 1))
        restore(backup, folder / "data", at=sequence)
        with make(folder / "data") as again:
            assert sorted_rows(rows_of(again)) == sorted_rows(states[sequence])
            assert again.check() == []
    finally:
        group_commit.SEGMENT_BYTES = before
        shutil.rmtree(folder)


def commit(db: Store, kind: str, key: str, value: int) -> None:
    """Make one commit, or none."""
    with db.transaction():
        if kind in ("put", "both"):
            db.users.upsert(User(id=key, name=key, money=value))
        if kind == "delete" and key in db.users:
            db.users.delete(key)
        if kind in ("note", "both") and key in db.users:
            db.notes.create(user_id=key, text=str(value))


def test_a_moment_inside_a_frame(tmp_path: Path) -> None:
    """Ensure commits that one sync made durable are told apart: the journal is cut between them."""
    import asyncio

    states: list[Rows] = []

    async def work(db: Store) -> None:
        def insert(db: Store, number: int) -> None:
            db.users.insert(User(id=str(number), name=str(number)))
            states.append(rows_of(db))

        await asyncio.gather(*(db.run(insert, number) for number in range(6)))

    with make(tmp_path / "source") as db:
        asyncio.run(work(db))
        backup = db.backup(tmp_path / "x.zip").path
    with zipfile.ZipFile(backup) as zipped:
        assert zipped.read("db_journal/1.jsonl").count(b'"frame":[') < 6
    for sequence, state in enumerate(states, 1):
        restore(backup, tmp_path / str(sequence), at=sequence)
        with make(tmp_path / str(sequence)) as db:
            assert rows_of(db) == state
            assert db.history.sequence == sequence


def test_moments_that_are_none(tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure moments that weren't reached, or are not kept any more, are refused, naming the first that is."""
    for moment, reason in (
        (9, "no commit 9 yet"), (-1, "0, for the state before"), (CommitsAgo(9), "0, for the state before"),
        (datetime(2020, 1, 1), "naive"), (datetime(2999, 1, 1, tzinfo=UTC), "future"),  # noqa: DTZ001
    ):  # fmt: skip
        with pytest.raises(ValueError, match=reason):
            restore(backup, tmp_path / "data", at=moment)
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 100)
    with make(tmp_path / "pruned", history_bytes=150_000) as db:
        fill(db)
        first = db.history.first
        pruned = db.backup(tmp_path / "pruned.zip").path
    assert first > 0
    with pytest.raises(HistoryGone) as caught:
        restore(pruned, tmp_path / "data", at=first - 1)
    assert caught.value.first == first
    restore(pruned, tmp_path / "data", at=first)
    with make(tmp_path / "data") as db:
        assert db.history.sequence == first
        db.users.upsert(User(id="z", name="z"))
        assert [commit.sequence for commit in db.history] == [first + 1]


class Login(Row):
    id: str
    user: str = ""


class WithLogins(Database):
    users: Table[User]
    logins: Table[Login] = table(transient=True)


@pytest.mark.parametrize("by_command", [False, True])
@pytest.mark.parametrize("at", [None, 2, 3])
def test_a_restore_logs_everybody_out(tmp_path: Path, at: int | None, by_command: bool) -> None:
    """Ensure transient tables are empty after a restore: a session that was ended since doesn't come back."""
    with WithLogins(tmp_path / "source", banner=False) as db:
        db.users.insert(User(id="ann", name="ann"))
        db.logins.insert(Login(id="token", user="ann"))
        db.users.insert(User(id="bob", name="bob"))
        db.logins.insert(Login(id="other", user="bob"))
        backup = db.backup(tmp_path / "x.zip").path
    if by_command:
        backup.unlink()
        back_up_directory(StoreDirectory(str(tmp_path / "source")), backup, Facts())  # without the models
    assert restore(backup, tmp_path / "data", at=at).rows["logins"] == 0
    assert check_store(Files(tmp_path / "data")).problems == []
    with WithLogins(tmp_path / "data", banner=False) as db:
        assert db.logins.count() == 0
        assert db.users.count() == (1 if at == 2 else 2)
        db.logins.insert(Login(id="token", user="ann"))
        assert db.check() == []


class Person(Row):
    id: str
    name: str = ""


class Letter(Row):
    id: int
    writer: Annotated[str, ForeignKey(Person, on_delete="cascade")]
    reader: Annotated[str | None, ForeignKey(Person, on_delete="set null")] = None


class Post(Database):
    people: Table[Person]
    letters: Table[Letter]


@pytest.mark.parametrize("at", [None, 4])
@pytest.mark.parametrize("segment", [100, 1 << 20])
def test_what_was_purged_since_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int | None, segment: int
) -> None:
    """Ensure a backup from before a purge is restored without the person: no row, no reference, no byte in any file."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", segment)
    where = tmp_path / "data"
    with Post(where, banner=False) as db:
        db.people.insert_many([Person(id="ann", name="Annabella"), Person(id="bob", name="Bartholomew")])
        db.letters.insert(Letter(id=1, writer="bob", reader="ann"))
        db.letters.insert(Letter(id=2, writer="ann", reader="bob"))
        db.people.update("bob", name="Bartholomew II")
        db.letters.insert(Letter(id=3, writer="ann"))
        backup = db.backup(tmp_path / "x.zip").path
        db.letters.delete(1)
        db.letters.update(2, reader=None)
        db.history.purge("people", "bob")
    found = restore(backup, where, at=at)
    assert found.erased == 2
    for path in where.rglob("*"):
        assert not path.is_file() or b"Bartholomew" not in path.read_bytes(), path
    assert check_store(Files(where)).problems == []
    with Post(where, banner=False) as db:
        assert [person.id for person in db.people] == ["ann"]
        assert [(letter.id, letter.reader) for letter in db.letters] == [(2, None), (3, None)][: 1 if at else 2]
        assert db.check() == []
        assert len(list(db.history)) == (at or 5)
        db.people.insert(Person(id="cid"))
        db.history.at(2).close()
    again = restore(backup, tmp_path / "elsewhere", erased_from=where)
    assert again.erased == 2
    assert restore(backup, tmp_path / "forgotten").erased == 0
    (where / "db_snapshot.json").write_bytes((where / "db_snapshot.json").read_bytes().replace(b"Anna", b"Enna"))
    assert restore(backup, where).erased == 2, "of a damaged store, as far as it can be read"


@pytest.mark.parametrize("later", [0, 2])
def test_what_was_purged_after_it_was_deleted_does_not_come_back(tmp_path: Path, later: int) -> None:
    """Ensure a backup between a deletion and the purge loses the person's past, and what a key's next row is stays."""
    where = tmp_path / "data"
    with Post(where, banner=False, fsync=False) as db:
        db.people.insert_many([Person(id="ann", name="Annabella"), Person(id="bob", name="Bartholomew")])
        db.letters.insert(Letter(id=1, writer="bob"))
        db.people.delete("bob")
        for _ in range(later):
            db.letters.upsert(Letter(id=1, writer="ann"))
            db.people.update("ann", name=f"Annabella {db.history.sequence}")
        backup = db.backup(tmp_path / "x.zip").path
        db.history.purge("people", "bob")
    assert restore(backup, where).erased == 0
    for path in where.rglob("*"):
        assert not path.is_file() or b"Bartholomew" not in path.read_bytes(), path
    assert check_store(Files(where)).problems == []
    with Post(where, banner=False, fsync=False) as db:
        assert [letter.writer for letter in db.letters] == ["ann"] * (later > 0)
        with db.history.at(2) as past:
            assert [person.id for person in past.people] == ["ann"]
            assert list(past.letters) == []
        assert db.check() == []


def test_what_was_purged_goes_with_what_refers_to_it_without_a_schema_too(tmp_path: Path) -> None:
    """Ensure a backup made without models knows which rows go with a purged one: the snapshot's header says so."""
    where = tmp_path / "data"
    with Post(where, banner=False, fsync=False) as db:
        db.people.insert_many([Person(id="ann", name="Annabella"), Person(id="bob", name="Bartholomew")])
        db.letters.insert_many([Letter(id=1, writer="bob"), Letter(id=2, writer="ann", reader="bob")])
    header = json.loads((where / "db_snapshot.json").read_bytes())["snaptable"]
    assert header["references"] == {"letters": {"writer": ["people", "cascade"], "reader": ["people", "set null"]}}
    back_up_directory(StoreDirectory(str(where)), tmp_path / "x.zip", Facts())
    with Post(where, banner=False, fsync=False) as db:
        db.history.purge("people", "bob")
    assert restore(tmp_path / "x.zip", where).erased == 2
    with Post(where, banner=False, fsync=False) as db:
        assert [(letter.id, letter.reader) for letter in db.letters] == [(2, None)]
        assert db.check() == []


class Label(Row):
    id: str
    label: str


class Name(Row):
    id: str
    name: str


class Before(Database):
    things: Table[Name]


class After(Database):
    things: Table[Label]
    migrations = (Migration("name becomes label", rename("things.name", to="label")),)


def test_to_a_moment_before_a_migration(tmp_path: Path) -> None:
    """Ensure rows come back in the shape that they had, for the code of then, or to be migrated by that of now."""
    with Before(tmp_path / "source", banner=False) as db:
        db.things.insert(Name(id="a", name="x"))
        first = db.history.sequence
    with After(tmp_path / "source", banner=False) as db:
        db.things.insert(Label(id="b", label="y"))
        backup = db.backup(tmp_path / "x.zip").path
    restore(backup, tmp_path / "data", at=first)
    with Before(tmp_path / "data", banner=False) as db:
        assert db.things.where().all() == [Name(id="a", name="x")]
    with After(tmp_path / "data", banner=False) as db:
        assert db.things.where().all() == [Label(id="a", label="x")]
    restore(backup, tmp_path / "data")
    with After(tmp_path / "data", banner=False) as db:
        assert [thing.label for thing in db.things] == ["x", "y"]


# ── crashes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """The end of a process, at some operation."""


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("at", [None, 3])
def test_a_restore_killed_anywhere(
    tmp_path: Path, backup: Path, states: list[Rows], monkeypatch: pytest.MonkeyPatch, exchanges: bool, at: int | None
) -> None:
    """Ensure that after a kill at any operation the store is the old one or the new one, whole, or is found by name."""
    new = states[3 if at else -1]
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a process that is killed tidies nothing up
    if not exchanges:
        monkeypatch.setattr(Files, "exchange", lambda self, first, second: False)
    outcomes = []
    for point in range(10_000):
        folder = tmp_path / f"crash-{point}"
        with make(folder / "data") as db:
            db.users.insert(User(id="old", name="old"))
            old = rows_of(db)
        disk = Disk()
        disk.fail("any", Killed(), skip=point, times=1_000_000)
        try:
            restore(backup, folder / "data", at=at, filesystem=partial(faulty, disk))
        except (Killed, BackupError):
            ended = False
        else:
            ended = True
        kept = list(folder.glob("data.before-restore-*"))
        if (folder / "data").exists():
            with make(folder / "data") as db:
                rows = rows_of(db)
        else:
            assert not exchanges
            with make(kept[0]) as db:
                rows = rows_of(db)
        assert rows == old or sorted_rows(rows) == sorted_rows(new)
        if rows != old:
            with make(kept[0]) as db:
                assert rows_of(db) == old, "the old store is where its name says"
        outcomes.append(rows == old)
        if ended:
            break
    assert outcomes[0]
    assert not outcomes[-1]
    assert outcomes == sorted(outcomes, reverse=True)
    assert len(outcomes) > 20


def test_all_is_synced_before_the_folders_are_swapped(tmp_path: Path, backup: Path) -> None:
    """Ensure every file and folder that was written is on the disk before it takes the place of the store."""
    make(tmp_path / "data").open().close()
    disk = Disk()
    swapped: list[int] = []

    class Noting(FaultyFiles):
        def exchange(self, first: str, second: str) -> bool:
            swapped.append(len(disk.operations))
            return super().exchange(first, second)

    restore(backup, tmp_path / "data", at=4, filesystem=lambda path, fsync: Noting(path, disk, fsync=fsync))
    (end,) = swapped
    before = disk.operations[:end]
    written = {name for operation, name in before if operation == "write"}
    for name in written:
        last_write = max(
            place for place, (operation, other) in enumerate(before) if (operation, other) == ("write", name)
        )
        assert ("sync", name) in before[last_write:], name
    made = {name for operation, name in before if operation in ("make_directory", "create")}
    for name in made:
        folder = name.rpartition("/")[0]
        last = max(place for place, (_, other) in enumerate(before) if other == name)
        assert ("sync_directory", folder) in before[last:] or "tmp" in name or folder == "", name
    assert disk.operations[-1][0] == "sync_directory"


def test_a_full_disk_leaves_the_store_and_nothing_else(tmp_path: Path, backup: Path) -> None:
    """Ensure a restore that finds no room says so and takes away what it wrote; at every write."""
    with make(tmp_path / "data") as db:
        db.users.insert(User(id="old", name="old"))
    before = contents(tmp_path / "data")
    for skip in range(100):
        disk = Disk()
        disk.fail("write", errno.ENOSPC, skip=skip, how="short", times=1_000)
        try:
            restore(backup, tmp_path / "data", filesystem=partial(faulty, disk))
            break
        except BackupError as error:
            message = str(error)
        assert "the disk is full" in message
        assert contents(tmp_path / "data") == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "monday.zip", "source"]
    assert skip > 3


class SmallDisk(Files):
    """A directory on a disk with little room."""

    room = 0
    """Bytes that are free."""
    written = 0
    """Files that were begun."""

    def free_bytes(self) -> int:
        return type(self).room

    def create(self, name: str) -> File:
        type(self).written += 1
        return super().create(name)


@pytest.mark.parametrize("missing", [1, 1_000_000])
def test_what_has_no_room_is_refused_before_it_is_unpacked(tmp_path: Path, backup: Path, missing: int) -> None:
    """Ensure that the sizes in the manifest are held against the room, the store is as it was, and nothing is left."""
    with make(tmp_path / "data") as db:
        db.users.insert(User(id="old", name="old"))
    before = contents(tmp_path / "data")
    with zipfile.ZipFile(backup) as archive:
        size = sum(each["size"] for each in json.loads(archive.read("manifest.json"))["members"].values())
    SmallDisk.room, SmallDisk.written = max(0, size - missing), 0
    with pytest.raises(BackupError, match=f"disk is full.*{size:,} bytes.*room for {SmallDisk.room:,}"):
        restore(backup, tmp_path / "data", filesystem=SmallDisk)
    assert SmallDisk.written == 0
    assert contents(tmp_path / "data") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "monday.zip", "source"]
    SmallDisk.room = size
    restore(backup, tmp_path / "data", filesystem=SmallDisk)
