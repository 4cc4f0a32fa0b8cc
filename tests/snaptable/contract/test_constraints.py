"""Keys, unique values and foreign keys: judged at the commit, and a violation leaves nothing behind."""
# ruff: noqa: PT012 - a transaction that fails has several statements

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import pytest
from tests.snaptable.contract.stores import Stores
from tests.snaptable.support import WAYS, Way, begun_anew, refuses

from snaptable import (
    ConstraintError,
    Database,
    DuplicateKey,
    ForeignKey,
    ForeignKeyViolation,
    Index,
    Row,
    Table,
    Unique,
    UniqueViolation,
    table,
)


class User(Row):
    id: str
    email: Annotated[str | None, Unique()] = None
    boss_id: Annotated[str | None, ForeignKey("users")] = None


class Document(Row):
    id: int | None = None
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    name: str | None = None
    language: Annotated[str | None, Index()] = None


class Note(Row):
    id: str
    document_id: Annotated[int | None, ForeignKey("documents", on_delete="set null")] = None
    user_id: Annotated[str | None, ForeignKey("users", on_delete="cascade")] = None


class Lock(Row):
    id: Annotated[str, ForeignKey(User)]
    note_id: Annotated[str | None, ForeignKey(Note), Index(ordered=True)] = None


class Library(Database):
    users: Table[User]
    documents: Table[Document] = table(Unique("user_id", "name"))
    notes: Table[Note]
    locks: Table[Lock]


@pytest.fixture(name="db")
def open_library(stores: Stores) -> Iterator[Library]:
    """Give a library of two users, their documents and notes, in a directory."""
    with stores.lasting(Library) as db:
        db.users.insert_many([User(id="ann", email="a@b.org"), User(id="bob", email="b@b.org", boss_id="ann")])
        db.documents.insert_many([Document(user_id="ann", name="x"), Document(user_id="bob", name="x")])
        db.notes.insert_many([Note(id="n1", document_id=1), Note(id="n2", document_id=2, user_id="bob")])
        yield db


def rows_of(db: Database) -> dict[str, list[Row]]:
    """Return every row of a database by table."""
    return {name: list(found) for name, found in db.tables.items()}


class Stop(Exception):
    """Be raised to end a transaction."""


VIOLATIONS: list[tuple[str, Callable[[Library], object], type[ConstraintError], tuple[str, ...]]] = [
    ("key taken", lambda db: db.users.insert(User(id="ann")), DuplicateKey, ("users", "'ann'")),
    ("int key taken", lambda db: db.documents.insert(Document(id=1, user_id="ann")), DuplicateKey, ("documents", "1")),
    (
        "key twice in a batch",
        lambda db: db.users.insert_many([User(id="c"), User(id="c")]),
        DuplicateKey,
        ("users", "'c'"),
    ),
    (
        "unique, by insert",
        lambda db: db.users.insert(User(id="c", email="a@b.org")),
        UniqueViolation,
        ("users", "email", "'ann'"),
    ),
    ("unique, by update", lambda db: db.users.update("bob", email="a@b.org"), UniqueViolation, ("users", "email")),
    (
        "unique, by replace",
        lambda db: db.users.replace(User(id="bob", email="a@b.org")),
        UniqueViolation,
        ("users", "email"),
    ),
    (
        "unique, by upsert",
        lambda db: db.users.upsert(User(id="c", email="a@b.org")),
        UniqueViolation,
        ("users", "email"),
    ),
    ("unique, in bulk", lambda db: db.users.where().update(email="c@b.org"), UniqueViolation, ("users", "email")),
    (
        "compound unique",
        lambda db: db.documents.insert(Document(user_id="ann", name="x")),
        UniqueViolation,
        ("documents", "user_id", "name"),
    ),
    (
        "compound unique, by update",
        lambda db: db.documents.update(2, user_id="ann"),
        UniqueViolation,
        ("documents", "user_id", "name"),
    ),
    (
        "reference to nobody",
        lambda db: db.documents.insert(Document(user_id="none")),
        ForeignKeyViolation,
        ("documents", "user_id", "users", "'none'"),
    ),
    (
        "reference to nobody, by update",
        lambda db: db.notes.update("n1", document_id=99),
        ForeignKeyViolation,
        ("notes", "document_id", "documents", "99"),
    ),
    (
        "reference to nobody, in bulk",
        lambda db: db.notes.where().update(document_id=99),
        ForeignKeyViolation,
        ("notes", "document_id"),
    ),
    ("restrict", lambda db: db.users.delete("ann"), ForeignKeyViolation, ("users", "'ann'", "boss_id", "'bob'")),
    ("restrict, in bulk", lambda db: db.users.where(id="ann").delete(), ForeignKeyViolation, ("users", "'ann'")),
]


