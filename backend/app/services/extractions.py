"""Extractions."""

from app.library import Library
from app.services import documents, quotas
from app.tables import Extraction, User


def create(db: Library, user: User, /, document_id: str, page: int, **fields: object) -> Extraction:
    """Record an extraction from a page of one of the user's documents.

    Raises:
        NotFound: the document does not exist, or is another user's.
        FieldRefused: it does not have the page.
        TooManyRows, QuotaExceeded: the user may not store as much.
    """
    documents.check_page(documents.get(db, user, document_id), page, "page")
    fields |= {"document_id": document_id, "user_id": user.id, "page": page}
    return quotas.create(db, user, db.extractions, **fields)
