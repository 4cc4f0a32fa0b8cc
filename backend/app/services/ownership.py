"""The rule of all rows: another user's row is as good as missing."""

from typing import TypeVar

from app.errors import NotFound
from app.library import Library
from app.tables import Annotation, Document, Extraction, User
from snaptable import Table

OwnedT = TypeVar("OwnedT", Document, Extraction, Annotation)


def owned_row(table: Table[OwnedT], user: User, key: object, kind: str) -> OwnedT:
    """Return a user's row.

    Raises:
        NotFound: there is none, or it is another user's; `kind` is what the message calls it.
    """
    row = table.get(key)
    if row is None or row.user_id != user.id:
        raise NotFound(kind)
    return row


MarkT = TypeVar("MarkT", Extraction, Annotation)


def is_on_document(db: Library, user: User, mark: Extraction | Annotation) -> bool:
    """Return whether the document of a user's row is there: it may go before its rows, see `documents.delete`."""
    document = db.documents.get(mark.document_id)
    return document is not None and document.user_id == user.id


def unconditionally(_row: object) -> None:
    """Let any row be changed: the check of a change that depends on nothing."""