@pytest.mark.parametrize(("work", "error", "words"), [v[1:] for v in VIOLATIONS], ids=[v[0] for v in VIOLATIONS])
def test_violations_leave_nothing_behind(
    stores: Stores, db: Library, work: Callable[[Library], object], error: type[ConstraintError], words: tuple[str, ...]
) -> None:
    """Ensure that a violation is named, and that rows, indexes, the sequence and the files are as they were."""
    rows, files, sequence = rows_of(db), stores.content(db), db.status().sequence
    assert refuses(error, lambda: work(db), *words)
    assert rows_of(db) == rows
    assert db.status().sequence == sequence
    assert db.check() == []
    assert stores.content(db) == files


@pytest.mark.parametrize(("work", "error"), [v[1:3] for v in VIOLATIONS], ids=[v[0] for v in VIOLATIONS])
def test_violations_take_their_transaction_back(
    stores: Stores, db: Library, work: Callable[[Library], object], error: type[ConstraintError]
) -> None:
    """Ensure that a violation not caught, or judged at the end, takes everything of its transaction back."""
    rows, files = rows_of(db), stores.content(db)

    def transact() -> None:
        with db.transaction():
            db.users.insert(User(id="new", email="new@b.org"))
            db.notes.delete("n2")
            work(db)
            db.users.insert(User(id="newer"))

    assert refuses(error, transact)
    assert rows_of(db) == rows
    assert db.check() == []
    assert stores.content(db) == files
    assert db.users.insert(User(id="new", email="new@b.org")).id == "new"


def test_none_clashes_with_nothing(db: Library) -> None:
    """Ensure that None is absent to a unique field, and that one None in a compound makes it so as well."""
    db.users.insert_many([User(id="c"), User(id="d"), User(id="e")])
    db.documents.insert_many([Document(user_id="ann"), Document(user_id="ann"), Document(user_id="bob")])
    assert db.users.where(email=None).count() == 3
    assert db.documents.where(name=None, user_id="ann").count() == 2
    db.documents.where(name=None).update(language="de")
    assert db.check() == []


def test_swaps_unique_values_in_a_transaction(db: Library) -> None:
    """Ensure that two rows may exchange unique values, also compound ones, inside one transaction."""
    with db.transaction():
        db.users.update("ann", email="b@b.org")
        db.users.update("bob", email="a@b.org")
        db.documents.update(1, user_id="bob")
        db.documents.update(2, user_id="ann")
    assert (db.users["ann"].email, db.users["bob"].email) == ("b@b.org", "a@b.org")
    assert db.users.where(email="a@b.org").one().id == "bob"
    assert db.documents.where(user_id="ann", name="x").one().id == 2
    assert db.check() == []


def test_gives_a_unique_value_on(db: Library) -> None:
    """Ensure that a value freed by a delete, or only for a moment taken twice, can be used in the same transaction."""
    with db.transaction():
        db.users.insert(User(id="c", email="b@b.org"))
        db.users.update("bob", email=None)
        db.notes.delete("n1")
        db.notes.insert(Note(id="n1"))
    with db.transaction():
        with pytest.raises(Stop), db.transaction():
            db.users.insert(User(id="d", email="a@b.org"))
            raise Stop
        db.users.insert(User(id="d", email="d@b.org"))
    assert db.users.where(email="b@b.org").one().id == "c"
    assert db.check() == []


def test_defers_references_to_the_commit(db: Library) -> None:
    """Ensure that a row may come before the row it references, and that savepoints don't judge."""
    with db.transaction():
        with db.transaction():
            db.documents.insert(Document(id=7, user_id="zoe"))
            db.locks.insert(Lock(id="zoe", note_id="n9"))
        db.notes.insert(Note(id="n9", document_id=7))
        db.users.insert(User(id="zoe", boss_id="zoe"))
    assert db.check() == []
    assert refuses(ForeignKeyViolation, lambda: db.users.delete("zoe"), "users", "'zoe'")


