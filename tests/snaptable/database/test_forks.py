"""A fork of a process with open databases: every access there is refused at once, and the store is the parent's."""

import asyncio
import faulthandler
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from pydantic import Field

from snaptable import Database, DatabaseClosed, Index, Row, StoreLocked, Table

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
CHILDREN = 40
HANGS = 60
"""Seconds after which a child counts as hanging."""


class Named(Row):
    id: str
    rank: Annotated[int, Index(ordered=True)] = 0
    code: Annotated[str, Index()] = ""


class Numbered(Row):
    id: int | None = None


class Token(Row):
    id: UUID = Field(default_factory=uuid4)
    data: dict[str, Any] = Field(default_factory=dict)


class Store(Database):
    named: Table[Named]
    numbered: Table[Numbered]
    tokens: Table[Token]


TOKEN = uuid4()


@pytest.fixture(params=["directory", "memory:"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an open database with a row in each table."""
    url = tmp_path / "store" if request.param == "directory" else request.param
    with Store(url, fsync=False) as db:
        db.named.insert(Named(id="a"))
        db.numbered.insert(Numbered())
        db.tokens.insert(Token(id=TOKEN))
        yield db


def in_child(act: Callable[[], object]) -> int:
    """Return the exit status of a fork that does something: 0 if nothing was raised."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover - another process
        faulthandler.dump_traceback_later(HANGS, exit=True)
        status = 1
        try:
            act()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def refused(name: str, pid: int) -> Iterator[None]:
    """Check that a block raises DatabaseClosed, which tells of the fork and what to do."""
    try:
        yield
    except DatabaseClosed as error:
        text = str(error)
        assert f"fork of process {pid}" in text, text
        assert "open a database of its own here" in text, text
    else:
        raise AssertionError(f"{name} was not refused")


def enter(context: Any) -> None:
    """Enter and leave a context."""
    with context:
        pass


def accesses(db: Store) -> dict[str, Callable[[], object]]:
    """Return every way to use a database, some by what was kept of it; to be called before the fork."""
    named, query, table_get = db.named, db.named.where(Named.rank >= 0), db.named.get
    by_code, gets = db.named.where(code=""), (db.numbered.get, db.tokens.get)
    transaction, history = db.transaction(), db.history
    row = Named(id="child")
    return {
        "get": lambda: db.named.get("a"),
        "get, missing": lambda: db.named.get("?"),
        "get, a number": lambda: db.numbered.get(1),
        "get, a UUID": lambda: db.tokens.get(TOKEN),
        "kept get": lambda: table_get("a"),
        "kept get, a number": lambda: gets[0](1),
        "kept get, a UUID": lambda: gets[1](TOKEN),
        "[]": lambda: db.named["a"],
        "in": lambda: "a" in db.named,
        "len": lambda: len(db.named),
        "iteration": lambda: list(db.named),
        "all": named.all,
        "count": query.count,
        "select": query.all,
        "by index": by_code.all,
        "first": lambda: db.named.order_by(Named.rank).first(),
        "page": lambda: query.page(limit=2),
        "page_json": lambda: query.page_json(limit=2),
        "explain": query.explain,
        "insert": lambda: named.insert(row),
        "create": lambda: named.create(id="child"),
        "insert_many": lambda: named.insert_many([row]),
        "update": lambda: named.update("a", rank=1),
        "replace": lambda: named.replace(Named(id="a", rank=1)),
        "upsert": lambda: named.upsert(row),
        "delete": lambda: named.delete("a"),
        "delete rows": query.delete,
        "update rows": lambda: query.update(rank=1),
        "transaction": lambda: enter(db.transaction()),
        "kept transaction": lambda: enter(transaction),
        "run": lambda: asyncio.run(db.run(lambda db: db.named.get("a"))),
        "persist": db.persist,
        "check": db.check,
        "status": db.status,
        "history": lambda: list(db.history),
        "kept history": lambda: list(history.commits()),
        "history.at": lambda: history.at(1),
    }


def check_refused(ways: dict[str, Callable[[], object]], pid: int) -> None:
    """Check that each way to use a database is refused."""
    for name, access in ways.items():
        with refused(name, pid):
            access()


def test_every_access_is_refused(db: Store) -> None:
    """Ensure reads and writes are, by whatever was kept of the database; the parent notices nothing."""
    ways = accesses(db)
    pid = os.getpid()

    def act() -> None:
        check_refused(ways, pid)
        assert not db.is_open
        db.close()

    before = db.history.sequence
    assert in_child(act) == 0
    assert db.history.sequence == before
    assert db.check() == []
    for access in list(ways.values())[:19]:
        access()
    db.named.insert(Named(id="b"))


def test_forks_while_threads_write(db: Store) -> None:
    """Ensure none of 40 children hangs, whatever the parent's threads were doing; nothing of the parent's is lost."""
    ways, pid = accesses(db), os.getpid()
    stop, written = threading.Event(), [0] * 4
    generator = random.Random(15)

    def act() -> None:
        check_refused(ways, pid)
        db.close()

    def write(number: int) -> None:
        while not stop.is_set():
            with db.transaction():
                db.named.insert(Named(id=f"{number}-{written[number]}", rank=number))
                db.numbered.insert(Numbered())
            written[number] += 1
            db.named.where(Named.rank == number).count()
            time.sleep(0.002)
            if written[number] % 8 == 0:
                db.persist()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(written))]
    for thread in threads:
        thread.start()
    try:
        statuses = []
        for _ in range(CHILDREN):
            time.sleep(generator.random() * 0.01)
            statuses.append(in_child(act))
            if statuses[-1] != 0:
                break
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert statuses == [0] * CHILDREN
    assert db.check() == []
    assert len(db.named) == sum(written) + 1
    db.close()
    if db.directory is not None:
        with Store(db.directory, fsync=False) as again:
            assert len(again.named) == len(again.numbered) == sum(written) + 1


