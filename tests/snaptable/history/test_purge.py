"""A purge: the values are in no file and no past, the journal verifies as before, and the receipt says what is left."""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import pytest
from tests.snaptable.support import begin_anew, files_of, start

from snaptable import (
    CorruptJournal,
    Database,
    ForeignKey,
    ForeignKeyViolation,
    HistoryPurged,
    InvalidKey,
    OpenError,
    ReadOnlyStore,
    Row,
    Table,
    TransactionError,
    UndoConflict,
    Unique,
    attribution,
    numbered,
)
from snaptable.history import Purged
from snaptable.maintenance.acceptance import accept_edit
from snaptable.maintenance.check import check_store
from snaptable.maintenance.external_edit import examine
from snaptable.maintenance.repair import carry_out
from snaptable.maintenance.salvage import plan_repair
from snaptable.migrations import Migration, drop, drop_table, each, rekey, rename, rename_table
from snaptable.storage import group_commit
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory

SECRETS = (b"Lovelace", b"ada@example.org", b"Menabrea", b"first page", b"5550199")


class Person(Row):
    id: str
    name: str
    email: Annotated[str, Unique()]
    phone: int | None = None


class Paper(Row):
    id: int = numbered()
    author: Annotated[str, ForeignKey(Person, on_delete="cascade")]
    reviewer: Annotated[str | None, ForeignKey(Person, on_delete="set null")] = None
    text: str


class Page(Row):
    id: UUID
    paper: Annotated[int, ForeignKey(Paper, on_delete="cascade")]
    text: str


class Badge(Row):
    id: str
    person: Annotated[str, ForeignKey(Person)]


class Archive(Database):
    people: Table[Person]
    papers: Table[Paper]
    pages: Table[Page]
    badges: Table[Badge]


ADA = Person(id="ada", name="Ada Lovelace", email="ada@example.org", phone=5550199)
BEN = Person(id="ben", name="Ben Babbage", email="ben@example.org")
WAYS = ("memory:", "file", "small segments")


