"""The three routes on FastAPI and SQLModel, as its docs do it: on sqlite (synchronous=FULL), or PEER_DATABASE_URL."""

import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy import event
from sqlmodel import JSON, Column, Field, Session, SQLModel, create_engine, select
from tests.benchmarks.server.serving import serve_peer

from app.api.schemas import AnnotationIn, AnnotationOut, PageOut
from snaptable import utc_now


class Login(SQLModel, table=True):
    token: str = Field(primary_key=True)
    user_id: str


class Document(SQLModel, table=True):
    id: str = Field(primary_key=True)
    user_id: str = Field(index=True)


class Annotation(SQLModel, table=True):
    id: str = Field(default_factory=lambda: str(uuid4()), primary_key=True)
    document_id: str = Field(foreign_key="document.id", index=True)
    user_id: str = Field(index=True)
    page_num: int
    type: str
    coordinates: dict[str, Any] = Field(sa_column=Column(JSON))
    content: str | None
    color: str | None
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: datetime = Field(default_factory=utc_now)


directory = tempfile.TemporaryDirectory()
ON_SERVER = os.environ.get("PEER_DATABASE_URL", "").replace("postgresql://", "postgresql+psycopg://", 1)
ON_FILE = {"url": f"sqlite:///{directory.name}/peer.db", "connect_args": {"check_same_thread": False}}
engine = create_engine(ON_SERVER, pool_size=16) if ON_SERVER else create_engine(**ON_FILE)


def configure(connection: Any, _record: Any) -> None:
    """Ask for what the backend does: durable writes, foreign keys."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


if not ON_SERVER:
    event.listen(engine, "connect", configure)


def get_session() -> Iterator[Session]:
    """Give each request a session."""
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]


def get_user(token: Annotated[str, Depends(OAuth2PasswordBearer("/api/auth/login"))], session: SessionDep) -> str:
    """Return who holds the token."""
    login = session.get(Login, token)
    if login is None:
        raise HTTPException(401)
    return login.user_id


UserDep = Annotated[str, Depends(get_user)]
app = FastAPI()


@app.get("/api/annotations/{annotation_id}", response_model=AnnotationOut)
def get_annotation(session: SessionDep, user: UserDep, annotation_id: str) -> Annotation:
    """Show one."""
    annotation = session.get(Annotation, annotation_id)
    if annotation is None or annotation.user_id != user:
        raise HTTPException(404)
    return annotation


@app.get("/api/annotations", response_model=PageOut[AnnotationOut])
def list_annotations(session: SessionDep, user: UserDep, document_id: str, limit: int = 50) -> dict[str, Any]:
    """List a document's."""
    wanted = select(Annotation).where(Annotation.document_id == document_id, Annotation.user_id == user)
    rows = session.exec(wanted.order_by(Annotation.created_at, Annotation.id).limit(limit + 1)).all()
    return {"items": rows[:limit], "next_cursor": rows[limit - 1].id if len(rows) > limit else None}


@app.post("/api/annotations", status_code=201, response_model=AnnotationOut)
def create_annotation(session: SessionDep, user: UserDep, body: AnnotationIn) -> Annotation:
    """Add one."""
    row = Annotation(user_id=user, **body.model_dump())
    session.add(row)
    session.commit()
    session.refresh(row)
    return row


if __name__ == "__main__":
    SQLModel.metadata.create_all(engine)
    with Session(engine) as first:
        first.add(Login(token=sys.argv[1], user_id=str(uuid4())))
        first.add_all(Document(id=document, user_id="ann") for document in sys.argv[2:])
        first.commit()
    serve_peer(app)
