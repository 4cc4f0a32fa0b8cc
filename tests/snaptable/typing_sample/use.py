"""User code as it is written: every line passes the strict type checker, and its types are what they should be."""
# ruff: noqa: RUF012 - a model's default is copied by Pydantic

import asyncio
from datetime import datetime
from typing import Annotated, Any, assert_type

from pydantic import BaseModel, EmailStr, Field

from snaptable import (
    Avg,
    Count,
    Database,
    ForeignKey,
    Group,
    Index,
    Max,
    Min,
    OnUpdate,
    Page,
    Plan,
    PrimaryKey,
    Query,
    Row,
    RowNotFound,
    Secret,
    Sum,
    Table,
    Unique,
    asc,
    contains,
    desc,
    inserted,
    new_id,
    numbered,
    one_of,
    starts_with,
    table,
    utc_now,
)
from snaptable.migrations import Migration, RawDatabase, each, fill, rename, retype, run


def split(db: RawDatabase) -> None:
    """Change raw rows, across tables."""
    for key, row in db["users"].items():
        assert_type(key, str)
        row["city"] = row.pop("address", None)


class User(Row):
    id: str = Field(default_factory=new_id)
    email: Annotated[EmailStr, Unique()]
    created_at: datetime = Field(default_factory=utc_now)


class Document(Row):
    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    filename: Annotated[str, Index()]
    pages: int
    upload_date: Annotated[datetime, Index(ordered=True)]
    title: str | None = None
    tags: Annotated[list[str], Index(each=True)] = []
    public: bool = False
    above: Annotated[str | None, ForeignKey("documents", on_delete="set null")] = None


class Box(BaseModel, frozen=True):
    x: int = 0
    name: str | None = None


class Sheet(Row):
    id: str
    box: Box = Box()
    maybe: Box | None = None
    metadata: dict[str, Any] = {}
    counts: dict[str, int] = {}
    boxes: list[Box] = []
    token: Annotated[str | None, Secret()] = None
    updated_at: Annotated[datetime, OnUpdate(utc_now)] = Field(default_factory=utc_now)


class Event(Row):
    number: Annotated[int | None, PrimaryKey()] = None
    text: str


class Comment(Row):
    id: int = numbered()
    above: Annotated[int | None, ForeignKey("comments")] = None
    text: Annotated[str, Field(max_length=1000)] = ""
    seen: bool = Field(default=False, description="by anybody")


class Answer(Comment):
    level: int = Field(ge=1)


class Library(Database):
    users: Table[User]
    documents: Table[Document] = table(Unique("user_id", "filename"), Index("user_id", "upload_date", ordered=True))
    events: Table[Event]
    comments: Table[Comment]
    answers: Table[Answer]
    sheets: Table[Sheet] = table(Index("token", "id"), transient=True)
    migrations = [
        Migration("names", rename("documents.name", to="filename"), fill("documents.pages", 1)),
        Migration("tags", retype("documents.tags", using=lambda text: text.split(","))),
        Migration("apart", run(split), each("events", lambda row: row if row["kind"] else None)),
    ]


def write(db: Library) -> None:
    """Write in every way."""
    user = db.users.insert(User(email="a@b.org"))
    assert_type(user, User)
    document = Document(user_id=user.id, filename="a.pdf", pages=3, upload_date=utc_now())
    assert_type(db.documents.insert_many([document]), list[Document])
    assert_type(db.documents.update(document.id, pages=4, title=None), Document)
    assert_type(db.documents.replace(document), Document)
    assert_type(db.documents.upsert(document), Document)
    assert_type(db.documents.update(document.id, pages=Document.pages + 1), Document)
    assert_type(db.documents.where().update(pages=2 * Document.pages), int)
    assert_type(db.documents.replace(document, expected=document), Document)
    assert_type(db.users.upsert(user, by=User.email), User)
    assert_type(db.users.get_or_insert(user, by=User.email), User)
    assert_type(db.documents.delete(document.id), Document)
    assert_type(db.documents.where(Document.pages > 3).update(public=True), int)
    assert_type(db.documents.where(user_id=user.id).delete(), int)
    assert_type(db.events.insert(Event(text="hello")).number, int | None)
    comment = db.comments.insert(Comment(text="hello"))
    assert_type(comment.id, int)
    reply = db.answers.insert(Answer(above=comment.id, seen=True, level=1))
    db.comments.where(Comment.id == comment.id, Comment.above == reply.id).delete()
    with db.transaction():
        with db.transaction():
            db.users.update(user.id, email="c@d.org")
        db.users.delete(user.id)
    db.persist()
    assert_type(db.check(), list[str])


