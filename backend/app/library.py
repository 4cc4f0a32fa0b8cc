"""The backend's database, and how a file of the older stop-gap becomes one."""

import asyncio
from functools import cached_property
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

from app import legacy_import
from app.files import blob_files
from app.shared.tables import SharedTables
from app.tables import Annotation, Document, Extraction, Session, User
from app.usage import Limits, Usage
from snaptable import Database, Index, LegacySnapshot, Table, table


class Library(Database):
    """The tables of the backend."""

    users: Table[User]
    sessions: Table[Session] = table(transient=True)
    documents: Table[Document] = table(Index("user_id", "upload_date", ordered=True))
    extractions: Table[Extraction] = table(
        Index("user_id", "timestamp", ordered=True), Index("document_id", "user_id", "timestamp", ordered=True)
    )
    annotations: Table[Annotation] = table(
        Index("user_id", "created_at", ordered=True), Index("document_id", "user_id", "created_at", ordered=True)
    )

    backup_folders: ClassVar[tuple[str, ...]] = (blob_files.FOLDER,)

    limits = Limits()
    """What one user may store; the settings say otherwise."""

    @cached_property
    def is_on_server(self) -> bool:
        """Whether the rows are on a PostgreSQL server, which code on the event loop asks by `read` and `run` alone."""
        return self.url.startswith(("postgresql:", "postgres:"))

    @property
    def cache_secret(self) -> str | None:
        """What seals what is kept outside of the database; None where no revisions say how long it is right."""
        core = getattr(self._opened(), "core", None)
        return None if core is None or core.revisions is None else str(core.revisions.secret)

    def revision(self, user_id: str) -> str | None:
        """Return what names the state of a user's rows, as the caller's transaction sees it; None without revisions."""
        ask = getattr(self._opened(), "revision", None)
        return None if ask is None else ask(user_id)

    @cached_property
    def files_directory(self) -> Path | None:
        """Where the documents' bytes are, unless that was set: beside the rows."""
        return self.directory

    @cached_property
    def shared(self) -> SharedTables | None:
        """What the processes on one server share besides rows; None in memory, where one is alone."""
        return SharedTables(self) if self.is_on_server else None

    @cached_property
    def session_keys(self) -> dict[str, str]:
        """The keys of sessions by their tokens' digests, as far as they were asked for; see `services.sessions`."""
        return {}

    @cached_property
    def usages(self) -> dict[str, Usage]:
        """What users store, by their keys, as far as it is known; see `services.quotas`."""
        return {}

    @cached_property
    def measuring(self) -> dict[str, asyncio.Lock]:
        """The users whose sums are being made; see `services.quotas`."""
        return {}

    @cached_property
    def writing(self) -> WeakValueDictionary[str, asyncio.Lock]:
        """The users who are being written for on a server, by their keys; see `services.quotas`."""
        return WeakValueDictionary()

    def import_legacy(self, old: LegacySnapshot) -> None:
        """Bring a file of the older stop-gap into the shape of these tables."""
        legacy_import.import_rows(old)

    def check(self) -> list[str]:
        """Return what is wrong, as `Database.check`, and which documents' bytes are missing or damaged; O(bytes)."""
        directory = self.files_directory
        if directory is None:
            return super().check()
        rows = self.documents.where().all()
        return super().check() + blob_files.problems(directory, [(row.id, row.sha256, row.size) for row in rows])
