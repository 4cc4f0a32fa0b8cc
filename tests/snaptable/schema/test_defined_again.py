"""A class that is defined again, by a notebook's cell or importlib.reload: old rows open, old objects are told."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest

from snaptable import Database, ForeignKey, InvalidQuery, InvalidRow, Row, SchemaError, Table


class User(Row):
    id: int
    name: str = ""


OldUser = User


class Document(Row):
    id: int
    user_id: Annotated[int, ForeignKey(User)]


OldDocument = Document


class User(Row):  # type: ignore[no-redef]
    id: int
    name: str = ""


class Document(Row):  # type: ignore[no-redef]
    id: int
    user_id: Annotated[int, ForeignKey(User)]


class OldLibrary(Database):
    users: Table[OldUser]
    documents: Table[OldDocument]


class Library(Database):
    users: Table[User]
    documents: Table[Document]


MISUSES: dict[str, Callable[[Library], object]] = {
    "insert": lambda db: db.users.insert(OldUser(id=2)),
    "insert_many": lambda db: db.users.insert_many([OldUser(id=2)]),
    "replace": lambda db: db.users.replace(OldUser(id=1)),
    "upsert": lambda db: db.users.upsert(OldUser(id=1)),
    "where": lambda db: db.users.where(OldUser.id == 1).all(),
    "order_by": lambda db: db.users.where().order_by(OldUser.id).all(),
}


def test_old_rows_open_with_the_new_class(tmp_path: Path) -> None:
    """The file knows tables and fields, no classes."""
    with OldLibrary(tmp_path) as old:
        old.users.insert(OldUser(id=1, name="ann"))
        old.documents.insert(OldDocument(id=1, user_id=1))
    with Library(tmp_path) as db:
        assert type(db.users[1]) is User
        assert db.documents.where(Document.user_id == 1).one() == Document(id=1, user_id=1)


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES.keys())
def test_an_object_of_the_old_class_is_told(misuse: Callable[[Library], object]) -> None:
    """A message that says "holds User, not User" explains itself."""
    with Library("memory:") as db:
        db.users.insert(User(id=1))
        with pytest.raises((InvalidRow, InvalidQuery), match=r"User was defined again .* use the new one"):
            misuse(db)
        assert db.users.all() == [User(id=1)]


def test_a_foreign_key_to_the_old_class_is_told() -> None:
    """The class that refers to it has to be defined again too."""
    with pytest.raises(SchemaError, match=r"documents\.user_id: .* User was defined again .* classes that refer to it"):

        class Half(Database):
            users: Table[User]
            documents: Table[OldDocument]


def test_another_class_is_no_class_defined_again() -> None:
    """The hint is for classes of one name only."""
    with Library("memory:") as db, pytest.raises(InvalidRow, match=r"not of Document$"):
        db.users.insert(Document(id=1, user_id=1))  # type: ignore[arg-type]


def test_a_module_is_reloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reloaded module opens what it wrote, while the old database is closed or forgotten."""
    (tmp_path / "reloaded_notes.py").write_text(
        "from snaptable import Database, Row, Table\n"
        "class Note(Row):\n    id: int | None = None\n    text: str\n"
        "class Notes(Database):\n    notes: Table[Note]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_notes")
    try:
        db = module.Notes(tmp_path / "data").open()
        old = db.notes.insert(module.Note(text="a"))
        importlib.reload(module)
        db = module.Notes(tmp_path / "data")
        db.open()
        with pytest.raises(InvalidRow, match="Note was defined again"):
            db.notes.upsert(old)
        assert [type(note) is module.Note for note in db.notes] == [True]
        db.close()
    finally:
        del sys.modules["reloaded_notes"]
