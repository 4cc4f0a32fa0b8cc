"""Extractions."""

from collections.abc import Callable, Collection

from app.library import Library
from app.services import documents, quotas
from app.services.ownership import owned_mark, unconditionally
from app.tables import Extraction, User
from snaptable import Query


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


def get(db: Library, user: User, extraction_id: str) -> Extraction:
    """Return a user's extraction.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    return owned_mark(db, db.extractions, user, extraction_id, "extraction")


def owned_by(db: Library, user: User, document_ids: Collection[object] = ()) -> Query[Extraction]:
    """Return the query for all of a user's extractions.

    Raises:
        NotFound: one of the documents that are asked for does not exist, or is another user's.
    """
    return documents.without_removed(db, user, db.extractions.where(Extraction.user_id == user.id), document_ids)


def delete(db: Library, user: User, extraction_id: str, check: Callable[[Extraction], None] = unconditionally) -> None:
    """Delete an extraction, unless `check` raises for it.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    extraction = get(db, user, extraction_id)
    check(extraction)
    quotas.delete(db, user, db.extractions, extraction)
