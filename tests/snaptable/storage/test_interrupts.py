"""Ctrl-C at any instant: the interrupted write is there or not, whole; the next one works; nothing is held for ever.

Two searches. One raises KeyboardInterrupt on entering the first function of the library that a write calls, the fourth,
…: every third call of every kind of write. The other sends real signals, at random moments, to a program in a loop of
writes.
`SNAPTABLE_INTERRUPTS=5000` makes both long: every call, also of stores with files, and so many signals.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from operator import attrgetter
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import pytest

from snaptable import Database, ForeignKey, Index, Row, Table, Unique
from snaptable.storage import group_commit
from snaptable.storage.journal.segment import Segment
from snaptable.storage.snapshot.checkpointer import Checkpointer

LONG = "SNAPTABLE_INTERRUPTS" in os.environ
NOT_RAISED_IN = ("<genexpr>",)
SIGNALS = int(os.environ.get("SNAPTABLE_INTERRUPTS", "150"))


class Author(Row):
    id: int
    name: Annotated[str, Unique()]


class Book(Row):
    id: int | None = None
    author_id: Annotated[int, ForeignKey(Author, on_delete="cascade")]
    pages: Annotated[int, Index(ordered=True)] = 0
    tag: Annotated[str | None, Index(ordered=True)] = None


class Shelf(Database):
    authors: Table[Author]
    books: Table[Book]


def _transaction(db: Shelf) -> None:
    with db.transaction():
        db.authors.insert(Author(id=9, name="nine"))
        db.books.insert_many([Book(author_id=9, pages=number) for number in range(3)])
        db.authors.update(1, name="one again")


def _rolled_back(db: Shelf) -> None:
    try:
        with db.transaction():
            db.books.insert(Book(author_id=1, pages=5))
            db.authors.delete(2)
            raise ZeroDivisionError
    except ZeroDivisionError:
        return


def _savepoint(db: Shelf) -> None:
    with db.transaction():
        db.authors.insert(Author(id=9, name="nine"))
        with db.transaction():
            db.books.insert(Book(author_id=9))


WRITES: dict[str, Callable[[Shelf], object]] = {
    "insert": lambda db: db.books.insert(Book(author_id=1, pages=7, tag="x")),
    "create": lambda db: db.books.create(author_id=1, pages=7),
    "insert_many": lambda db: db.books.insert_many([Book(author_id=1, pages=number) for number in range(4)]),
    "update": lambda db: db.books.update(1, pages=9, tag="y"),
    "replace": lambda db: db.authors.replace(Author(id=1, name="replaced")),
    "delete": lambda db: db.authors.delete(1),
    "bulk update": lambda db: db.books.where(Book.pages < 3).update(tag="z"),
    "bulk delete": lambda db: db.books.where(Book.pages < 3).delete(),
    "transaction": _transaction,
    "rolled back": _rolled_back,
    "savepoint": _savepoint,
    "run": lambda db: asyncio.run(db.run(_transaction)),
    "persist": lambda db: db.persist(),
}


def rows_of(db: Shelf) -> dict[str, list[Row]]:
    """Return the rows of each table, in the order of their keys: an interruption may move a row to the end."""
    return {name: sorted(table, key=attrgetter("id")) for name, table in db.tables.items()}


def filled(url: str | Path, **options: Any) -> Shelf:
    """Return an open store with a few rows."""
    db = Shelf(url, fsync=False, banner=False, **options).open()
    db.authors.insert_many([Author(id=number, name=str(number)) for number in range(1, 4)])
    db.books.insert_many([Book(author_id=1 + number % 3, pages=number, tag="t" * (number % 2)) for number in range(6)])
    return db


@contextmanager
def interrupted_at_call(number: int, later: int = 0) -> Iterator[list[str]]:
    """Raise KeyboardInterrupt on entering the library's function that is called as the n-th; give its name.

    A second one is raised some calls `later`, unless that is 0: the first switches the tracing off, so a profile
    function counts for the second.
    """
    package = str(Path(sys.modules["snaptable"].__file__ or "").parent)
    entered: list[str] = []

    def at(number: int, stop: Callable[[None], None]) -> Callable[[FrameType, str, object], None]:
        count = 0

        def trace(frame: FrameType, event: str, _: object) -> None:
            nonlocal count
            code = frame.f_code
            # A generator is entered once more when it is thrown away, and what it raises then is only printed.
            if event == "call" and code.co_filename.startswith(package) and code.co_name not in NOT_RAISED_IN:
                count += 1
                if count == number:
                    entered.append(code.co_qualname)
                    stop(None)
                    raise KeyboardInterrupt

        return trace

    if later:
        sys.setprofile(at(number + later, sys.setprofile))
    sys.settrace(at(number, sys.settrace))
    try:
        yield entered
    finally:
        sys.settrace(None)
        sys.setprofile(None)


def expected_after(write: Callable[[Shelf], object]) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """Return the rows before and after a write."""
    with closing(filled("memory:")) as db:
        before = rows_of(db)
        write(db)
        return before, rows_of(db)


def check_goes_on(db: Shelf, allowed: tuple[dict[str, list[Row]], ...], where: str) -> None:
    """Check that a store is sound, holds one of some states, and takes the next write."""
    assert db.check() == [], where
    assert rows_of(db) in allowed, where
    db.authors.insert(Author(id=1000, name=f"next {where}"))
    assert db.authors[1000].name == f"next {where}"
    assert db.check() == [], where
    assert db.status().writable, where
    db.authors.delete(1000)


@pytest.mark.parametrize("kind", ["memory:", "always", "background"])
@pytest.mark.parametrize("name", WRITES)
def test_every_call_of_a_write_can_be_interrupted(tmp_path: Path, name: str, kind: str) -> None:
    """Ensure an interruption anywhere leaves a write whole or not there, and the store at work, also when reopened."""
    step = 1 if LONG else 3 if kind == "memory:" else 11
    write, number = WRITES[name], 1 + sum(map(ord, name)) % step
    allowed = expected_after(write)
    while True:
        where = tmp_path / str(number)
        db = filled("memory:") if kind == "memory:" else filled(where, snapshot=kind)
        try:
            with interrupted_at_call(number) as entered:
                write(db)
        except KeyboardInterrupt:
            # Also while the traceback keeps everything alive that was interrupted.
            check_goes_on(db, allowed, f"handler of {name}, call {number} ({', '.join(entered)})")
        place = f"{name}, call {number} ({', '.join(entered)})"
        check_goes_on(db, allowed, place)
        rows = rows_of(db)
        db.close()
        if kind != "memory:":
            with Shelf(where, banner=False) as again:
                assert rows_of(again) == rows, place
                assert again.check() == [], place
        if not entered:
            break
        number += step
    assert number > 5


@pytest.mark.parametrize("kind", ["memory:", "background"])
@pytest.mark.parametrize("name", [name for name in WRITES if name not in ("savepoint", "rolled back")])
def test_the_way_back_can_be_interrupted_too(tmp_path: Path, name: str, kind: str) -> None:
    """Ensure a second interruption, while the first is being dealt with, leaves the store sound and at work as well."""
    write, number, step = WRITES[name], 1, 1 if LONG else 9 if kind == "memory:" else 17
    allowed = expected_after(write)
    while True:
        db = filled("memory:") if kind == "memory:" else filled(tmp_path / str(number), snapshot=kind)
        try:
            with interrupted_at_call(number, later=1 + number % 23) as entered:
                write(db)
        except KeyboardInterrupt:
            pass
        place = f"{name}, call {number} ({', '.join(entered)})"
        check_goes_on(db, allowed, place)
        db.close()
        if not entered:
            break
        number += step


def test_an_opening_can_be_interrupted_anywhere(tmp_path: Path) -> None:
    """Ensure the directory is free at once, also while the traceback lives, and what is there is as it was."""
    with closing(filled(tmp_path / "original")) as db:
        rows = rows_of(db)
    number = 1
    while True:
        where = tmp_path / str(number)
        shutil.copytree(tmp_path / "original", where)
        try:
            with interrupted_at_call(number) as entered, Shelf(where, fsync=False, banner=False):
                sys.settrace(None)
        except KeyboardInterrupt:
            with Shelf(where, fsync=False, banner=False) as again:
                assert rows_of(again) == rows, f"call {number} ({', '.join(entered)})"
                assert again.check() == []
                again.authors.delete(again.authors.insert(Author(id=1000, name="next")).id)
        if not entered:
            break
        number += 1 if LONG else 7
    assert number > 100


def test_two_in_a_row_keep_no_write_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a write works behind one that was interrupted as it began new files, and on the way out again.

    Python looks for signals behind calls: the second one comes at the first call that is made on the way, if there is.
    """

    def interrupt(*_: object) -> float:
        raise KeyboardInterrupt

    with closing(filled(tmp_path / "data", snapshot="background")) as db:
        monkeypatch.setattr(Segment, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            db.authors.insert(Author(id=4, name="interrupted"))
        monkeypatch.setattr(Checkpointer, "checkpoint", interrupt)
        monkeypatch.setattr(group_commit, "float", interrupt, raising=False)
        with pytest.raises(KeyboardInterrupt):
            db.authors.insert(Author(id=4, name="interrupted again"))
        monkeypatch.undo()
        assert db.authors.insert(Author(id=4, name="next")) in db.authors.all()
        assert db.check() == []


PROGRAM = """
import signal, sys, time
sys.path[:0] = {path!r}
from tests.snaptable.storage.test_interrupts import Author, Book, Shelf
armed = False
def interrupt(*_):
    # Not in the few instants outside the `try`s below: there it would end this program, as it should.
    if armed:
        raise KeyboardInterrupt
# A program started in the background of a shell ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, interrupt)
db = Shelf({directory!r}, fsync=False, banner=False, snapshot={snapshot!r}).open()
acknowledged, doubtful, number, interrupts = {{}}, set(), 0, 0
print("ready", flush=True)
end = time.monotonic() + 120
while interrupts < {count} and time.monotonic() < end:
    try:
        armed = True
        while True:
            number += 1
            db.authors.insert(Author(id=number, name=str(number)))
            acknowledged[number] = True
            with db.transaction():
                db.books.insert(Book(author_id=number, pages=number % 50))
                db.books.insert(Book(author_id=number, pages=number % 50 + 1))
            if number % 3 == 0:
                db.authors.delete(number)
                acknowledged[number] = False
    except KeyboardInterrupt:
        armed = False
        interrupts += 1
        doubtful.add(number)
        try:
            armed = True
            if interrupts % 10 == 0:
                assert db.check() == [], db.check()
                for key, there in acknowledged.items():
                    if key not in doubtful:
                        assert (key in db.authors) is there, (key, there)
                assert len(db.books) % 2 == 0
                db.persist()
            armed = False
        except KeyboardInterrupt:
            armed = False
            interrupts += 1
signal.signal(signal.SIGINT, signal.SIG_IGN)
assert db.check() == [], db.check()
lost = [key for key, there in acknowledged.items() if key not in doubtful and (key in db.authors) is not there]
assert not lost, lost
assert len(db.books) % 2 == 0
db.authors.insert(Author(id=10**9, name="last"))
rows = (len(db.authors), len(db.books))
db.close()
again = Shelf({directory!r}, banner=False).open()
assert (len(again.authors), len(again.books)) == rows
assert again.check() == []
print("done", number, interrupts, flush=True)
"""


@pytest.mark.parametrize("snapshot", ["always", "background"])
def test_real_signals_at_random_moments(tmp_path: Path, snapshot: str) -> None:
    """Ensure a program that catches Ctrl-C goes on writing, and every acknowledged write is there at its end."""
    root = Path(__file__).parents[3]
    program = PROGRAM.format(
        path=[str(root), str(root / "backend")], directory=str(tmp_path / "data"), snapshot=snapshot, count=SIGNALS
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    chance = random.Random(20261128)
    end = time.monotonic() + 240
    while process.poll() is None:
        if time.monotonic() > end:
            process.kill()
        time.sleep(chance.uniform(0.0005, 0.02))
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert output.startswith("done"), errors[-3000:]
    assert process.returncode == 0, errors[-3000:]
