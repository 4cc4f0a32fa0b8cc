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


def owned_mark(db: Library, table: Table[MarkT], user: User, key: object, kind: str) -> MarkT:
    """Return a user's row that is on a document, unless the document has been deleted.

    Of a document with many rows they go one after the other: see `documents.delete`.

    Raises:
        NotFound: there is none, or it is another user's, or its document is gone; `kind` is what the message calls it.
    """
    mark = owned_row(table, user, key, kind)
    document = db.documents.get(mark.document_id)
    if document is None or document.user_id != user.id:
        raise NotFound(kind)
    return mark


def unconditionally(_row: object) -> None:
    """Let any row be changed: the check of a change that depends on nothing."""
