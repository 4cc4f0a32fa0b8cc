"""A store of a test: restarted, killed, cut off, in a directory that fails when told to."""

import errno
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from snaptable import (
    Database,
    DatabaseClosed,
    OpenError,
    Row,
    SnaptableError,
    StoreLocked,
    Table,
    WriteFailed,
)
from snaptable.storage.snapshot import checkpointer
from snaptable.testing import StoreFixture, StoreHandle, TemplateFixture, crash_everywhere


class Note(Row):
    id: int | None = None
    text: str = ""


class Notes(Database):
    notes: Table[Note]


def texts(db: Notes) -> list[str]:
    """Return the notes' texts, in order."""
    return [note.text for note in db.notes.where()]


@pytest.fixture
def store(snaptable_store: StoreFixture) -> StoreHandle[Notes]:
    """Give an open store with one note."""
    store = snaptable_store(Notes)
    store.db.notes.insert(Note(text="first"))
    return store


def test_the_store_lies_in_a_directory_of_the_tests_own(store: StoreHandle[Notes], tmp_path: Path) -> None:
    """The files are real ones, below the test's directory, and readable at any time."""
    assert store.directory == tmp_path / "data"
    snapshot = json.loads((store.directory / "db_snapshot.json").read_text(encoding="utf-8"))
    assert snapshot["notes"] == {"1": {"id": 1, "text": "first"}}
    assert (store.directory / "db_journal" / "1.jsonl").stat().st_mode & 0o777 == 0o600
    assert store.directory.stat().st_mode & 0o777 == 0o700


def test_a_restart_gives_a_new_database(store: StoreHandle[Notes]) -> None:
    """The old object is closed, the new one holds the rows."""
    before = store.db
    after = store.restart()
    assert after is store.db is not before
    assert not before.is_open
    assert texts(after) == ["first"]


def test_a_kill_keeps_what_was_acknowledged_and_nothing_in_memory(store: StoreHandle[Notes]) -> None:
    """What an open transaction had changed is gone, and so is the database it belonged to."""
    before = store.db

    def work() -> None:
        with before.transaction():
            before.notes.insert(Note(text="in memory only"))
            store.kill()
            before.notes.insert(Note(text="after death"))

    with pytest.raises(DatabaseClosed):
        work()
    assert texts(store.db) == ["first"]


def test_a_killed_store_was_not_closed(snaptable_store: StoreFixture) -> None:
    """The journal has no mark of a clean close, and with snapshots in the background the snapshot is behind."""
    store = snaptable_store(Notes, snapshot="background")
    store.db.notes.insert(Note(text="journal only"))
    store.kill()
    assert b'"closed"' not in (store.directory / "db_journal" / "1.jsonl").read_bytes()
    assert texts(store.db) == ["journal only"]


@pytest.mark.parametrize("end", ["kill", "power_loss"])
def test_nothing_acknowledged_is_lost_in_the_middle_of_work(snaptable_store: StoreFixture, end: str) -> None:
    """Wherever the work is cut off, what was acknowledged is there, and at most one write more."""
    acknowledged: list[str] = []

    def work(db: Notes) -> None:
        for number in range(10):
            db.notes.insert(Note(text=str(number)))
            acknowledged.append(str(number))

    lengths = set()
    for seed in range(25):
        acknowledged.clear()
        store = snaptable_store(Notes, snapshot="background" if seed % 2 else "auto")
        db = getattr(store, end)(during=lambda db=store.db: work(db), seed=seed)
        left = texts(db)
        assert left[: len(acknowledged)] == acknowledged
        assert len(left) <= len(acknowledged) + 1
        lengths.add(len(left))
    assert len(lengths) > 3


