"""Annotations: list, show, put on a page, change, delete."""

from fastapi import APIRouter

from app.api.marks import mark_router
from app.api.schemas import AnnotationChanges, AnnotationIn, AnnotationOut
from app.resources import Resources
from app.services import annotations
from snaptable.web import Operation

FIELDS = ("id", "document_id", "page_num", "type", "content", "color", "created_at", "updated_at")
OPERATIONS = {
    "list": Operation(
        "list_annotations",
        "List your annotations",
        "Return a page of them, the oldest first; of a document that does not exist, or is another user's: 404.",
        (401, 404, 422, 503),
    ),
    "get": Operation("get_annotation", "Show one of your annotations", "Return it.", (401, 404, 422)),
    "create": Operation(
        "create_annotation",
        "Put an annotation on a page of one of your documents",
        "Add it; what its coordinates hold depends on its type.",
        (401, 404, 409, 413, 422, 503, 507),
    ),
    "update": Operation(
        "change_annotation",
        "Change some fields of an annotation",
        "Change the fields that are given; the others stay as they are.",
        (401, 404, 412, 413, 422, 503, 507),
    ),
    "delete": Operation("delete_annotation", "Delete an annotation", "Delete it for good.", (401, 404, 412, 422, 503)),
}


def annotations_router(resources: Resources) -> APIRouter:
    """Return the router of `/api/annotations`."""
    return mark_router(
        resources,
        resources.db.annotations,
        "annotation",
        fields=FIELDS,
        sort="created_at,id",
        bodies={"create": AnnotationIn, "update": AnnotationChanges},
        shown=AnnotationOut,
        operations=OPERATIONS,
        create=annotations.create,
        change=annotations.change,
    )
