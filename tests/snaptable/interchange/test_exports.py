"""Exports: what is asked for, of one state, without secrets, whole or not at all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest

from snaptable import Database, Row, Secret, Table, table
from snaptable.errors import InterchangeError
from snaptable.interchange import FORMATS, export, export_bytes, read_bytes, read_file


class User(Row):
    id: str
    age: int = 0
    token: Annotated[str | None, Secret()] = None


class Session(Row):
    id: str


class Store(Database):
    users: Table[User]
    sessions: Table[Session] = table(transient=True)


@pytest.fixture
def db() -> Iterator[Store]:
    """Return a store with two users and a session."""
    with Store("memory:", banner=False) as store:
        store.users.insert_many([User(id="ann", age=31, token="s3cret"), User(id="ben", age=25)])
        store.sessions.insert(Session(id="s1"))
        yield store


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "snapshot"])
def test_secrets_are_masked(db: Store, form: str) -> None:
    """Ensure that no format has a secret unless it is asked for, and that one without a value shows as none."""
    assert b"s3cret" not in b"".join(export_bytes(db.users, form))
    assert b"s3cret" in b"".join(export_bytes(db.users, form, reveal=True))
    records = read_bytes(b"".join(export_bytes(db.users, form)), "x", form).records("users")
    assert [record.values["token"] for record in records] == ["••••", None]


def test_of_a_query(db: Store) -> None:
    """Ensure that a query's rows, and their order, are what is written."""
    rows = json.loads(b"".join(export_bytes(db.users.where(User.age > 30), "json")))
    assert rows == [{"id": "ann", "age": 31, "token": "••••"}]
    assert b"".join(export_bytes(db.users.order_by(User.age), "csv")) == "id,age,token\nben,25,\nann,31,••••\n".encode()


def test_of_a_moment(db: Store) -> None:
    """Ensure that a table and a database are written as they were, and that a past's query is, too."""
    moment = db.history.sequence
    db.users.delete("ben")
    assert b"ben" not in b"".join(export_bytes(db.users, "jsonl"))
    assert b"ben" in b"".join(export_bytes(db.users, "jsonl", at=moment))
    assert b"ben" in b"".join(export_bytes(db, "json", at=moment))
    with db.history.at(moment) as past:
        assert b"s3cret" not in b"".join(export_bytes(past.users.where(User.age > 30), "csv"))
    with pytest.raises(ValueError, match="ask the past"):
        export_bytes(db.users.where(), "csv", at=moment)


def test_of_a_database(db: Store) -> None:
    """Ensure that transient tables are left out, and that a format of one table says so."""
    assert list(json.loads(b"".join(export_bytes(db, "json")))) == ["users"]
    db.users.delete("ann")
    assert b"".join(export_bytes(db, "jsonl")).count(b"\n") == 1, "a database of one table is one"


def test_later_writes_are_not_in_it(db: Store) -> None:
    """Ensure that an export that is read slowly is of the state when it began."""
    chunks = export_bytes(db.users, "json")
    db.users.insert(User(id="eve"))
    assert b"eve" not in b"".join(chunks)


def test_files(db: Store, tmp_path: Path) -> None:
    """Ensure that a file appears whole, for its owner alone, and that none is replaced unasked."""
    path = tmp_path / "users.csv"
    size = export(db.users, path)
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (size, 0o600)
    with pytest.raises(InterchangeError, match="there already"):
        export(db.users, path)
    db.users.delete("ann")
    export(db.users, path, overwrite=True)
    assert read_file(path).count == 1
    for bad in ("users.xyz", "none/users.csv"):
        with pytest.raises(InterchangeError):
            export(db.users, tmp_path / bad)
    assert [each.name for each in tmp_path.iterdir()] == ["users.csv"], "nothing unfinished stays"
    with pytest.raises(ValueError, match="snapshot"):
        export_bytes(db.users, "snapshot")
