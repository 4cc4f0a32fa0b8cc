"""sqlite3 of the standard library: one connection a thread, statements cached, indexes and foreign keys as ours."""

import sqlite3
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.peers.peer import Peer, Tables
from tests.benchmarks.rows import FROM_RECORD, MODELS, Annotation, annotation_of, record_of

from snaptable import Row

SCHEMA = """
    CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        password_hash TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
    CREATE TABLE documents (id TEXT PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        filename TEXT NOT NULL, title TEXT NOT NULL, sha256 TEXT NOT NULL, pages INTEGER NOT NULL,
        size INTEGER NOT NULL, upload_date TEXT NOT NULL);
    CREATE UNIQUE INDEX documents_user_filename ON documents (user_id, filename);
    CREATE INDEX documents_user_upload ON documents (user_id, upload_date);
    CREATE INDEX documents_filename ON documents (filename);
    CREATE INDEX documents_upload ON documents (upload_date);
    CREATE TABLE annotations (id TEXT PRIMARY KEY NOT NULL,
        document_id TEXT NOT NULL REFERENCES documents ON DELETE CASCADE,
        user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE, page INTEGER NOT NULL, kind TEXT NOT NULL,
        x REAL NOT NULL, y REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL, content TEXT NOT NULL,
        color TEXT, created_at TEXT NOT NULL);
    CREATE INDEX annotations_document ON annotations (document_id);
    CREATE INDEX annotations_user ON annotations (user_id);
    CREATE INDEX annotations_created ON annotations (created_at);
"""
INSERT = {
    name: f"INSERT INTO {name} VALUES ({', '.join('?' * len(model.model_fields))})" for name, model in MODELS.items()
}


class SqliteDefault(Peer):
    """Be sqlite as it comes: a rollback journal, synchronous=FULL."""

    name = "sqlite, default"
    wal = False

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._own = threading.local()
        self._all: list[sqlite3.Connection] = []

    def open(self) -> None:
        fresh = not (self.directory / "rows.db").exists()
        connection = self._connection()
        if fresh:
            connection.executescript(SCHEMA)

    def close(self) -> None:
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._own = threading.local()

    def _connection(self) -> sqlite3.Connection:
        """Return the thread's own connection."""
        found: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if found is None:
            found = self._own.connection = sqlite3.connect(
                self.directory / "rows.db", timeout=60, isolation_level=None, check_same_thread=False
            )
            found.execute("PRAGMA foreign_keys = ON")
            if self.wal:
                found.execute("PRAGMA journal_mode = WAL")
                found.execute("PRAGMA synchronous = FULL")
            self._all.append(found)
        return found

    def fill(self, tables: Tables) -> None:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        for name, rows in tables.items():
            connection.executemany(INSERT[name], map(record_of, rows))
        connection.execute("COMMIT")

    def insert(self, row: Annotation) -> object:
        return self._connection().execute(INSERT["annotations"], record_of(row))

    def set_page(self, key: str, page: int) -> object:
        return self._connection().execute("UPDATE annotations SET page = ? WHERE id = ?", (page, key))

    def get(self, key: str, /) -> Annotation | None:
        record = self._connection().execute("SELECT * FROM annotations WHERE id = ?", (key,)).fetchone()
        return annotation_of(record) if record else None

    def find(self, document: str) -> Sequence[Annotation]:
        return self._select("document_id = ?", document)

    def range(self, since: datetime) -> Sequence[Annotation]:
        return self._select("created_at >= ? ORDER BY created_at LIMIT 100", since.isoformat())

    def scan(self, page: int, x: float) -> Sequence[Annotation]:
        return self._select("page >= ? AND x > ?", page, x)

    def rows_of(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the records that a statement gives."""
        return self._connection().execute(statement, values).fetchall()

    def _select(self, condition: str, *values: object) -> list[Annotation]:
        found = self._connection().execute(f"SELECT * FROM annotations WHERE {condition}", values)
        return list(map(annotation_of, found))

    def load(self, *, validated: bool) -> dict[str, dict[str, Row]]:
        """Return every row of every table, typed; trusted as they come, or validated by the model."""
        return {name: self._load(name, validated=validated) for name in MODELS}

    def _load(self, name: str, *, validated: bool) -> dict[str, Row]:
        found: Any = self._connection().execute(f"SELECT * FROM {name}")
        if not validated:
            build = FROM_RECORD[name]
            return {record[0]: build(record) for record in found}
        model, names = MODELS[name], tuple(MODELS[name].model_fields)
        validate = model.__pydantic_validator__.validate_python
        return {record[0]: validate(dict(zip(names, record, strict=True))) for record in found}


class SqliteWal(SqliteDefault):
    """Be sqlite with a write-ahead log that is synced at every commit."""

    name = "sqlite, WAL FULL"
    wal = True