@pytest.fixture(params=WAYS)
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give where an archive is, whose journal may be of many files."""
    if request.param == "small segments":
        monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 500)
    return "memory:" if request.param == "memory:" else str(tmp_path / "data")


@pytest.fixture
def db(url: str) -> Iterator[Archive]:
    """Give an archive in which Ada has a life: inserted, changed, deleted, brought back, with a paper and a page."""
    with Archive(url, fsync=False, banner=False) as db:
        live(db)
        yield db


def live(db: Archive) -> None:
    """Make nine commits."""
    db.people.insert_many([ADA, BEN])
    paper = db.papers.insert(Paper(author="ada", text="Notes on Menabrea"))
    db.pages.insert(Page(id=uuid4(), paper=paper.id, text="the first page"))
    db.papers.insert(Paper(author="ben", reviewer="ada", text="Difference engine"))
    with db.transaction(actor="ada"):
        db.people.update("ada", name="Augusta Ada King", email="king@example.org")
        db.people.update("ben", name="Ben")
    db.papers.update(paper.id, text="Bernoulli numbers")
    db.people.delete("ada")
    db.history.undo(db.history.sequence)
    db.people.update("ben", name="Benjamin Babbage")


def found(db: Database, *texts: bytes) -> dict[str, list[bytes]]:
    """Return which files of a store hold any of some texts; for "memory:", the commits that do."""
    if db.directory is None:
        held = {str(each.sequence): repr(each._records).encode() for each in db.history}
    else:
        held = files_of(db.directory)
    return {name: hits for name, data in held.items() if (hits := [text for text in texts if text in data])}


def test_nothing_is_left_of_a_row(db: Archive) -> None:
    """Ensure no value of the row, or of what went with it, is in any file: of no version of it, not in memory."""
    assert found(db, *SECRETS)
    receipt = db.history.purge("people", "ada")
    assert found(db, *SECRETS, b"king@", b"Bernoulli", b"Augusta") == {}
    assert receipt.rows == {"people": 1, "papers": 1, "pages": 1}
    assert receipt.left == ()
    assert receipt.frames >= 6
    assert [row.id for row in db.people] == ["ben"]
    assert [(row.id, row.reviewer) for row in db.papers] == [(2, None)]
    assert db.check() == []


def test_the_journal_verifies_as_before(db: Archive) -> None:
    """Ensure every file verifies, open and closed, nothing is repaired, and the store opens with what there was."""
    db.history.purge("people", "ada")
    if db.directory is None:
        return
    for _ in range(2):
        report = check_store(Files(db.directory))
        assert report.problems == []
        assert not plan_repair(Files(db.directory)).is_needed
        db.close()
        db.open()
    assert [row.id for row in db.people] == ["ben"]
    assert len(list(db.history)) == db.history.sequence
    db.people.insert(Person(id="eve", name="Eve", email="eve@example.org"))
    assert begin_anew(db, "kill").people["eve"].name == "Eve"


def test_a_purged_file_is_of_a_format_of_its_own(tmp_path: Path) -> None:
    """Ensure files with purged lines, and the list of purged keys, say that they are of format 2; others stay at 1."""
    with Archive(tmp_path / "data", fsync=False, banner=False) as db:
        db.people.insert(BEN)
        db.close()
        db.open()
        db.people.insert(ADA)
        db.history.purge("people", "ada")
    formats = [
        json.loads(path.read_bytes().split(b"\n")[0])["snaptable"]["format"]
        for path in sorted((tmp_path / "data" / "db_journal").iterdir())
    ]
    assert formats == [1, 2, 1]
    header = json.loads((tmp_path / "data" / "db_snapshot.json").read_bytes())["snaptable"]
    assert header["format"] == 2
    assert [*header["erased"]] == ["people"]
    assert '"ada"' not in json.dumps(header)


def test_the_past_shows_the_others_as_they_were(db: Archive) -> None:
    """Ensure at and diff show the row at no moment, and every other row as it was at each."""
    before = [{each.id: each for each in db.history.at(n).people} for n in range(db.history.sequence + 1)]
    db.history.purge("people", "ada")
    for moment, people in enumerate(before):
        with db.history.at(moment) as past:
            assert {each.id: each for each in past.people} == {key: row for key, row in people.items() if key != "ada"}
            assert 1 not in past.papers
            assert past.pages.where().count() == 0
    assert {change.key for change in db.history.diff(0)} == {"ben", 2}
    assert db.history.diff(5, 1).counts == {"people": {"insert": 0, "replace": 1, "delete": 0}} | (
        {"papers": {"insert": 0, "replace": 0, "delete": 1}}
    )


def test_what_happened_is_still_told(db: Archive) -> None:
    """Ensure the commits that changed the row are listed, with their actors, and say that it was purged."""
    told = [(commit.sequence, commit.actor, commit.at) for commit in db.history.commits("people", "ada")]
    db.history.purge("people", "ada")
    commits = list(db.history.commits("people", "ada"))
    assert [(commit.sequence, commit.actor, commit.at) for commit in commits[1:]] == told
    changes = [change for commit in commits for change in commit.changes if change.key == "ada"]
    assert [change.kind for change in changes] == ["delete", "insert", "delete", "replace", "insert"]
    assert all(change.purged and change.before is change.after is None and not change.fields for change in changes)
    assert "+ people ada   (purged)" in str(commits[-1])
    record = next(iter(db.history))
    assert record.changes == ()
    assert record.note == "purged 3 rows (1 of people, 1 of papers, 1 of pages)"


def test_nothing_brings_it_back(db: Archive) -> None:
    """Ensure an undo finds a conflict, forced or not, and a restore of the row says that it was purged."""
    db.history.purge("people", "ada")
    for force in (False, True):
        with pytest.raises(UndoConflict) as raised:
            db.history.undo(1, force=force)
        assert [each.key for each in raised.value.conflicts if each.kind == "purged"] == ["ada"]
    plan = db.history.undo(5, dry_run=True)
    assert {(each.key, each.kind) for each in plan.conflicts} == {("ada", "purged"), ("ben", "changed since")}
    for moment in (1, 5, 8):
        with pytest.raises(HistoryPurged) as gone:
            db.history.restore(moment, "people", "ada")
        assert (gone.value.table, gone.value.key) == ("people", "ada")
    assert [each.key for each in db.history.restore(2, "people").changes] == ["ben"]
    assert db.history.restore(0, "papers", 2).commit is not None
    assert db.history.restore(db.history.sequence, "people", "ada").commit is None


def test_a_second_purge_has_nothing_to_do(db: Archive) -> None:
    """Ensure a purge again changes no file and makes no commit; a row that is inserted anew can be purged anew."""
    first = db.history.purge("people", "ada")
    assert first.commit == db.history.sequence
    again = db.history.purge("people", "ada")
    assert (again.frames, again.commit, again.rows) == (0, None, {"people": 1})
    db.people.insert(ADA)
    db.history.purge("people", "ben")
    assert found(db, b"Lovelace")
    assert db.history.purge("people", "ada").frames > 0
    assert not found(db, b"Lovelace", b"Babbage")


def test_a_row_that_was_deleted_before(db: Archive) -> None:
    """Ensure a row that is gone, and what went with it then, is purged from the past all the same."""
    db.people.delete("ada")
    receipt = db.history.purge("people", "ada")
    assert receipt.rows == {"people": 1, "papers": 1, "pages": 1}
    assert found(db, *SECRETS, b"king@", b"Bernoulli") == {}


def test_without_what_went_with_it(db: Archive) -> None:
    """Ensure cascade=False leaves the past of other rows, and the receipt does not hide it."""
    receipt = db.history.purge("people", "ada", cascade=False)
    assert receipt.rows == {"people": 1}
    assert not found(db, b"Lovelace", b"ada@", b"king@")
    assert found(db, b"Bernoulli")
    assert db.history.at(2).papers[1].text == "Notes on Menabrea"


def test_a_row_that_moved_away_stays(db: Archive) -> None:
    """Ensure a row that referred to the purged one, and doesn't any more, keeps its past."""
    moment = db.history.sequence + 1
    paper = db.papers.insert(Paper(author="ada", text="Handed over"))
    db.papers.update(paper.id, author="ben")
    receipt = db.history.purge("people", "ada")
    assert receipt.rows == {"people": 1, "papers": 1, "pages": 1}
    assert db.papers[paper.id].text == "Handed over"
    assert db.history.at(moment).papers[paper.id].text == "Handed over"


