"""What the store's tests share: a schema, an independent reader of the files, and the way to die with a store open."""

import json
import re
import shutil
import signal
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn
from uuid import UUID, uuid4

import pytest
from pydantic import Field

from snaptable import Database, ForeignKey, OpenError, Row, Table, Unique, new_id

SNAPSHOT = "db_snapshot.json"
JOURNAL = "db_journal"
QUARANTINE = "quarantine"
Rows = dict[str, dict[str, Any]]


class User(Row):
    id: str = Field(default_factory=new_id)
    email: Annotated[str | None, Unique()] = None
    note: str = ""


class Post(Row):
    id: int | None = None
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    text: str = ""


class Token(Row):
    id: UUID = Field(default_factory=uuid4)
    data: dict[str, Any] = Field(default_factory=dict)


class Store(Database):
    users: Table[User]
    posts: Table[Post]
    tokens: Table[Token]


TABLES = ("users", "posts", "tokens")


# ── what is there ───────────────────────────────────────────────────────────────────────────────────────────────────


def rows_of(db: Store) -> Rows:
    """Return every row of an open store as plain JSON values, by table and key, in order."""
    return {
        name: {str(row.id): row.model_dump(mode="json") for row in db.tables[name].where().all()} for name in TABLES
    }


def ids(db: Store) -> list[str]:
    """Return the keys of the users, in order."""
    return [user.id for user in db.users.where().all()]


def strictly(text: str) -> Any:
    """Return the value of a JSON text in which no object has a key twice and no number is NaN or infinite."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(members)) == len(members), "a key stands twice"
        return dict(members)

    def constant(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)


def checksum(body: bytes) -> str:
    """Return the checksum of a snapshot's bytes, as the design words it."""
    return f"crc32:{zlib.crc32(body):08x}"


def parse_snapshot(data: bytes) -> tuple[dict[str, Any], Rows]:
    """Return the header and the rows of a snapshot after checking it by the design alone, not by the library."""
    body, mark, _ = data.rpartition(b'"checksum": ')
    assert mark
    plain = strictly(data.decode("utf-8"))
    assert plain.pop("checksum") == checksum(body)
    header = plain.pop("snaptable")
    assert header["format"] == 1
    assert header["rows"] == {name: len(rows) for name, rows in plain.items()}
    for rows in plain.values():
        assert all(str(row["id"]) == key for key, row in rows.items())
    return header, plain


def read_snapshot(directory: Path) -> tuple[dict[str, Any], Rows]:
    """Return the header and the rows of a store's snapshot."""
    return parse_snapshot((directory / SNAPSHOT).read_bytes())


def sealed(data: bytes) -> bytes:
    """Return a snapshot's bytes with the checksum made right again after they were tampered with."""
    body = data[: data.rindex(b'"checksum": ')]
    return body + b'"checksum": "' + checksum(body).encode() + b'"\n}\n'


def segments(directory: Path) -> list[Path]:
    """Return the journal's files in order."""
    return sorted((directory / JOURNAL).glob("*.jsonl"), key=lambda path: int(path.stem))


def tree(directory: Path) -> dict[str, tuple[str, int, bytes]]:
    """Return everything below a directory: kind, mode and content (a link's target), but for the lock's own text."""
    entries = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        kind = stat.filemode(status.st_mode)[0]
        content = str(path.readlink()).encode() if kind == "l" else path.read_bytes() if kind == "-" else b""
        if path.name != "db.lock" or kind != "-":
            entries[str(path.relative_to(directory))] = (kind, stat.S_IMODE(status.st_mode), content)
    return entries


# ── how it ends ─────────────────────────────────────────────────────────────────────────────────────────────────────


def killed(db: Store, *, keep: bytes | None = None) -> Path:
    """Return a copy of an open store's files, as a kill at this instant leaves them.

    Args:
        db: the open store.
        keep: an older snapshot to put in the copy, so that the commits since are in the journal only.
    """
    assert db.directory is not None
    copy = db.directory.parent / f"killed-{uuid4().hex}"
    shutil.copytree(db.directory, copy, symlinks=True, copy_function=_copy_if_still_there)
    if keep is not None:
        (copy / SNAPSHOT).write_bytes(keep)
    return copy


def _copy_if_still_there(source: str, target: str) -> None:
    """Copy a file; a temporary may have got its name meanwhile."""
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        if not source.endswith(".tmp"):
            raise


def opened(directory: Path) -> Rows:
    """Return what is in a directory by opening it, checking it and closing it again."""
    with Store(directory, fsync=False) as db:
        assert db.check() == []
        return rows_of(db)


@dataclass
class Refusal:
    """A refused opening."""

    error: OpenError
    text: str

    @property
    def offset(self) -> int:
        """The byte offset that the message names."""
        match = re.search(r"byte (\d+)", self.text)
        assert match, self.text
        return int(match[1])


def expect_refusal(directory: Path, kind: type[OpenError], *words: str, read_only: bool = False) -> Refusal:
    """Check that a directory is refused: exactly by this error, with these words, at once, and with nothing changed."""
    before = tree(directory)
    with within(30), pytest.raises(OpenError) as raised, Store(directory, fsync=False, read_only=read_only) as db:
        pytest.fail(f"it was opened, with {rows_of(db)}")
    text = str(raised.value)
    assert type(raised.value) is kind, text
    for word in words:
        assert word in text, text
    assert tree(directory) == before, text
    return Refusal(raised.value, text)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail a block that takes longer, even where it blocks in a system call."""

    def too_late(number: int, frame: FrameType | None) -> NoReturn:
        raise AssertionError(f"still not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
