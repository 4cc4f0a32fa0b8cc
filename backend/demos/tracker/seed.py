"""Rows to begin with: the same at every start from nothing."""

from random import Random

from demos.tracker import learning
from demos.tracker.tables import Difficulty, Lesson, Progress, Track, Tracker, User
from snaptable import asc

NAMES = ("Ada Lovelace", "Alan Turing", "Barbara Liskov", "Edgar Codd", "Grace Hopper", "Jim Gray", "Margaret Hamilton")
TRACKS: dict[str, tuple[Difficulty, list[str]]] = {
    "Python from nothing": ("easy", ["Values and names", "Functions", "Lists and dicts", "Files", "Tests"]),
    "Databases, honestly": ("medium", ["What a transaction is", "Indexes", "Write-ahead logs", "Crashes", "Backups"]),
    "HTTP without fear": ("easy", ["Requests", "Status codes", "Caching", "ETags and conflicts"]),
    "Concurrency": ("hard", ["Threads", "Event loops", "Lost updates", "Isolation levels"]),
    "Reading a journal": ("hard", ["Frames", "Checksums", "Torn tails"]),
}
DRAFT = "Reading a journal"


def seed(db: Tracker) -> None:
    """Fill an empty tracker, as one commit."""
    rng = Random(1969)  # noqa: S311 - the same rows each time
    with db.transaction(actor="seed", note="rows to begin with"):
        users = db.users.insert_many(
            User(name=name, email=f"{name.split()[0].lower()}@example.org", bio=f"{name} is learning.")
            for name in NAMES
        )
        for title, (difficulty, lessons) in TRACKS.items():
            track = db.tracks.insert(
                Track(title=title, difficulty=difficulty, description=f"{len(lessons)} lessons, one after the other.")
            )
            db.lessons.insert_many(
                Lesson(track_id=track.id, title=lesson, order=number, duration=rng.randint(5, 45))
                for number, lesson in enumerate(lessons, 1)
            )
            if title != DRAFT:
                learning.publish(db, track.id)
                for user in rng.sample(users, rng.randint(2, len(users))):
                    _learn(db, rng, track, user)


def _learn(db: Tracker, rng: Random, track: Track, user: User) -> None:
    learning.enrol(db, track.id, user.id)
    mine = (
        db.progress.where(Progress.track_id == track.id, Progress.user_id == user.id).order_by(asc(Progress.id)).all()
    )
    for row in mine[: rng.randint(0, len(mine))]:
        db.progress.update(row.id, done=True, score=float(rng.randint(50, 100)), time_spent=rng.randint(5, 60))
