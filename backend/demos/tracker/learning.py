"""What is done in the tracker: plain functions of the database, each called as one transaction."""

from typing import Any

from demos.tracker.tables import Lesson, Progress, Track, Tracker, User
from snaptable import Avg, Count, Max, Min, RowNotFound, Sum, Table, asc, utc_now
from snaptable.history import Revert
from snaptable.web import Problem


def shown(db: Tracker, track_id: str) -> Track:
    """Return a track that was not put away.

    Raises:
        Problem: 404.
    """
    track = db.tracks.get(track_id)
    if track is None or track.deleted_at is not None:
        raise Problem(404, "There is no such track.")
    return track


def publish(db: Tracker, track_id: str) -> Track:
    """Let users enrol in a track.

    Raises:
        Problem: 404; 409, it is published already, or has no lesson.
    """
    track = shown(db, track_id)
    if track.published_at is not None:
        raise Problem(409, "This track is published already.")
    if not db.lessons.where(Lesson.track_id == track.id).exists():
        raise Problem(409, "A track without lessons can't be published.")
    return db.tracks.update(track.id, published_at=utc_now())


def enrol(db: Tracker, track_id: str, user_id: str) -> list[Progress]:
    """Enrol a user: one row for each lesson, all of them or none.

    Raises:
        Problem: 404; 409, the track is a draft, or the user is enrolled already.
    """
    track = shown(db, track_id)
    if user_id not in db.users:
        raise Problem(404, "There is no such user.")
    if track.published_at is None:
        raise Problem(409, "This track is a draft: publish it first.")
    if db.progress.where(Progress.user_id == user_id, Progress.track_id == track.id).exists():
        raise Problem(409, "This user is enrolled already.")
    lessons = db.lessons.where(Lesson.track_id == track.id).order_by(asc(Lesson.order))
    rows = [Progress(user_id=user_id, track_id=track.id, lesson_id=lesson.id) for lesson in lessons]
    return db.progress.insert_many(rows)


def put_away(db: Tracker, track_id: str) -> None:
    """Delete a track softly: its row says so, and nothing shows it any more.

    Raises:
        Problem: 404.
    """
    db.tracks.update(shown(db, track_id).id, deleted_at=utc_now())


def take_out(db: Tracker, track_id: str) -> Track:
    """Show a track again that was put away.

    Raises:
        Problem: 404.
    """
    if track_id not in db.tracks:
        raise Problem(404, "There is no such track.")
    return db.tracks.update(track_id, deleted_at=None)


def undo(db: Tracker, sequence: int) -> Revert:
    """Take a commit back.

    Raises:
        Problem: 404, there is no such commit.
    """
    if not 1 <= sequence <= db.history.sequence:
        raise Problem(404, "There is no such commit.")
    return db.history.undo(sequence)


# ── questions ───────────────────────────────────────────────────────────────────────────────────────────────────────


def popular(db: Tracker, limit: int = 5) -> list[dict[str, object]]:
    """Return the published tracks with the most users, and how well these do.

    Two groups and one look-up, whatever the number of tracks.
    """
    pairs = db.progress.group_by(Progress.track_id, Progress.user_id).aggregate(lessons=Count())
    users: dict[str, int] = {}
    for pair in pairs:
        users[pair.key[0]] = users.get(pair.key[0], 0) + 1
    numbers = {
        group.key: group.values
        for group in db.progress.group_by(Progress.track_id).aggregate(
            time_spent=Sum(Progress.time_spent), score=Avg(Progress.score)
        )
    }
    tracks = db.tracks.where(Track.deleted_at == None, Track.published_at != None)  # noqa: E711  # columns
    ranked = sorted(tracks, key=lambda track: (-users.get(track.id, 0), track.title))
    return [
        {
            "id": track.id,
            "title": track.title,
            "users": users.get(track.id, 0),
            **numbers.get(track.id, {"time_spent": 0, "score": None}),
        }
        for track in ranked[:limit]
    ]


def statistics(db: Tracker) -> dict[str, Any]:
    """Return numbers over everything, of one state of the database."""
    tables: dict[str, Table[Any]] = {"users": db.users, "tracks": db.tracks, "lessons": db.lessons}
    return {
        **{name: table.count() for name, table in tables.items()},
        "published": db.tracks.where(Track.published_at != None).count(),  # noqa: E711  # a column
        "lessons_done": db.progress.where(Progress.done == True).count(),  # noqa: E712  # a column
        "time_spent": db.progress.sum(Progress.time_spent),
        "score": db.progress.aggregate(avg=Avg(Progress.score), min=Min(Progress.score), max=Max(Progress.score)),
        "tracks_by_difficulty": {
            str(group.key): group.values["n"] for group in db.tracks.group_by(Track.difficulty).aggregate(n=Count())
        },
    }


def progress_of(db: Tracker, user_id: str) -> dict[str, Any]:
    """Return how far a user has come, by track; one look-up by index for the lessons, whatever their number.

    Raises:
        RowNotFound: no such user exists.
    """
    user: User = db.users[user_id]
    tracks: dict[str, dict[str, Any]] = {}
    rows = db.progress.where(Progress.user_id == user.id)
    for progress, lesson in rows.with_one(db.lessons, on=Progress.lesson_id):
        if lesson is None:
            raise RowNotFound(f"lesson {progress.lesson_id}")
        track = db.tracks[progress.track_id]
        of_track = tracks.setdefault(track.id, {"id": track.id, "title": track.title, "done": 0, "lessons": []})
        of_track["done"] += progress.done
        of_track["lessons"].append({"title": lesson.title, "order": lesson.order, **progress.model_dump(mode="json")})
    for each in tracks.values():
        each["lessons"].sort(key=lambda one: one["order"])
    return {"user": user.model_dump(mode="json"), "tracks": [*tracks.values()]}