def test_restrict_ignores_what_goes_as_well(db: Library) -> None:
    """Ensure that restrict counts the rows that stay at the commit, whatever the order of the deletes."""
    with db.transaction():
        db.users.delete("ann")
        db.users.update("bob", boss_id=None)
    assert [row.id for row in db.users] == ["bob"]
    db.locks.insert(Lock(id="bob"))
    with db.transaction():
        db.users.delete("bob")
        db.locks.delete("bob")
    assert (len(db.users), len(db.documents), len(db.locks)) == (0, 0, 0)
    assert db.notes.all() == [Note(id="n1")]


def test_restrict_ignores_what_cascades(db: Library) -> None:
    """Ensure that a row restrict would protect may go by a cascade of the same delete."""
    db.locks.insert(Lock(id="ann", note_id="n2"))
    assert refuses(ForeignKeyViolation, lambda: db.users.delete("bob"), "notes", "locks", "note_id")
    with db.transaction():
        db.users.delete("bob")
        db.locks.update("ann", note_id=None)
    assert db.notes.all() == [Note(id="n1", document_id=1)]


def test_restrict_allows_a_row_that_comes_again(db: Library) -> None:
    """Ensure that a referenced row may be deleted and inserted anew in one transaction; what cascaded stays gone."""
    with db.transaction():
        db.users.insert(db.users.delete("ann"))
    assert db.users["bob"].boss_id == "ann"
    assert [row.user_id for row in db.documents] == ["bob"]
    assert db.notes["n1"].document_id is None
    assert db.check() == []


def test_deletes_a_row_that_refers_to_itself(db: Library) -> None:
    """Ensure that a row that references itself with restrict can be deleted."""
    db.users.insert(User(id="own", boss_id="own"))
    assert db.users.delete("own") == User(id="own", boss_id="own")
    with db.transaction():
        db.users.insert_many([User(id="1", boss_id="2"), User(id="2", boss_id="1")])
    assert refuses(ForeignKeyViolation, lambda: db.users.delete("1"), "users")
    assert db.users.where(User.id < "3").delete() == 2
    assert db.check() == []


def test_counts_only_the_rows_of_the_query(db: Library) -> None:
    """Ensure that a bulk delete returns the rows it matched, while its cascades go as well."""
    db.users.where().update(boss_id=None)
    assert db.users.where().delete() == 2
    assert rows_of(db) == {"users": [], "documents": [], "notes": [Note(id="n1")], "locks": []}


def test_indexes_an_ordered_foreign_key(db: Library) -> None:
    """Ensure that a foreign key with an ordered index of its own is enforced through that one."""
    db.locks.insert(Lock(id="ann", note_id="n1"))
    assert db.locks.where(note_id="n1").explain().index == "note_id"
    assert refuses(ForeignKeyViolation, lambda: db.notes.delete("n1"), "notes", "'n1'", "locks")
    db.locks.update("ann", note_id=None)
    db.notes.delete("n1")
    assert db.check() == []


@pytest.mark.parametrize("way", WAYS)
def test_constraints_hold_after_beginning_anew(db: Library, way: Way) -> None:
    """Ensure that constraints are enforced on rows that were loaded as on those just written."""
    for document_id in (1, 2):
        db.documents.update(document_id, language="de")
    with begun_anew(db, way) as again:
        assert again.check() == []
        for name, work, error, words in VIOLATIONS:
            rows = rows_of(again)
            assert refuses(error, partial(work, again), *words)
            assert rows_of(again) == rows, name
        assert again.check() == []


@pytest.mark.parametrize("way", WAYS)
def test_keeps_the_order_of_rows(db: Library, way: Way) -> None:
    """Ensure that rows lie in the file as they were inserted: changed ones keep their place, new ones go to the end."""
    db.users.insert_many([User(id=key) for key in ("z", "m", "c")])
    with db.transaction():
        db.users.update("z", email="z@b.org")
        db.users.upsert(User(id="ann", email="other@b.org"))
        db.users.replace(User(id="m", email="m@b.org"))
    db.users.delete("z")
    db.users.insert(User(id="z"))
    with pytest.raises(Stop), db.transaction():
        db.users.delete("m")
        db.users.insert(User(id="m"))
        db.users.delete("c")
        raise Stop
    wanted = ["ann", "bob", "m", "c", "z"]
    assert [row.id for row in db.users] == wanted
    with begun_anew(db, way) as again:
        assert [row.id for row in again.users] == wanted
