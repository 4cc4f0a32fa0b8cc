"""An application with a feed in a server process of its own: `python served_feed.py JSON`.

It says its port, serves until SIGTERM, and does what is posted to `/do`: a list of writes, in one commit.
"""

import json
import sys
from typing import Annotated, Any, NamedTuple

import uvicorn
from fastapi import Body, FastAPI, Header

from snaptable import Database, Index, Row, Secret, Table, table
from snaptable.web import feed_router, install_problems, server_settings
from snaptable.web.rules import Rules
from snaptable.web.server import GuardedServer, ServerLimits, bind


class Note(Row):
    """A note, seen by its owner, and by everybody while it is shared."""

    id: str
    owner: Annotated[str, Index()]
    shared: bool = False
    text: str = ""
    pin: Annotated[str, Secret()] = "no-pin"


class Private(Row):
    """What no feed has rules for."""

    id: str
    text: str = ""


class Session(Row):
    """What has no past."""

    id: str
    user: str


class Notes(Database):
    """The database."""

    notes: Table[Note]
    private: Table[Private]
    sessions: Table[Session] = table(transient=True)


class Caller(NamedTuple):
    """Who asks."""

    id: str


async def get_caller(x_user: Annotated[str, Header()]) -> Caller:
    """Return who asks."""
    return Caller(x_user)


RULES = {"notes": Rules(read=lambda me: (Note.owner == me.id) | (Note.shared == True))}  # noqa: E712


def make(**chosen: Any) -> tuple[FastAPI, Notes]:
    """Return the application over an open database."""
    db = Notes(
        chosen.pop("url"), fsync=False, banner=False, history_bytes=chosen.pop("history_bytes", 256 << 20)
    ).open()
    app = FastAPI()
    install_problems(app)

    async def still(me: object) -> bool:
        return bool(db.sessions.where(Session.user == getattr(me, "id", "")).exists())

    chosen["still"] = still if chosen.pop("sessions", False) else None
    app.include_router(feed_router(db, caller=get_caller, rules=RULES, **chosen), prefix="/api")

    @app.post("/do")
    async def do(steps: Annotated[list[list[Any]], Body()]) -> int:
        """Carry out writes in one commit: `[table, "insert" | "update" | "delete", key, fields]`."""

        def write(db: Notes) -> None:
            for name, verb, key, fields in steps:
                table = db.tables[name]
                if verb == "insert":
                    table.insert(table.model(id=key, **fields))
                elif verb == "update":
                    table.update(key, **fields)
                else:
                    table.delete(key)

        await db.run(write)
        return db.history.sequence

    @app.post("/purge/{key}")
    async def purge(key: str) -> None:
        """Erase a note from the past too."""
        db.history.purge("notes", key)

    @app.post("/forget")
    async def forget() -> None:
        """Forget the past."""
        db.history.forget(db.history.sequence)

    return app, db


def main() -> None:
    """Serve on a free port, say which, and stop when told to."""
    chosen = json.loads(sys.argv[1])
    plain = chosen.pop("plain", False)
    limits = ServerLimits(**chosen.pop("limits", {}))
    app, db = make(**chosen)
    listener = bind("127.0.0.1", 0)
    listener.listen()
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="warning", access_log=False, **server_settings(limits))
    server = uvicorn.Server(config) if plain else GuardedServer(config)
    server.run(sockets=[listener])
    db.close()


if __name__ == "__main__":
    main()
