"""The tracker: what it promises over HTTP, its numbers against plain Python, its migration, its seed."""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.demos.support import Json, client_of

from demos.main import main
from demos.tracker import learning
from demos.tracker.application import create_app
from demos.tracker.seed import seed
from demos.tracker.tables import Lesson, Progress, Track, Tracker, User
from snaptable import Database, Row, Table, utc_now


@pytest.fixture
def tracker() -> Iterator[tuple[Tracker, TestClient]]:
    """Give an empty tracker, and a client of it."""
    app = create_app("memory:")
    with client_of(app) as client:
        yield app.state.db, client


def made(client: TestClient, path: str, **body: Any) -> Json:
    """Add a row, and return it."""
    answer = client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    row: Json = answer.json()
    return row


def test_a_track_from_draft_to_enrolment(tracker: tuple[Tracker, TestClient]) -> None:
    """Ensure 409 for what can't be done yet, or is done already, and that an enrolment is one commit."""
    db, client = tracker
    ada = made(client, "/api/users", name="Ada", email="ada@example.org")
    track = made(client, "/api/tracks", title="Python")
    path = f"/api/tracks/{track['id']}"
    enrolment = {"user_id": ada["id"]}
    assert client.post(f"{path}/publish").json()["detail"] == "A track without lessons can't be published."
    for number in (2, 1):
        made(client, "/api/lessons", track_id=track["id"], title=f"Lesson {number}", order=number)
    taken = client.post("/api/lessons", json={"track_id": track["id"], "title": "Another", "order": 1})
    assert (taken.status_code, taken.json()["fields"]) == (409, ["track_id", "order"])

    assert client.post(f"{path}/enrol", json=enrolment).status_code == 409  # a draft
    assert client.post(f"{path}/publish").status_code == 200
    assert client.post(f"{path}/publish").status_code == 409
    before = db.history.sequence
    enrolled = client.post(f"{path}/enrol", json=enrolment)
    assert enrolled.status_code == 201, enrolled.text
    assert len(enrolled.json()) == 2
    assert db.history.sequence == before + 1
    assert client.post(f"{path}/enrol", json=enrolment).status_code == 409
    assert client.post(f"{path}/enrol", json={"user_id": "nobody"}).status_code == 404
    assert client.post("/api/tracks/nowhere/enrol", json=enrolment).status_code == 404
    assert client.post(f"{path}/enrol", json={"user_id": 1}).status_code == 422
    assert db.history.sequence == before + 1

    row = enrolled.json()[0]
    assert client.patch(f"/api/progress/{row['id']}", json={"done": True, "score": 90}).status_code == 200
    assert client.patch(f"/api/progress/{row['id']}", json={"lesson_id": "other"}).status_code == 422
    (shown,) = client.get(f"/api/users/{ada['id']}/progress").json()["tracks"]
    assert (shown["title"], shown["done"]) == ("Python", 1)
    assert [lesson["order"] for lesson in shown["lessons"]] == [1, 2]


def test_put_away_is_not_deleted_and_deleted_comes_back(tracker: tuple[Tracker, TestClient]) -> None:
    """Ensure that a track that is put away is shown by nothing and can be taken out, and that a deletion is undone."""
    db, client = tracker
    seed(db)
    track = db.tracks.where(title="Concurrency").one()
    path = f"/api/tracks/{track.id}"
    assert client.delete(path).status_code == 204
    shown = [client.get(path), client.post(f"{path}/publish"), client.patch(path, json={"title": "x"})]
    assert [answer.status_code for answer in shown] == [404, 404, 404]
    assert track.id not in client.get("/api/tracks").text + client.get("/api/tracks/popular").text
    assert client.post(f"{path}/take-out").json()["title"] == "Concurrency"
    assert client.get(path).status_code == 200

    lesson = db.lessons.where(Lesson.track_id == track.id).all()[0]
    learners = db.progress.where(Progress.lesson_id == lesson.id).count()
    before = db.history.sequence
    assert client.delete(f"/api/lessons/{lesson.id}").status_code == 204
    assert db.progress.where(Progress.lesson_id == lesson.id).count() == 0 < learners
    undone = client.post(f"/api/undo/{db.history.sequence}")
    assert undone.json() == {"sequence": before + 2, "changes": 1 + learners}
    assert db.lessons[lesson.id] == lesson

    client.patch(f"/api/lessons/{lesson.id}", json={"title": "First"})
    first = db.history.sequence
    client.patch(f"/api/lessons/{lesson.id}", json={"title": "Second"})
    for none in (0, -1, db.history.sequence + 1, 10**30):
        assert client.post(f"/api/undo/{none}").status_code == 404
    refused = client.post(f"/api/undo/{first}")
    assert refused.status_code == 409
    assert refused.json()["conflicts"] == [{"table": "lessons", "field": "title", "kind": "changed since"}]


