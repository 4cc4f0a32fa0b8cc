"""What changes of a user's rows, as it happens."""

from typing import cast

from fastapi import APIRouter

from app.api.dependencies import LOGIN, Caller
from app.resources import Resources
from app.services import sessions
from app.tables import Document
from snaptable.web import Rules, feed_router

RULES = {"documents": Rules(read=lambda me: Document.user_id == me.id)}
"""Extractions and annotations have those of their routers; of users and sessions nothing is told."""


def changes_router(resources: Resources) -> APIRouter:
    """Return the router of `/api/changes`."""
    return feed_router(
        resources.db,
        caller=LOGIN,
        rules=RULES,
        still=_is_logged_in,
        prefix="/api",
        max_streams=resources.settings.feeds,
        max_streams_of_caller=resources.settings.user_feeds,
    )


async def _is_logged_in(me: object) -> bool:
    """Return whether the session that a stream began with still lasts."""
    caller = cast(Caller, me)
    return await caller.db.read(sessions.goes_on, caller.session.id)
