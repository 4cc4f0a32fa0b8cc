"""What is asked of every server: one read, one list of 50, one write; as bytes, made once."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2
from tests.app.support import Api, annotation, make_pdf
from tests.benchmarks.server.load import HOST

PAUSE = 0.02
DOCUMENTS, MARKS, LIMIT = 20, 60, 50
"""A list of a document's 60 annotations has a second page; 1,200 annotations are all."""


@dataclass
class Subject:
    """A server with its rows."""

    api: Api
    marked: Sequence[str]
    written: list[str]
    """Documents that writes go to, one a round: see `forget_writes`."""
    keys: Sequence[str] = ()

    def fill(self) -> "Subject":
        """Put the annotations there."""
        self.keys = [self.api.annotate(document)["id"] for document in self.marked for _ in range(MARKS)]
        return self

    def requests(self, scenario: str) -> list[bytes]:
        """Return the requests of a scenario, to be sent in turn."""
        if scenario == "read":
            return [self._request(f"GET /api/annotations/{key}") for key in self.keys]
        if scenario == "list of 50":
            return [self._request(f"GET /api/annotations?document_id={key}&limit={LIMIT}") for key in self.marked]
        return [self._request("POST /api/annotations", json.dumps(annotation(self.written[0])).encode())]

    def _request(self, line: str, body: bytes = b"") -> bytes:
        head = f"{line} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {self.api.headers['Authorization']}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        return head.encode() + b"\r\n" + body

    def forget_writes(self) -> None:
        """Delete what was written: a store that grew past 4 MiB would save its file in the background by itself."""
        assert self.api.delete(f"/api/documents/{self.written.pop(0)}").status_code == 204
        # Behind the answer its annotations go, some at a time: nothing shall be measured beside that.
        while self.api.get("/health").json()["rows"]["annotations"] > len(self.keys):
            time.sleep(PAUSE)


def client(port: int, headers: dict[str, str] | None = None) -> Api:
    """Return a client of a server, logged in if it has the headers."""
    ann = Api(httpx2.Client(base_url=f"http://{HOST}:{port}", timeout=60))
    ann.headers = headers or {}
    return ann


def documents(ann: Api, rounds: int) -> tuple[list[str], list[str]]:
    """Upload the documents that get annotations first, and those that writes go to."""
    keys = [ann.upload(make_pdf(3, title=f"paper {number}"))["id"] for number in range(DOCUMENTS + rounds + 1)]
    return keys[:DOCUMENTS], keys[DOCUMENTS:]
