"""Take documents in and let them go: bytes on the disk and rows in the database, in the order a crash can't harm."""

import asyncio
from typing import Any, BinaryIO

from app.errors import FieldRefused, StorageFailed
from app.files.blobs import Blobs, StagedBlob, TooLarge
from app.files.page_counter import PageCounter
from app.files.pdf_pages import NotAPdf
from app.services import documents
from app.tables import Document, Library, User

__all__ = ["TooLarge", "Uploads"]


class Uploads:
    """Know everything that storing and deleting a document take."""

    def __init__(self, db: Library, blobs: Blobs, pages: PageCounter, max_size: int) -> None:
        """Take the parts, and the largest size of a document in bytes."""
        self.db = db
        self.blobs = blobs
        self.pages = pages
        self.max_size = max_size
        self._finishing: set[asyncio.Task[Document]] = set()

    async def receive(self, user: User, filename: str | None, file: BinaryIO, metadata: dict[str, Any]) -> Document:
        """Store a PDF and add its document.

        Raises:
            FieldRefused: the file is no PDF that can be read.
            TooLarge: it has too many bytes.
            StorageFailed: the disk is full, or fails.
        """
        try:
            incoming = await asyncio.to_thread(self.blobs.stage, file, self.max_size)
            fields = {
                "user_id": user.id,
                "filename": documents.clean_filename(filename),
                "total_pages": await self._count(incoming),
                "size": incoming.size,
                "sha256": incoming.sha256,
                "metadata": metadata,
            }
            return await self._finish(incoming, fields)
        except NotAPdf as error:
            raise FieldRefused("file", str(error)) from None
        except OSError as error:
            raise StorageFailed(f"the bytes of a document could not be stored: {error}") from error

    async def remove(self, user: User, document_id: str) -> None:
        """Delete a document and what belongs to it; its bytes go when no other document has the same."""
        sha256 = documents.get(self.db, user, document_id).sha256
        # Held until the outcome is known: a commit that fails leaves a row that still names the bytes.
        with self.blobs.held(sha256):
            await self.db.run(documents.delete, user, document_id)
            self.blobs.collect(sha256)

    async def close(self) -> None:
        """Wait for what is being committed."""
        await asyncio.gather(*self._finishing, return_exceptions=True)

    async def _count(self, incoming: StagedBlob) -> int:
        """Count the pages of what came in, and discard it if that fails."""
        try:
            return await self.pages.count(incoming.path)
        except BaseException:
            incoming.discard()
            raise

    async def _finish(self, incoming: StagedBlob, fields: dict[str, Any]) -> Document:
        """Publish and commit, to the end even if the client goes: a commit can't be taken back half way."""
        task = asyncio.create_task(self._publish_and_commit(incoming, fields))
        self._finishing.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: "asyncio.Task[Document]") -> None:
        """Forget a task; should its client be gone, nobody else looks at how it ended."""
        self._finishing.discard(task)
        if not task.cancelled():
            task.exception()

    async def _publish_and_commit(self, incoming: StagedBlob, fields: dict[str, Any]) -> Document:
        """Make the bytes durable, then the row that names them; hold them from being collected in between.

        Should the commit fail, the bytes stay: its outcome may be unknown, and the next start removes what is unnamed.
        """
        with incoming, self.blobs.held(incoming.sha256):
            await asyncio.to_thread(incoming.publish)
            return await self.db.run(documents.create, fields)
