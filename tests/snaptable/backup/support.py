"""What the tests of backups share: a store, its states, and a backup unpacked with nothing but a tool for zips."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from snaptable import Database, ForeignKey, Row, Table, Unique, numbered

Rows = dict[str, dict[object, dict[str, Any]]]


class User(Row):
    id: str
    name: Annotated[str, Unique()]
    money: int = 0


class Note(Row):
    id: int = numbered()
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    text: str = ""


class Store(Database):
    users: Table[User]
    notes: Table[Note]
    backup_folders: ClassVar[tuple[str, ...]] = ("blobs",)


def rows_of(db: Database) -> Rows:
    """Return every row, in the order of the tables."""
    return {name: {row.id: row.model_dump() for row in table} for name, table in db.tables.items()}


def fill(db: Store) -> list[Rows]:
    """Make eight commits of every kind; return the state after each, the empty one first."""
    states = [rows_of(db)]

    def note() -> None:
        states.append(rows_of(db))

    db.users.insert(User(id="ann", name="Ann", money=5))
    note()
    with db.transaction():
        db.users.insert(User(id="bob", name="Bob"))
        db.notes.insert_many([Note(user_id="bob", text=str(number)) for number in range(3)])
    note()
    db.users.update("ann", money=7)
    note()
    db.notes.delete(2)
    note()
    db.users.delete("bob")
    note()
    db.users.insert(User(id="bob", name="Bob", money=1))
    note()
    db.notes.create(user_id="ann", text="ü — ☃")
    note()
    db.users.where(User.money > 0).update(money=User.money * 2)
    note()
    return states


def blob(directory: Path, name: str, content: bytes) -> Path:
    """Put a file into the folder beside a store."""
    path = directory / "blobs" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def unpack(backup: Path, target: Path) -> Path:
    """Unpack a backup as anybody can."""
    target.mkdir(mode=0o700)
    with zipfile.ZipFile(backup) as archive:
        archive.extractall(target)
    return target


@contextmanager
def opened(backup: Path, target: Path, models: type[Database] = Store) -> Iterator[Any]:
    """Open what a backup holds, writable."""
    with models(unpack(backup, target), banner=False, fsync=False) as db:
        assert db.check() == []
        yield db


def contents(folder: Path) -> Mapping[str, bytes]:
    """Return the bytes of every file below a folder, the lock's text aside."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "db.lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
