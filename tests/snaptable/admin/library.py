"""A small database, and its admin page as a browser without script sees it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.testclient import TestClient
from tests.snaptable.postgres import stores

from snaptable import (
    Database,
    ForeignKey,
    Index,
    OnUpdate,
    Row,
    Secret,
    Table,
    Unique,
    new_id,
    numbered,
    table,
    utc_now,
)
from snaptable.admin import Site, mount_admin

SECRET = "argon2id-never-shown"


class User(Row):
    id: str = Field(default_factory=new_id)
    email: Annotated[str, Unique()]
    role: Literal["user", "admin"] = "user"
    password_hash: Annotated[str, Secret()] = SECRET
    updated_at: Annotated[datetime, OnUpdate(utc_now)] = Field(default_factory=utc_now)


class Box(BaseModel):
    x: int
    y: int = 0


class Document(Row):
    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    filename: Annotated[str, Index()]
    pages: Annotated[int, Field(ge=0), Index(ordered=True)] = 1
    score: float | None = None
    public: bool = False
    tags: tuple[str, ...] = ()
    box: Box | None = None
    meta: dict[str, Any] = Field(default_factory=dict)
    uploaded: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    note: str | None = None


class Mark(Row):
    id: int = numbered()
    document_id: Annotated[str, ForeignKey(Document, on_delete="cascade")]
    reply_to: Annotated[int | None, ForeignKey("marks", on_delete="set null")] = None
    text: str = ""


class Loan(Row):
    id: int = numbered()
    document_id: Annotated[str, ForeignKey(Document)]


class Login(Row):
    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]


class Library(Database):
    users: Table[User]
    documents: Table[Document]
    marks: Table[Mark]
    loans: Table[Loan]
    logins: Table[Login] = table(transient=True)


class Browser:
    """A browser without script: it keeps cookies, and sends forms as pages have them."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self._token = ""

    def get(self, path: str, status: int = 200, **headers: str) -> str:
        """Return a page."""
        answer = self.client.get(path, headers=headers)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-500:])
        return answer.text

    def token(self) -> str:
        """Return the token that the session's pages hold."""
        if not self._token:
            found = re.search(r'data-token="([^"]+)"', self.get("/admin/"))
            assert found
            self._token = found[1]
        return self._token

    def post(self, path: str, fields: dict[str, Any] | None = None, status: int = 200, **headers: str) -> str:
        """Send a form of the admin's, and return the page that it leads to."""
        data = {"admin_token": self.token(), **(fields or {})}
        sent = {"Sec-Fetch-Site": "same-origin", **headers}
        answer = self.client.post(path, data=data, headers=sent)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-500:])
        return answer.text

    def send(self, path: str, value: object, status: int = 200) -> dict[str, Any]:
        """Send JSON, as the script does, and return the answer."""
        headers = {"Sec-Fetch-Site": "same-origin", "X-Admin-Token": self.token(), "Accept": "application/json"}
        answer = self.client.post(path, json=value, headers=headers)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-500:])
        found: dict[str, Any] = answer.json()
        return found

    def found(self, text: str) -> list[dict[str, str]]:
        """Return what a text may mean, as the script asks for it."""
        answer = self.client.get("/admin/go", params={"q": text}, headers={"Accept": "application/json"})
        hits: list[dict[str, str]] = answer.json()["hits"]
        return hits


def fill(db: Library) -> None:
    """Add ada and ben, twelve documents and some marks."""
    db.users.create(id="ada", email="ada@example.org", role="admin")
    db.users.create(id="ben", email="ben@example.org")
    for n in range(12):
        owner, tags = "ada" if n % 3 else "ben", ("even",) * (n % 2 == 0)
        db.documents.create(id=f"d{n}", user_id=owner, filename=f"paper-{n}.pdf", pages=n, tags=tags)
    db.marks.insert_many(Mark(document_id=f"d{n % 4}", text=f"mark {n}") for n in range(8))


@contextmanager
def admin_of(db: Library, **options: Any) -> Iterator[tuple[TestClient, Site]]:
    """Give a client of a database's admin that is not logged in, and the site."""
    app = FastAPI()
    site = mount_admin(app, db, announce=False, **options)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, site


@contextmanager
def empty_place(engine: str | None) -> Iterator[str]:
    """Give the URL of an empty database: of the engine, else of that of SNAPTABLE_ADMIN_ENGINE, else in memory."""
    if (engine or os.environ.get("SNAPTABLE_ADMIN_ENGINE", "memory")) == "memory":
        yield "memory:"
        return
    url = stores.new_schema()
    yield url
    stores.drop_schemas([url])


@contextmanager
def library(*, engine: str | None = None, **options: Any) -> Iterator[tuple[Library, Browser]]:
    """Give the database, filled, and a browser whose admin came by the link."""
    with empty_place(engine) as url, Library(url) as db:
        fill(db)
        with admin_of(db, **options) as (client, site):
            assert site.link is not None
            assert client.get(site.link).status_code == 200
            yield db, Browser(client)
