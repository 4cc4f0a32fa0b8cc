"""Extractions: record, list, show, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.routes.dependencies import CallerDep
from app.routes.schemas import ExtractionIn, ExtractionOut, PageOut
from app.services import documents, extractions
from app.tables import Extraction
from snaptable.web import Listing, ListParams, StrictRoute, problems

router = APIRouter(prefix="/api/extractions", tags=["extractions"], route_class=StrictRoute)

listing = ListParams(
    Extraction, ["id", "document_id", "field_name", "text", "page", "method", "timestamp"], sort="timestamp,id"
)


@router.post("", status_code=201, responses=problems(401, 404, 413, 422, 503))
async def create_extraction(caller: CallerDep, body: ExtractionIn) -> ExtractionOut:
    """Record a named piece of text taken from a page of one of your documents."""
    row = await caller.backend.db.run(extractions.create, caller.user, body.model_dump())
    return ExtractionOut.model_validate(row)


@router.get("", responses=problems(401, 404, 422), openapi_extra=listing.openapi)
async def list_extractions(
    caller: CallerDep, wanted: Annotated[Listing[Extraction], Depends(listing)]
) -> PageOut[ExtractionOut]:
    """List your extractions, the oldest first; of a document that does not exist, or is another's: 404."""
    db = caller.backend.db
    for document_id in wanted.equals.get("document_id", ()):
        documents.get(db, caller.user, document_id)
    page = wanted.page(extractions.of(db, caller.user))
    return PageOut(items=[ExtractionOut.model_validate(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{extraction_id}", responses=problems(401, 404, 422))
async def get_extraction(caller: CallerDep, extraction_id: str) -> ExtractionOut:
    """Show one of your extractions."""
    return ExtractionOut.model_validate(extractions.get(caller.backend.db, caller.user, extraction_id))


@router.delete("/{extraction_id}", status_code=204, responses=problems(401, 404, 422, 503))
async def delete_extraction(caller: CallerDep, extraction_id: str) -> None:
    """Delete an extraction."""
    await caller.backend.db.run(extractions.delete, caller.user, extraction_id)
