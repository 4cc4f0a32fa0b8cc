"""What one user stores, against what one may: sums that are kept, not made anew at every write.

How many rows there are is asked of the indexes. Bytes are summed up once for a user, at the first write after a start,
and then kept in memory as rows are added, changed and removed here. That the sums still hold is proven before each
use: the numbers of rows are those of the indexes, and the last change is there. A transaction that was rolled back, a
commit that failed, rows that were removed by another way: all of these show, and the user's sums are made anew. What is
taken back is always the last that was done, so it is enough to look for that.

The functions are called within the transaction that writes, so that writes side by side can't exceed together what
each of them may.
"""

from typing import TypeVar

from pydantic import BaseModel
from pydantic_core import to_json

from app.errors import FieldRefused, QuotaExceeded, TooManyRows
from app.library import Library
from app.tables import Annotation, Document, Extraction, User
from app.usage import Usage
from snaptable import Query, Row, Table, asc

OwnedT = TypeVar("OwnedT", Document, Extraction, Annotation)
RowT = TypeVar("RowT", bound=Row)

SLICE = 1000
"""Rows whose JSON is in memory at a time while it is summed up."""


def check_json(db: Library, field: str, value: object) -> None:
    """Refuse a JSON object that would take too many bytes of a row.

    Raises:
        FieldRefused: naming the field.
    """
    size, most = len(to_json(value)), db.limits.json_bytes
    if size > most:
        raise FieldRefused(field, f"This takes {size:,} bytes as JSON; {most:,} are allowed.")


def check_upload(db: Library, user: User, size: int, waiting: int, waiting_bytes: int) -> None:
    """Refuse a document that its user may not store, before its bytes are.

    Args:
        db: the database.
        user: whose document.
        size: in bytes.
        waiting: number of the user's uploads that are on their way already.
        waiting_bytes: their bytes.

    Raises:
        TooManyRows, QuotaExceeded: with these, and what is there, it would be too much.
    """
    usage = current(db, user)
    _check_number(usage.documents + waiting + 1, db.limits.documents, "documents", "document")
    _check_bytes(usage.document_bytes + waiting_bytes, size, db.limits.document_bytes, "documents")


def create(db: Library, user: User, table: Table[OwnedT], /, **fields: object) -> OwnedT:
    """Add a row of a user's; O(log n), and O(the user's rows) at the first write after a start.

    Raises:
        TooManyRows, QuotaExceeded: the user may not store as much; the transaction must not be committed.
    """
    usage, limits = current(db, user), db.limits
    row = table.create(**fields)
    size = _size(row)
    if isinstance(row, Document):
        _check_number(usage.documents + 1, limits.documents, "documents", "document")
        _check_bytes(usage.document_bytes, row.size, limits.document_bytes, "documents")
    else:
        _check_number(usage.marks + 1, limits.marks, "extractions and annotations", "one")
    _check_bytes(usage.row_bytes, size, limits.row_bytes, "rows")
    _charge(usage, row, 1, size)
    return row


def change(db: Library, user: User, annotation: Annotation, /, **changes: object) -> Annotation:
    """Change fields of a user's annotation, its time among them; cost as `create`.

    Raises:
        QuotaExceeded: the user may not store as many bytes; the transaction must not be committed.
    """
    usage = current(db, user)
    row = db.annotations.update(annotation.id, **changes)
    growth = _size(row) - _size(annotation)
    _check_bytes(usage.row_bytes, growth, db.limits.row_bytes, "rows")
    usage.row_bytes += growth
    usage.last_change = row.id, row.updated_at
    return row


def delete(db: Library, user: User, table: Table[OwnedT], row: OwnedT, /) -> OwnedT:
    """Remove a row of a user's, a document with all that is on it, and return it; O(rows that go)."""
    usage = current(db, user)
    if isinstance(row, Document):
        for number, size in _sums_of_marks(db, user, row):
            usage.marks -= number
            usage.row_bytes -= size
    removed = table.delete(row.id)
    _charge(usage, removed, -1, _size(removed))
    return removed


def current(db: Library, user: User) -> Usage:
    """Return what a user stores, as the open transaction sees it; cost as `create`."""
    usage = db.usages.get(user.id)
    if usage is None or not _still_holds(db, user, usage):
        usage = db.usages[user.id] = measure(db, user)
    return usage


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_number(number: int, most: int, kind: str, one: str) -> None:
    if number > most:
        raise TooManyRows(f"You have {number - 1:,} {kind}, and may have {most:,}. Delete {one} first.")


def _check_bytes(used: int, more: int, most: int, kind: str) -> None:
    if more > 0 and used + more > most:
        raise QuotaExceeded(
            f"Your {kind} take {used:,} bytes, and may take {most:,}; this one needs {more:,} more. Delete some first."
        )


# ── sums ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _size(row: BaseModel) -> int:
    """Return what a row takes: its JSON, and what separates it from the next."""
    return len(row.__pydantic_serializer__.to_json(row)) + 1


def _charge(usage: Usage, row: Document | Extraction | Annotation, sign: int, size: int) -> None:
    """Add a row, or with -1 take it away."""
    if isinstance(row, Document):
        usage.documents += sign
        usage.document_bytes += sign * row.size
    else:
        usage.marks += sign
    usage.row_bytes += sign * size
    usage.last_change = None


def _still_holds(db: Library, user: User, usage: Usage) -> bool:
    """Return whether the rows that were counted are those that are there."""
    if (usage.documents, usage.marks) != (_documents(db, user).count(), _marks(db, user)):
        return False
    if usage.last_change is None:
        return True
    key, time = usage.last_change
    changed = db.annotations.get(key)
    return changed is not None and changed.updated_at == time


def _documents(db: Library, user: User) -> Query[Document]:
    return db.documents.where(Document.user_id == user.id)


def _marks(db: Library, user: User) -> int:
    extractions, annotations = Extraction.user_id == user.id, Annotation.user_id == user.id
    return db.extractions.where(extractions).count() + db.annotations.where(annotations).count()


def measure(db: Library, user: User) -> Usage:
    """Sum up what a user stores; O(rows)."""
    usage = Usage(document_bytes=sum(document.size for document in _documents(db, user)))
    usage.documents, usage.row_bytes = _sum(_documents(db, user).order_by(asc(Document.upload_date)))
    for number, size in _sums_of_marks(db, user):
        usage.marks += number
        usage.row_bytes += size
    return usage


def _sums_of_marks(db: Library, user: User, document: Document | None = None) -> list[tuple[int, int]]:
    """Return number and bytes of a user's extractions, and of the annotations; of one document or all."""
    extractions = db.extractions.where(Extraction.user_id == user.id)
    annotations = db.annotations.where(Annotation.user_id == user.id)
    if document is not None:
        extractions = extractions.where(Extraction.document_id == document.id)
        annotations = annotations.where(Annotation.document_id == document.id)
    return [
        _sum(extractions.order_by(asc(Extraction.timestamp))),
        _sum(annotations.order_by(asc(Annotation.created_at))),
    ]


def _sum(query: Query[RowT]) -> tuple[int, int]:
    """Return number and bytes of the rows of a query whose order an index has; O(rows)."""
    number, size, cursor = query.count(), 0, None
    while number:
        array, cursor = query.page_json(limit=SLICE, after=cursor)
        size += len(array) - 1  # two brackets, and a comma less than rows
        if cursor is None:
            break
    return number, size
