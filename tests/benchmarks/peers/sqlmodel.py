"""SQLModel on sqlite: the same tables as its own models.

One session is kept open and emptied after each answer, which is a third faster than a session for each request; without
emptying it would answer from the objects it holds.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, TypeDecorator, event
from sqlmodel import Field, Index, Session, SQLModel, UniqueConstraint, create_engine, insert, select
from tests.benchmarks.peers.peer import Peer, Tables
from tests.benchmarks.rows import Annotation


class Utc(TypeDecorator[datetime]):
    """Give times back in UTC: sqlite's own come back naive, and would not be the same rows."""

    impl = DateTime
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: object) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Users(SQLModel, table=True):
    id: str = Field(primary_key=True)
    email: str = Field(unique=True)
    name: str
    password_hash: str
    created_at: datetime = Field(sa_type=Utc)
    updated_at: datetime = Field(sa_type=Utc)


class Documents(SQLModel, table=True):
    __table_args__ = (
        UniqueConstraint("user_id", "filename"),
        Index("documents_user_upload", "user_id", "upload_date"),
    )
    id: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    filename: str = Field(index=True)
    title: str
    sha256: str
    pages: int
    size: int
    upload_date: datetime = Field(sa_type=Utc, index=True)


class Annotations(SQLModel, table=True):
    id: str = Field(primary_key=True)
    document_id: str = Field(foreign_key="documents.id", ondelete="CASCADE", index=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    page: int
    kind: str
    x: float
    y: float
    width: float
    height: float
    content: str
    color: str | None
    created_at: datetime = Field(sa_type=Utc, index=True)


TABLES: dict[str, Any] = {"users": Users, "documents": Documents, "annotations": Annotations}


class SqlModelDefault(Peer):
    """Be SQLModel on sqlite as it comes."""

    name = "SQLModel, default"
    wal = False

    def open(self) -> None:
        self._engine: Any = create_engine(f"sqlite:///{self.directory / 'rows.db'}")
        event.listen(self._engine, "connect", self._prepare)
        SQLModel.metadata.create_all(self._engine)
        self._session = Session(self._engine)

    def _prepare(self, connection: Any, record: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if self.wal:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        self._session.close()
        self._engine.dispose()

    def fill(self, tables: Tables) -> None:
        for name, rows in tables.items():
            self._session.execute(insert(TABLES[name]), [dict(row.__dict__) for row in rows])
        self._commit()

    def _commit(self) -> None:
        self._session.commit()
        self._session.expunge_all()

    def insert(self, row: Annotation) -> None:
        self._session.add(Annotations(**row.__dict__))
        self._commit()

    def set_page(self, key: str, page: int) -> None:
        self._session.get(Annotations, key).page = page
        self._commit()

    def get(self, key: str, /) -> Any:
        found = self._session.get(Annotations, key)
        self._session.expunge_all()
        return found

    def _all(self, statement: Any) -> Sequence[Any]:
        found = self._session.exec(statement).all()
        self._session.expunge_all()
        return found

    def find(self, document: str) -> Sequence[Any]:
        return self._all(select(Annotations).where(Annotations.document_id == document))

    def range(self, since: datetime) -> Sequence[Any]:
        wanted = select(Annotations).where(Annotations.created_at >= since)
        return self._all(wanted.order_by(Annotations.created_at).limit(100))

    def scan(self, page: int, x: float) -> Sequence[Any]:
        return self._all(select(Annotations).where(Annotations.page >= page, Annotations.x > x))

    def load(self) -> dict[str, dict[str, Any]]:
        """Return every row of every table, typed."""
        return {name: {row.id: row for row in self._session.exec(select(model))} for name, model in TABLES.items()}


class SqlModelWal(SqlModelDefault):
    """Be SQLModel on sqlite with a write-ahead log that is synced at every commit."""

    name = "SQLModel, WAL FULL"
    wal = True
