"""A small application on crud_router: users, their documents, the annotations on these."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Header
from pydantic import BaseModel, Field
from starlette.testclient import TestClient

from snaptable import Database, ForeignKey, Index, OnUpdate, Row, Secret, Table, Unique, new_id, table, utc_now
from snaptable.web import ALL, BodyLimit, IdempotencyKey, Problem, Rules, crud_router, install_problems


class User(Row):
    id: str
    name: str
    password_hash: Annotated[str, Secret()] = "s3cret"


class Box(BaseModel):
    x: int
    y: int = 0


class Document(Row):
    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    title: Annotated[str, Index()]
    pages: Annotated[int, Field(ge=0), Index(ordered=True)] = 1
    tags: Annotated[tuple[str, ...], Index(each=True)] = ()
    box: Box | None = None
    meta: dict[str, Any] = Field(default_factory=dict)
    pin: Annotated[str | None, Secret()] = None
    score: int = 0
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: Annotated[datetime, OnUpdate(utc_now)]


class Annotation(Row):
    id: int | None = None
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    document_id: Annotated[str, ForeignKey(Document, on_delete="cascade")]
    reply_to: Annotated[int | None, ForeignKey("annotations", on_delete="set null")] = None
    text: Annotated[str, Unique()] = Field(default_factory=new_id)


class Loan(Row):
    id: str
    document_id: Annotated[str, ForeignKey(Document)]


class Shelf(Database):
    users: Table[User]
    documents: Table[Document] = table(Unique("user_id", "title"))
    annotations: Table[Annotation]
    loans: Table[Loan]
    idempotency: Table[IdempotencyKey] = table(transient=True)


def caller(x_user: Annotated[str | None, Header()] = None) -> User:
    """Give the user that a header names."""
    if x_user is None:
        raise Problem(401, "Say who you are.")
    return User(id=x_user, name=x_user)


def routed(db: Shelf, **options: Any) -> FastAPI:
    """Return the application; `options` are of the documents' router."""
    app = FastAPI()
    install_problems(app)
    app.add_middleware(BodyLimit, limit_of=lambda scope: 100_000)
    app.include_router(
        crud_router(
            db.users,
            caller=caller,
            rules=Rules(
                read=lambda me: (User.id == me.id) | (User.id == "zoe"), create=lambda me, new: me.id == "root"
            ),
            allow={"list", "get", "create"},
            filters=["id", "name"],
        )
    )
    given: dict[str, Any] = {
        "allow": {*ALL, "history", "restore"},
        "caller": caller,
        "owner": "user_id",
        "hidden": ["score"],
        "expand": ["user", "annotations", "annotations.user"],
        "filters": ["id", "title", "pages", "tags", "created_at"],
    }
    app.include_router(crud_router(db.documents, **{**given, **options}))
    app.include_router(
        crud_router(db.annotations, caller=caller, owner="user_id", fixed=["id", "document_id"], expand=["document"])
    )
    return app


@contextmanager
def shelf(**options: Any) -> Iterator[tuple[Shelf, TestClient]]:
    """Give a shelf with ann, ben and zoe, and its application."""
    with Shelf("memory:") as db:
        db.users.insert_many(User(id=name, name=name.title()) for name in ("ann", "ben", "zoe"))
        with TestClient(routed(db, **options), raise_server_exceptions=False) as client:
            client.headers["X-User"] = "ann"
            yield db, client


BEN = {"X-User": "ben"}
