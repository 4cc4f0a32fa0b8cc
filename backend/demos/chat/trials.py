"""The four tests of a store, as routes: stop the server, kill it amid writes, lose the store and put a backup back.

Each ends this process for real; `supervisor` starts the next one. (The fourth, a second window, needs no route.)
"""

import asyncio
import os
import random
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response, StreamingResponse

from demos.chat.tables import Chat
from demos.chat.talking import counts_hold, keep
from demos.supervisor import AGAIN
from snaptable import attribution, utc_now
from snaptable.maintenance.restore import unpacked
from snaptable.web import Problem, problems

LOSE: Final = AGAIN + 1
PUT_BACK: Final = AGAIN + 2
"""The exit statuses that ask for more than a start."""
KEPT_BACKUPS = 3
BURST = 2_000
"""Messages that are written while the kill is waited for, at most."""
TAIL = 1_200
"""Bytes of the file's end that are shown."""


class ChatState(BaseModel):
    """How the chat is doing, and in which process."""

    pid: int
    started_at: datetime
    conversations: int
    messages: int
    sequence: int
    sound: bool
    file_bytes: int
    file_end: str


def trial_router(db: Chat, stop: Callable[[int], None] | None) -> APIRouter:
    """Return the routes.

    Args:
        db: the database.
        stop: stops this process in order, with an exit status; None where the next one would not be started.
    """
    router = APIRouter(prefix="/api/demo", tags=["trials"], generate_unique_id_function=lambda route: route.name)
    started_at = utc_now()

    @router.get("/state")
    async def show_state() -> ChatState:
        """Return what is there."""
        return _state(db, started_at)

    @router.post("/restart", status_code=202, responses=problems(409))
    async def restart() -> Response:
        """Stop in order, and come back."""
        return _answer(_state(db, started_at), BackgroundTask(_known(stop), AGAIN))

    @router.post("/kill", responses=problems(409))
    async def kill(request: Request) -> Response:
        """Write a message after the other, tell each that is durable by a line, and be killed at some moment."""
        _known(stop)
        delay = random.uniform(0.2, 0.6)  # noqa: S311 - any moment
        return StreamingResponse(_write_until_killed(db, delay, request), media_type="text/plain")

    @router.post("/lose", status_code=202, responses=problems(409))
    async def lose() -> Response:
        """Make a backup, stop, and lose the whole folder of the store."""
        then = _known(stop)
        folder = backup_folder(db)
        await asyncio.to_thread(_back_up, db, folder)
        return _answer(_state(db, started_at), BackgroundTask(then, LOSE))

    @router.post("/put-back", status_code=202, responses=problems(409))
    async def put_back() -> Response:
        """Stop, and put the last backup in the place of what is there."""
        return _answer(_state(db, started_at), BackgroundTask(_known(stop), PUT_BACK))

    return router


def _known(stop: Callable[[int], None] | None) -> Callable[[int], None]:
    """Return what stops this process, after which the next one is started.

    Raises:
        Problem: 409, no next one would be.
    """
    if stop is None:
        raise Problem(409, "Nobody would start this server again: run it by `demo chat`.")
    return stop


def _state(db: Chat, started_at: datetime) -> ChatState:
    file = None if db.directory is None else db.directory / "db_snapshot.json"
    data = file.read_bytes() if file is not None and file.exists() else b""
    return ChatState(
        pid=os.getpid(), started_at=started_at, conversations=db.conversations.count(),
        messages=db.messages.count(), sequence=db.history.sequence, sound=counts_hold(db) and not db.check(),
        file_bytes=len(data), file_end=data[-TAIL:].decode(errors="replace"),
    )  # fmt: skip


def _answer(state: ChatState, then: BackgroundTask) -> Response:
    return JSONResponse(state.model_dump(mode="json"), 202, background=then)


async def _write_until_killed(db: Chat, delay: float, request: Request) -> AsyncIterator[bytes]:
    """Yield a line for each message that is durable; the process is killed behind the first, wherever it is then."""
    key: str | None = None
    with attribution(via=request.url.path):
        for number in range(BURST):
            said = await db.run(keep, key, f"Message {number} before the kill", f"Kept {number}", {"model": "trial"})
            key = said.conversation.id
            yield b"%d\n" % number
            if number == 0:
                threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
    await asyncio.sleep(60)


def backup_folder(db: Chat) -> Path:
    """Return where the backups are: beside the store, not in it."""
    if db.directory is None:
        raise Problem(409, "A chat in memory has no file to lose.")
    return db.directory.with_name(f"{db.directory.name}-backups")


def _back_up(db: Chat, folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    db.backup(folder)  # read back and verified before it has its name
    for old in sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime)[:-KEPT_BACKUPS]:
        old.unlink()


def between(directory: Path, status: int) -> None:
    """Do what a server asked for by its exit status, before the next one starts."""
    if status == LOSE:
        shutil.rmtree(directory)
    elif status == PUT_BACK:
        backups = sorted(
            directory.with_name(f"{directory.name}-backups").glob("*.zip"), key=lambda path: path.stat().st_mtime
        )
        with unpacked(backups[-1], directory) as backup:
            backup.take_place()
