"""Kill the server under concurrent load; every write it acknowledged must be there afterwards."""

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.app.support import PATIENCE, Api, Process, annotation, extraction, make_pdf, wait_for

from app.library import Library
from app.services.documents import named_in_history

CLIENTS = 6
ROUNDS = 3
WRITES = (20, 80)
"""How many writes a round has at least and at most before the kill; the instant within a write is left to chance."""


@pytest.fixture
def tmp_path(on_disk: Path) -> Path:
    """Give a folder on the disk, as servers have."""
    return on_disk


@dataclass
class Client:
    """A user who writes, and remembers what the server acknowledged and what it was asked last."""

    api: Api
    seed: int
    rows: dict[str, Any] = field(default_factory=dict)
    """Acknowledged rows by path; what was deleted is None."""
    unsure: set[str] = field(default_factory=set)
    """Paths whose last request got no answer: either outcome is right."""
    writes: int = 0

    def run(self, base: str, stop: threading.Event) -> None:
        """Write until the server is gone."""
        choice = random.Random(self.seed)  # no secret
        with httpx2.Client(base_url=base, timeout=PATIENCE) as http:
            self.api.http = http
            try:
                while not stop.is_set():
                    self.step(choice)
            except httpx2.TransportError:
                return

    def step(self, choice: random.Random) -> None:
        """Do one random write."""
        documents = [path for path, row in self.rows.items() if row and path.startswith("/api/documents")]
        marks = [path for path, row in self.rows.items() if row and path.startswith("/api/annotations")]
        kind = choice.random()
        if not documents or kind < 0.1:
            pdf = make_pdf(3, title=f"{self.seed}-{choice.randrange(4)}")
            self.create("documents", files={"file": ("a.pdf", pdf, "application/pdf")})
        elif kind < 0.15 and len(documents) > 1:
            self.delete(choice.choice(documents))
        elif kind < 0.5:
            self.create("extractions", json=extraction(self.rows[choice.choice(documents)]["id"]))
        elif kind < 0.8 or not marks:
            self.create("annotations", json=annotation(self.rows[choice.choice(documents)]["id"]))
        elif kind < 0.95:
            self.patch(choice.choice(marks), {"content": f"change {choice.random()}"})
        else:
            self.delete(choice.choice(marks))

    def create(self, kind: str, **body: Any) -> None:
        """Create a row; one that is not acknowledged may be there, under an id nobody knows."""
        response = self.api.post(f"/api/{kind}", **body)
        assert response.status_code == 201, response.text
        self.rows[f"/api/{kind}/{response.json()['id']}"] = response.json()
        self.writes += 1

    def patch(self, path: str, changes: dict[str, Any]) -> None:
        """Change a row."""
        self.unsure.add(path)
        response = self.api.patch(path, json=changes)
        assert response.status_code == 200, response.text
        self.unsure.discard(path)
        self.rows[path] = response.json()
        self.writes += 1

    def delete(self, path: str) -> None:
        """Delete a row, and know what goes with it."""
        row = self.rows[path]
        gone = {path} | {other for other, value in self.rows.items() if value and value.get("document_id") == row["id"]}
        self.unsure |= gone
        assert self.api.delete(path).status_code == 204
        self.unsure -= gone
        self.rows.update(dict.fromkeys(gone))
        self.writes += 1

    def check(self, http: httpx2.Client) -> None:
        """Compare the server's rows with what it acknowledged."""
        self.api.http = http
        assert self.api.get("/api/auth/me").status_code == 200
        for path, row in list(self.rows.items()):
            response = self.api.get(path)
            if path in self.unsure:
                self.rows[path] = response.json() if response.status_code == 200 else None
            elif row is None:
                assert response.status_code == 404, path
            else:
                assert response.json() == row, path
        self.unsure.clear()
        for path, row in self.rows.items():
            if row and path.startswith("/api/documents"):
                content = self.api.get(f"{path}/content")
                assert content.status_code == 200
                assert len(content.content) == row["size"]


@pytest.mark.parametrize("snapshot", ["auto", "background"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, snapshot: str) -> None:
    """Ensure that after each kill at a random instant every client finds exactly what it was told."""
    server = Process(tmp_path / "data", f"--snapshot={snapshot}")
    moment = random.Random(7)  # no secret
    try:
        server.start()
        with server.client() as http:
            clients = [Client(Api(http, f"user{n}@example.org").register(), seed=n) for n in range(CLIENTS)]
        for _ in range(ROUNDS):
            load_and_kill(server, clients, moment.randrange(*WRITES))
            server.start()
            with server.client() as http:
                for client in clients:
                    client.check(http)
        assert sum(client.writes for client in clients) >= ROUNDS * WRITES[0]
        check_blobs(tmp_path / "data", clients)
        assert server.stop() == 0
    finally:
        server.end()


def load_and_kill(server: Process, clients: list[Client], writes: int) -> None:
    """Let all clients write at once, and kill the server amid their writes, after so many."""
    stop = threading.Event()
    enough = writes + sum(client.writes for client in clients)
    threads = [threading.Thread(target=client.run, args=(server.base, stop)) for client in clients]
    for thread in threads:
        thread.start()
    wait_for(lambda: sum(client.writes for client in clients) >= enough)
    server.kill()
    stop.set()
    for thread in threads:
        thread.join()


def check_blobs(store: Path, clients: list[Client]) -> None:
    """Ensure that no blob is left that neither a document nor history names, an upload without an answer aside."""
    named = {row["sha256"] for client in clients for path, row in client.rows.items() if row and "sha256" in row}
    stored = {path.name for path in (store / "blobs").iterdir()}
    assert named <= stored
    with Library(store, read_only=True) as db:
        kept = named_in_history(db, stored - named)
    assert len(stored - named - kept) <= len(clients) * ROUNDS
