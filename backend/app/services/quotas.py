"""What one user stores, against what one may: sums that are kept, not made anew at every write.

How many rows there are is asked of the indexes. Bytes are summed up once for a user, at the first write after a start,
and then kept in memory as rows are added, changed and removed here. That the sums still hold is proven before each
use: the numbers of rows are those of the indexes, and the last change is there. A transaction that was rolled back, a
commit that failed, rows that were removed by another way: all of these show, and the user's sums are made anew. What is
taken back is always the last that was done, so it is enough to look for that.

Where rows are on a server, several processes write: there the sums are a record beside the rows, which changes in the
same transaction as they do.

The functions are called within the transaction that writes, so that writes side by side can't exceed together what
each of them may. `prepare` is called before it, and makes the first sums in slices, so that no request waits for them.

What is on a document that was deleted counts until it is gone; who is refused for it is told to come back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

from pydantic import BaseModel
from pydantic_core import to_json

from app.errors import FieldRefused, QuotaExceeded, TooBusy, TooManyRows
from app.library import Library
from app.services import removed
from app.shared.usages import SharedUsages
from app.tables import Annotation, Document, Extraction, User
from app.usage import Usage
from snaptable import Query, Row, Table, asc

OwnedT = TypeVar("OwnedT", Document, Extraction, Annotation)
MarkT = TypeVar("MarkT", Extraction, Annotation)
RowT = TypeVar("RowT", bound=Row)

SLICE = 500
"""Rows that are summed up at a time, in a millisecond."""
SLICE_BYTES = 1024 * 1024
"""Bytes of their JSON."""
TRIES = 3
"""How often sums are made in slices that a change in between makes useless; then all at once."""


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
        _check_rows(db, user, usage, size)
    else:
        _check_rows(db, user, usage, size, marks=1)
    _charge(usage, row, 1, size)
    _keep(db, user.id, usage)
    return row


def change(db: Library, user: User, annotation: Annotation, /, **changes: object) -> Annotation:
    """Change fields of a user's annotation; cost as `create`.

    Raises:
        QuotaExceeded: the user may not store as many bytes; the transaction must not be committed.
    """
    usage = current(db, user)
    row = db.annotations.update(annotation.id, **changes)
    growth = _size(row) - _size(annotation)
    _check_rows(db, user, usage, growth)
    usage.row_bytes += growth
    usage.last_change = row.id, row.updated_at
    _keep(db, user.id, usage)
    return row


def delete(db: Library, user: User, table: Table[OwnedT], row: OwnedT, /) -> OwnedT:
    """Remove a row of a user's, a document with all that is on it, and return it; O(rows that go)."""
    usage = current(db, user)
    if isinstance(row, Document):
        usage.marks -= marks_on(db, row)
        extractions, annotations = _marks_in_order(db, row)
        usage.row_bytes -= sum(_sizes(extractions)) + sum(_sizes(annotations))
    removed = table.delete(row.id)
    _charge(usage, removed, -1, _size(removed))
    _keep(db, user.id, usage)
    return removed


def hand_over(db: Library, user: User, document: Document, holder: User) -> None:
    """Give a document to an account that is being deleted; what is on it counts for the user until it is gone."""
    usage = current(db, user)
    db.documents.update(document.id, user_id=holder.id)
    _charge(usage, document, -1, _size(document))
    _keep(db, user.id, usage)


def delete_handed_over(db: Library, table: Table[MarkT], rows: Iterable[MarkT]) -> None:
    """Remove rows whose document was handed over, and count them for their users no longer; O(rows that go)."""
    by_user: dict[str, list[MarkT]] = {}
    for row in rows:
        by_user.setdefault(row.user_id, []).append(row)
    for user_id, own in by_user.items():
        usage = _known(db, user_id)
        if usage is not None and not _still_holds(db, usage):
            forget(db, user_id)
            usage = None
        for row in own:
            table.delete(row.id)
            if usage is not None:
                _charge(usage, row, -1, _size(row))
        if usage is not None:
            _keep(db, user_id, usage)


def marks_on(db: Library, document: Document) -> int:
    """Return how many extractions and annotations are on a document; O(log n)."""
    extractions, annotations = _marks_of(db, document.user_id, document)
    return extractions.count() + annotations.count()


def current(db: Library, user: User) -> Usage:
    """Return what a user stores, as the open transaction sees it; cost as `create`."""
    usage = _known(db, user.id)
    if usage is None or not _still_holds(db, usage):
        usage = measure(db, user)
        _keep(db, user.id, usage)
    return usage


def forget(db: Library, user_id: str) -> None:
    """Forget what is known of a user's sums, in the open transaction."""
    if db.shared is None:
        db.usages.pop(user_id, None)
    else:
        SharedUsages(db.shared).forget(user_id)


def _known(db: Library, user_id: str) -> Usage | None:
    """Return the sums of a user; None if they are not known."""
    if db.shared is None:
        return db.usages.get(user_id)
    return SharedUsages(db.shared).get(user_id)


def _keep(db: Library, user_id: str, usage: Usage) -> None:
    """Put down the sums of a user."""
    if db.shared is None:
        db.usages[user_id] = usage
    else:
        SharedUsages(db.shared).keep(user_id, usage)


