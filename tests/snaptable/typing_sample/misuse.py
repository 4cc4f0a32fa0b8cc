"""Mistakes in user code, each ignored by the error that the strict type checker must find there."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

from typing import Annotated, assert_type

from pydantic import BaseModel

from snaptable import (
    Count,
    Database,
    ForeignKey,
    OnUpdate,
    Row,
    Secret,
    Table,
    contains,
    desc,
    numbered,
    one_of,
    starts_with,
    table,
    utc_now,
)


class Box(BaseModel, frozen=True):
    x: int = 0


class User(Row):
    id: str
    name: str = ""


class Document(Row):
    id: str
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    pages: int = 0
    tags: list[str] = []


class Note(Row):
    id: int = numbered()
    document_id: Annotated[str, ForeignKey(Document)]
    above: Annotated[int | None, ForeignKey("notes")] = None
    text: str


class Sheet(Row):
    id: str
    box: Box = Box()
    maybe: Box | None = None
    counts: dict[str, int] = {}


class Library(Database):
    users: Table[User]
    sheets: Table[Sheet] = table(transient="yes")  # type: ignore[arg-type]
    notes: Table[Note]
    documents: Table[Document] = table("user_id")  # type: ignore[arg-type]


def make() -> None:
    """Make rows, and marks."""
    Secret("hide")  # type: ignore[call-arg]
    OnUpdate(utc_now())  # type: ignore[arg-type]
    OnUpdate()  # type: ignore[call-arg]
    User(name="ann")  # type: ignore[call-arg]
    User(id="1", colour="red")  # type: ignore[call-arg]
    User(colour="red")  # type: ignore[call-arg]
    User("1")  # type: ignore[call-arg]
    User(id=1)  # type: ignore[arg-type]
    User(id=None)  # type: ignore[arg-type]
    Document(id="1", user_id="1", pages="3")  # type: ignore[arg-type]
    Document(id="1", user_id="1", tags=[1])  # type: ignore[list-item]
    Document(id="1", user_id=User(id="1"))  # type: ignore[arg-type]
    Note(document_id="1")  # type: ignore[call-arg]
    Note(id="1", document_id="1", text="")  # type: ignore[arg-type]
    User(id="1").name = "bob"  # type: ignore[misc]
    Document(id="1", user_id="1").pages += 1  # type: ignore[misc]


def write(db: Library) -> None:
    """Write."""
    db.users.insert(Document(id="1", user_id="1"))  # type: ignore[arg-type]
    db.users.insert({"id": "1"})  # type: ignore[arg-type]
    db.users.insert_many([Document(id="1", user_id="1")])  # type: ignore[list-item]
    db.users.insert(row=User(id="1"))  # type: ignore[call-arg]
    db.users.update(key="1", name="x")  # type: ignore[call-arg]
    db.users.upsert(None)  # type: ignore[arg-type]
    db.users.upsert(User(id="1"), User.name)  # type: ignore[call-arg]
    db.users.replace(User(id="1"), expected=3)  # type: ignore[arg-type]
    db.documents.update("1", pages=Document.pages + "1")  # type: ignore[operator]
    db.nothing.insert(User(id="1"))  # type: ignore[attr-defined]


def read(db: Library) -> None:
    """Read."""
    _ = db.users.get("1").name  # type: ignore[union-attr]
    number: int = db.users["1"].name  # type: ignore[assignment]
    number = db.users.where().all()  # type: ignore[assignment]
    _ = db.users.where().first().name  # type: ignore[union-attr]
    assert_type(number, str)  # type: ignore[assert-type]


def ask(db: Library) -> None:
    """Ask."""
    _ = User.colour == "red"  # type: ignore[attr-defined]
    db.documents.where(Document.pages > "3")  # type: ignore[operator]
    db.documents.where(Document.pages == "3")  # type: ignore[comparison-overlap]
    db.documents.where(Document.tags == "a")  # type: ignore[comparison-overlap]
    db.documents.where("pages > 3")  # type: ignore[arg-type]
    db.documents.where(Document.pages > None)  # type: ignore[operator]
    db.documents.where(contains(Document.pages, 3))  # type: ignore[call-overload]
    db.documents.where(one_of(Document.pages, 3))  # type: ignore[arg-type]
    db.documents.where(starts_with(Document.pages, "3"))  # type: ignore[arg-type]
    db.documents.order_by(desc(Document.colour))  # type: ignore[attr-defined]
    db.sheets.where(Sheet.box.y > 3)  # type: ignore[attr-defined]
    db.sheets.where(Sheet.box.x > "3")  # type: ignore[operator]
    db.sheets.where(Sheet.maybe.x == 3)  # type: ignore[union-attr]
    db.sheets.where(Sheet.counts[3] == 3)  # type: ignore[index]
    db.sheets.where(Sheet.counts["a"] == "3")  # type: ignore[comparison-overlap]
    db.documents.where().limit("3")  # type: ignore[arg-type]
    db.documents.where().page(3)  # type: ignore[call-arg]


def add(db: Library, name: str) -> User:
    """Be a service function."""
    return db.users.insert(User(id=name))


async def slow(db: Library) -> None:
    """Be no service function."""


async def serve(db: Library) -> None:
    """Write from a coroutine."""
    await db.run(add)  # type: ignore[call-arg]
    await db.run(add, 3)  # type: ignore[arg-type]
    await db.run(add, "ann", "bob")  # type: ignore[call-arg]
    await db.run(add(db, "ann"))  # type: ignore[arg-type]
    user = await db.run(add, "ann")
    _: str = user  # type: ignore[assignment]
    await db.run(lambda db: db.nothing)  # type: ignore[attr-defined]


def sort(db: Library) -> None:
    """Compare texts, and sort."""
    db.documents.where(contains(Document.tags, "a", ignore_case=True))  # type: ignore[call-overload]
    db.documents.where(starts_with(Document.user_id, "a", True))  # type: ignore[call-arg]


def work_out(db: Library) -> None:
    """Ask for aggregates and groups."""
    db.documents.sum(Document.user_id)  # type: ignore[type-var]
    db.documents.avg(Document.tags)  # type: ignore[call-overload]
    assert_type(db.documents.max(Document.pages), int)  # type: ignore[assert-type]
    db.documents.filter(lambda document: document.colour)  # type: ignore[attr-defined]
    db.documents.filter(3)  # type: ignore[arg-type]
    db.documents.with_many(Document, on=Document.user_id)  # type: ignore[arg-type]
    db.documents.with_one(db.users, Document.user_id)  # type: ignore[call-arg]
    db.documents.aggregate(n=3)  # type: ignore[arg-type]
    db.documents.group_by(Document.pages).aggregate(Count())  # type: ignore[call-arg]
    _ = db.documents.group_by(Document.pages).aggregate()[0].key + "a"  # type: ignore[operator]
