"""Offer FastAPI parts for any `Database`: problems, strict JSON, body limits, lists and health.

The library never imports this package; an application that has FastAPI does.
"""

from snaptable.web.body_limit import BodyLimit
from snaptable.web.health import Health, SnapshotHealth, health
from snaptable.web.listing import Listing, ListParams
from snaptable.web.problems import (
    PROBLEM_MEDIA_TYPE,
    FieldError,
    Problem,
    document_problems,
    install_problems,
    problem_response,
    problems,
)
from snaptable.web.request_json import parse_json
from snaptable.web.routes import Router, StrictRoute, add_routes
from snaptable.web.row_response import RowResponder

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "BodyLimit",
    "FieldError",
    "Health",
    "ListParams",
    "Listing",
    "Problem",
    "Router",
    "RowResponder",
    "SnapshotHealth",
    "StrictRoute",
    "add_routes",
    "document_problems",
    "health",
    "install_problems",
    "parse_json",
    "problem_response",
    "problems",
]
