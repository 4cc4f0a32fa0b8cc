"""A document's bytes as a response."""

import asyncio
import re
from urllib.parse import quote

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from app.errors import ContentMissing
from app.files.blobs import Blobs
from app.tables import Document
from snaptable.web import Problem

IS_HEAD = "app.is_head"
"""The key in the scope of a HEAD that routes see as a GET."""
ONE_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?", re.ASCII)


class PdfResponse(FileResponse):
    """A blob on its way to a client; pinned, so that a delete meanwhile does not cut it short."""

    media_type = "application/pdf"

    def __init__(self, blobs: Blobs, document: Document, wanted: str | None) -> None:
        """Look the blob up.

        Args:
            blobs: where it is.
            document: whose bytes.
            wanted: the request's header Range, None without one.

        Raises:
            FileNotFoundError: the blob is missing.
            Problem: 416, the range begins after the end.
        """
        self._blobs = blobs
        self._sha256 = document.sha256
        self._ranged = _is_one_range(wanted, document.size)
        path = blobs.path(document.sha256)
        headers = {
            "Content-Disposition": content_disposition(document.filename),
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-cache",
            "ETag": f'"{document.sha256}"',
        }
        super().__init__(path, headers=headers, media_type=self.media_type, stat_result=path.stat())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the bytes, verified; a Range we don't serve is ignored, as HTTP allows, and all of them are sent.

        Raises:
            ContentDamaged: the bytes are not those that were uploaded; nothing was sent.
            ContentMissing: the blob was removed from outside meanwhile.
        """
        if not self._ranged:
            scope = {**scope, "headers": [header for header in scope["headers"] if header[0] != b"range"]}
        if scope.get(IS_HEAD):
            scope = {**scope, "method": "HEAD"}  # so that nothing is read only to be left out
        with self._blobs.pinned(self._sha256):
            try:
                await asyncio.to_thread(self._blobs.verify, self._sha256)
            except FileNotFoundError:
                raise ContentMissing(f"the bytes {self._sha256} are missing") from None
            await super().__call__(scope, receive, send)


def content_disposition(filename: str) -> str:
    """Return the header that names the file: in full for browsers that know RFC 5987, in ASCII for the others."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _is_one_range(wanted: str | None, size: int) -> bool:
    """Return whether the header asks for one part that can be served."""
    match = ONE_RANGE.fullmatch(wanted.strip()) if wanted else None
    if match is None:
        return False
    first, last = match.groups()
    if first is None:
        return last is not None and int(last) > 0
    if int(first) >= size:
        raise Problem(416, "The document is shorter than that.", headers={"Content-Range": f"bytes */{size}"})
    return last is None or int(first) <= int(last)
