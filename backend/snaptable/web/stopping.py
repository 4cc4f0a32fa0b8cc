"""How a server tells what it serves that it begins to stop: answers without an end would keep it waiting.

The server puts an event into the state that every request's scope has a copy of; under servers that don't, there is
none, and such answers end when their connections do.
"""

import asyncio
from collections.abc import MutableMapping

from starlette.types import Scope

STATE_KEY = "snaptable.stopping"


def announce_stops(state: MutableMapping[str, object]) -> asyncio.Event:
    """Return an event, to be set when the server begins to stop, and let requests find it."""
    event = asyncio.Event()
    state[STATE_KEY] = event
    return event


def stop_of(scope: Scope) -> asyncio.Event | None:
    """Return the event that tells a request of the server's stop; None if the server has none."""
    event = scope.get("state", {}).get(STATE_KEY)
    return event if isinstance(event, asyncio.Event) else None
