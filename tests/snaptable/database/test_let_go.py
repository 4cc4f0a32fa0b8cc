"""A Database that nothing refers to closes itself: a notebook's cell is run again, a function forgets to close."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from snaptable import Database, Row, StoreLocked, Table

PATIENCE = 30.0


class Note(Row):
    id: int | None = None
    text: str


class Notes(Database):
    notes: Table[Note]


def closed_cleanly(directory: Path) -> bool:
    """Return whether the journal ends in the mark of a clean close."""
    return b'"frame":"closed"' in (directory / "db_journal" / "1.jsonl").read_bytes().splitlines()[-1]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something is so, half a minute at most."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_cell_that_is_run_again_opens_the_store_again(tmp_path: Path) -> None:
    """Binding the name anew drops the only reference: the old opening is closed before the new one takes the lock."""
    for number in range(5):
        db = Notes(tmp_path, snapshot="background")
        db.open()
        db.notes.insert(Note(text=str(number)))
    assert [note.text for note in db.notes] == list("01234")
    db.close()


def test_a_database_in_a_cycle_is_closed_by_the_collector(tmp_path: Path) -> None:
    """What only the garbage collector finds is closed by it."""
    db = Notes(tmp_path).open()
    db.notes.insert(Note(text="a"))
    db.myself = db  # type: ignore[attr-defined]
    gc.disable()  # it could come by itself, a little earlier
    try:
        del db
        with pytest.raises(StoreLocked):
            Notes(tmp_path).open()
    finally:
        gc.enable()
    gc.collect()
    with Notes(tmp_path) as again:
        assert again.notes[1].text == "a"


def test_it_is_closed_without_another_opening(tmp_path: Path) -> None:
    """Another process gets the lock, and the snapshot is saved, soon after the last reference went."""
    db = Notes(tmp_path, snapshot="background").open()
    db.notes.insert(Note(text="a"))
    del db
    wait_until(lambda: closed_cleanly(tmp_path))
    assert b'"a"' in (tmp_path / "db_snapshot.json").read_bytes()


@pytest.mark.parametrize("part", ["table", "query"])
def test_a_table_or_a_query_keeps_it_open(tmp_path: Path, part: str) -> None:
    """Who holds a table or a query of a database can use it, though the Database itself is gone."""
    db = Notes(tmp_path).open()
    reference = weakref.ref(db)
    notes = db.notes
    query = db.notes.where(Note.text == "a")
    del db
    gc.collect()
    assert reference() is None
    notes.insert(Note(text="a"))
    if part == "table":
        del query
        assert notes.insert(Note(text="b")).id == 2
        del notes
    else:
        del notes
        assert query.count() == 1
        del query
    with Notes(tmp_path) as again:
        assert again.notes[1].text == "a"


def test_a_transaction_left_open_is_not_waited_for(tmp_path: Path) -> None:
    """Forgotten inside a transaction, it is closed when that ends, and nothing waits until then."""
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        db = Notes(tmp_path).open()
        with db.transaction():
            del db
            begun.set()
            end.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(PATIENCE)
    with pytest.raises(StoreLocked):
        Notes(tmp_path).open()
    end.set()
    thread.join()
    Notes(tmp_path).open().close()


def test_the_last_reference_may_go_anywhere(tmp_path: Path) -> None:
    """In another thread, on an event loop, within its own background thread: nothing hangs, nothing is lost."""

    def insert(db: Notes, text: str) -> None:
        db.notes.insert(Note(text=text))

    def in_thread() -> None:
        insert(Notes(tmp_path, snapshot="background").open(), "thread")

    async def on_loop() -> None:
        db = Notes(tmp_path).open()
        await db.run(insert, "loop")
        del db

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    asyncio.run(on_loop())
    with Notes(tmp_path) as db:
        assert [note.text for note in db.notes] == ["thread", "loop"]


def test_a_lock_of_this_very_process_is_told_with_the_line_that_opened(tmp_path: Path) -> None:
    """By the first line outside the library, whichever of the ways to open was used; not once it is closed."""
    line = sys._getframe().f_lineno + 1
    with Notes(tmp_path) as db:
        with pytest.raises(StoreLocked) as refused:
            Notes(tmp_path).open()
        assert f"this process ({os.getpid()}) has it open; {__file__}:{line} opened it" in str(refused.value)
        db.close()
        line = sys._getframe().f_lineno + 1
        db.open()
        with pytest.raises(StoreLocked, match=f":{line} opened it"):
            Notes(tmp_path).open()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork here")
def test_a_fork_is_told_of_its_parent(tmp_path: Path) -> None:
    """A child that opens the store of its parent is another process."""
    with Notes(tmp_path):
        child = os.fork()
        if not child:
            try:
                Notes(tmp_path).open()
            except StoreLocked as error:
                os._exit(0 if f"process {os.getppid()} on" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork here")
def test_a_fork_that_forgets_it_leaves_it_to_its_parent(tmp_path: Path) -> None:
    """The references of a forked child are not those of the process that opened the store."""
    db = Notes(tmp_path).open()
    db.notes.insert(Note(text="before"))
    child = os.fork()
    if not child:
        del db
        gc.collect()
        time.sleep(0.3)
        os._exit(0)
    os.waitpid(child, 0)
    assert not closed_cleanly(tmp_path)
    other = [sys.executable, "-c", f"from filelock import FileLock; FileLock({str(tmp_path / 'db.lock')!r}).acquire(0)"]
    assert subprocess.run(other, capture_output=True, check=False).returncode != 0
    db.notes.insert(Note(text="after"))
    db.close()


PROGRAM = """
import sys
from snaptable import Database, Row, Table

class Note(Row):
    id: int | None = None
    text: str

class Notes(Database):
    notes: Table[Note]

"""
ENDINGS = {
    "forgotten": "Notes(sys.argv[1]).open().notes.insert(Note(text='a'))",
    "only a table": "notes = Notes(sys.argv[1]).open().notes\nnotes.insert(Note(text='a'))",
    "in a cycle": "db = Notes(sys.argv[1]).open()\ndb.notes.insert(Note(text='a'))\ndb.x = db\ndel db",
    "an exception": "db = Notes(sys.argv[1]).open()\ndb.notes.insert(Note(text='a'))\nraise SystemExit(0)",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_the_end_of_the_program_closes_it_cleanly(tmp_path: Path, ending: str) -> None:
    """However the program lost sight of it."""
    arguments = [sys.executable, "-W", "ignore", "-c", PROGRAM + ending, str(tmp_path)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=4 * PATIENCE, check=True)
    assert "Traceback" not in result.stderr
    assert closed_cleanly(tmp_path)
