"""ZODB on a FileStorage: a persistent object for each row, B-trees as indexes, all of it in the object cache."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import transaction
import ZODB
import ZODB.FileStorage
from BTrees.OOBTree import OOBTree, OOTreeSet
from persistent import Persistent
from tests.benchmarks.peers.peer import Peer, Tables
from tests.benchmarks.rows import MODELS, Annotation

from snaptable import Row

logging.getLogger("ZODB").setLevel(logging.ERROR)


class Stored(Persistent):
    """Hold a row: the frozen model itself, pickled as the object it is."""

    def __init__(self, row: Row) -> None:
        self.row = row


class Zodb(Peer):
    """Be ZODB as an application with one connection uses it."""

    name = "ZODB"

    def open(self) -> None:
        storage = ZODB.FileStorage.FileStorage(str(self.directory / "rows.fs"))
        self._db = ZODB.DB(storage, cache_size=10_000_000, large_record_size=1 << 30)
        self._root = self._db.open().root()
        for name in (*MODELS, "by_document", "by_user", "by_time"):
            if name not in self._root:
                self._root[name] = OOBTree()
        transaction.commit()
        self._rows: Any = self._root["annotations"]
        self._warm()

    def _warm(self) -> None:
        """Bring every object into the cache, where the use of a while would have brought it."""
        for stored in self._rows.values():
            stored.row  # noqa: B018 - reading it loads it
        for name in ("by_document", "by_user"):
            for keys in self._root[name].values():
                len(keys)
        len(self._root["by_time"])

    def close(self) -> None:
        transaction.abort()
        self._db.close()

    def fill(self, tables: Tables) -> None:
        for name, rows in tables.items():
            self._root[name].update([(row.id, Stored(row)) for row in rows])  # type: ignore[attr-defined]
        self._index(self._rows.values())
        transaction.commit()

    def _index(self, stored: Iterable[Any]) -> None:
        by_document, by_user, by_time = (self._root[name] for name in ("by_document", "by_user", "by_time"))
        for one in stored:
            row: Annotation = one.row
            for index, value in ((by_document, row.document_id), (by_user, row.user_id)):
                found = index.get(value)
                if found is None:
                    found = index[value] = OOTreeSet()
                found.insert(row.id)
            by_time[(row.created_at, row.id)] = row.id

    def insert(self, row: Annotation) -> object:
        stored = self._rows[row.id] = Stored(row)
        self._index((stored,))
        return transaction.commit()

    def set_page(self, key: str, page: int) -> object:
        stored = self._rows[key]
        stored.row = stored.row.model_copy(update={"page": page})
        return transaction.commit()

    def get(self, key: str, /) -> Annotation | None:
        stored = self._rows.get(key)
        return None if stored is None else stored.row

    def find(self, document: str) -> Sequence[Annotation]:
        rows = self._rows
        return [rows[key].row for key in self._root["by_document"].get(document, ())]

    def range(self, since: datetime) -> Sequence[Annotation]:
        rows, keys = self._rows, self._root["by_time"].values((since, ""))
        return [rows[key].row for key in islice(keys, 100)]

    def scan(self, page: int, x: float) -> Sequence[Annotation]:
        rows = (stored.row for stored in self._rows.values())
        return [row for row in rows if row.page >= page and row.x > x]
