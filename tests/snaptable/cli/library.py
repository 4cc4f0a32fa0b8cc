"""A store for the commands that look and change: a secret, references, a transient table, some commits by somebody."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from snaptable import (
    Database,
    ForeignKey,
    Index,
    Row,
    Secret,
    Table,
    Unique,
    attribution,
    new_id,
    table,
    utc_now,
)

SCHEMA = f"{__name__}:Library"


class User(Row):
    """A reader."""

    id: str
    email: Annotated[str, Unique()]
    name: str = ""
    password_hash: Annotated[str, Secret()] = "unset"


class Document(Row):
    """A document of a reader."""

    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    filename: Annotated[str, Index()]
    pages: int | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, object] = Field(default_factory=dict)
    uploaded: Annotated[datetime, Index(ordered=True)] = Field(default_factory=utc_now)


class Note(Row):
    """A note, numbered by its table."""

    id: int | None = None
    user_id: Annotated[str, ForeignKey(User, on_delete="restrict")]
    text: str | None = None


class Session(Row):
    """What has no past."""

    id: str


class Library(Database):
    """Readers and what they have."""

    users: Table[User]
    documents: Table[Document]
    notes: Table[Note]
    sessions: Table[Session] = table(transient=True)


def fill(db: Library) -> None:
    """Make seven commits."""
    with attribution(actor="ada@x.org", via="POST /users"):
        db.users.insert_many(
            [
                User(id="ann", email="ann@x.org", name="Ann", password_hash="hush-hush"),
                User(id="bob", email="bob@x.org", name="Bob"),
            ]
        )
    with attribution(actor="import"), db.transaction(note="spring batch"):
        db.documents.insert_many(
            [
                Document(
                    id=f"f10c18c{number}-0000-4000-8000-000000000000",
                    user_id="ann" if number % 2 else "bob",
                    filename=f"invoice-{number}.pdf",
                    pages=number * 10 if number else None,
                    tags=("urgent",) if number % 3 == 0 else (),
                    metadata={"lang": "de" if number > 5 else "en"},
                    uploaded=datetime.fromisoformat(f"2026-11-2{number}T12:00:00+00:00"),
                )
                for number in range(9)
            ]
        )
    db.notes.insert_many([Note(user_id="ann", text="milk"), Note(user_id="ann")])
    with attribution(actor="ada@x.org", via="PATCH /users/ann"):
        db.users.update("ann", name="Anna", password_hash="sesame-2")
    db.sessions.insert(Session(id="s1"))
    db.notes.delete(2)
    db.documents.update("f10c18c3-0000-4000-8000-000000000000", pages=57)


def filled(directory: Path) -> Path:
    """Make the store, closed."""
    with Library(directory, banner=False, fsync=False) as db:
        fill(db)
    return directory
