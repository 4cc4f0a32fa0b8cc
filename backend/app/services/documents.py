"""Documents."""

import re
from collections.abc import Callable, Iterable

from app.errors import FieldRefused
from app.library import Library
from app.services import quotas
from app.services.ownership import owned_row, unconditionally
from app.tables import Document, User
from snaptable import Query

MAX_FILENAME = 255
UNNAMED = "document.pdf"


def clean_filename(name: str | None) -> str:
    """Return the last part of a client's file name, without control characters."""
    last = re.split(r"[/\\]", name or "")[-1]
    cleaned = "".join(character for character in last if character.isprintable()).strip()
    return cleaned[:MAX_FILENAME] if cleaned.strip(".") else UNNAMED


def create(db: Library, user: User, /, **fields: object) -> Document:
    """Add a document whose bytes are stored already.

    Raises:
        TooManyRows, QuotaExceeded: the user may not store as much.
    """
    return quotas.create(db, user, db.documents, user_id=user.id, **fields)


def get(db: Library, user: User, document_id: object) -> Document:
    """Return a user's document.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    return owned_row(db.documents, user, document_id, "document")


def owned_by(db: Library, user: User) -> Query[Document]:
    """Return the query for all of a user's documents."""
    return db.documents.where(Document.user_id == user.id)


def check_owned(db: Library, user: User, document_ids: Iterable[object]) -> None:
    """Refuse documents that are not the user's: what is asked of them is not an empty list but an error.

    Raises:
        NotFound: one of them does not exist, or is another user's.
    """
    for document_id in document_ids:
        get(db, user, document_id)


def delete(db: Library, user: User, document_id: str, check: Callable[[Document], None] = unconditionally) -> Document:
    """Delete a document with its extractions and annotations, unless `check` raises for it, and return it."""
    document = get(db, user, document_id)
    check(document)
    return quotas.delete(db, user, db.documents, document)


def is_referenced(db: Library, sha256: str) -> bool:
    """Return whether this blob holds the bytes of a document."""
    return db.documents.where(Document.sha256 == sha256).exists()


def check_page(document: Document, page: int, field: str) -> None:
    """Refuse a page the document does not have.

    Raises:
        FieldRefused: naming the field.
    """
    if not 1 <= page <= document.total_pages:
        raise FieldRefused(field, f"The document has the pages 1 to {document.total_pages}.")
