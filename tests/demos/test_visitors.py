"""The tracker for strangers: everybody has their own rows, bounded in number, size and time, and none are kept."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from demos import visitors
from demos.tracker import application as tracker
from demos.tracker.seed import seed
from demos.tracker.tables import Tracker
from demos.visitors import COOKIE, Visitors


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


class Open:
    """An open demo: who comes next, the store's folder, and the time."""

    def __init__(self, app: Visitors, db: Tracker, folder: Path, clock: Clock) -> None:
        self.app, self.db, self.folder, self.clock = app, db, folder, clock

    def visitor(self, address: str = "10.0.0.1") -> TestClient:
        """Return a new visitor's browser, which has opened the page."""
        client = TestClient(self.app, base_url="http://localhost", client=(address, 1), raise_server_exceptions=False)
        assert client.get("/").status_code == 200
        return client

    def bytes_of_store(self) -> dict[str, bytes]:
        """Return what the store's files hold."""
        return {
            str(each): each.read_bytes()
            for each in self.folder.rglob("*")
            if each.is_file() and "lock" not in each.name
        }


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Open]:
    """Give the tracker, open for three visitors at a time."""
    folder = tmp_path / "data"
    with Tracker(folder, banner=False) as db:
        seed(db)
    db, clock = Tracker(folder, banner=False), Clock()
    app = Visitors(
        tracker.application(db),
        db,
        lambda fork: tracker.application(cast(Tracker, fork), admin=False),
        most=3,
        clock=clock,
    )
    with ExitStack() as stack:
        stack.enter_context(TestClient(app, base_url="http://localhost"))
        yield Open(app, db, folder, clock)


def users(client: TestClient) -> list[Any]:
    """Return the names of the users that a visitor sees."""
    answer = client.get("/api/users?limit=200")
    assert answer.status_code == 200, answer.text
    return [user["name"] for user in answer.json()["items"]]


def add(client: TestClient, name: str) -> int:
    """Add a user, and return the status."""
    return client.post("/api/users", json={"name": name, "email": f"{name.lower()}@example.com"}).status_code


def test_everybody_has_their_own_rows_and_the_file_stays(demo: Open) -> None:
    """Ensure that what one does, undo included, neither another sees nor the store, in memory or on the disk."""
    before, seeded = demo.bytes_of_store(), demo.db.users.count()
    ann, ben = demo.visitor(), demo.visitor("10.0.0.2")
    assert (add(ann, "Zoe"), add(ann, "Yan"), add(ben, "Xia")) == (201, 201, 201)
    assert {"Zoe", "Yan"} < set(users(ann))
    assert "Zoe" not in users(ben)
    assert len(users(ben)) == seeded + 1
    row = ann.get("/api/users?name=Zoe").json()["items"][0]
    assert ann.get(f"/api/users/{row['id']}").status_code == 200
    assert ben.get(f"/api/users/{row['id']}").status_code == 404
    assert demo.db.users.count() == seeded
    assert demo.bytes_of_store() == before


def test_a_visit_begins_with_the_page(demo: Open) -> None:
    """Ensure that nobody without a cookie of ours has a copy made, whatever the cookie says; styles are everybody's."""
    for cookie in (None, "nonsense", 'x"; $Path=1', "a" * 5000):
        client = TestClient(demo.app, base_url="http://localhost")
        headers = {} if cookie is None else {"Cookie": f"{COOKIE}={cookie}"}
        assert client.get("/api/users", headers=headers).status_code == 403
        assert client.post("/api/users", json={}, headers=headers).status_code == 403
        assert client.get("/style.css", headers=headers).status_code == 200
    assert len(demo.app) == 0
    answer = TestClient(demo.app, base_url="http://localhost").get("/")
    assert all(word in answer.headers["set-cookie"] for word in ("HttpOnly", "SameSite=Lax", "Path=/"))
    assert TestClient(demo.app, base_url="http://localhost").get("/admin/", follow_redirects=False).status_code == 303
    assert len(demo.app) == 1


