"""What is there after a clean close, after a kill, and after files were mixed up: everything, or a refusal."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.snaptable.storage.conftest import Open
from tests.snaptable.storage.support import (
    JOURNAL,
    QUARANTINE,
    SNAPSHOT,
    Post,
    Rows,
    Store,
    Token,
    User,
    expect_refusal,
    ids,
    killed,
    opened,
    read_snapshot,
    rows_of,
    segments,
    tree,
)

from snaptable import CorruptJournal, CorruptSnapshot, Database, OpenError, SchemaMismatch, Table, UnsupportedFormat
from snaptable.storage import group_commit
from snaptable.storage.disk import names
from snaptable.storage.journal import directory as journal_directory


class Fewer(Database):
    users: Table[User]


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal go on in a new file after a few hundred bytes."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 600)


def fill(db: Store) -> list[Rows]:
    """Write commits of every kind; return the state before the first and after each."""
    states = [rows_of(db)]
    steps: list[Callable[[], object]] = [
        lambda: db.users.insert_many([User(id="a", email="a@x"), User(id="b")]),
        lambda: db.posts.insert(Post(user_id="a")),
        lambda: db.posts.insert_many([Post(user_id="a"), Post(user_id="b")]),
        lambda: db.users.update("a", email="b@x"),
        lambda: db.tokens.insert(Token(data={"float": 1e22, "tiny": 5e-324, "text": "é\u2028\n", "none": None})),
        lambda: db.users.insert(User(id="c")),
        lambda: db.users.delete("a"),
        lambda: db.users.insert(User(id="a", email="a@x")),
        lambda: db.posts.where().delete(),
    ]
    for step in steps:
        step()
        states.append(rows_of(db))
    return states


def same(actual: Rows, expected: Rows) -> bool:
    """Return whether two states are equal, the order of their rows included."""
    return [list(rows.items()) for rows in actual.values()] == [list(rows.items()) for rows in expected.values()]


def test_closed_and_opened_it_is_the_same(store: Store) -> None:
    """Ensure every row comes back equal and in place after a clean close, and numbers go on where they were."""
    states = fill(store)
    for _ in range(3):
        store.close()
        store.open()
        assert same(rows_of(store), states[-1])
        assert store.check() == []
    assert store.posts.insert(Post(user_id="a")).id == 4


def test_opening_and_closing_changes_no_row(store: Store) -> None:
    """Ensure a start without a write leaves the snapshot and the journal byte for byte as they were."""
    assert store.directory is not None
    fill(store)
    store.close()
    before = tree(store.directory)
    for _ in range(3):
        opened(store.directory)
    assert tree(store.directory) == before


def test_killed_after_every_commit(open_store: Open) -> None:
    """Ensure a kill after any commit, with whatever snapshot was there then, loses none of it."""
    db = open_store(snapshot="background")
    assert db.directory is not None
    oldest = (db.directory / SNAPSHOT).read_bytes()
    expected = fill(db)
    assert same(opened(killed(db)), expected[-1])
    assert same(opened(killed(db, keep=oldest)), expected[-1])
    copy = killed(db)
    (copy / SNAPSHOT).unlink()
    assert same(opened(copy), expected[-1])


def test_a_store_goes_on_after_kill_upon_kill(directory: Path) -> None:
    """Ensure ten kills in a row, a commit after each, lose nothing and number on."""
    Store(directory, fsync=False).open().close()
    current, expected = directory, list[str]()
    for number in range(10):
        db = Store(current, fsync=False, snapshot="background").open()
        assert ids(db) == expected
        assert db.posts.where().count() == number
        db.users.insert(User(id=str(number)))
        db.posts.insert(Post(user_id=str(number)))
        expected.append(str(number))
        current = killed(db)
        db.close()
    with Store(current, fsync=False) as db:
        assert ids(db) == expected
        assert [post.id for post in db.posts.where().all()] == list(range(1, 11))
        assert db.status().sequence == 20


def test_a_number_is_never_given_twice(open_store: Open) -> None:
    """Ensure the number of a row that is gone stays used, after a clean close, a kill and a rebuilding."""
    db = open_store(snapshot="background")
    assert db.directory is not None
    db.users.insert(User(id="a"))
    assert [db.posts.insert(Post(user_id="a")).id for _ in range(3)] == [1, 2, 3]
    db.posts.delete(3)
    rebuilt = killed(db)
    (rebuilt / SNAPSHOT).unlink()
    copies = [killed(db), rebuilt]
    db.close()
    for directory in (*copies, db.directory):
        with Store(directory, fsync=False) as again:
            assert again.posts.insert(Post(user_id="a")).id == 4


@pytest.mark.usefixtures("small_segments")
def test_the_journal_goes_on_in_new_files(open_store: Open) -> None:
    """Ensure a journal of many files is replayed whole from any snapshot taken on the way, and from none."""
    db = open_store()
    assert db.directory is not None
    snapshots = [(db.directory / SNAPSHOT).read_bytes()]
    for number in range(30):
        db.users.insert(User(id=str(number)))
        snapshots.append((db.directory / SNAPSHOT).read_bytes())
    assert len(segments(db.directory)) > 5
    for snapshot in snapshots:
        assert list(opened(killed(db, keep=snapshot))["users"]) == list(map(str, range(30)))
    copy = killed(db)
    (copy / SNAPSHOT).unlink()
    assert list(opened(copy)["users"]) == list(map(str, range(30)))


@pytest.mark.usefixtures("small_segments")
def test_a_missing_journal_file_is_a_gap(open_store: Open) -> None:
    """Ensure commits missing in the middle are refused, naming the journal and the sequence, and nothing is changed."""
    db = open_store()
    assert db.directory is not None
    oldest = (db.directory / SNAPSHOT).read_bytes()
    for number in range(20):
        db.users.insert(User(id=str(number)))
    for missing in segments(killed(db))[:-1]:
        copy = killed(db, keep=oldest)
        (copy / JOURNAL / missing.name).unlink()
        expect_refusal(copy, CorruptJournal, str(copy / JOURNAL))


@pytest.mark.usefixtures("small_segments")
def test_an_old_backup_beside_a_pruned_journal_is_refused(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure an older snapshot whose next commits are gone from the journal is refused, not opened with a hole."""
    monkeypatch.setattr(journal_directory, "LEAST_BYTES", 1)
    db = open_store(history_bytes=1_000)
    assert db.directory is not None
    oldest = (db.directory / SNAPSHOT).read_bytes()
    for number in range(40):
        db.users.insert(User(id=str(number)))
    assert int(segments(db.directory)[0].stem) > 1
    copy = killed(db, keep=oldest)
    expect_refusal(copy, CorruptJournal, "older", str(copy / JOURNAL))
    (copy / SNAPSHOT).unlink()
    expect_refusal(
        copy, CorruptSnapshot, str(copy / SNAPSHOT), "missing", "put a copy", "start afresh", str(copy / JOURNAL)
    )
    shutil.move(copy / JOURNAL, copy / "moved")
    assert opened(copy)["users"] == {}


