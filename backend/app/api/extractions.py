"""Extractions: list, show, record, delete."""

from fastapi import Request
from starlette.responses import Response

from app.api.dependencies import CallerDep
from app.api.routing import new_router
from app.api.schemas import ExtractionIn, ExtractionOut, PageOut
from app.services import extractions
from app.tables import Extraction
from snaptable.web import IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, ListParams, RowResponder, problems

router = new_router("extractions", "/api/extractions")

listing = ListParams(
    Extraction, ["id", "document_id", "field_name", "text", "page", "method", "timestamp"], sort="timestamp,id"
)
respond = RowResponder(Extraction, ExtractionOut)


@router.get(
    "",
    response_model=PageOut[ExtractionOut],
    responses=problems(401, 404, 422, 503),
    openapi_extra=listing.openapi,
    summary="List your extractions",
)
async def list_extractions(request: Request, caller: CallerDep) -> Response:
    """Return a page of them, the oldest first; of a document that does not exist, or is another user's: 404."""
    wanted = listing.read(request)
    return respond.page(await caller.page(wanted, extractions.owned_by, wanted.equals.get("document_id", ())))


@router.get(
    "/{extraction_id}",
    response_model=ExtractionOut,
    responses={**NOT_MODIFIED, **problems(401, 404, 422)},
    openapi_extra=IF_NONE_MATCH,
    summary="Show one of your extractions",
)
async def get_extraction(request: Request, caller: CallerDep, extraction_id: str) -> Response:
    """Return it."""
    return respond.one(await caller.read(extractions.get, extraction_id), request=request)


@router.post(
    "",
    status_code=201,
    response_model=ExtractionOut,
    responses=problems(401, 404, 409, 413, 422, 503, 507),
    summary="Record a piece of text from a page of one of your documents",
)
async def create_extraction(caller: CallerDep, body: ExtractionIn) -> Response:
    """Add it, with the place on the page it was taken from."""
    row = await caller.write(extractions.create, **body.model_dump())
    return respond.one(row, 201)


@router.delete(
    "/{extraction_id}",
    status_code=204,
    responses=problems(401, 404, 412, 422, 503),
    openapi_extra=IF_MATCH,
    summary="Delete an extraction",
)
async def delete_extraction(request: Request, caller: CallerDep, extraction_id: str) -> None:
    """Delete it for good."""
    await caller.write(extractions.delete, extraction_id, respond.if_match(request))