def test_a_key_that_lives_twice(db: Archive) -> None:
    """Ensure of two rows that had a key one after the other only the one that went with the purged row is purged."""
    db.papers.delete(1)
    db.papers.insert(Paper(id=1, author="ben", text="Another paper"))
    db.history.purge("people", "ada")
    assert not found(db, b"Bernoulli", b"Menabrea")
    assert db.papers[1].text == "Another paper"
    assert db.history.at(db.history.sequence).papers[1].text == "Another paper"
    assert 1 not in db.history.at(4).papers


def test_a_protected_row_is_not_purged(db: Archive) -> None:
    """Ensure a row that others refer to with "restrict" is refused, and nothing changed."""
    db.badges.insert(Badge(id="b1", person="ada"))
    sequence = db.history.sequence
    with pytest.raises(ForeignKeyViolation):
        db.history.purge("people", "ada")
    assert db.history.sequence == sequence
    assert db.history.at(1).people["ada"] == ADA


@pytest.mark.parametrize("key", ["ada", 1])
def test_the_key_goes_too(db: Archive, key: str | int) -> None:
    """Ensure keys=True leaves the key nowhere: in no change, no reference, no actor; moments still work."""
    with attribution(actor=str(key)):
        receipt = db.history.purge("people" if key == "ada" else "papers", key, keys=True)
    assert receipt.left == ()
    if key == "ada":
        assert found(db, b'"ada"', b"'ada'", *SECRETS) == {}
    assert all(commit.actor != str(key) for commit in db.history)
    for moment in range(db.history.sequence + 1):
        with db.history.at(moment) as past:
            assert key not in (past.people if key == "ada" else past.papers)
            assert past.people.where().count() >= (moment > 0)
    assert list(db.history.commits("people" if key == "ada" else "papers", key)) == []
    again = db.history.purge("people" if key == "ada" else "papers", key, keys=True)
    assert (again.frames, again.commit) == (0, None)
    if db.directory is not None:
        assert check_store(Files(db.directory)).problems == []


