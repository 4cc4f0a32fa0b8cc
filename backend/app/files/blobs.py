"""Document bytes as files named by their SHA-256, beside the database.

The order that makes a crash harmless: bytes are written and synced before the row that refers to them commits, and
removed only once neither a row nor the history that is kept names them: a deletion that is undone gives the document
back with its bytes. What a crash leaves in between is a file that nothing names; the next start removes it. Files are
written as the store writes its own: see `snaptable.storage.disk.atomic_write`.
"""

import contextlib
import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Set
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from app.errors import ContentDamaged, StorageFailed
from app.files.blob_files import FOLDER, digest_of, identity_of, name_of, open_own
from app.files.staged_blob import TEMPORARY, StagedBlob
from snaptable import UnsafeDirectory
from snaptable.storage.disk.files import Files

KEEP_BYTES = 1 << 30
"""Bytes of deleted documents that are kept as long as history names them, if nothing else is said."""
SETTLED_SECONDS = 2.0
"""Age from which a file's times tell that it was not changed since: clocks of file systems tick coarsely."""

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("app.blobs")


class Blobs:
    """The folder of blobs.

    A blob that is *pinned* (being stored, sent or deleted) is never removed; a removal that was asked for meanwhile is
    decided when the last pin goes. So an upload may store the very bytes that a delete is about to remove.
    """

    def __init__(self, files: Files, is_referenced: Callable[[str], bool], keep_bytes: int = KEEP_BYTES) -> None:
        """Make the folder if it is missing.

        Args:
            files: the store's directory; the folder is in it.
            is_referenced: whether some row refers to a blob.
            keep_bytes: how many bytes that only history names are kept; behind that the blobs released first go.

        Raises:
            UnsafeDirectory: the folder is a symlink, another user's, or everybody may write to it.
        """
        self.files = files
        self._is_referenced = is_referenced
        self._pins: Counter[str] = Counter()
        self._holds = 0
        self.keep_bytes = keep_bytes
        self._kept: dict[str, int] = {}
        """The sizes of the blobs that a row named, and now history alone, the first released first."""
        self._kept_bytes = 0
        self._pending_removal: set[str] = set()
        self._verified: dict[str, tuple[int, ...]] = {}
        self._lock = threading.Lock()
        files.make_directory(FOLDER)
        warning = files.check_directory(FOLDER)
        if warning is not None:
            logger.warning("%s", warning)

    @property
    def directory(self) -> Path:
        """The folder, absolute."""
        return self.files.path(FOLDER)

    def path(self, sha256: str) -> Path:
        """Return where the blob is, or would be."""
        return self.files.path(name_of(sha256))

    def open(self, sha256: str, size: int) -> BinaryIO:
        """Return a blob, opened, its bytes verified; O(size) once, and again when the file changed.

        A change is seen by the file's identity, size and times. What a disk changes by itself shows at the next start,
        or by `problems`, which always reads every byte.

        Raises:
            FileNotFoundError: no such blob exists.
            OSError: it can't be opened.
            ContentDamaged: there is, with other bytes, or what is there is not a file of ours.
        """
        try:
            self.files.check_directory(FOLDER)
        except UnsafeDirectory as error:
            raise ContentDamaged(str(error)) from None
        file = open_own(self.path(sha256))
        try:
            if (stored := os.fstat(file.fileno()).st_size) != size:
                raise ContentDamaged(f"{self.path(sha256)} is damaged: it has {stored} bytes, and its row says {size}")
            self._verify(sha256, file)
        except BaseException:
            file.close()
            raise
        return file

    def _verify(self, sha256: str, file: BufferedReader) -> None:
        before = os.fstat(file.fileno())
        if self._verified.get(sha256) == identity_of(before):
            return
        self._verified.pop(sha256, None)
        digest = digest_of(file)
        if digest != sha256:
            path = self.path(sha256)
            raise ContentDamaged(f"{path} is damaged: the SHA-256 of its bytes is {digest}; it is not served")
        if time.time() - max(before.st_mtime, before.st_ctime) > SETTLED_SECONDS:
            self._verified[sha256] = identity_of(before)

    def stage(self, source: BinaryIO, limit: int) -> StagedBlob:
        """Copy `source` into a temporary file here, hashing it on the way.

        Raises:
            TooLarge: it has more than `limit` bytes; nothing is left behind.
            OSError: it could not be written; nothing is left behind.
            StorageFailed: the folder was replaced by what is not safe.
        """
        try:
            self.files.check_directory(FOLDER)
        except UnsafeDirectory as error:
            raise StorageFailed(str(error)) from None
        staged = StagedBlob(self.files)
        try:
            staged.fill(source, limit)
        except BaseException:
            staged.discard()
            raise
        return staged

    @contextlib.contextmanager
    def pinned(self, sha256: str) -> Iterator[None]:
        """Keep a blob from being removed while the block runs."""
        with self._lock:
            self._pins[sha256] += 1
        try:
            yield
        finally:
            self._unpin(sha256)

    @contextlib.asynccontextmanager
    async def storing(self, sha256: str) -> AsyncIterator[None]:
        """Keep a blob from being removed from before its bytes get their name until its row is committed."""
        with self.pinned(sha256):
            yield

    async def aside(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a method gives, called beside the event loop where it waits for anything; here, at once."""
        return act(*args, **kwargs)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep every blob from being removed while the block runs: a backup copies them."""
        with self._lock:
            self._holds += 1
        try:
            yield
        finally:
            with self._lock:
                self._holds -= 1
                if not self._holds:
                    for sha256 in [each for each in self._pending_removal if not self._pins[each]]:
                        self._pending_removal.discard(sha256)
                        self._remove_unreferenced(sha256)

    def release(self, sha256: str) -> None:
        """Take note that a row that referred to a blob is deleted: history keeps it, until `sweep` says otherwise.

        Whoever uploads and deletes again and again must not fill the disk: if too many bytes are kept like that, the
        blobs that were released first are removed; a deletion that is undone then gives a document without its bytes.
        """
        with self._lock:
            self._keep(sha256)
            self._remove_oldest_kept()

    def _keep(self, sha256: str) -> None:
        identity = self.files.identity(name_of(sha256))
        if sha256 not in self._kept and identity is not None:
            self._kept[sha256] = identity.size
            self._kept_bytes += identity.size

    def _keep_no_more(self, sha256: str) -> None:
        self._kept_bytes -= self._kept.pop(sha256, 0)

    def _remove_oldest_kept(self) -> None:
        for sha256 in list(self._kept) if self._kept_bytes > self.keep_bytes else ():
            if self._kept_bytes <= self.keep_bytes:
                break
            if not self._pins[sha256] and not self._holds:
                self._keep_no_more(sha256)
                self._remove_unreferenced(sha256)

    def collect(self, sha256: str) -> None:
        """Remove a blob if nothing names it, now or when its last pin, or the backup under way, is done."""
        with self._lock:
            if self._pins[sha256] or self._holds:
                self._pending_removal.add(sha256)
            else:
                self._remove_unreferenced(sha256)

    def _unpin(self, sha256: str) -> None:
        with self._lock:
            self._pins[sha256] -= 1
            if self._pins[sha256]:
                return
            del self._pins[sha256]
            if sha256 in self._pending_removal and not self._holds:
                self._pending_removal.discard(sha256)
                self._remove_unreferenced(sha256)

    def _remove_unreferenced(self, sha256: str) -> None:
        """Remove the file unless something names it; not synced, as `sweep` removes what comes back after a crash."""
        if sha256 not in self._kept and not self._is_referenced(sha256):
            self._verified.pop(sha256, None)
            with contextlib.suppress(FileNotFoundError):
                self.files.remove(name_of(sha256))

    def sweep(self, *, any_referenced: bool, named: Callable[[Set[str]], Set[str]] = frozenset) -> int:
        """Remove what neither a row nor history names any more, and return how many blobs were removed.

        At the start, with the temporary files that a crash left; and whenever history was shortened. O(blobs), and what
        `named` costs if there are any without a row.

        Args:
            any_referenced: False to remove temporary files only: a database without a single document beside blobs is
                more likely one that was moved away or restored than one whose every document was deleted.
            named: returns which of some blobs history names.
        """
        candidates = {name for name in self._blob_names() if not self._is_referenced(name)}
        kept = set(named(candidates)) if candidates else set()
        removed = 0
        for name in sorted(candidates - kept):
            if not any_referenced and not kept:
                logger.warning("%s belongs to no document; kept, as there are no documents at all", self.path(name))
            elif self._remove_swept(name):
                removed += 1
        with self._lock:
            for name in candidates - kept:
                self._keep_no_more(name)
            for name in sorted(kept, key=self._written):
                self._keep(name)
            self._remove_oldest_kept()
        return removed

    def _written(self, name: str) -> float:
        """Return when a blob was written; after a start nothing else tells which was released first."""
        with contextlib.suppress(FileNotFoundError):
            return self.path(name).stat().st_mtime
        return 0.0

    def _blob_names(self) -> list[str]:
        return [name for name in self.files.list(FOLDER) if _is_blob_name(name)]

    def _remove_swept(self, name: str) -> bool:
        """Remove a blob, unless it is needed, or has come to be named meanwhile; return whether it was removed."""
        with self._lock:
            if self._pins[name] or self._holds or self._is_referenced(name):
                return False
            self._verified.pop(name, None)
            with contextlib.suppress(FileNotFoundError):
                self.files.remove(name_of(name))
            return True

    def remove_temporary(self) -> None:
        """Remove the files of uploads that a crash interrupted; for the start only."""
        self._remove_temporary()

    def _remove_temporary(self, written_before: float = math.inf) -> None:
        for name in self.files.list(FOLDER):
            if name.startswith(TEMPORARY) and self._written(name) < written_before:
                self.files.remove(name_of(name))


def _is_blob_name(name: str) -> bool:
    """Return whether a file here is one of ours; any other is left alone."""
    return len(name) == 64 and all(character in "0123456789abcdef" for character in name)
