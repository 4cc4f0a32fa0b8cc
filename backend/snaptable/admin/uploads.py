"""Files that were sent to be imported, kept between the look at them and the import: few, and for a while.

A process keeps them in memory; an application of several gives `mount_admin(uploads=…)` what they share.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from snaptable.interchange import ParsedFile

SECONDS = 30 * 60.0
MOST = 5
MOST_BYTES = 128 << 20


@dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        parsed: its tables.
        size: in bytes.
        owner: the name of the admin who sent it; no other admin sees it.
        at: when, in seconds.
    """

    parsed: ParsedFile
    size: int
    owner: str
    at: float


class SentUpload(NamedTuple):
    """A file as it came."""

    name: str
    data: bytes
    form: str | None
    """The format that was asked for; None to find out."""


class UploadStore(Protocol):
    """What keeps files; asked in a thread, beside the event loop."""

    def keep(self, parsed: ParsedFile, sent: SentUpload, owner: str) -> str:
        """Keep a file, and return its token."""

    def of(self, token: str, owner: str) -> Upload | None:
        """Return a file that this admin sent; None if it is gone."""

    def drop(self, token: str) -> None:
        """Forget a file."""


@dataclass
class Uploads:
    """The files of one site by token; the oldest go when there are too many, or too large ones."""

    clock: Callable[[], float] = time.monotonic
    _known: dict[str, Upload] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, parsed: ParsedFile, sent: SentUpload, owner: str) -> str:
        """Keep a file, and return its token."""
        token = secrets.token_urlsafe(12)
        with self._lock:
            now = self.clock()
            self._known = {each: one for each, one in self._known.items() if now - one.at < SECONDS}
            self._known[token] = Upload(parsed, len(sent.data), owner, now)
            while len(self._known) > 1 and (
                len(self._known) > MOST or sum(one.size for one in self._known.values()) > MOST_BYTES
            ):
                del self._known[next(iter(self._known))]
        return token

    def of(self, token: str, owner: str) -> Upload | None:
        """Return a file that this admin sent; None if it is gone."""
        with self._lock:
            upload = self._known.get(token)
            if upload is None or upload.owner != owner or self.clock() - upload.at >= SECONDS:
                return None
            return upload

    def drop(self, token: str) -> None:
        """Forget a file."""
        with self._lock:
            self._known.pop(token, None)