def test_a_fork_inside_a_transaction(db: Store) -> None:
    """Ensure its block commits nothing in the child, is left quietly by an exception, and commits in the parent."""
    pid = os.getpid()

    def leave_by(error: type[BaseException] | None, *, nested: bool) -> int:
        """Fork inside a transaction, leave its block in the child as said, and return the child's status."""
        child = 1
        try:
            with db.transaction():
                db.named.upsert(Named(id="half"))
                with db.transaction() if nested else nullcontext():
                    child = os.fork()
                    if child == 0:  # pragma: no cover - another process
                        faulthandler.dump_traceback_later(HANGS, exit=True)
                        with refused("insert", pid):
                            db.named.insert(Named(id="child"))
                        with refused("get", pid):
                            db.named.get("half")
                        if error is not None:
                            raise error
        except BaseException as raised:
            if child:
                raise
            os._exit(0 if type(raised) is (error or DatabaseClosed) else 2)
        if child == 0:  # pragma: no cover - another process
            os._exit(3)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    for error in (None, SystemExit, KeyboardInterrupt, ZeroDivisionError):
        for nested in (False, True):
            assert leave_by(error, nested=nested) == 0, (error, nested)
            assert db.named.delete("half").id == "half"
    assert db.check() == []
    assert [row.id for row in db.named] == ["a"]


def test_a_fork_inside_a_write_of_many(db: Store) -> None:
    """Ensure rows given after a fork are refused in the child, and written by the parent."""
    pid, status = os.getpid(), []

    def rows() -> Iterator[Named]:
        yield Named(id="b")
        status.append(os.fork())
        yield Named(id="c")

    try:
        db.named.insert_many(rows())
    except DatabaseClosed as error:
        if status == [0]:  # pragma: no cover - another process
            os._exit(0 if f"process {pid}" in str(error) else 2)
        raise
    if status == [0]:  # pragma: no cover - another process
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(status[0], 0)[1]) == 0
    assert [row.id for row in db.named] == ["a", "b", "c"]


