"""Annotations: list, show, put on a page, change, delete."""

from typing import Annotated

from fastapi import Body, Request
from starlette.responses import Response

from app.api.dependencies import CallerDep
from app.api.routing import new_router
from app.api.schemas import AnnotationChanges, AnnotationIn, AnnotationOut, PageOut
from app.services import annotations
from app.tables import Annotation
from snaptable.web import IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, ListParams, RowResponder, problems

router = new_router("annotations", "/api/annotations")

listing = ListParams(
    Annotation,
    ["id", "document_id", "page_num", "type", "content", "color", "created_at", "updated_at"],
    sort="created_at,id",
)
respond = RowResponder(Annotation, AnnotationOut)


@router.get(
    "",
    response_model=PageOut[AnnotationOut],
    responses=problems(401, 404, 422, 503),
    openapi_extra=listing.openapi,
    summary="List your annotations",
)
async def list_annotations(request: Request, caller: CallerDep) -> Response:
    """Return a page of them, the oldest first; of a document that does not exist, or is another user's: 404."""
    wanted = listing.read(request)
    return respond.page(await caller.page(wanted, annotations.owned_by, wanted.equals.get("document_id", ())))


@router.get(
    "/{annotation_id}",
    response_model=AnnotationOut,
    responses={**NOT_MODIFIED, **problems(401, 404, 422)},
    openapi_extra=IF_NONE_MATCH,
    summary="Show one of your annotations",
)
async def get_annotation(request: Request, caller: CallerDep, annotation_id: str) -> Response:
    """Return it."""
    return respond.one(await caller.read(annotations.get, annotation_id), request=request)


@router.post(
    "",
    status_code=201,
    response_model=AnnotationOut,
    responses=problems(401, 404, 409, 413, 422, 503, 507),
    summary="Put an annotation on a page of one of your documents",
)
async def create_annotation(caller: CallerDep, body: AnnotationIn) -> Response:
    """Add it; what its coordinates hold depends on its type."""
    row = await caller.write(annotations.create, **body.model_dump())
    return respond.one(row, 201)


@router.patch(
    "/{annotation_id}",
    response_model=AnnotationOut,
    responses=problems(401, 404, 412, 413, 422, 503, 507),
    openapi_extra=IF_MATCH,
    summary="Change some fields of an annotation",
)
async def change_annotation(
    request: Request, caller: CallerDep, annotation_id: str, changes: Annotated[AnnotationChanges, Body()]
) -> Response:
    """Change the fields that are given; the others stay as they are."""
    check = respond.if_match(request)
    row = await caller.write(annotations.change, annotation_id, check, **changes)
    return respond.one(row)


@router.delete(
    "/{annotation_id}",
    status_code=204,
    responses=problems(401, 404, 412, 422, 503),
    openapi_extra=IF_MATCH,
    summary="Delete an annotation",
)
async def delete_annotation(request: Request, caller: CallerDep, annotation_id: str) -> None:
    """Delete it for good."""
    await caller.write(annotations.delete, annotation_id, respond.if_match(request))