class Asked:
    """An observer that is told of every query, for none is too quick."""

    slow_seconds = 0.0

    def __init__(self) -> None:
        self.count = 0

    def slow(self, *_query: object) -> None:
        """Count it."""
        self.count += 1


@pytest.mark.parametrize("path", ["/api/tracks?expand=lessons", "/api/lessons?expand=track", "/api/tracks/popular"])
def test_related_rows_cost_no_query_each(tracker: tuple[Tracker, TestClient], path: str) -> None:
    """Ensure that what belongs to many rows is read by as many queries as what belongs to few."""
    db, client = tracker
    counts = []
    client.get(path)  # A list asks now and then how long the table is, and remembers that; the first time it does.
    for number in (4, 16):
        for each in range(number):
            track = db.tracks.create(title=f"{number} {each}", published_at=utc_now())
            db.lessons.insert_many(Lesson(track_id=track.id, title="x", order=order) for order in range(1, 4))
        asked = Asked()
        db._observe_queries(asked)
        assert client.get(path).status_code == 200
        counts.append(asked.count)
    assert counts[0] == counts[1] > 0


SCORES = st.one_of(st.none(), st.integers(0, 100).map(float))
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), SCORES, st.integers(0, 9)), max_size=12)


@given(rows=ROWS)
def test_the_numbers_are_those_of_plain_python(rows: list[tuple[int, int, bool, float | None, int]]) -> None:
    """Ensure what is popular, and the sums and means, for random enrolments."""
    with Tracker("memory:") as db:
        users = db.users.insert_many(User(name=str(n), email=f"{n}@x") for n in range(4))
        tracks = db.tracks.insert_many(Track(title=f"t{n}", published_at=utc_now()) for n in range(4))
        lessons = db.lessons.insert_many(
            Lesson(track_id=track.id, title="x", order=order) for track in tracks for order in (1, 2)
        )
        enrolled: dict[tuple[int, int], list[Progress]] = {}
        for user, track, done, score, minutes in rows:
            if (user, track) not in enrolled:
                enrolled[user, track] = learning.enrol(db, tracks[track].id, users[user].id)
            row = enrolled[user, track][len(enrolled) % 2]
            db.progress.update(row.id, done=done, score=score, time_spent=minutes)
        expected: list[Json] = []
        for number, one in enumerate(tracks):
            mine = db.progress.where(Progress.track_id == one.id).all()
            scores = [row.score for row in mine if row.score is not None]
            expected.append({
                "id": one.id, "title": one.title, "users": sum(pair[1] == number for pair in enrolled),
                "time_spent": sum(row.time_spent for row in mine),
                "score": pytest.approx(fmean(scores)) if scores else None,
            })  # fmt: skip
        expected.sort(key=lambda each: (-each["users"], each["title"]))
        assert learning.popular(db) == expected
        numbers = learning.statistics(db)
        every = db.progress.where().all()
        assert numbers["lessons"] == len(lessons)
        assert numbers["lessons_done"] == sum(row.done for row in every)
        assert numbers["time_spent"] == sum(row.time_spent for row in every)
        assert numbers["score"]["max"] == max((row.score for row in every if row.score is not None), default=None)


class FirstUser(Row):
    """A user of the first version: without a bio."""

    id: str
    name: str
    email: str
    created_at: str


class FirstTracker(Database):
    """The tracker's first version, as far as it matters."""

    users: Table[FirstUser]


def test_a_store_of_the_first_version_is_migrated(tmp_path: Path) -> None:
    """Ensure that its users get a bio, by the one migration, as a commit of their history."""
    with FirstTracker(tmp_path / "data", banner=False) as old:
        old.users.create(id="ada", name="Ada", email="ada@example.org", created_at="2026-01-01T00:00:00Z")
    with Tracker(tmp_path / "data", banner=False) as db:
        assert db.users["ada"].bio == ""
        assert "users: a bio" in next(iter(db.history)).migrations


def test_the_seed_is_one_command_and_is_sown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ensure that the command fills an empty store and leaves another as it is."""
    folder = tmp_path / "deep" / "data"
    assert main(["tracker", "seed", "--data-dir", str(folder)]) == 0
    first = capsys.readouterr().out
    assert "7 users, 5 tracks" in first
    with Tracker(folder, banner=False) as db:
        assert db.check() == []
        db.users.delete(db.users.where().all()[0].id)
    assert main(["tracker", "seed", "--data-dir", str(folder)]) == 0
    assert "6 users" in capsys.readouterr().out
