"""TinyDB as it comes: one JSON file, read and written whole; rows go by document ids, which spares it the search."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import tinydb
from tests.benchmarks.peers.peer import Peer, Tables
from tests.benchmarks.rows import MODELS, Annotation
from tinydb.table import Document as Stored
from tinydb.table import Table

from snaptable import Row

Table.document_id_class = str


def stored(row: Row) -> Any:
    """Return a row as TinyDB's own document."""
    values = row.model_dump(mode="json")
    return Stored(values, doc_id=values["id"])


class TinyDb(Peer):
    """Be TinyDB with its default storage, which syncs every write."""

    name = "TinyDB"

    def open(self) -> None:
        self._db = tinydb.TinyDB(self.directory / "rows.json")
        self._rows = self._db.table("annotations")

    def close(self) -> None:
        self._db.close()

    def fill(self, tables: Tables) -> None:
        for name in MODELS:
            self._db.table(name).insert_multiple(map(stored, tables.get(name, ())))

    def insert(self, row: Annotation) -> object:
        return self._rows.insert(stored(row))

    def set_page(self, key: str, page: int) -> object:
        return self._rows.update({"page": page}, doc_ids=[key])

    def get(self, key: str, /) -> Annotation | None:
        found = self._rows.get(doc_id=key)
        return None if found is None else Annotation(**found)

    def find(self, document: str) -> Sequence[Annotation]:
        return [Annotation(**found) for found in self._rows.search(tinydb.where("document_id") == document)]

    def range(self, since: datetime) -> Sequence[Annotation]:
        rows = [
            Annotation(**found) for found in self._rows.search(tinydb.where("created_at") >= since.isoformat()[:19])
        ]
        return sorted((row for row in rows if row.created_at >= since), key=lambda row: row.created_at)[:100]

    def scan(self, page: int, x: float) -> Sequence[Annotation]:
        where = (tinydb.where("page") >= page) & (tinydb.where("x") > x)
        return [Annotation(**found) for found in self._rows.search(where)]
