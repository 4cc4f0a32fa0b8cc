"""Extractions: record, list, show, delete."""

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from app.api.dependencies import CallerDep
from app.api.schemas import ExtractionIn, ExtractionOut, PageOut
from app.services import documents, extractions
from app.tables import Extraction
from snaptable.web import Listing, ListParams, Router, RowResponder, problems

router = Router(prefix="/api/extractions", tags=["extractions"])

listing = ListParams(
    Extraction, ["id", "document_id", "field_name", "text", "page", "method", "timestamp"], sort="timestamp,id"
)
send = RowResponder(Extraction, ExtractionOut)


@router.post("", status_code=201, response_model=ExtractionOut, responses=problems(401, 404, 413, 422, 503))
async def create_extraction(caller: CallerDep, body: ExtractionIn) -> Response:
    """Record a named piece of text taken from a page of one of your documents."""
    row = await caller.backend.db.run(extractions.create, caller.user, body.model_dump())
    return send.one(row, 201)


@router.get("", response_model=PageOut[ExtractionOut], responses=problems(401, 404, 422), openapi_extra=listing.openapi)
async def list_extractions(caller: CallerDep, wanted: Annotated[Listing[Extraction], Depends(listing)]) -> Response:
    """List your extractions, the oldest first; of a document that does not exist, or is another's: 404."""
    db = caller.backend.db
    for document_id in wanted.equals.get("document_id", ()):
        documents.get(db, caller.user, document_id)
    return send.page(wanted.page_json(extractions.of(db, caller.user)))


@router.get("/{extraction_id}", response_model=ExtractionOut, responses=problems(401, 404, 422))
async def get_extraction(caller: CallerDep, extraction_id: str) -> Response:
    """Show one of your extractions."""
    return send.one(extractions.get(caller.backend.db, caller.user, extraction_id))


@router.delete("/{extraction_id}", status_code=204, responses=problems(401, 404, 422, 503))
async def delete_extraction(caller: CallerDep, extraction_id: str) -> None:
    """Delete an extraction."""
    await caller.backend.db.run(extractions.delete, caller.user, extraction_id)
