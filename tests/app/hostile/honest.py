"""Honest clients: each asks, waits for the answer, pauses, and notes how long it took."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.app.support import annotation

PAUSE = 0.02
"""Seconds between an answer and the client's next request."""

Ask = Callable[[str, str, str | None], bytes]


@dataclass(frozen=True)
class Measured:
    """One answer: when it was complete, and how long it took, in seconds; whether it was what was asked for."""

    kind: str
    at: float
    took: float
    is_right: bool


@dataclass
class Honest:
    """Three clients of one account: one reads a row, one lists fifty, one writes and deletes."""

    port: int
    headers: dict[str, str]
    document: str
    marked: str
    measured: list[Measured] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Honest":
        """Begin."""
        for target in (self._read, self._list, self._write):
            thread = threading.Thread(target=self._repeat, args=[target])
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, act: Callable[[Ask], None]) -> None:
        """Act until it is over, on one connection that is opened anew when the server has ended it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

        def ask(kind: str, request: str, body: str | None = None) -> bytes:
            method, _, path = request.partition(" ")
            headers = self.headers | ({"Content-Type": "application/json"} if body else {})
            begin = time.monotonic()
            for attempt in range(2):
                try:
                    connection.request(method, path, body, headers)
                    response = connection.getresponse()
                    data, is_right = response.read(), response.status < 300
                    break
                except (OSError, http.client.HTTPException):
                    connection.close()  # it was idle: asked once more
                    data, is_right = b"", attempt < 0
            now = time.monotonic()
            self.measured.append(Measured(kind, now, now - begin, is_right))
            return data

        while not self._is_over.is_set():
            act(ask)
            time.sleep(PAUSE)
        connection.close()

    def _read(self, ask: Ask) -> None:
        ask("read", f"GET /api/annotations/{self.marked}", None)

    def _list(self, ask: Ask) -> None:
        ask("list", f"GET /api/annotations?document_id={self.document}&limit=50", None)

    def _write(self, ask: Ask) -> None:
        written = ask("write", "POST /api/annotations", json.dumps(annotation(self.document, page_num=1)))
        if b'"id"' in written:
            ask("write", f"DELETE /api/annotations/{json.loads(written)['id']}", None)
