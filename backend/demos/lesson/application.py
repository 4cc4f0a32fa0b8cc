"""The lesson over HTTP: the lanes, their runs as they happen, and what all runs came to."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, FastAPI
from starlette.responses import Response, StreamingResponse

from demos.lesson.lanes import LANES
from demos.lesson.results import Results, Run
from demos.lesson.running import Busy, Runner, told
from demos.lesson.steps import Lane
from demos.serving import new_app, page_router
from snaptable import Count
from snaptable.web import Problem, crud_router, problems


def create_app(directory: Path | str, **options: Any) -> FastAPI:
    """Return the application; the lanes run in folders of a directory, beside the store of the results."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = Results(folder / "results", **options)
    routers = [
        page_router(Path(__file__).parent),
        lane_router(db, Runner(folder / "lanes")),
        crud_router(db.runs, prefix="/api/runs", allow={"list"}, filters=["id", "lane", "side", "held"]),
    ]
    app = new_app("Lesson", db, routers)
    app.state.db = db
    return app


def lane_router(db: Results, runner: Runner) -> APIRouter:
    """Return the routes of the lanes."""
    router = APIRouter(prefix="/api", tags=["lanes"], generate_unique_id_function=lambda route: route.name)

    @router.get("/lanes")
    async def list_lanes() -> list[dict[str, str]]:
        """Return the lanes, in their order."""
        return [{"name": lane.name, "title": lane.title, "question": lane.question} for lane in LANES.values()]

    @router.post("/lanes/{name}/{side}", responses=problems(404, 409))
    def run_lane(name: str, side: Literal["naive", "ours"]) -> Response:
        """Run a lane, and answer with a line of JSON for each step, as it happens."""
        lane = LANES.get(name)
        if lane is None:
            raise Problem(404, "There is no such lane.")
        steps = lines(db, runner, lane, side)
        try:
            first = next(steps)  # begins the run
        except Busy:
            raise Problem(409, "This lane is running already.") from None
        return StreamingResponse(_behind(first, steps), media_type="application/jsonl")

    @router.get("/tally")
    async def show_tally() -> dict[str, dict[str, int]]:
        """Return how many runs there were of each store, and how many kept everything."""
        groups = db.runs.group_by(Run.side, Run.held).aggregate(n=Count())
        tally = {side: {"runs": 0, "held": 0} for side in ("naive", "ours")}
        for group in groups:
            side, held = group.key
            tally[side]["runs"] += group.values["n"]
            tally[side]["held"] += group.values["n"] * held
        return tally

    return router


def lines(db: Results, runner: Runner, lane: Lane, side: str) -> Iterator[bytes]:
    """Yield the steps of a run as lines of JSON, and keep what it came to."""
    for step in runner.run(lane, side):
        if step.held is not None:
            db.runs.create(lane=lane.name, side=side, held=step.held, figure=step.figure)
        yield json.dumps(told(step)).encode() + b"\n"


def _behind(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
