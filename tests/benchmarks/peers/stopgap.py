"""The stop-gap that people begin with: dictionaries of models, all of them dumped to one JSON file at every write."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tests.benchmarks.peers.peer import Peer, Tables
from tests.benchmarks.rows import MODELS, Annotation

from snaptable import Row


class Stopgap(Peer):
    """Be the naive store: its file is replaced whole, and not even synced."""

    name = "stop-gap"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._tables: dict[str, dict[str, Row]] = {name: {} for name in MODELS}
        self._rows: dict[str, Annotation] = self._tables["annotations"]  # type: ignore[assignment]

    def open(self) -> None:
        path = self.directory / "db_snapshot.json"
        if path.exists():
            with path.open(encoding="utf-8") as file:
                for name, rows in json.load(file).items():
                    self._tables[name].update((key, MODELS[name](**row)) for key, row in rows.items())

    def close(self) -> None:
        self._tables.clear()

    def _save(self) -> None:
        temporary = self.directory / "db_snapshot.tmp"
        plain = {
            name: {key: row.model_dump(mode="json") for key, row in rows.items()} for name, rows in self._tables.items()
        }
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(plain, file, indent=2)
        temporary.replace(self.directory / "db_snapshot.json")

    def fill(self, tables: Tables) -> None:
        for name, rows in tables.items():
            self._tables[name].update((row.id, row) for row in rows)  # type: ignore[attr-defined]
        self._save()

    def insert(self, row: Annotation) -> None:
        self._rows[row.id] = row
        self._save()

    def set_page(self, key: str, page: int) -> None:
        self._rows[key] = self._rows[key].model_copy(update={"page": page})
        self._save()

    def get(self, key: str, /) -> Annotation | None:
        return self._rows.get(key)

    def find(self, document: str) -> Sequence[Annotation]:
        return [row for row in self._rows.values() if row.document_id == document]

    def range(self, since: datetime) -> Sequence[Annotation]:
        rows = (row for row in self._rows.values() if row.created_at >= since)
        return sorted(rows, key=lambda row: row.created_at)[:100]

    def scan(self, page: int, x: float) -> Sequence[Annotation]:
        return [row for row in self._rows.values() if row.page >= page and row.x > x]