def test_a_feed_ends_in_a_fork(db: Store) -> None:
    """Ensure a reader of commits does not wait there for those of its parent."""
    with db.history.follow(0) as feed:
        assert next(iter(feed)).sequence == 1

        def act() -> None:
            list(feed)
            feed.close()

        assert in_child(act) == 0
        db.named.insert(Named(id="b"))
        assert next(iter(feed)).sequence == 2


def test_a_past_and_a_fork_in_memory_are_left_too(db: Store) -> None:
    """Ensure copies of the database are refused as the database is."""
    past, copy, pid = db.history.at(1), db.history.fork(), os.getpid()

    def act() -> None:
        for each in (past, copy):
            with refused("get", pid):
                each.named.get("a")
            with refused("check", pid):
                each.check()
        with refused("insert", pid):
            copy.named.insert(Named(id="child"))

    assert in_child(act) == 0
    assert copy.named.insert(Named(id="b")) == Named(id="b")


def test_a_fork_opens_its_own(tmp_path: Path) -> None:
    """Ensure it reads its parent's directory, writes to another, and takes over the parent's once that is closed."""
    go, told = os.pipe()
    was_refused, refuse = os.pipe()
    with Store(tmp_path / "parent", fsync=False) as db:
        db.named.insert(Named(id="a"))
        pid = os.getpid()

        def act() -> None:
            with Store(tmp_path / "parent", read_only=True) as reader:
                assert [row.id for row in reader.named] == ["a"]
            with Store(tmp_path / "child", fsync=False) as own:
                own.named.insert(Named(id="b"))
            with pytest.raises(StoreLocked, match=f"process {pid} on"):
                db.open()
            with refused("get", pid):
                db.named.get("a")
            os.write(refuse, b".")
            assert os.read(go, 1)
            with db:
                db.named.insert(Named(id="b"))
                assert [row.id for row in db.named] == ["a", "b"]
            with pytest.raises(DatabaseClosed, match="is not open"):
                db.named.get("a")

        def close() -> None:
            os.read(was_refused, 1)
            db.close()
            os.write(told, b".")

        thread = threading.Thread(target=close, daemon=True)
        thread.start()
        assert in_child(act) == 0
        thread.join()
    for descriptor in (go, told, was_refused, refuse):
        os.close(descriptor)
    for name, keys in {"parent": ["a", "b"], "child": ["b"]}.items():
        with Store(tmp_path / name, fsync=False) as again:
            assert [row.id for row in again.named] == keys


def test_multiprocessing(db: Store) -> None:
    """Ensure a worker that is forked is told so."""
    ways, pid = accesses(db), os.getpid()
    worker = multiprocessing.get_context("fork").Process(target=check_refused, args=(ways, pid))
    worker.start()
    worker.join(HANGS)
    assert worker.exitcode == 0


ENDINGS = {
    "exit": "sys.exit(0)",
    "forgotten": "del db; gc.collect(); time.sleep(0.3); sys.exit(0)",
    "an exception": "raise RuntimeError",
    "close": "db.close(); sys.exit(0)",
    "an access": "db.items.insert(Item(id='child'))",
    "leaving the block": "",
}
PROGRAM = """
import fcntl, gc, os, sys, time
from pathlib import Path
from snaptable import Database, Row, Table

class Item(Row):
    id: str

class Store(Database):
    items: Table[Item]

directory = Path(sys.argv[1])

def state():
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}

def is_locked():
    with open(directory / "db.lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

with Store(directory, snapshot="always") as db:
    db.items.insert(Item(id="a"))
    before = state()
    for ending in sys.argv[2:]:
        child = os.fork()
        if not child:
            break
        os.waitpid(child, 0)
        assert state() == before, ending
        assert is_locked(), ending
    if child:
        db.items.insert(Item(id="b"))
    else:
        exec(ending)
if child:
    print("written")
"""


def test_the_end_of_a_fork_leaves_the_store_to_its_parent(tmp_path: Path) -> None:
    """Ensure no end of a child writes a byte, removes a file or unlocks the store."""
    arguments = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path), *ENDINGS.values()]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (0, "written\n"), result.stderr
