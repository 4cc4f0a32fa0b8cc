"""Server processes: the backend without an access log, the peers with its settings of uvicorn and the collector."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from app.server import Server, limits
from app.settings import Settings
from snaptable.web.server import bind, server_settings

HERE = "tests.benchmarks.server"
BACKEND = ["-m", "app.main", "--no-access-log"]
COLLECTOR_OFF = [
    "-c", "import gc; gc.disable(); from app.main import main; raise SystemExit(main())", "--no-access-log",
]  # fmt: skip
NOTHING = ["-m", f"{HERE}.serving"]


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[int]:
    """Run Python on what serves, in a process of its own, and give the port."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = (re.search(r"http://[^/]*:(\d+)/", line) for line in process.stdout)
        yield next(int(match[1]) for match in lines if match)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def serve_peer(app: ASGIApp) -> None:
    """Serve a peer on a free port and say where: by the backend's server, without what the backend does a request."""
    listener = bind("127.0.0.1", 0)
    settings = server_settings(limits(Settings(_env_file=None)))
    server = Server(uvicorn.Config(app, lifespan="on", log_config=None, access_log=False, **settings))
    server.tell = _say
    server.announcement = f"http://127.0.0.1:{listener.getsockname()[1]}/\n"
    server.run(sockets=[listener])


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


async def _do_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a constant: what a client sees of this is all it can see."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"400")]})
        await send({"type": "http.response.body", "body": b"x" * 400})


if __name__ == "__main__":
    serve_peer(_do_nothing)
