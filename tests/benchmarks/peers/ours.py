"""snaptable itself, as its users call it."""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from tests.benchmarks.peers.peer import Peer, Tables
from tests.benchmarks.rows import Annotation, Library

from snaptable.runtime.silenced_log import silenced_log

BATCH = 10_000


class Ours(Peer):
    """Be the library; `get` is the table's own method, as a caller that keeps it at hand would use it."""

    name = "snaptable"

    def __init__(self, directory: Path, snapshot: Literal["auto", "always", "background"] = "background") -> None:
        super().__init__(directory)
        self.db = Library(directory, snapshot=snapshot)

    def open(self) -> None:
        with silenced_log():
            self.db.open()
        self.get = self.db.annotations.get  # type: ignore[method-assign]

    def close(self) -> None:
        self.db.close()

    def settle(self) -> None:
        """Wait for the snapshot that follows in the background."""
        while (status := self.db.status()).snapshot_sequence != status.sequence:
            time.sleep(0.01)

    def fill(self, tables: Tables) -> None:
        for name, rows in tables.items():
            for first in range(0, len(rows), BATCH):
                self.db.tables[name].insert_many(rows[first : first + BATCH])

    def insert(self, row: Annotation) -> object:
        return self.db.annotations.insert(row)

    def set_page(self, key: str, page: int) -> object:
        return self.db.annotations.update(key, page=page)

    def get(self, key: str, /) -> Annotation | None:
        return self.db.annotations.get(key)

    def find(self, document: str) -> Sequence[Annotation]:
        return self.db.annotations.where(Annotation.document_id == document).all()

    def range(self, since: datetime) -> Sequence[Annotation]:
        found = self.db.annotations.where(Annotation.created_at >= since)
        return found.order_by(Annotation.created_at).limit(100).all()

    def scan(self, page: int, x: float) -> Sequence[Annotation]:
        return self.db.annotations.where(Annotation.page >= page, Annotation.x > x).all()
