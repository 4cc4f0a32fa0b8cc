"""Extractions."""

from typing import Any

from app.errors import NotFound
from app.services import documents
from app.tables import Extraction, Library, User
from snaptable import Query


def create(db: Library, user: User, fields: dict[str, Any]) -> Extraction:
    """Record an extraction from a page of one of the user's documents."""
    document = documents.get(db, user, fields["document_id"])
    documents.check_page(document, fields["page"], "page")
    return db.extractions.insert(Extraction(user_id=user.id, **fields))


def get(db: Library, user: User, extraction_id: str) -> Extraction:
    """Return a user's extraction.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    extraction = db.extractions.get(extraction_id)
    if extraction is None or extraction.user_id != user.id:
        raise NotFound("extraction")
    return extraction


def of(db: Library, user: User) -> Query[Extraction]:
    """Return the query for all of a user's extractions."""
    return db.extractions.where(Extraction.user_id == user.id)


def delete(db: Library, user: User, extraction_id: str) -> None:
    """Delete an extraction."""
    db.extractions.delete(get(db, user, extraction_id).id)