def read(db: Library, user: User) -> list[str]:
    """Read rows in every way."""
    assert_type(db.users, Table[User])
    assert_type(db.users.get("x"), User | None)
    assert_type(db.users["x"], User)
    assert_type("x" in db.users, bool)
    assert_type(len(db.users), int)
    query = db.documents.where(Document.user_id == user.id, Document.pages > 3)
    assert_type(query, Query[Document])
    assert_type(query.order_by(desc(Document.upload_date), Document.id).limit(20).offset(2).all(), list[Document])
    assert_type(query.first(), Document | None)
    assert_type(query.one(), Document)
    assert_type(query.count(), int)
    assert_type(query.exists(), bool)
    assert_type(query.explain(), Plan)
    assert_type(db.documents.order_by(asc(Document.pages)).page(limit=10, after=None), Page[Document])
    page = db.documents.where().page()
    assert_type(page.items, list[Document])
    assert_type(page.next_cursor, str | None)
    db.documents.where((Document.pages >= 3) & (Document.pages < 9) | ~(Document.title == None))  # noqa: E711
    db.documents.where(one_of(Document.pages, [1, 2]), contains(Document.tags, "a"))
    db.documents.where(starts_with(Document.filename, "a"), starts_with(Document.title, "b"), Document.public)
    db.documents.where(
        contains(Document.title, "A", ignore_case=True), starts_with(Document.title, "b", ignore_case=True)
    )
    db.documents.order_by(inserted()).order_by(desc(inserted()))
    db.documents.where(~Document.public, Document.upload_date <= utc_now(), Document.title != "x", above=None)
    names = [document.filename for document in db.documents]
    try:
        names.append(db.documents["none"].filename)
    except RowNotFound:
        names.append("")
    return names


def ask(db: Library, user: User) -> None:
    """Ask for what is reckoned from rows, and for rows of several tables, and by what is inside of a column."""
    query = db.documents.where(Document.user_id == user.id, Document.pages > 3)
    assert_type(query.sum(Document.pages), int)
    assert_type(db.documents.avg(Document.pages), float | None)
    assert_type(query.min(Document.upload_date), datetime | None)
    assert_type(db.documents.max(Document.title), str | None)
    assert_type(query.distinct(Document.title), list[str | None])
    assert_type(query.aggregate(n=Count(), pages=Sum(Document.pages), mean=Avg(Document.pages)), dict[str, Any])
    groups = db.documents.group_by(Document.user_id).having(Count() > 3, (Max(Document.pages) < 9) | (Count() == 2))
    assert_type(groups.order_by("-n", desc(Count()), Document.user_id).limit(3).aggregate(n=Count()), list[Group[str]])
    pairs = query.group_by(Document.user_id, Document.title).aggregate(first=Min(Document.upload_date))
    assert_type(pairs[0].key, tuple[str, str | None])
    assert_type(groups.explain(n=Count()), Plan)
    assert_type(db.users.with_many(query, on=Document.user_id), list[tuple[User, list[Document]]])
    assert_type(query.with_one(db.users, on=Document.user_id), list[tuple[Document, User | None]])
    assert_type(db.users.where().with_count(db.documents, on=Document.user_id), list[tuple[User, int]])
    assert_type(query.filter(lambda document: document.pages % 2 == 0), Query[Document])
    assert_type(db.documents.filter(lambda document: document.pages).page(), Page[Document])
    inner = db.sheets.where(
        Sheet.box.x > 3, Sheet.metadata["lang"] == "de", Sheet.counts["a"] >= 2, Sheet.boxes[0].x == 1
    )
    assert_type(inner.where((Sheet.box.name == None) | starts_with(Sheet.box.name, "a")), Query[Sheet])  # noqa: E711
    assert_type(inner.order_by(desc(Sheet.box.x)).max(Sheet.box.name), str | None)
    assert_type(inner.group_by(Sheet.box.x).aggregate(n=Count()), list[Group[int]])
    assert_type(inner.update(box=Box(x=1)), int)
    assert_type(db.sheets.create(id="1").updated_at, datetime)


def add_user(db: Library, email: str, *, twice: bool = False) -> User:
    """Be a service function."""
    return db.users.insert(User(email=email))


async def serve(db: Library) -> User:
    """Write from a coroutine."""
    user = await db.run(add_user, "a@b.org", twice=True)
    assert_type(user, User)
    assert_type(await db.run(lambda db: db.users.count()), int)
    return user


def main() -> None:
    """Open and close."""
    with Library("data") as db:
        assert_type(db, Library)
        write(db)
        asyncio.run(serve(db))
    read_only = Library("data", read_only=True, snapshot="background", fsync=False).open()
    assert_type(read_only, Library)
    read_only.close()