def test_keys_can_go_later(db: Archive) -> None:
    """Ensure the key of a row that was purged before is erased by a second purge."""
    db.history.purge("people", "ada")
    assert db.history.purge("people", "ada", keys=True).frames > 0
    assert found(db, b'"ada"', b"'ada'") == {}


def test_the_receipt_names_what_it_left(tmp_path: Path) -> None:
    """Ensure values in other rows, in the quarantine and in packed files are named, with file, line and field."""
    directory = tmp_path / "data"
    with Archive(directory, fsync=False, banner=False) as db:
        db.people.insert_many([ADA, BEN])
        db.papers.insert(Paper(author="ben", text="I met Ada Lovelace"))
        quarantine = directory / "quarantine"
        quarantine.mkdir(mode=0o700)
        (quarantine / "edited-1").write_text('{\n"x": "ada@example.org",\n"ada": {}}')
        (quarantine / "edited-1").chmod(0o600)
        with zipfile.ZipFile(directory / "backup.zip", "w") as archive:
            archive.writestr("db_snapshot.json", "Ada Lovelace")
        receipt = db.history.purge("people", "ada")
        places = {(each.file, each.what) for each in receipt.left}
    assert places == {
        ("backup.zip", "not searched"),
        ("quarantine/edited-1", "people.email"),
        ("quarantine/edited-1", "the key"),
        ("db_snapshot.json", "people.name"),
        ("db_journal/1.jsonl", "people.name"),
    }
    assert ("quarantine/edited-1", 2) in {(each.file, each.line) for each in receipt.left}
    assert "Lovelace" not in str(receipt)
    assert "quarantine/edited-1, line 2: people.email" in str(receipt)


def test_given_up_commits_go_too(tmp_path: Path) -> None:
    """Ensure what lies behind the end of a file, because its write failed, is not left; nor unfinished files."""
    directory = tmp_path / "data"
    with Archive(directory, fsync=False, banner=False) as db:
        db.people.insert(BEN)
        db.close()
        (segment,) = (directory / "db_journal").iterdir()
        db.open()
        db.people.insert(ADA)
        segment.write_bytes(segment.read_bytes() + b'{"frame":[2,2],"commits":"Ada Lovelace, given up')
        (directory / "db_journal" / f".segment.{uuid4().hex}.tmp").write_text("Ada Lovelace")
        (directory / f".db_snapshot.{uuid4().hex}.tmp").write_text("Ada Lovelace")
        db.history.purge("people", "ada")
        assert found(db, b"Lovelace") == {}


def test_without_any_history(tmp_path: Path) -> None:
    """Ensure a store that keeps no history is purged as well, and lists the key for its backups."""
    with Archive(tmp_path / "data", fsync=False, banner=False, history_bytes=0, snapshot="background") as db:
        db.people.insert_many([ADA, BEN])
        db.people.delete("ada")
        receipt = db.history.purge("people", "ada")
        assert found(db, *SECRETS) == {}
        assert receipt.commit is not None
    header = json.loads((tmp_path / "data" / "db_snapshot.json").read_bytes())["snaptable"]
    assert len(header["erased"]["people"]) == 1


