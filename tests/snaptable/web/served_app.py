"""An application in a server process of its own, within limits that the tests name: `python served_app.py JSON`."""

import asyncio
import json
import signal
import sys

import uvicorn
from starlette.types import Receive, Scope, Send

from snaptable.web.server import GuardedServer, ServerLimits, bind, server_settings

released = asyncio.Event()
"""Set when the process is told to end the answers that it holds."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `/large` with 64 MB, `/held` when it is told to by SIGUSR1, anything else with what was sent.

    That is the method, the length of the body and the number of header lines; `/slow?2` says it two seconds late.
    """
    if scope["type"] == "lifespan":
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, released.set)
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    if scope["path"] == "/large":
        await send_large(send)
        return
    if scope["path"] == "/held":
        await send_held(send)
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(float(scope["query_string"]))
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        more = message["more_body"]
    body = b"%s %d %d" % (scope["method"].encode(), length, len(scope["headers"]))
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


async def send_held(send: Send) -> None:
    """Begin an answer at once, and end it when that is allowed."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": b"held", "more_body": True})
    await released.wait()
    await send({"type": "http.response.body", "body": b" end"})


async def send_large(send: Send) -> None:
    """Send 64 MB in pieces of one."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"64000000")]})
    for number in range(64):
        await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": number < 63})


def main() -> None:
    """Serve on a free port, say which, and stop when told to."""
    chosen = json.loads(sys.argv[1])
    plain = chosen.pop("plain", False)
    listener = bind("127.0.0.1", 0)
    settings = server_settings(ServerLimits(**chosen))
    if "connections_per_address" in chosen:
        settings["http"].uncounted = ()  # this machine as well
    listener.listen()
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_config=None, access_log=False, **settings)
    server = uvicorn.Server(config) if plain else GuardedServer(config)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