async def prepare(db: Library, user: User) -> None:
    """Sum up what a user stores, if it is not known, in slices between which others are served.

    To be called before a transaction that writes; where sums are being made for the same user, it waits for them.
    """
    if user.id in db.usages or db.is_on_server:  # there the transaction, which runs in a thread, makes them
        return
    lock = db.measuring.setdefault(user.id, asyncio.Lock())
    async with lock:
        for _ in range(TRIES):
            if user.id in db.usages:
                break
            usage = Usage()
            for _ in _measuring(db, user.id, usage):
                await asyncio.sleep(0)
            if user.id not in db.usages and _still_holds(db, usage):
                db.usages[user.id] = usage
    db.measuring.pop(user.id, None)


@asynccontextmanager
async def write_lock(db: Library, user: User) -> AsyncIterator[None]:
    """Return the context of a transaction that writes what a user stores: such transactions follow each other.

    On a server each reads and writes the user's sums: of those side by side all but one would be done again, most of
    them several times. Those of other processes are waited for once one has lost against another. In memory, where one
    is open at a time anyway, it is nothing.
    """
    if db.shared is None:
        yield
        return
    lock = db.writing.setdefault(user.id, asyncio.Lock())  # there as long as somebody has it, or waits for it
    async with lock:
        with db.shared.user_locks.of(user.id):
            yield


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_number(number: int, most: int, kind: str, one: str) -> None:
    if number > most:
        raise TooManyRows(f"You have {number - 1:,} {kind}, and may have {most:,}. Delete {one} first.")


def _check_rows(db: Library, user: User, usage: Usage, growth: int, marks: int = 0) -> None:
    """Refuse rows that are too many, or too large; for the moment only, if what is being removed makes room.

    Raises:
        TooManyRows, QuotaExceeded: there are too many.
        TooBusy: in their place, if there will be room once what the user deleted is gone.
    """
    try:
        if marks:
            _check_number(usage.marks + marks, db.limits.marks, "extractions and annotations", "one")
        _check_bytes(usage.row_bytes, growth, db.limits.row_bytes, "rows")
    except (TooManyRows, QuotaExceeded):
        if removed.holder_of(db, user.id) is not None:
            raise TooBusy from None
        raise


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


def _still_holds(db: Library, usage: Usage) -> bool:
    """Return whether the rows that were counted are those that are there."""
    if (usage.documents, usage.marks) != usage.numbers():
        return False
    if usage.last_change is None:
        return True
    key, time = usage.last_change
    changed = db.annotations.get(key)
    return changed is not None and changed.updated_at == time


def _counter(db: Library, user_id: str) -> Callable[[], tuple[int, int]]:
    """Return what counts a user's documents and marks; the queries are made once, and asked at every write."""
    documents, (extractions, annotations) = _documents(db, user_id), _marks_of(db, user_id)
    return lambda: (documents.count(), extractions.count() + annotations.count())


def _documents(db: Library, user_id: str) -> Query[Document]:
    return db.documents.where(Document.user_id == user_id)


def _marks_of(
    db: Library, user_id: str, document: Document | None = None
) -> tuple[Query[Extraction], Query[Annotation]]:
    """Return the queries for a user's extractions, and for the annotations; of one document or all."""
    extractions = db.extractions.where(Extraction.user_id == user_id)
    annotations = db.annotations.where(Annotation.user_id == user_id)
    if document is not None:
        extractions = extractions.where(Extraction.document_id == document.id)
        annotations = annotations.where(Annotation.document_id == document.id)
    return extractions, annotations


def _marks_in_order(db: Library, document: Document) -> tuple[Query[Extraction], Query[Annotation]]:
    """Return the queries for what is on a document, in an order that an index has."""
    extractions, annotations = _marks_of(db, document.user_id, document)
    return extractions.order_by(asc(Extraction.timestamp)), annotations.order_by(asc(Annotation.created_at))


def measure(db: Library, user: User) -> Usage:
    """Sum up what a user stores; O(rows)."""
    usage = Usage()
    for _ in _measuring(db, user.id, usage):
        pass
    return usage


def _measuring(db: Library, user_id: str, usage: Usage) -> Iterator[None]:
    """Sum up what a user stores, and yield after each slice."""
    documents = _documents(db, user_id)
    extractions, annotations = _marks_of(db, user_id)
    usage.numbers = _counter(db, user_id)
    usage.documents, usage.marks = usage.numbers()
    usage.document_bytes = sum(document.size for document in documents)
    yield
    for size in _sizes(documents.order_by(asc(Document.upload_date))):
        usage.row_bytes += size
        yield
    for size in _sizes(extractions.order_by(asc(Extraction.timestamp))):
        usage.row_bytes += size
        yield
    for size in _sizes(annotations.order_by(asc(Annotation.created_at))):
        usage.row_bytes += size
        yield


def _sizes(query: Query[RowT]) -> Iterator[int]:
    """Yield the bytes of the rows of a query whose order an index has, some hundred rows at a time; O(rows)."""
    cursor = None
    while query.exists():
        array, cursor = query.page_json(limit=SLICE, after=cursor, max_bytes=SLICE_BYTES)
        yield len(array) - 1  # two brackets, and a comma less than rows
        if cursor is None:
            break