@pytest.mark.usefixtures("small_segments")
def test_history_is_kept_up_to_the_bound(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure journal files that the snapshot covers are kept, the newest ones, up to the bound, and no longer."""
    monkeypatch.setattr(journal_directory, "LEAST_BYTES", 1)
    db = open_store(history_bytes=4_000)
    assert db.directory is not None
    for number in range(60):
        db.users.insert(User(id=str(number)))
        kept = sum(path.stat().st_size for path in segments(db.directory)[:-1])
        assert kept <= 4_000 + 1_000
        if number > 30:
            assert kept >= 2_000
    firsts = [int(path.stem) for path in segments(db.directory)]
    assert firsts == sorted(firsts)
    assert len(opened(killed(db))["users"]) == 60


@pytest.mark.usefixtures("small_segments")
def test_no_file_goes_that_the_snapshot_does_not_cover(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the bound never removes a commit that is nowhere else."""
    monkeypatch.setattr(journal_directory, "LEAST_BYTES", 1)
    db = open_store(snapshot="background", history_bytes=0)
    for number in range(40):
        db.users.insert(User(id=str(number)))
        if number % 10 == 9:
            assert len(opened(killed(db))["users"]) == number + 1


def test_many_short_runs_do_not_leave_many_files(directory: Path) -> None:
    """Ensure runs with one commit each are bounded too, though their files are tiny."""
    for number in range(40):
        with Store(directory, fsync=False, history_bytes=10 * journal_directory.LEAST_BYTES) as db:
            db.users.insert(User(id=str(number)))
    assert len(segments(directory)) <= 12
    assert len(opened(directory)["users"]) == 40


def test_a_journal_of_another_store_is_refused(open_store: Open, tmp_path: Path) -> None:
    """Ensure two stores' files are never mixed."""
    first, second = open_store(tmp_path / "one"), open_store(tmp_path / "two")
    for db in (first, second):
        db.users.insert(User(id="a"))
        db.users.insert(User(id="b"))
    one, two = killed(first), killed(second)
    shutil.rmtree(one / JOURNAL)
    shutil.copytree(two / JOURNAL, one / JOURNAL)
    expect_refusal(one, CorruptJournal, "another store", str(one / JOURNAL / "1.jsonl"))


def test_a_snapshot_of_another_history_is_refused(open_store: Open) -> None:
    """Ensure a snapshot that the journal's commits don't lead to is refused, older or newer than the journal's end."""
    db = open_store()
    assert db.directory is not None
    for key in "abcdefg":
        db.users.insert(User(id=key))
        if key == "b":
            second = (db.directory / SNAPSHOT).read_bytes()
    db.close()
    newer = (db.directory / SNAPSHOT).read_bytes()
    for commits in ("XY", "VWXYZ", "UVWXYZ"):
        directory = db.directory.parent / commits
        shutil.copytree(db.directory, directory)
        shutil.rmtree(directory / JOURNAL)
        (directory / SNAPSHOT).write_bytes(second)
        with Store(directory, fsync=False) as other:
            for key in commits:
                other.users.insert(User(id=key))
        (directory / SNAPSHOT).write_bytes(newer)
        expect_refusal(directory, CorruptJournal, str(directory / JOURNAL))


def test_a_renamed_journal_file_is_refused(open_store: Open) -> None:
    """Ensure a journal file under a name that isn't its own is not believed."""
    db = open_store()
    assert db.directory is not None
    oldest = (db.directory / SNAPSHOT).read_bytes()
    for key in "abc":
        db.users.insert(User(id=key))
    copy = killed(db)
    (copy / JOURNAL / "1.jsonl").rename(copy / JOURNAL / "2.jsonl")
    expect_refusal(copy, CorruptJournal, str(copy / JOURNAL / "2.jsonl"))
    copy = killed(db, keep=oldest)
    shutil.copy(copy / JOURNAL / "1.jsonl", copy / JOURNAL / "4.jsonl")
    expect_refusal(copy, CorruptJournal, str(copy / JOURNAL))


def test_other_files_in_the_folders_are_left_alone(open_store: Open) -> None:
    """Ensure names that aren't ours, beside the snapshot and in the journal's folder, are neither read nor removed."""
    db = open_store()
    db.users.insert(User(id="a"))
    copy = killed(db)
    others = [copy / JOURNAL / name for name in ("0.jsonl", "01.jsonl", "1.jsonl.bak", "x.jsonl", "README")]
    others.append(copy / "notes.txt")
    for path in others:
        path.write_text("mine")
    assert list(opened(copy)["users"]) == ["a"]
    assert all(path.read_text() == "mine" for path in others)


def test_a_newer_format_is_refused(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure files of a format that this version doesn't know are refused as such, snapshot and journal."""
    monkeypatch.setattr(names, "FORMAT", 2)
    db = open_store()
    db.users.insert(User(id="a"))
    both, only_journal, read_only = killed(db), killed(db), killed(db)
    db.close()
    monkeypatch.setattr(names, "FORMAT", 1)
    expect_refusal(both, UnsupportedFormat, "format 2", "format 1", str(both / SNAPSHOT))
    expect_refusal(read_only, UnsupportedFormat, "format 2", read_only=True)
    (only_journal / SNAPSHOT).unlink()
    expect_refusal(only_journal, UnsupportedFormat, "format 2", "format 1", str(only_journal / JOURNAL / "1.jsonl"))


def test_a_table_that_the_schema_lost_is_refused_by_name(open_store: Open) -> None:
    """Ensure rows of a table that the database class doesn't have any more are not dropped, wherever they are."""
    db = open_store()
    assert db.directory is not None
    oldest = (db.directory / SNAPSHOT).read_bytes()
    db.users.insert(User(id="a"))
    empty = killed(db)
    db.tokens.insert(Token())
    for copy in (killed(db), killed(db, keep=oldest)):
        before = tree(copy)
        with pytest.raises(SchemaMismatch, match="tokens"), Fewer(copy, fsync=False):
            pass
        assert tree(copy) == before
    with Fewer(empty, fsync=False) as fewer:
        assert fewer.users.count() == 1


def test_a_table_that_the_schema_gained_begins_empty(open_store: Open) -> None:
    """Ensure a new table needs no migration."""
    db = open_store()
    assert db.directory is not None
    where = db.directory.parent / "fewer"
    with Fewer(where, fsync=False) as fewer:
        fewer.users.insert(User(id="a"))
    assert opened(where) == {"users": {"a": {"id": "a", "email": None, "note": ""}}, "posts": {}, "tokens": {}}
    with Store(where, fsync=False) as db:
        db.tokens.insert(Token())
    assert read_snapshot(where)[0]["rows"] == {"users": 1, "posts": 0, "tokens": 1}


def test_nothing_is_quarantined_without_need(open_store: Open) -> None:
    """Ensure ordinary restarts and kills make no quarantine."""
    db = open_store()
    fill(db)
    copy = killed(db)
    opened(copy)
    opened(copy)
    assert not (copy / QUARANTINE).exists()


def test_opened_twice_the_same_object_is_refused(store: Store) -> None:
    """Ensure open() of an open database is an OpenError and leaves it as it is."""
    store.users.insert(User(id="a"))
    with pytest.raises(OpenError):
        store.open()
    store.users.insert(User(id="b"))
    assert ids(store) == ["a", "b"]
