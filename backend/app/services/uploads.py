"""Taking documents in and removing them: bytes on the disk and rows in the database, in an order no crash can harm."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from pydantic import JsonValue

from app.errors import FieldRefused, ServiceError, SessionEnded, StorageFailed, TooLarge
from app.files.blobs import Blobs
from app.files.page_counter import PageCounter
from app.files.pdf_pages import NotAPdf
from app.files.staged_blob import StagedBlob
from app.library import Library
from app.services import documents, quotas
from app.tables import Document, User
from snaptable import ForeignKeyViolation


@dataclass(frozen=True)
class UploadResources:
    """What storing and deleting a document need besides the database."""

    blobs: Blobs
    pages: PageCounter
    max_size: int
    """The largest document in bytes."""
    unfinished: set[asyncio.Task[Document]] = field(default_factory=set)
    """The uploads that are being committed."""
    waiting: dict[str, list[int]] = field(default_factory=dict)
    """The sizes of the uploads that are on their way, by user."""

    async def finish(self) -> None:
        """Wait for the uploads that are being committed."""
        await asyncio.gather(*self.unfinished, return_exceptions=True)


async def receive(
    db: Library,
    resources: UploadResources,
    user: User,
    filename: str | None,
    file: BinaryIO,
    metadata: dict[str, JsonValue],
) -> Document:
    """Store a PDF and add its document.

    Raises:
        FieldRefused: the file is not a PDF that can be read; the metadata is too large.
        TooLarge: it has too many bytes.
        TooManyRows, QuotaExceeded: the user may not store as much.
        StorageFailed: the disk is full, or fails.
        SessionEnded: the account was deleted meanwhile.
    """
    quotas.check_json(db, "metadata", metadata)
    await quotas.prepare(db, user)
    try:
        async with _place_for(db, resources, user, file):
            staged = await asyncio.to_thread(resources.blobs.stage, file, resources.max_size)
            fields: dict[str, object] = {
                "filename": documents.clean_filename(filename),
                "total_pages": await _count_pages(resources.pages, staged, user),
                "size": staged.size,
                "sha256": staged.sha256,
                "metadata": metadata,
            }
            return await _finish(db, resources, staged, user, fields)
    except NotAPdf as error:
        raise FieldRefused("file", str(error)) from None
    except OSError as error:
        raise StorageFailed(f"the bytes of a document could not be stored: {error}") from error


async def remove(
    db: Library,
    resources: UploadResources,
    user: User,
    document_id: str,
    check: Callable[[Document], None],
    begin_removal: Callable[[str], None],
) -> None:
    """Delete a document and what belongs to it, unless `check` raises; its bytes stay while history names them.

    `begin_removal` sees to it that what is too much for one commit goes: see `documents.delete`.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    sha256 = (await db.read(documents.get, user, document_id)).sha256
    # Pinned until the outcome is known: after a commit that fails there is still a row that refers to the bytes.
    with resources.blobs.pinned(sha256):
        async with quotas.write_lock(db, user):
            await db.run(documents.delete, user, document_id, check, begin_removal)
        await resources.blobs.aside(resources.blobs.release, sha256)


@asynccontextmanager
async def _place_for(db: Library, resources: UploadResources, user: User, file: BinaryIO) -> AsyncIterator[None]:
    """Keep room for a file among what its user may store, while it is on its way.

    What counts is decided when its row is committed; this keeps uploads side by side from filling the disk meanwhile.

    Raises:
        TooLarge, TooManyRows, QuotaExceeded: there is none.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > resources.max_size:
        raise TooLarge
    sizes = resources.waiting.setdefault(user.id, [])
    number, total = len(sizes), sum(sizes)
    sizes.append(size)
    try:
        async with quotas.write_lock(db, user):
            await db.run(quotas.check_upload, user, size, number, total)
        yield
    finally:
        sizes.remove(size)
        if not sizes:
            resources.waiting.pop(user.id, None)


async def _count_pages(pages: PageCounter, staged: StagedBlob, user: User) -> int:
    """Count the pages of what came in, and discard it if that fails."""
    try:
        return await pages.count(staged.path, user.id)
    except BaseException:
        staged.discard()
        raise


async def _finish(
    db: Library, resources: UploadResources, staged: StagedBlob, user: User, fields: dict[str, object]
) -> Document:
    """Publish and commit, to the end even if the client goes: a commit can't be cancelled half-way."""
    task = asyncio.create_task(_publish_and_commit(db, resources.blobs, staged, user, fields))
    resources.unfinished.add(task)
    task.add_done_callback(resources.unfinished.discard)
    task.add_done_callback(_retrieve)
    return await asyncio.shield(task)


def _retrieve(task: asyncio.Task[Document]) -> None:
    """Look at how a task ended: asyncio logs an exception that was not looked at, as happens if the client is gone."""
    if not task.cancelled():
        task.exception()


async def _publish_and_commit(
    db: Library, blobs: Blobs, staged: StagedBlob, user: User, fields: dict[str, object]
) -> Document:
    """Make the bytes durable, then the row that refers to them; in between they are pinned.

    If the commit fails the bytes stay: its outcome may be unknown, and the next start removes what no row refers to.
    """
    refused = False
    try:
        with staged:
            async with blobs.storing(staged.sha256):
                try:
                    await asyncio.to_thread(staged.publish)
                    return await _commit(db, user, fields)
                except (OSError, ServiceError):  # there is no row, and that is certain
                    refused = True
                    raise
    finally:
        if refused:
            await blobs.aside(blobs.collect, staged.sha256)


async def _commit(db: Library, user: User, fields: dict[str, object]) -> Document:
    """Add the document.

    Raises:
        SessionEnded: the account was deleted while the file was on its way, and is gone.
    """
    try:
        async with quotas.write_lock(db, user):
            return await db.run(documents.create, user, **fields)
    except ForeignKeyViolation:
        raise SessionEnded from None