@pytest.mark.parametrize("work", ["persist", "restart", "kill", "replay of the newest", "prune"])
def test_the_list_of_purged_keys_lasts(tmp_path: Path, work: str) -> None:
    """Ensure the list of purged keys is in every snapshot from then on, whatever becomes of the journal."""
    db = Archive(tmp_path / "data", fsync=False, banner=False, snapshot="background").open()
    db.people.insert_many([ADA, BEN])
    db.history.purge("people", "ada")
    if work == "prune":
        db.history.forget(db.history.sequence)
    if work in ("kill", "replay of the newest"):
        db = begin_anew(db, "kill")
    if work == "restart":
        db = begin_anew(db, "restart")
    db.people.update("ben", name="B")
    db.persist()
    assert db.directory is not None
    assert len(json.loads((db.directory / "db_snapshot.json").read_bytes())["snaptable"]["erased"]["people"]) == 1
    db.close()


def test_a_lost_snapshot_is_refused_and_can_be_repaired(tmp_path: Path) -> None:
    """Ensure a purged journal rebuilds no snapshot by itself, and that a repair has every row that wasn't purged."""
    directory = tmp_path / "data"
    with Archive(directory, fsync=False, banner=False) as db:
        live(db)
        db.history.purge("people", "ada")
        rows = {name: table.where().all() for name, table in db.tables.items()}
    (directory / "db_snapshot.json").unlink()
    with pytest.raises(OpenError, match="purged"):
        Archive(directory, banner=False).open()
    carry_out(Files(directory), plan_repair(Files(directory)))
    with Archive(directory, fsync=False, banner=False) as db:
        assert {name: table.where().all() for name, table in db.tables.items()} == rows
        assert db.check() == []


