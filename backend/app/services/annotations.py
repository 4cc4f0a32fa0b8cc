"""Annotations."""

from collections.abc import Callable, Collection

from app.library import Library
from app.services import documents, quotas
from app.services.ownership import owned_mark, unconditionally
from app.tables import Annotation, User
from snaptable import Query, utc_now


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


def get(db: Library, user: User, annotation_id: str) -> Annotation:
    """Return a user's annotation.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    return owned_mark(db, db.annotations, user, annotation_id, "annotation")


def owned_by(db: Library, user: User, document_ids: Collection[object] = ()) -> Query[Annotation]:
    """Return the query for all of a user's annotations.

    Raises:
        NotFound: one of the documents that are asked for does not exist, or is another user's.
    """
    return documents.without_removed(db, user, db.annotations.where(Annotation.user_id == user.id), document_ids)


def change(
    db: Library,
    user: User,
    annotation_id: str,
    check: Callable[[Annotation], None] = unconditionally,
    /,
    **changes: object,
) -> Annotation:
    """Change some fields of an annotation, unless `check` raises for it as it is; without any, nothing is written.

    Raises:
        NotFound: there is none, or it is another user's.
        FieldRefused: the document does not have the new page; the new coordinates are too large.
        QuotaExceeded: the user may not store as many bytes.
    """
    annotation = get(db, user, annotation_id)
    check(annotation)
    if not changes:
        return annotation
    page_num = changes.get("page_num")
    if isinstance(page_num, int):
        documents.check_page(db.documents[annotation.document_id], page_num, "page_num")
    if "coordinates" in changes:
        quotas.check_json(db, "coordinates", changes["coordinates"])
    return quotas.change(db, user, annotation, **changes)


def delete(db: Library, user: User, annotation_id: str, check: Callable[[Annotation], None] = unconditionally) -> None:
    """Delete an annotation, unless `check` raises for it.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    annotation = get(db, user, annotation_id)
    check(annotation)
    quotas.delete(db, user, db.annotations, annotation)
