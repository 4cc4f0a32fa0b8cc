"""What the engine's tests share: the three ways in which a database that keeps its rows begins anew."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar
from uuid import uuid4

import pytest
from pydantic import BaseModel

from snaptable import Database, SnaptableError

D = TypeVar("D", bound=Database)
T = TypeVar("T")
Way = Literal["restart", "kill", "replay"]
WAYS: tuple[Way, ...] = ("restart", "kill", "replay")


def begin_anew(db: D, way: Way) -> D:
    """Return a database of the same class, open, with what another left on the disk.

    Args:
        db: an open database in a directory; closed where the way is a restart, left open otherwise.
        way: "restart" closes and opens again; "kill" opens a copy of the files as they lie there, nothing closed;
            "replay" does that without the snapshot, so that every row comes out of the journal. Where a server keeps
            the rows, both show what another process sees beside the open one.
    """
    if way == "restart":
        db.close()
        return type(db)(db.directory or db.url, fsync=False).open()
    if db.directory is None:
        return type(db)(db.url).open()
    copy = db.directory.parent / f"copy-{uuid4().hex}"
    shutil.copytree(db.directory, copy)
    if way == "replay":
        (copy / "db_snapshot.json").unlink()
    return type(db)(copy, fsync=False).open()


@contextmanager
def begun_anew(db: D, way: Way) -> Iterator[D]:
    """Begin a database anew for the length of a block, close it and remove a copy's files."""
    found = begin_anew(db, way)
    try:
        yield found
    finally:
        found.close()
        if found.directory is not None and found.directory != db.directory:
            shutil.rmtree(found.directory)


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the content of every file of a store by its path, but for the lock."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "db.lock"
    }


def is_listening(path: Path) -> bool:
    """Return whether a server accepts connections on its Unix socket: the file is there a moment before that."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def refuses(error: type[SnaptableError], work: Callable[[], object], *words: str) -> str:
    """Return the message with which some work is refused: by exactly this error, naming every word.

    Raises:
        AssertionError: the work is done, the error is of another class, or its message lacks a word.
    """
    with pytest.raises(error) as raised:
        work()
    assert type(raised.value) is error
    message = str(raised.value)
    missing = [word for word in words if word not in message]
    assert not missing, f"the message names no {missing}: {message}"
    return message


def identical(first: object, second: object) -> bool:
    """Return whether two values are equal and of the same type, in every part; -0.0 is not 0.0, nor 1 True."""
    if type(first) is not type(second):
        return False
    if isinstance(first, BaseModel) and isinstance(second, BaseModel):
        return identical(dict(first), dict(second))
    if isinstance(first, dict) and isinstance(second, dict):
        pairs = zip(sorted(first.items(), key=repr), sorted(second.items(), key=repr), strict=False)
        return len(first) == len(second) and all(identical(one, other) for one, other in pairs)
    if isinstance(first, (set, frozenset)) and isinstance(second, (set, frozenset)):
        return first == second and identical(sorted(first, key=repr), sorted(second, key=repr))
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(identical, first, second))
    if isinstance(first, float):
        return repr(first) == repr(second)
    return first == second


def start(work: Callable[[], T]) -> "Future[T]":
    """Run some work in a thread of its own, one that nobody waits for at the end: a wedged store fails, not hangs."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
