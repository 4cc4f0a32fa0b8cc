"""Annotations: put on a page, list, show, change, delete."""

from typing import Annotated

from fastapi import Body, Depends
from starlette.responses import Response

from app.api.dependencies import CallerDep
from app.api.schemas import AnnotationChanges, AnnotationIn, AnnotationOut, PageOut
from app.services import annotations, documents
from app.tables import Annotation
from snaptable.web import Listing, ListParams, Router, RowResponder, problems

router = Router(prefix="/api/annotations", tags=["annotations"])

listing = ListParams(
    Annotation,
    ["id", "document_id", "page_num", "type", "content", "color", "created_at", "updated_at"],
    sort="created_at,id",
)
send = RowResponder(Annotation, AnnotationOut)


@router.post("", status_code=201, response_model=AnnotationOut, responses=problems(401, 404, 413, 422, 503))
async def create_annotation(caller: CallerDep, body: AnnotationIn) -> Response:
    """Put an annotation on a page of one of your documents."""
    row = await caller.backend.db.run(annotations.create, caller.user, body.model_dump())
    return send.one(row, 201)


@router.get("", response_model=PageOut[AnnotationOut], responses=problems(401, 404, 422), openapi_extra=listing.openapi)
async def list_annotations(caller: CallerDep, wanted: Annotated[Listing[Annotation], Depends(listing)]) -> Response:
    """List your annotations, the oldest first; of a document that does not exist, or is another's: 404."""
    db = caller.backend.db
    for document_id in wanted.equals.get("document_id", ()):
        documents.get(db, caller.user, document_id)
    return send.page(wanted.page_json(annotations.of(db, caller.user)))


@router.get("/{annotation_id}", response_model=AnnotationOut, responses=problems(401, 404, 422))
async def get_annotation(caller: CallerDep, annotation_id: str) -> Response:
    """Show one of your annotations."""
    return send.one(annotations.get(caller.backend.db, caller.user, annotation_id))


@router.patch("/{annotation_id}", response_model=AnnotationOut, responses=problems(401, 404, 413, 422, 503))
async def change_annotation(
    caller: CallerDep, annotation_id: str, changes: Annotated[AnnotationChanges, Body()]
) -> Response:
    """Change the fields that are given; the others stay as they are."""
    row = await caller.backend.db.run(annotations.change, caller.user, annotation_id, dict(changes))
    return send.one(row)


@router.delete("/{annotation_id}", status_code=204, responses=problems(401, 404, 422, 503))
async def delete_annotation(caller: CallerDep, annotation_id: str) -> None:
    """Delete an annotation."""
    await caller.backend.db.run(annotations.delete, caller.user, annotation_id)
