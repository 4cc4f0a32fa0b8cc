"""The tracker over HTTP: the four tables by `crud_router`, and the routes for what is more than a row."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict

from demos.serving import LOCAL, new_app, page_router
from demos.tracker import learning
from demos.tracker.tables import Difficulty, Progress, Text, Track, Tracker
from demos.visitors import Visitors
from snaptable import attribution
from snaptable.web import ALL, Rules, StrictRoute, crud_router, feed_router, problems


class TrackIn(BaseModel):
    """A track as it is made: a draft."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Text
    description: str = ""
    difficulty: Difficulty = "easy"


class Enrolment(BaseModel):
    """Who enrols."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: str


class Undone(BaseModel):
    """What an undo did."""

    sequence: int | None
    changes: int


def create_app(directory: Path | str, *, hosts: Iterable[str] = LOCAL, **options: Any) -> FastAPI:
    """Return the application over the store of a directory."""
    return application(Tracker(directory, **options), hosts=hosts)


def application(db: Tracker, *, hosts: Iterable[str] = LOCAL, admin: bool = True) -> FastAPI:
    """Return the application over a database, which it opens when it starts."""
    # The own routes come first: those of tables take anything for a key.
    own = [track_routes(db), figures_routes(db), undo_routes(db)]
    routers = [page_router(Path(__file__).parent), *own, *tables(db), feed_router(db, prefix="/api")]
    app = new_app("Tracker", db, routers, hosts=hosts, admin=admin)
    app.state.db = db
    return app


def visited_app(directory: Path | str, *, hosts: Iterable[str] = LOCAL, **options: Any) -> Visitors:
    """Return the application that gives each visitor a copy of the store's rows, and never writes to it."""
    db = Tracker(directory, **options)
    return Visitors(
        application(db, hosts=hosts), db, lambda fork: application(cast(Tracker, fork), hosts=hosts, admin=False)
    )


def tables(db: Tracker) -> list[APIRouter]:
    """Return the routers of the four tables: what is put away is to everybody as if it were not there."""
    shown = Rules(read=lambda _me: Track.deleted_at == None)  # noqa: E711  # a column
    return [
        crud_router(db.users, prefix="/api/users", filters=["id", "email", "name"], sorts=["name", "created_at"]),
        crud_router(
            db.tracks, prefix="/api/tracks", allow=ALL - {"delete", "replace", "bulk"}, rules=shown, create=TrackIn,
            fixed=["id", "published_at", "deleted_at"], filters=["id", "title", "difficulty", "published_at"],
            expand=["lessons"],
        ),
        crud_router(
            db.lessons, prefix="/api/lessons", fixed=["id", "track_id"], expand=["track"],
            filters=["id", "track_id", "title", "order"],
        ),
        crud_router(
            db.progress, prefix="/api/progress", allow={"list", "get", "update", "history"},
            fixed=["id", "user_id", "track_id", "lesson_id", "enrolled_at"], expand=["user", "track", "lesson"],
        ),
    ]  # fmt: skip


def _new_router() -> APIRouter:
    return APIRouter(
        prefix="/api",
        tags=["learning"],
        route_class=StrictRoute,
        generate_unique_id_function=lambda route: route.name,
    )


def track_routes(db: Tracker) -> APIRouter:
    """Return what is done with a track as a whole."""
    router = _new_router()

    @router.post("/tracks/{track_id}/publish", responses=problems(404, 409, 503))
    async def publish_track(track_id: str) -> Track:
        """Let users enrol; a track needs a lesson for that."""
        with attribution(via="publish"):
            return await db.run(learning.publish, track_id)

    @router.post("/tracks/{track_id}/enrol", status_code=201, responses=problems(404, 409, 422, 503))
    async def enrol_user(track_id: str, body: Enrolment) -> list[Progress]:
        """Enrol a user in a published track, once."""
        with attribution(via="enrol"):
            return await db.run(learning.enrol, track_id, body.user_id)

    @router.delete("/tracks/{track_id}", status_code=204, responses=problems(404, 503))
    async def put_track_away(track_id: str) -> None:
        """Put a track away: nothing shows it any more, and it can be taken out again."""
        with attribution(via="put away"):
            await db.run(learning.put_away, track_id)

    @router.post("/tracks/{track_id}/take-out", responses=problems(404, 503))
    async def take_track_out(track_id: str) -> Track:
        """Show a track again that was put away."""
        with attribution(via="take out"):
            return await db.run(learning.take_out, track_id)

    return router


def figures_routes(db: Tracker) -> APIRouter:
    """Return what is worked out of rows."""
    router = _new_router()

    @router.get("/tracks/popular")
    async def list_popular_tracks() -> list[dict[str, object]]:
        """Return the tracks with the most users."""
        return learning.popular(db)

    @router.get("/tracks/statistics")
    async def show_statistics() -> dict[str, object]:
        """Return numbers over everything."""
        return learning.statistics(db)

    @router.get("/users/{user_id}/progress", responses=problems(404))
    async def show_progress(user_id: str) -> dict[str, object]:
        """Return how far a user has come, by track."""
        return learning.progress_of(db, user_id)

    return router


def undo_routes(db: Tracker) -> APIRouter:
    """Return what takes a commit back."""
    router = _new_router()

    @router.post("/undo/{sequence}", responses=problems(404, 409, 410, 422, 503))
    async def undo_commit(sequence: int) -> Undone:
        """Take a commit back, whatever it did: a lesson that was deleted comes back with everybody's progress."""
        with attribution(via="undo"):
            done = await db.run(learning.undo, sequence)
        return Undone(sequence=db.history.sequence, changes=len(done.changes))

    return router
