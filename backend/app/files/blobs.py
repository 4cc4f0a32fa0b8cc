"""Document bytes as files named by their SHA-256, beside the database.

The order that makes a crash harmless: bytes are written and synced before the row that refers to them commits, and
removed only once neither a row nor the history that is kept names them: a deletion that is undone gives the document
back with its bytes. What a crash leaves in between is a file that nothing names; the next start removes it. Files are
written as the store writes its own: see `snaptable.storage.disk.atomic_write`.
"""

import contextlib
import errno
import hashlib
import logging
import math
import os
import secrets
import stat
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Set
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, ParamSpec, Self, TypeVar

from app.errors import ContentDamaged, StorageFailed, TooLarge
from snaptable import UnsafeDirectory
from snaptable.storage.disk.atomic_write import PendingFile
from snaptable.storage.disk.files import Files

FOLDER = "blobs"
KEEP_BYTES = 1 << 30
"""Bytes of deleted documents that are kept as long as history names them, if nothing else is said."""
CHUNK = 1024 * 1024
"""Bytes of an upload that are in memory at a time."""
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
TEMPORARY = ".incoming-"
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
        return self.files.path(_name(sha256))

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
        file = _open(self.path(sha256))
        try:
            if (found := os.fstat(file.fileno()).st_size) != size:
                raise ContentDamaged(f"{self.path(sha256)} is damaged: it has {found} bytes, and its row says {size}")
            self._verify(sha256, file)
        except BaseException:
            file.close()
            raise
        return file

    def _verify(self, sha256: str, file: BufferedReader) -> None:
        before = os.fstat(file.fileno())
        if self._verified.get(sha256) == _identity(before):
            return
        self._verified.pop(sha256, None)
        found = _digest(file)
        if found != sha256:
            path = self.path(sha256)
            raise ContentDamaged(f"{path} is damaged: the SHA-256 of its bytes is {found}; it is not served")
        if time.time() - max(before.st_mtime, before.st_ctime) > SETTLED_SECONDS:
            self._verified[sha256] = _identity(before)

    def stage(self, source: BinaryIO, limit: int) -> "StagedBlob":
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
        identity = self.files.identity(_name(sha256))
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
                self.files.remove(_name(sha256))

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
                self.files.remove(_name(name))
            return True

    def remove_temporary(self) -> None:
        """Remove the files of uploads that a crash interrupted; for the start only."""
        self._remove_temporary()

    def _remove_temporary(self, written_before: float = math.inf) -> None:
        for name in self.files.list(FOLDER):
            if name.startswith(TEMPORARY) and self._written(name) < written_before:
                self.files.remove(_name(name))


class StagedBlob:
    """Bytes on their way in: in a temporary file, until they are published under their hash, or discarded.

    Attributes:
        path: of the temporary file.
        sha256: of the bytes, once they are all there.
        size: in bytes.
    """

    def __init__(self, files: Files) -> None:
        """Create the temporary file, exclusively and for its owner only."""
        temporary = _name(f"{TEMPORARY}{secrets.token_hex(16)}")
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
        self._pending.publish(_name(self.sha256))

    def discard(self) -> None:
        """Remove the temporary file, if it is still one; never raises."""
        self._pending.discard()


def problems(directory: Path, documents: Iterable[tuple[str, str, int]]) -> list[str]:
    """Return which documents' blobs are missing, or hold other bytes than their name says; O(bytes), changes nothing.

    Args:
        directory: the store's.
        documents: key, SHA-256 and size of each.
    """
    verdicts: dict[str, str | None] = {}
    found: list[str] = []
    for key, sha256, size in documents:
        path = directory / FOLDER / sha256
        if sha256 not in verdicts:
            verdicts[sha256] = _verdict(path, sha256)
        verdict = verdicts[sha256]
        if verdict is None and (actual := path.lstat().st_size) != size:
            verdict = f"has {actual} bytes, and the row says {size}"
        if verdict is not None:
            found.append(f"documents[{key!r}]: {path} {verdict}")
    return found


def _verdict(path: Path, sha256: str) -> str | None:
    """Return what is wrong with a blob; None if its bytes are those of its name."""
    try:
        with _open(path) as file:
            actual = _digest(file)
    except FileNotFoundError:
        return "is missing"
    except ContentDamaged as error:
        return str(error).removeprefix(f"{path} ")
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return None if actual == sha256 else f"is damaged: the SHA-256 of its bytes is {actual}"


def _open(path: Path) -> BufferedReader:
    """Open a file for reading, if it is a plain file of ours and no symlink to one.

    Raises:
        FileNotFoundError: there is none.
        OSError: it can't be opened.
        ContentDamaged: it is anything else.
    """
    try:
        # A pipe would keep the opener waiting for who writes to it, but for the flag.
        descriptor = os.open(path, FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ContentDamaged(f"{path} is a symlink; bytes are never read through one") from None
        raise
    status = os.fstat(descriptor)
    is_ours = os.name == "nt" or status.st_uid == os.geteuid()
    if stat.S_ISREG(status.st_mode) and is_ours:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise ContentDamaged(f"{path} {'belongs to another user' if not is_ours else 'is not a plain file'}")


def _digest(file: BufferedReader) -> str:
    """Return the SHA-256 of an open file, which is never in memory whole, and go back to its beginning."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def _identity(status: os.stat_result) -> tuple[int, ...]:
    """Return what differs once a file was replaced or written to."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _name(name: str) -> str:
    """Return a name as the store's `Files` takes it."""
    return f"{FOLDER}/{name}"


def _is_blob_name(name: str) -> bool:
    """Return whether a file here is one of ours; any other is left alone."""
    return len(name) == 64 and all(character in "0123456789abcdef" for character in name)