def test_an_older_snapshot_is_refused(tmp_path: Path) -> None:
    """Ensure a snapshot from before a purge does not bring the row back beside the purged journal."""
    directory = tmp_path / "data"
    with Archive(directory, fsync=False, banner=False) as db:
        db.people.insert_many([ADA, BEN])
        old = (directory / "db_snapshot.json").read_bytes()
        db.history.purge("people", "ada")
        copy = begin_anew(db, "kill")
        copied = copy.directory
        copy.close()
    for place in filter(None, (directory, copied)):
        (place / "db_snapshot.json").write_bytes(old)
        with pytest.raises(OpenError):
            Archive(place, banner=False).open()
    # Closed cleanly: the older one was put back. Accepting it brings back all but what was purged.
    edit = examine(Files(directory), old)
    assert edit is not None
    accept_edit(Files(directory), edit)
    with Archive(directory, fsync=False, banner=False) as db:
        assert [row.id for row in db.people] == ["ben"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b'"purged":true', b'"purged":null'),
        lambda line: line.replace(b'"seal":"', b'"seal":"0'),
        lambda line: line[:-36] + bytes(reversed(line[-36:-4])) + line[-4:],
    ],
)
def test_a_purged_line_is_verified(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Ensure a changed byte in a purged line is noticed as in any other."""
    directory = tmp_path / "data"
    with Archive(directory, fsync=False, banner=False) as db:
        db.people.insert(ADA)
        db.people.insert(BEN)
        db.history.purge("people", "ada")
    path = directory / "db_journal" / "1.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert b"purged" in lines[1]
    lines[1] = damage(lines[1])
    path.write_bytes(b"".join(lines))
    assert check_store(Files(directory)).problems
    with Archive(directory, fsync=False, banner=False) as db, pytest.raises(CorruptJournal):
        list(db.history)


def test_a_damaged_journal_is_refused_before_anything(tmp_path: Path) -> None:
    """Ensure a purge that can't read what there was changes nothing."""
    directory = tmp_path / "data"
    with Archive(directory, fsync=False, banner=False) as db:
        db.people.insert(ADA)
        db.close()
        db.open()
        db.people.insert(BEN)
        path = directory / "db_journal" / "1.jsonl"
        path.write_bytes(path.read_bytes().replace(b"Lovelace", b"Lovelac3"))
        with pytest.raises(CorruptJournal):
            db.history.purge("people", "ada")
        assert db.people["ada"] == ADA


def test_who_may_purge(db: Archive, tmp_path: Path) -> None:
    """Ensure a purge is refused inside a transaction, for tables and keys that can't be, and in what is read only."""
    with db.transaction(), pytest.raises(TransactionError):
        db.history.purge("people", "ada")
    with pytest.raises(ValueError, match="no table"):
        db.history.purge("persons", "ada")
    with pytest.raises(InvalidKey):
        db.history.purge("people", 1)
    with db.history.at(1) as past, pytest.raises(ReadOnlyStore):
        past.history.purge("people", "ada")
    if db.directory is not None:
        with Archive(db.directory, read_only=True) as reader, pytest.raises(ReadOnlyStore):
            reader.history.purge("people", "ada")
    with db.history.fork() as fork:
        fork.people.update("ada", name="Forked")
        assert fork.history.purge("people", "ada").frames == 2
        assert "ada" not in fork.people
    assert "ada" in db.people


def test_a_follower_sees_the_purged_commits(db: Archive) -> None:
    """Ensure a feed that is open gives purged commits without what was in them, and its successors in order."""
    with db.history.follow(since=0) as feed:
        reader = iter(feed)
        first = next(reader)
        assert first.changes[0].after is not None
        receipt = db.history.purge("people", "ada")
        db.people.update("ben", name="Later")
        rest = [next(reader) for _ in range(db.history.sequence - 1)]
    assert isinstance(receipt, Purged)
    assert [each.sequence for each in rest] == list(range(2, db.history.sequence + 1))
    with db.history.follow(since=0) as feed:
        assert next(iter(feed)).changes[0].purged


def test_purging_while_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure commits go on while the files are rewritten, and nothing that the snapshot covers too early is lost."""
    monkeypatch.setattr(group_commit, "SEGMENT_BYTES", 600)
    monkeypatch.setattr(journal_directory, "LEAST_BYTES", 0)
    with Archive(tmp_path / "data", fsync=False, banner=False, history_bytes=6000) as db:
        live(db)
        original, writes = journal_directory.rewrite, list[Future[Person]]()

        def rewrite(files: Files, first: int, data: bytes) -> None:
            original(files, first, data)
            # On another thread: this one holds what keeps commits back.
            person = Person(id=f"p{first}", name="x" * 900, email=f"{first}@x.org")
            writes.append(start(lambda: db.people.upsert(person)))

        monkeypatch.setattr(journal_directory, "rewrite", rewrite)
        db.history.purge("people", "ada")
        monkeypatch.setattr(journal_directory, "rewrite", original)
        assert [write.result(30).name for write in writes] == ["x" * 900] * len(writes)
        db.close()
        db.open()
        assert found(db, *SECRETS) == {}
        assert check_store(Files(tmp_path / "data")).problems == []
        assert len(list(db.history)) == db.history.sequence - db.history.first


# ── through migrations ──────────────────────────────────────────────────────────────────────────────────────────────


class Human(Row):
    id: int
    full_name: str


class Work(Row):
    id: int = numbered()
    by: Annotated[int, ForeignKey("humans", on_delete="cascade")]
    text: str


NUMBERS = {"ada": 1, "ben": 2}


class Museum(Database):
    humans: Table[Human]
    works: Table[Work]
    migrations = (
        Migration("words", rename("people.name", to="full_name"), drop("people.email"), drop("people.phone")),
        Migration("numbers", rekey("people", lambda row: NUMBERS[row["id"]]), rename_table("people", to="humans")),
        Migration(
            "works", rename("papers.author", to="by"), drop("papers.reviewer"), rename_table("papers", to="works")
        ),
    )


class Old(Database):
    people: Table[Person]
    papers: Table[Paper]


@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize("deleted", [False, True])
def test_a_row_is_followed_through_migrations(tmp_path: Path, keys: bool, deleted: bool) -> None:
    """Where it had another table, key or fields it is erased too, with what went with it; the others are not."""
    where = tmp_path / "data"
    with Old(where, banner=False, fsync=False) as old:
        old.people.insert_many([ADA, BEN])
        old.papers.insert(Paper(author="ada", text="Notes on Menabrea"))
        old.papers.insert(Paper(author="ben", text="by Ben", reviewer="ada"))
        with attribution(actor="ada"):
            old.people.update("ada", name="Ada King")
        old.papers.delete(1)
        old.papers.insert(Paper(author="ada", text="first page"))
    with Museum(where, banner=False, fsync=False) as db:
        if deleted:
            db.humans.delete(1)
        receipt = db.history.purge("humans", 1, keys=keys)
        assert set(receipt.rows) == {"humans", "people", "works", "papers"}
        kept, dropped = {"db_before/6.json"}, {"db_journal/1.jsonl", "db_journal/7.jsonl"}
        left = {each.file for each in receipt.left}
        assert left == (kept | dropped if keys else kept), "nobody knows a reference any more that a migration dropped"
        shutil.rmtree(where / "db_before")
        assert found(db, *SECRETS, b"Ada King") == {}
        assert [row.full_name for row in db.humans] == ["Ben Babbage"]
        assert [row.text for row in db.works] == ["by Ben"]
        with db.history.at(2) as past:
            assert past.raw("people") == {"ben": BEN.model_dump(mode="json")}
            assert past.raw("papers")["2"]["text"] == "by Ben" if "2" in past.raw("papers") else True
        assert db.history.purge("humans", 1, keys=keys).commit is None, "nothing was left to do"
        assert db.check() == []
    assert check_store(Files(where)).problems == []
    with Museum(where, banner=False, fsync=False) as db:
        assert found(db, *SECRETS, b"Ada King") == {}
        text = b"".join(path.read_bytes() for path in (where / "db_journal").iterdir())
        assert text.count(b'"ada"') == (2 if keys else 6)


class Member(Row):
    id: int
    mentor: Annotated[int | None, ForeignKey("members", on_delete="set null")] = None


class Lettered(Row):
    id: str
    mentor: Annotated[str | None, ForeignKey("members", on_delete="set null")] = None


def test_the_past_before_new_keys_is_seen_without_the_purged_row(tmp_path: Path) -> None:
    """A purged row has no new key: what referred to it refers to nobody, and the others can be seen and restored."""

    class Numbers(Database):
        members: Table[Member]

    class Letters(Database):
        members: Table[Lettered]
        migrations = (Migration("letters", rekey("members", lambda row: "_abc"[row["id"]])),)

    where = tmp_path / "data"
    with Numbers(where, banner=False, fsync=False) as old:
        old.members.insert_many([Member(id=1), Member(id=2, mentor=1), Member(id=3, mentor=2)])
    with Letters(where, banner=False, fsync=False) as db:
        db.history.purge("members", "a")
        others = [Lettered(id="b"), Lettered(id="c", mentor="b")]
        with db.history.at(1) as past:
            assert list(past.members) == others
        db.members.delete("c")
        db.history.restore(1)
        assert list(db.members) == others


def test_a_row_that_code_made_anew_is_named_by_the_receipt(tmp_path: Path) -> None:
    """What an application's function gave another key can't be followed: the receipt says where its values stand."""

    def anew(row: dict[str, object]) -> dict[str, object]:
        return {"id": NUMBERS[str(row["id"])], "full_name": row["name"]}

    class Anew(Database):
        humans: Table[Human]
        migrations = (
            Migration("anew", drop_table("papers"), each("people", anew), rename_table("people", to="humans")),
        )

    where = tmp_path / "data"
    with Old(where, banner=False, fsync=False) as old:
        old.people.insert(ADA)
    with Anew(where, banner=False, fsync=False) as db:
        receipt = db.history.purge("humans", 1)
        assert receipt.rows == {"humans": 1}
        assert {(each.file, each.what) for each in receipt.left} >= {("db_journal/1.jsonl", "humans.full_name")}
