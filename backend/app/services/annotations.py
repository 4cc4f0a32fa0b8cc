"""Annotations."""

from app.library import Library
from app.services import documents, quotas
from app.tables import Annotation, User
from snaptable import utc_now


def create(db: Library, user: User, /, document_id: str, page_num: int, **fields: object) -> Annotation:
    """Put an annotation on a page of one of the user's documents.

    Raises:
        NotFound: the document does not exist, or is another user's.
        FieldRefused: it does not have the page; the coordinates are too large.
        TooManyRows, QuotaExceeded: the user may not store as much.
    """
    documents.check_page(documents.get(db, user, document_id), page_num, "page_num")
    quotas.check_json(db, "coordinates", fields.get("coordinates"))
    now = utc_now()
    fields |= {"document_id": document_id, "user_id": user.id, "page_num": page_num}
    return quotas.create(db, user, db.annotations, created_at=now, updated_at=now, **fields)


def change(db: Library, user: User, annotation: Annotation, /, **changes: object) -> Annotation:
    """Change some fields of a user's annotation; without any, nothing is written.

    Raises:
        FieldRefused: the document does not have the new page; the new coordinates are too large.
        QuotaExceeded: the user may not store as many bytes.
    """
    if not changes:
        return annotation
    page_num = changes.get("page_num")
    if isinstance(page_num, int):
        documents.check_page(db.documents[annotation.document_id], page_num, "page_num")
    if "coordinates" in changes:
        quotas.check_json(db, "coordinates", changes["coordinates"])
    return quotas.change(db, user, annotation, **changes)
