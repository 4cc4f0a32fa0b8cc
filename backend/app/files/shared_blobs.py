"""The folder of blobs where several processes store and remove documents.

Pins in memory are not enough there: whatever removes a blob asks first, under a lock that all processes share, whether
one of them stores it just now, or a row names it. A download needs no pin: an open file stays readable.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Set
from typing import ParamSpec, Protocol, TypeVar

from app.files.blob_files import FOLDER
from app.files.blobs import KEEP_BYTES, Blobs
from snaptable import SnaptableError
from snaptable.storage.disk.files import Files

P = ParamSpec("P")
T = TypeVar("T")

LEFTOVER_SECONDS = 3600.0
"""Age from which on no upload can be writing a temporary file any more."""

logger = logging.getLogger("app.blobs")


class BlobUses(Protocol):
    """The uses of blobs, as all processes know them; each asks a server, and is not for an event loop to call."""

    def pin(self, sha256: str) -> None:
        """Keep a blob from being removed by any process; waits for one that is removing it."""

    def unpin(self, sha256: str) -> None:
        """Take a pin back."""

    def remove(self, sha256: str, unlink: Callable[[], None], *, kept_too: bool) -> bool:
        """Call what removes a blob, unless a process pins it or a row names it; return whether it was called."""

    def keep(self, sizes: Mapping[str, int]) -> None:
        """Take note that history alone may name blobs from now on."""

    def beyond(self, most: int) -> list[str]:
        """Return the blobs that were released first, and are too many bytes beside those released after them."""

    def unnamed(self, names: Collection[str]) -> set[str]:
        """Return the blobs that no row names."""

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the uses of blobs that are not kept for history, but for pins."""


class SharedBlobs(Blobs):
    """The folder of blobs of several processes."""

    def __init__(self, files: Files, uses: BlobUses, keep_bytes: int = KEEP_BYTES) -> None:
        """Make the folder if it is missing.

        Raises:
            UnsafeDirectory: the folder is a symlink, another user's, or everybody may write to it.
        """
        super().__init__(files, lambda sha256: not uses.unnamed([sha256]), keep_bytes)
        self._uses = uses

    async def aside(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a method gives, called in a thread."""
        return await asyncio.to_thread(act, *args, **kwargs)

    @contextlib.contextmanager
    def pinned(self, sha256: str) -> Iterator[None]:  # noqa: ARG002  # needs none
        """Do nothing: a file that is open stays readable, and a row that may stay is seen by whoever removes."""
        yield

    @contextlib.asynccontextmanager
    async def storing(self, sha256: str) -> AsyncIterator[None]:
        """Keep a blob from being removed by any process while the block runs."""
        await asyncio.to_thread(self._uses.pin, sha256)
        try:
            yield
        finally:
            try:
                await asyncio.to_thread(self._uses.unpin, sha256)
            except SnaptableError as error:
                logger.warning("A document's bytes stay pinned for some minutes: %s", error)

    def release(self, sha256: str) -> None:
        """Take note that a row that referred to a blob is deleted; those released first go if they are too many."""
        identity = self.files.identity(self._file(sha256))
        if identity is not None:
            self._uses.keep({sha256: identity.size})
            self._remove_beyond()

    def _remove_beyond(self) -> None:
        for sha256 in self._uses.beyond(self.keep_bytes):
            self._uses.remove(sha256, lambda sha256=sha256: self._unlink(sha256), kept_too=True)  # type: ignore[misc]

    def collect(self, sha256: str) -> None:
        """Remove a blob if nothing names it and no process is storing it; else a sweep finds it."""
        try:
            self._uses.remove(sha256, lambda: self._unlink(sha256), kept_too=False)
        except SnaptableError as error:
            logger.warning("Bytes that nothing names are left until the next sweep: %s", error)

    def _unlink(self, sha256: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.files.remove(self._file(sha256))

    @staticmethod
    def _file(sha256: str) -> str:
        return f"{FOLDER}/{sha256}"

    def sweep(self, *, any_referenced: bool, named: Callable[[Set[str]], Set[str]] = frozenset) -> int:
        """Remove what neither a row nor history names any more, and return how many blobs were removed; see `Blobs`."""
        there = self._blob_names()
        candidates = self._uses.unnamed(there)
        kept = set(named(candidates)) if candidates else set()
        removed = 0
        for name in sorted(candidates - kept):
            if not any_referenced and not kept:
                logger.warning("%s belongs to no document; kept, as there are no documents at all", self.path(name))
            else:
                removed += self._uses.remove(name, lambda name=name: self._unlink(name), kept_too=True)  # type: ignore[misc]
        sizes = {name: self.files.identity(self._file(name)) for name in sorted(kept, key=self._written)}
        self._uses.keep_only(kept)
        self._uses.keep({name: identity.size for name, identity in sizes.items() if identity is not None})
        self._remove_beyond()
        return removed

    def remove_temporary(self) -> None:
        """Remove the files of uploads that were interrupted some time ago; other processes may be writing others."""
        self._remove_temporary(written_before=time.time() - LEFTOVER_SECONDS)
