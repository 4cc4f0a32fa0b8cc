"""Extractions: list, show, record, delete."""

from fastapi import APIRouter

from app.api.marks import mark_router
from app.api.schemas import ExtractionIn, ExtractionOut
from app.resources import Resources
from app.services import extractions
from snaptable.web import Operation

FIELDS = ("id", "document_id", "field_name", "text", "page", "method", "timestamp")
OPERATIONS = {
    "list": Operation(
        "list_extractions",
        "List your extractions",
        "Return a page of them, the oldest first; of a document that does not exist, or is another user's: 404.",
        (401, 404, 422, 503),
    ),
    "get": Operation("get_extraction", "Show one of your extractions", "Return it.", (401, 404, 422)),
    "create": Operation(
        "create_extraction",
        "Record a piece of text from a page of one of your documents",
        "Add it, with the place on the page it was taken from.",
        (401, 404, 409, 413, 422, 503, 507),
    ),
    "delete": Operation("delete_extraction", "Delete an extraction", "Delete it for good.", (401, 404, 412, 422, 503)),
}


def extractions_router(resources: Resources) -> APIRouter:
    """Return the router of `/api/extractions`."""
    return mark_router(
        resources,
        resources.db.extractions,
        "extraction",
        fields=FIELDS,
        sort="timestamp,id",
        bodies={"create": ExtractionIn},
        shown=ExtractionOut,
        operations=OPERATIONS,
        create=extractions.create,
    )
