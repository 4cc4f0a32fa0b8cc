"""Annotations."""

from typing import Any

from app.errors import NotFound
from app.services import documents
from app.tables import Annotation, Library, User
from snaptable import Query, utc_now


def create(db: Library, user: User, fields: dict[str, Any]) -> Annotation:
    """Put an annotation on a page of one of the user's documents."""
    document = documents.get(db, user, fields["document_id"])
    documents.check_page(document, fields["page_num"], "page_num")
    now = utc_now()
    return db.annotations.insert(Annotation(user_id=user.id, created_at=now, updated_at=now, **fields))


def get(db: Library, user: User, annotation_id: str) -> Annotation:
    """Return a user's annotation.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    annotation = db.annotations.get(annotation_id)
    if annotation is None or annotation.user_id != user.id:
        raise NotFound("annotation")
    return annotation


def of(db: Library, user: User) -> Query[Annotation]:
    """Return the query for all of a user's annotations."""
    return db.annotations.where(Annotation.user_id == user.id)


def change(db: Library, user: User, annotation_id: str, changes: dict[str, Any]) -> Annotation:
    """Change some fields of an annotation; without any, nothing is written."""
    annotation = get(db, user, annotation_id)
    if not changes:
        return annotation
    if "page_num" in changes:
        document = db.documents[annotation.document_id]
        documents.check_page(document, changes["page_num"], "page_num")
    return db.annotations.update(annotation.id, **changes, updated_at=utc_now())


def delete(db: Library, user: User, annotation_id: str) -> None:
    """Delete an annotation."""
    db.annotations.delete(get(db, user, annotation_id).id)
