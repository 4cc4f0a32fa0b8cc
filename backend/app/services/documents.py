"""Documents."""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Set

from app.errors import FieldRefused
from app.library import Library
from app.services import quotas, removed
from app.services.ownership import MarkT, owned_row, unconditionally
from app.tables import Document, User
from snaptable import Query, SnaptableError

MAX_FILENAME = 255
AT_ONCE = 100
"""Extractions and annotations that go in one commit with their document; of more, the document goes first."""
UNNAMED = "document.pdf"

logger = logging.getLogger("app")


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


def without_removed(
    db: Library, user: User, query: Query[MarkT], document_ids: Collection[object] = ()
) -> Query[MarkT]:
    """Return the query of a user's rows without those whose document was deleted; `document_ids` are asked for.

    O(1) as a rule; while a document with many rows is being removed, all of the user's rows may be looked at.

    Raises:
        NotFound: one of the documents that are asked for does not exist, or is another user's.
    """
    check_owned(db, user, document_ids)
    holder = None if document_ids else removed.holder_of(db, user.id)
    if holder is None:
        return query
    gone = {document.id for document in owned_by(db, holder).all()}
    return query.filter(lambda row: row.document_id not in gone)


def delete(
    db: Library,
    user: User,
    document_id: str,
    check: Callable[[Document], None] = unconditionally,
    begin_removal: Callable[[str], None] | None = None,
) -> None:
    """Delete a document with its extractions and annotations, unless `check` raises for it.

    One that has more than `AT_ONCE` of them is handed over, in a single commit whatever their number, to an account
    that is being deleted: from then on neither the document nor a row on it is shown to anybody. `Erasure` removes them
    in small commits, and is continued after a restart.

    Args:
        db: where.
        user: whose document.
        document_id: which.
        check: called with the document as it is.
        begin_removal: called with the key of that account, before the commit; left out: all goes in one commit.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    document = get(db, user, document_id)
    check(document)
    if begin_removal is None or quotas.marks_on(db, document) <= AT_ONCE:
        quotas.delete(db, user, db.documents, document)
        return
    holder = removed.hold(db, user.id)
    quotas.hand_over(db, user, document, holder)
    begin_removal(holder.id)


def is_referenced(db: Library, sha256: str) -> bool:
    """Return whether this blob holds the bytes of a document."""
    return db.documents.where(Document.sha256 == sha256).exists()


def named_in_history(db: Library, sha256s: Set[str]) -> Set[str]:
    """Return which of some blobs hold the bytes of a document that history keeps; all, if it can't be read.

    O(commits), the newest first, until all are found.
    """
    named: set[str] = set()
    try:
        for commit in db.history.commits("documents"):
            for change in commit.changes:
                if change.table == "documents":
                    rows = (change.before or {}, change.after or {})
                    named.update(sha256s & {str(row.get("sha256")) for row in rows})
            if len(named) == len(sha256s):
                break
    except SnaptableError as error:
        logger.warning("What the history names can't be read, so no bytes are removed: %s", error)
        return sha256s
    return named


def names_of(db: Library, user_id: str) -> Set[str]:
    """Return the names of the blobs of all documents that history knows a user had; O(commits).

    Raises:
        SnaptableError: history can't be read.
    """
    names: set[str] = set()
    for commit in db.history.commits("documents"):
        for change in commit.changes:
            if change.table == "documents":
                rows = (row for row in (change.before, change.after) if row is not None)
                names.update(str(row["sha256"]) for row in rows if row.get("user_id") == user_id)
    return names


def check_page(document: Document, page: int, field: str) -> None:
    """Refuse a page the document does not have.

    Raises:
        FieldRefused: naming the field.
    """
    if not 1 <= page <= document.total_pages:
        raise FieldRefused(field, f"The document has the pages 1 to {document.total_pages}.")