def test_visits_are_bounded_in_number_and_the_oldest_goes(demo: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that the one that was away longest ends, its copy too, and that one address can't end everybody's."""
    clients = [demo.visitor(f"10.0.0.{number}") for number in range(3)]
    for number in (1, 2, 0):
        demo.clock.now += 1
        assert add(clients[number], f"User{number}") == 201
    demo.visitor("10.0.0.9")
    assert len(demo.app) == 3
    assert clients[1].get("/api/users").status_code == 403
    assert "User2" in users(clients[2])
    assert "User0" in users(clients[0])
    monkeypatch.setattr(visitors, "MOST_OF_ADDRESS", 1)
    for _ in range(5):
        demo.visitor("10.0.0.9")
    assert ("User2" in users(clients[2]), "User0" in users(clients[0])) == (True, True)


def test_visits_end_without_use(demo: Open) -> None:
    """Ensure that an hour without a request ends a visit, that each request puts that off, and that one begins anew."""
    ann = demo.visitor()
    assert add(ann, "Zoe") == 201
    demo.clock.now = visitors.IDLE_SECONDS - 1
    assert "Zoe" in users(ann)
    demo.clock.now += visitors.IDLE_SECONDS
    assert ann.get("/api/users").status_code == 403
    assert len(demo.app) == 0
    assert ann.get("/").status_code == 200
    assert "Zoe" not in users(ann)


@pytest.mark.parametrize(("bound", "most"), [("MOST_BYTES", 300), ("MOST_ROWS", 3)])
def test_a_visit_is_bounded_in_size(demo: Open, monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    """Ensure that a visitor who adds and adds is told 507 by bytes and by rows, and may still read and delete."""
    monkeypatch.setattr(visitors, bound, most)
    ann = demo.visitor()
    statuses = [add(ann, f"User{number}") for number in range(30)]
    assert statuses[0] == 201
    assert statuses[-1] == 507
    user = ann.get("/api/users?sort=-created_at&limit=1").json()["items"][0]
    assert ann.delete(f"/api/users/{user['id']}").status_code == 204


def test_a_visit_is_bounded_by_what_it_undoes(demo: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that undoing and undoing, which sends no byte and adds no row, comes to an end."""
    monkeypatch.setattr(visitors, "MOST_HISTORY", 2_000)
    ann = demo.visitor()
    track = ann.get("/api/tracks").json()["items"][0]["id"]
    assert ann.delete(f"/api/tracks/{track}").status_code == 204
    (visit,) = demo.app._visits.values()
    statuses = [ann.post(f"/api/undo/{visit.db.history.sequence}").status_code for _ in range(30)]
    assert (statuses[0], statuses[-1]) == (200, 507)
    assert ann.get("/api/tracks").status_code == 200


def test_visits_begin_one_after_the_other(demo: Open) -> None:
    """Ensure that a crowd without cookies makes no crowd of forks: a few wait, the others come again."""

    async def crowd() -> list[int]:
        """Open the page forty times at once."""
        return await asyncio.gather(*(asyncio.create_task(opened()) for _ in range(40)))

    async def opened() -> int:
        """Open the page, and return the status."""
        statuses: list[int] = []

        async def send(message: Message) -> None:
            """Take the answer."""
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async def receive() -> Message:
            """Return a request without a body."""
            return {"type": "http.request", "body": b"", "more_body": False}

        about = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b""}
        place = {"scheme": "http", "client": ("10.0.0.7", 1), "server": ("localhost", 80), "http_version": "1.1"}
        await demo.app({**about, **place, "headers": [(b"host", b"localhost")]}, receive, send)
        return statuses[0]

    statuses = asyncio.run(crowd())
    assert statuses.count(200) == visitors.MOST_BEGINNING
    assert set(statuses) == {200, 503}
