"""A blob on its way in: bytes in a temporary file, until they get their name."""

import hashlib
import secrets
from typing import BinaryIO, Self

from app.errors import TooLarge
from app.files.blob_files import name_of
from snaptable.storage.disk.atomic_write import PendingFile
from snaptable.storage.disk.files import Files

CHUNK = 1024 * 1024
"""Bytes of an upload that are in memory at a time."""
TEMPORARY = ".incoming-"
"""What the names of temporary files begin with."""


class StagedBlob:
    """Bytes on their way in: in a temporary file, until they are published under their hash, or discarded.

    Attributes:
        path: of the temporary file.
        sha256: of the bytes, once they are all there.
        size: in bytes.
    """

    def __init__(self, files: Files) -> None:
        """Create the temporary file, exclusively and for its owner only."""
        temporary = name_of(f"{TEMPORARY}{secrets.token_hex(16)}")
        self.path = files.path(temporary)
        self.sha256 = ""
        self.size = 0
        self._pending = PendingFile(files, temporary)

    def __enter__(self) -> Self:
        """Begin a block at whose end the file is discarded, unless it was published."""
        return self

    def __exit__(self, *_: object) -> None:
        """Discard what was not published."""
        self.discard()

    def fill(self, source: BinaryIO, limit: int) -> None:
        """Copy `source`, hashing and counting.

        Raises:
            TooLarge: it has more than `limit` bytes.
            OSError: not all of it was written.
        """
        digest = hashlib.sha256()
        while chunk := source.read(CHUNK):
            self.size += len(chunk)
            if self.size > limit:
                raise TooLarge
            digest.update(chunk)
            self._pending.write([chunk])
        self.sha256 = digest.hexdigest()

    def publish(self) -> None:
        """Give the bytes their name, and return when bytes and name are on the disk.

        Bytes that are there already are replaced by these equal ones: the other copy might not be synced yet.

        Raises:
            OSError: the name may stand for the bytes or not; call `Blobs.collect`.
        """
        self._pending.publish(name_of(self.sha256))

    def discard(self) -> None:
        """Remove the temporary file, if it is still one; never raises."""
        self._pending.discard()
