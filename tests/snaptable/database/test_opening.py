"""Opening and closing: a disk of one's own, the seam for test tools, and what can't be done half-way."""

from pathlib import Path
from typing import Any

import pytest

from snaptable import Database, DatabaseClosed, OpenError, ReadOnlyStore, Row, Table, TransactionError, WriteFailed
from snaptable.engines import Filesystem, engine_of, observe_opens
from snaptable.storage.disk.files import Files
from snaptable.storage.snapshot import checkpointer


class Note(Row):
    id: str
    text: str


class Notes(Database):
    notes: Table[Note]


class Disks:
    """Gives real disks, and takes note of which."""

    def __init__(self) -> None:
        self.given: list[tuple[Path, bool]] = []

    def __call__(self, directory: Path, *, fsync: bool) -> Files:
        self.given.append((directory, fsync))
        return Files(directory, fsync=fsync)


class Observer:
    """Gives some disk, or none, and takes note of what was opened."""

    def __init__(self, disk: Filesystem | None = None) -> None:
        self.disk = disk
        self.asked: list[tuple[Database, Path]] = []
        self.seen: list[Database] = []

    def filesystem(self, database: Database, directory: Path) -> Filesystem | None:
        self.asked.append((database, directory))
        return self.disk

    def opened(self, database: Database) -> None:
        assert database.is_open
        self.seen.append(database)


def test_the_disk_is_the_one_given(tmp_path: Path) -> None:
    """`filesystem=` is asked for the directory's disk, with `fsync`; the class of the real one will do."""
    disks = Disks()
    with Notes(tmp_path / "data", fsync=False, filesystem=disks) as db:
        db.notes.insert(Note(id="a", text="x"))
    assert disks.given == [(tmp_path / "data", False)]
    with Notes(tmp_path / "data", filesystem=Files) as db:
        assert db.notes.count() == 1


def test_an_observer_gives_the_disk_and_is_told_of_the_opening(tmp_path: Path) -> None:
    """An observer's disk goes before the database's own, for the length of the block."""
    passed, observed = Disks(), Disks()
    observer, other = Observer(observed), Observer()
    db = Notes(tmp_path / "data", filesystem=passed)
    with observe_opens(observer), observe_opens(other), db:
        assert observed.given == [(tmp_path / "data", True)]
        assert passed.given == []
        assert observer.asked == other.asked == [(db, tmp_path / "data")]
        assert observer.seen == other.seen == [db]
    with db:
        assert passed.given == [(tmp_path / "data", True)]
    assert observer.seen == [db]


def test_observers_may_overlap(tmp_path: Path) -> None:
    """The first to come may be the first to go."""
    first, second = Observer(), Observer()
    outer, inner = observe_opens(first), observe_opens(second)
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    with Notes("memory:") as db:
        assert (first.seen, second.seen, second.asked) == ([], [db], [])
    inner.__exit__(None, None, None)
    with Notes("memory:"):
        assert second.seen == [db]


def test_the_engine_of_an_open_database() -> None:
    """There is one only while the database is open."""
    db = Notes("memory:")
    with pytest.raises(DatabaseClosed, match="not open"):
        engine_of(db)
    with db:
        db.notes.insert(Note(id="a", text="x"))
        assert engine_of(db).sequence == 1


def test_a_database_says_whether_it_only_reads() -> None:
    """`read_only` can be read back."""
    assert Notes("memory:", read_only=True).read_only
    assert not Notes("memory:").read_only


@pytest.mark.parametrize("url", ["data", "memory:"])
def test_no_snapshot_from_inside_a_transaction(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold half of the transaction; the transaction itself goes on and commits."""
    monkeypatch.chdir(tmp_path)
    with Notes(url) as db:
        with db.transaction():
            db.notes.insert(Note(id="a", text="x"))
            with pytest.raises(TransactionError, match="after the transaction"):
                db.persist()
        db.persist()
        assert db.notes.count() == 1


def test_closing_what_is_no_longer_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the refusal itself, and the database is closed all the same."""
    monkeypatch.setattr(checkpointer, "DELAY", 3600.0)  # what is to be saved at the close is not saved before
    db = Notes(tmp_path / "data", snapshot="background").open()
    db.notes.insert(Note(id="a", text="x"))
    (tmp_path / "data" / "db.lock").unlink()
    with pytest.raises(WriteFailed, match="the journal holds everything") as raised:
        db.close()
    assert isinstance(raised.value.__cause__, ReadOnlyStore)
    assert not db.is_open
    with Notes(tmp_path / "data") as db:
        assert db.notes.count() == 1


URLS = [
    ("", '"memory:"'),
    (":memory:", '"memory:"'),
    ("memory", '"memory:"'),
    ("memory://", '"memory:"'),
    ("sqlite:///x.db", "no engine for sqlite://"),
    ("file:///tmp/x", "no engine for file://"),
    ("  ", '"memory:"'),
    ("MEMORY:", '"memory:"'),
    ("Memory://", '"memory:"'),
    ("sqlite:x.db", "no engine for sqlite:;"),
    ("file:x?mode=memory", "no engine for file:;"),
    ("mysql://ann:secret@host/db", "no engine for mysql://"),
    ("redis://:secret@host", "no engine for redis://"),
    ("mongodb+srv://ann:secret@host", "no engine for mongodb"),
    ("postgresql+asyncpg://ann:secret@host/db", "without a driver"),
    ("POSTGRES://ann:secret@host/db", "without a driver"),
    ("ann:secret@host", r"Path\(…\)"),
]


@pytest.mark.parametrize(("url", "message"), URLS)
def test_urls_of_other_libraries(url: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused before anything is made, saying what to write, and without a word of the URL's secrets."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OpenError, match=message) as raised:
        Notes(url)
    assert "secret" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_path_is_a_directory_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Path can't be meant as a URL."""
    monkeypatch.chdir(tmp_path)
    with Notes(Path("memory")) as db:
        db.notes.insert(Note(id="a", text="x"))
    assert (tmp_path / "memory" / "db_snapshot.json").exists()


@pytest.mark.parametrize(
    "place", ["./sqlite:x", Path("sqlite:x"), Path("memory:"), "C:\\data", "C:data", "~/notes", Path("~/notes")]
)
def test_a_directory_with_a_colon_or_a_tilde(
    place: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be said, and a tilde is the home directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with Notes(place) as db:
        db.notes.insert(Note(id="a", text="x"))
        assert db.directory == (tmp_path / place).expanduser() if "~" not in str(place) else tmp_path / "home" / "notes"
    assert db.directory is not None
    assert (db.directory / "db_snapshot.json").exists()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("options", [{}, {"read_only": True}])
def test_a_file_where_a_directory_is_wanted(tmp_path: Path, options: dict[str, Any]) -> None:
    """The error says that it is a file, and is left as it was."""
    file = tmp_path / "db_snapshot.json"
    file.write_text("{}")
    with pytest.raises(OpenError, match="is a file; name a directory") as raised:
        Notes(file, **options).open()
    assert raised.value.path == str(file)
    assert file.read_text() == "{}"


def test_a_closed_database_is_called_by_its_name() -> None:
    """So that what is to be written can be copied."""
    db = Notes("memory:")
    for use in (db.notes.count, db.check):
        with pytest.raises(DatabaseClosed, match=r"with Notes\(…\) as db"):
            use()
