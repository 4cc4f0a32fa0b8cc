"""A document's bytes as a response."""

import asyncio
import errno
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from typing import BinaryIO
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.errors import ContentMissing, TooBusy
from app.files.blobs import Blobs
from app.tables import Document
from snaptable.web import Problem

IS_HEAD = "app.is_head"
"""The key in the scope of a HEAD that routes see as a GET."""
CHUNK = 64 * 1024
"""Bytes of a document that are in memory at a time."""
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
ONE_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?", re.ASCII)

logger = logging.getLogger("app")


class PdfResponse(Response):
    """A blob on its way to a client; pinned, so that a delete meanwhile does not cut it short."""

    media_type = "application/pdf"

    def __init__(
        self, blobs: Blobs, document: Document, wanted: str | None, still: Callable[[], Awaitable[object]]
    ) -> None:
        """Take what is asked for; the blob is opened, and the head made, when the response is sent.

        Args:
            blobs: where it is.
            document: whose bytes.
            wanted: the request's header Range, None without one.
            still: raises NotFound if the document is gone: another process may delete it, and its bytes, meanwhile.

        Raises:
            Problem: 416, the range begins after the end.
        """
        super().__init__()
        self._blobs = blobs
        self._document = document
        self._part = _part(wanted, document.size)
        self._still = still

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes, verified; a Range we don't serve is ignored, as HTTP allows, and all of them are sent.

        Raises:
            ContentDamaged: the bytes are not those that were uploaded; nothing was sent.
            ContentMissing: the blob was removed from outside.
            NotFound: the document was deleted just now.
            TooBusy: no more files can be opened; nothing was sent.
        """
        document = self._document
        with self._blobs.pinned(document.sha256), await self._opened() as file:
            response = self._response(file, scope)
            await response(scope, receive, send)

    async def _opened(self) -> BinaryIO:
        try:
            return await asyncio.to_thread(_open, self._blobs, self._document)
        except ContentMissing:
            await self._still()
            raise

    def _response(self, file: BinaryIO, scope: Scope) -> Response:
        """Return the response that sends a file, or the part of it that was asked for."""
        document, size = self._document, self._document.size
        headers = {
            "Content-Disposition": content_disposition(document.filename),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
            "ETag": f'"{document.sha256}"',
            "Last-Modified": formatdate(os.fstat(file.fileno()).st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        status, start, end = 200, 0, size
        # A part of the bytes that the client has the others of, or of whatever is there.
        if self._part and Headers(scope=scope).get("if-range") in (None, headers["ETag"], headers["Last-Modified"]):
            status, (start, end) = 206, self._part
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - start)
        if scope.get(IS_HEAD):
            return Response(None, status, headers, self.media_type)
        return StreamingResponse(_chunks(file, start, end), status, headers, self.media_type)


def _open(blobs: Blobs, document: Document) -> BinaryIO:
    """Return a document's blob, opened and verified."""
    try:
        return blobs.open(document.sha256, document.size)
    except FileNotFoundError:
        raise ContentMissing(f"the bytes of document {document.id} are missing: {document.sha256}") from None
    except OSError as error:
        if error.errno not in OUT_OF_FILES:
            raise ContentMissing(f"the bytes {document.sha256} can't be read: {error}") from error
        logger.warning("The bytes of a document could not be opened: %s", error)
        raise TooBusy from None


async def _chunks(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    """Yield the bytes of a part of a file."""
    file.seek(start)
    while start < end and (chunk := await asyncio.to_thread(file.read, min(CHUNK, end - start))):
        yield chunk
        start += len(chunk)


def content_disposition(filename: str) -> str:
    """Return the header that names the file: in full for browsers that know RFC 5987, in ASCII for the others."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _part(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Return the part that a Range asks for, where it begins and the byte behind its end; None if it can't be served.

    Raises:
        Problem: 416, it begins after the end.
    """
    match = ONE_RANGE.fullmatch(wanted.strip()) if wanted else None
    if match is None:
        return None
    first, last = match.groups()
    if first is None:
        return (max(0, size - int(last)), size) if last is not None and int(last) > 0 else None
    if int(first) >= size:
        raise Problem(416, "The document is shorter than that.", headers={"Content-Range": f"bytes */{size}"})
    if last is not None and int(last) < int(first):
        return None
    return int(first), size if last is None else min(int(last) + 1, size)
