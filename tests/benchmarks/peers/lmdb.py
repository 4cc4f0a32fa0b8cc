"""LMDB: pickled records by key, two indexes kept in the same transaction; every commit is synced (the default)."""

import pickle
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
from tests.benchmarks.peers.peer import Peer, Tables
from tests.benchmarks.rows import MODELS, Annotation, annotation_of, record_of

from snaptable import Row

INDEXES = ("by_document", "by_user", "by_time")


class Lmdb(Peer):
    """Be LMDB with a database for each table and index."""

    name = "LMDB"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._environment: Any = None

    def open(self) -> None:
        self._environment = lmdb.open(str(self.directory), map_size=8 << 30, max_dbs=8)
        self._tables = {name: self._environment.open_db(name.encode()) for name in MODELS}
        self._indexes = [self._environment.open_db(name.encode(), dupsort=True) for name in INDEXES]
        self._rows = self._tables["annotations"]

    def close(self) -> None:
        self._environment.close()

    def fill(self, tables: Tables) -> None:
        with self._environment.begin(write=True) as transaction:
            for name, rows in tables.items():
                for row in rows:
                    self._put(transaction, name, row)

    def _put(self, transaction: lmdb.Transaction, name: str, row: Row) -> None:
        record = record_of(row)
        key = record[0].encode()
        transaction.put(key, pickle.dumps(record, 5), db=self._tables[name])
        if isinstance(row, Annotation):
            for index, value in zip(self._indexes, (record[1], record[2], record[-1]), strict=True):
                transaction.put(value.encode(), key, db=index)

    def insert(self, row: Annotation) -> None:
        with self._environment.begin(write=True) as transaction:
            self._put(transaction, "annotations", row)

    def set_page(self, key: str, page: int) -> object:
        found = self.get(key)
        assert found is not None
        with self._environment.begin(write=True) as transaction:
            record = record_of(found.model_copy(update={"page": page}))
            return transaction.put(key.encode(), pickle.dumps(record, 5), db=self._rows)

    def get(self, key: str, /) -> Annotation | None:
        with self._environment.begin(buffers=True) as transaction:
            found = transaction.get(key.encode(), db=self._rows)
            return annotation_of(pickle.loads(found)) if found is not None else None

    def find(self, document: str) -> Sequence[Annotation]:
        with self._environment.begin(buffers=True) as transaction:
            cursor = transaction.cursor(db=self._indexes[0])
            keys = cursor.iternext_dup() if cursor.set_key(document.encode()) else ()
            return [annotation_of(pickle.loads(transaction.get(key, db=self._rows))) for key in keys]

    def range(self, since: datetime) -> Sequence[Annotation]:
        with self._environment.begin(buffers=True) as transaction:
            cursor = transaction.cursor(db=self._indexes[2])
            keys = cursor.iternext(keys=False) if cursor.set_range(since.isoformat().encode()) else ()
            return [annotation_of(pickle.loads(transaction.get(key, db=self._rows))) for key in islice(keys, 100)]

    def scan(self, page: int, x: float) -> Sequence[Annotation]:
        with self._environment.begin(buffers=True) as transaction:
            records = map(pickle.loads, transaction.cursor(db=self._rows).iternext(keys=False))
            return [annotation_of(record) for record in records if record[3] >= page and record[5] > x]
