"""Keep document bytes as files named by their SHA-256, beside the database.

The order that makes a crash harmless: bytes are written and synced before the row that names them commits, and
removed only once no row names them. What a crash leaves in between is a file without a row; the next start removes it.
"""

import contextlib
import hashlib
import logging
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

CHUNK = 1024 * 1024
TEMPORARY = ".incoming-"

logger = logging.getLogger("app.blobs")


class TooLarge(Exception):
    """Say that the bytes exceed the limit."""


class Blobs:
    """Be the directory of blobs.

    A blob that is *held* (being stored, sent or deleted) is never removed; what should have gone meanwhile is looked
    at again when the last holder lets go. So an upload may store the very bytes that a delete is about to collect.
    """

    def __init__(self, directory: Path, is_named: Callable[[str], bool], *, fsync: bool = True) -> None:
        """Take the directory, made if missing; `is_named` tells whether some row names a blob."""
        self.directory = directory
        self.fsync = fsync
        self._is_named = is_named
        self._holders: Counter[str] = Counter()
        self._doomed: set[str] = set()
        self._lock = threading.Lock()
        directory.mkdir(mode=0o700, exist_ok=True)
        if fsync:
            _sync_directory(directory.parent)

    def path(self, sha256: str) -> Path:
        """Return where the blob is, or would be."""
        return self.directory / sha256

    def stage(self, source: BinaryIO, limit: int) -> "StagedBlob":
        """Copy `source` into a temporary file here, hashing it on the way.

        Raises:
            TooLarge: it has more than `limit` bytes; nothing is left behind.
        """
        incoming = StagedBlob(self)
        try:
            incoming.fill(source, limit)
        except BaseException:
            incoming.discard()
            raise
        return incoming

    @contextlib.contextmanager
    def held(self, sha256: str) -> Iterator[None]:
        """Keep a blob from being removed while the block runs."""
        with self._lock:
            self._holders[sha256] += 1
        try:
            yield
        finally:
            self._release(sha256)

    def collect(self, sha256: str) -> None:
        """Remove a blob if no row names it, now or when its last holder lets go."""
        with self._lock:
            if self._holders[sha256]:
                self._doomed.add(sha256)
            else:
                self._remove_unnamed(sha256)

    def _release(self, sha256: str) -> None:
        """Let go, and catch up on a removal that was asked for meanwhile."""
        with self._lock:
            self._holders[sha256] -= 1
            if not self._holders[sha256]:
                del self._holders[sha256]
                if sha256 in self._doomed:
                    self._doomed.discard(sha256)
                    self._remove_unnamed(sha256)

    def _remove_unnamed(self, sha256: str) -> None:
        """Remove the file unless a row names it; a crash before the removal is on disk is the sweep's business."""
        if not self._is_named(sha256):
            with contextlib.suppress(FileNotFoundError):
                self.path(sha256).unlink()

    def sweep(self, *, any_named: bool) -> int:
        """Remove what a crash left without a row, and return how many files went. For the start only.

        With `any_named` false nothing but temporary files goes: a database without a single document beside blobs
        is more likely one that was moved away or restored than one whose every document was deleted.
        """
        removed = 0
        for path in list(self.directory.iterdir()):
            if path.name.startswith(TEMPORARY):
                path.unlink()
            elif _is_blob_name(path.name) and not self._is_named(path.name):
                if not any_named:
                    logger.warning("%s belongs to no document; kept, as there are no documents at all", path)
                    continue
                path.unlink()
                removed += 1
        return removed


class StagedBlob:
    """Be bytes on their way in: staged in a temporary file, then published under their name, or discarded."""

    def __init__(self, blobs: Blobs) -> None:
        """Create the temporary file, for its owner only whatever the umask."""
        self.blobs = blobs
        self.path = blobs.directory / f"{TEMPORARY}{secrets.token_hex(16)}"
        self.sha256 = ""
        self.size = 0
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(self.path, flags, 0o600), "wb")
        self._published = False

    def __enter__(self) -> "StagedBlob":
        """Begin a block at whose end the file is gone unless published."""
        return self

    def __exit__(self, *_: object) -> None:
        """Discard what was not published."""
        self.discard()

    def fill(self, source: BinaryIO, limit: int) -> None:
        """Copy `source`, hashing and counting."""
        digest = hashlib.sha256()
        while chunk := source.read(CHUNK):
            self.size += len(chunk)
            if self.size > limit:
                raise TooLarge
            digest.update(chunk)
            self._file.write(chunk)
        self._file.flush()
        self.sha256 = digest.hexdigest()

    def publish(self) -> None:
        """Give the bytes their name, durably: file synced, renamed, directory synced.

        Bytes that are there already are replaced by these equal ones: the other copy might not be synced yet.
        """
        if self.blobs.fsync:
            os.fsync(self._file.fileno())
        self._file.close()
        self.path.replace(self.blobs.path(self.sha256))
        self._published = True
        if self.blobs.fsync:
            _sync_directory(self.blobs.directory)

    def discard(self) -> None:
        """Remove the temporary file, if it is still one."""
        self._file.close()
        if not self._published:
            self.path.unlink(missing_ok=True)


def _is_blob_name(name: str) -> bool:
    """Return whether a file here is one of ours; anything else is left alone."""
    return len(name) == 64 and all(character in "0123456789abcdef" for character in name)


def _sync_directory(directory: Path) -> None:
    """Make renames and creations in a directory durable; where directories can't be opened, nothing can be done."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