def test_threads_are_never_told_of_what_a_kill_takes(snaptable_store: StoreFixture) -> None:
    """Threads write on while the process dies: what each was told is there."""
    store = snaptable_store(Notes)
    told: list[str] = []
    db = store.db

    def write(name: str) -> None:
        for number in range(10_000):
            try:
                db.notes.insert(Note(text=f"{name}{number}"))
            except SnaptableError:
                return
            told.append(f"{name}{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    while len(told) < 20:
        pass
    after = store.kill()
    for thread in threads:
        thread.join()
    assert set(told) <= set(texts(after))


def test_the_same_seed_leaves_the_same_state(snaptable_store: StoreFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut can be repeated by its seed."""
    monkeypatch.setattr(checkpointer, "DELAY", 3600.0)  # the same operations each time

    def cut(seed: int) -> list[str]:
        store = snaptable_store(Notes, fsync=False, snapshot="background")
        for number in range(6):
            store.db.notes.insert(Note(text=f"{number}" * 400))
        try:
            return [text[:1] for text in texts(store.power_loss(seed=seed))]
        except OpenError as error:
            return [type(error).__name__]

    states = {seed: cut(seed) for seed in range(12)}
    assert states == {seed: cut(seed) for seed in range(12)}
    assert len({str(left) for left in states.values()}) > 1


def test_an_error_of_the_work_itself_is_raised(store: StoreHandle[Notes]) -> None:
    """A mistake in the test's own work is not taken for the end of the process."""
    with pytest.raises(ZeroDivisionError):
        store.kill(during=lambda: 1 // 0)


def test_a_full_disk_has_room_again(store: StoreHandle[Notes]) -> None:
    """A write that finds no room fails with ENOSPC and leaves nothing; the next one finds it."""
    with store.disk.full(room=50), pytest.raises(WriteFailed) as raised:
        store.db.notes.insert(Note(text="no room"))
    assert isinstance(raised.value.__cause__, OSError)
    assert raised.value.__cause__.errno == errno.ENOSPC
    store.db.notes.insert(Note(text="room"))
    assert texts(store.restart()) == ["first", "room"]


def test_an_operation_fails_once_or_from_then_on(store: StoreHandle[Notes]) -> None:
    """`times` counts, `name` chooses the file, `heal` ends it."""
    store.disk.fail("write", times=1, name=".jsonl")
    with pytest.raises(WriteFailed):
        store.db.notes.insert(Note(text="fails"))
    store.db.notes.insert(Note(text="second"))
    fault = store.disk.fail("fsync", errno.EIO)
    with pytest.raises(WriteFailed):
        store.db.notes.insert(Note(text="fails, too"))
    with pytest.raises(WriteFailed):
        store.db.persist()
    assert fault.trigger_count > 1
    store.disk.heal()
    store.db.persist()
    store.db.notes.insert(Note(text="third"))
    assert texts(store.power_loss()) == ["first", "second", "third"]
    with pytest.raises(ValueError, match="not a disk operation; there are mkdir"):
        store.disk.fail("fsinc")


def test_a_second_process_is_refused_and_refuses(store: StoreHandle[Notes]) -> None:
    """Whoever comes second is told who holds the store."""
    refused = store.second_process().refused
    assert refused is not None
    assert "in use by process" in refused
    with store.held_by_second_process() as pid, pytest.raises(StoreLocked, match=f"by process {pid} "):
        store.start()
    store.start()
    store.db.close()
    assert store.second_process().refused is None
    store.start()


def test_a_template_is_copied_and_stays_as_it_was(
    snaptable_store: StoreFixture, snaptable_template: TemplateFixture
) -> None:
    """Each store of a template is its own; so is each fork of a store."""
    template = snaptable_template(Notes, lambda db: db.notes.insert_many([Note(text="a"), Note(text="b")]))
    one, two = snaptable_store(template), snaptable_store(template)
    one.db.notes.delete(1)
    fork = one.fork()
    fork.db.notes.delete(2)
    assert [texts(each.db) for each in (one, two, fork)] == [["b"], ["a", "b"], []]
    assert len({one.directory, two.directory, fork.directory, template.directory}) == 4


def test_a_database_of_a_module_uses_the_directory_of_the_test(snaptable_store: StoreFixture, tmp_path: Path) -> None:
    """An object that exists already, closed, is used itself, on the test's directory."""
    module_db = Notes(tmp_path / "never made")
    store = snaptable_store(module_db)
    assert store.db is module_db
    store.db.notes.insert(Note(text="first"))
    assert store.kill() is module_db
    assert texts(module_db) == ["first"]
    assert not (tmp_path / "never made").exists()


def test_a_fork_of_a_database_of_a_module_is_another_database(snaptable_store: StoreFixture, tmp_path: Path) -> None:
    """The module's object stays open where it is; the copy is opened by one like it, with the same attributes."""

    class Branded(Notes):
        def __init__(self, url: Path, brand: str) -> None:
            super().__init__(url)
            self.brand = brand

    module_db = Branded(tmp_path / "never made", "blue")
    store = snaptable_store(module_db)
    store.db.notes.insert(Note(text="first"))
    fork = store.fork()
    assert fork.db is not module_db
    assert fork.db.brand == "blue"
    fork.db.notes.insert(Note(text="second"))
    fork.kill()
    assert (texts(module_db), texts(fork.db)) == (["first"], ["first", "second"])


def test_an_edit_by_hand_is_seen(store: StoreHandle[Notes]) -> None:
    """The files are the store: what a person changes between two runs is what the next one finds."""
    store.db.close()
    snapshot = store.directory / "db_snapshot.json"
    snapshot.write_text(snapshot.read_text(encoding="utf-8").replace("first", "edited"), encoding="utf-8")
    with pytest.raises(OpenError, match="checksum"):
        store.start()
    snapshot.write_text(snapshot.read_text(encoding="utf-8").replace("edited", "first"), encoding="utf-8")
    assert texts(store.start()) == ["first"]


def test_crash_everywhere_begins_with_what_is_there(store: StoreHandle[Notes]) -> None:
    """The workload runs on a copy of the store, which is itself left alone."""
    report = store.crash_everywhere(lambda db: db.notes.update(1, text="changed"), max_states=10)
    assert report.states.total() > 40
    assert set(report.states) == {"kill", "ordered", "weak"}
    assert str(report).endswith("0 wrong")
    assert texts(store.db) == ["first"]


def test_crash_everywhere_names_what_is_wrong(snaptable_store: StoreFixture) -> None:
    """A store that does not sync loses what it acknowledged: the operation, the model and the seed are named."""
    store = snaptable_store(Notes, fsync=False, snapshot="background")
    with pytest.raises(AssertionError, match=r"ordered, after operation \d+ \(.+\), state \d+, seed 5: ") as raised:
        store.crash_everywhere(lambda db: db.notes.insert(Note(text="lost")), seed=5)
    assert "wrong:" in str(raised.value)


# ── crash_everywhere with invariants of the test's own ──────────────────────────────────────────────────────────────


def ask_in_two_commits(db: Notes) -> None:
    """Write a question and its answer, which belong together, in a commit each."""
    db.notes.insert(Note(text="question"))
    db.notes.insert(Note(text="answer"))


def ask_in_one_commit(db: Notes) -> None:
    """Write a question and its answer together."""
    with db.transaction():
        ask_in_two_commits(db)


def every_question_has_its_answer(db: Notes) -> None:
    """Assert that no question is alone."""
    assert texts(db).count("question") == texts(db).count("answer")


def test_a_check_finds_two_commits_where_one_is_meant(snaptable_store: StoreFixture) -> None:
    """Both commits are whole in every state, so the search alone passes; the check names the state that is wrong."""
    store = snaptable_store(Notes)
    store.crash_everywhere(ask_in_two_commits)
    store.crash_everywhere(ask_in_one_commit, check=every_question_has_its_answer)
    place = r"kill, after operation \d+ \(.+\), state 0, seed 0: after commit 1, "
    what = r"every_question_has_its_answer \(test_store_handle\.py:\d+\): AssertionError: "
    with pytest.raises(AssertionError, match=place + what):
        store.crash_everywhere(ask_in_two_commits, check=every_question_has_its_answer)


def test_a_check_sees_every_state_a_crash_may_leave(snaptable_store: StoreFixture) -> None:
    """It is called with a database that was opened on the state, from before the first commit to after the last."""
    seen = set()

    def check(db: Notes) -> None:
        assert db.is_open
        seen.add(tuple(texts(db)))

    store = snaptable_store(Notes)
    store.crash_everywhere(ask_in_two_commits, check=check)
    assert seen == {(), ("question",), ("question", "answer")}
    seen.clear()
    report = store.crash_everywhere(lambda db: db.notes.insert(Note(text="one")), check=check, nested=1, max_states=1)
    assert seen == {(), ("one",)}
    assert report.states["kill, nested"] > 100


def fail_by_pytest(db: Notes) -> None:
    """Fail as a test may."""
    pytest.fail("not so")


def fail_by_an_error(db: Notes) -> None:
    """Fail by any exception."""
    _ = db.notes[77]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (fail_by_pytest, r"fail_by_pytest \(test_store_handle\.py:\d+\): Failed: not so"),
        (fail_by_an_error, r"fail_by_an_error \(test_store_handle\.py:\d+\): RowNotFound: "),
        (lambda db: len(texts(db)) > 77, "<lambda> returned False"),
    ],
)
def test_a_check_may_fail_in_any_way(store: StoreHandle[Notes], check: Callable[[Notes], object], message: str) -> None:
    """Whatever it raises is reported with its place, and so is an answer of False; the store is left alone."""
    with pytest.raises(AssertionError, match=message):
        store.crash_everywhere(lambda db: db.notes.insert(Note(text="second")), check=check)
    assert texts(store.db) == ["first"]


def test_a_check_that_would_never_run_is_refused(store: StoreHandle[Notes]) -> None:
    """A coroutine function would only make coroutines."""

    async def check(db: Notes) -> None:
        raise NotImplementedError

    with pytest.raises(TypeError, match="check=check is a coroutine function"):
        store.crash_everywhere(lambda db: None, check=check)


def test_a_store_without_a_directory_has_no_crashes() -> None:
    """A search of nothing would find nothing wrong."""
    with pytest.raises(RuntimeError, match="is not in a directory"):
        crash_everywhere(lambda _: Notes("memory:"), ask_in_one_commit)


@pytest.mark.parametrize("open_before", [True, False])
def test_crash_everywhere_for_a_database_of_a_module(
    snaptable_store: StoreFixture, tmp_path: Path, *, open_before: bool
) -> None:
    """The workload is called with that very object, which is then again what it was: open or closed, with its rows."""
    module_db = Notes(tmp_path / "never made")
    store = snaptable_store(module_db)
    module_db.notes.insert(Note(text="first"))
    if not open_before:
        store.stop()

    def workload(db: Notes) -> None:
        assert db is module_db
        ask_in_two_commits(module_db)

    assert store.crash_everywhere(workload, check=lambda db: texts(db)[0] == "first").states.total() > 100
    with pytest.raises(AssertionError, match="every_question_has_its_answer"):
        store.crash_everywhere(workload, check=every_question_has_its_answer)
    with pytest.raises(ZeroDivisionError):
        store.crash_everywhere(lambda db: 1 // 0)
    assert module_db.is_open is open_before
    assert texts(module_db if open_before else store.start()) == ["first"]
    assert module_db.directory == store.directory
