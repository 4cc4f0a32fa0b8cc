"""The router of each module of the API."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from snaptable.web import StrictRoute


def new_router(tag: str, prefix: str = "") -> APIRouter:
    """Return a router whose JSON bodies are read strictly; generated clients name their methods after its functions."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=StrictRoute, generate_unique_id_function=_name_of)


def _name_of(route: APIRoute) -> str:
    """Return the name of the route's function."""
    return route.name
