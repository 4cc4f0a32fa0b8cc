"""The files of blobs on the disk: their names, how they are opened with care, and whether their bytes are right."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path

from app.errors import ContentDamaged

FOLDER = "blobs"
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))


def problems(directory: Path, documents: Iterable[tuple[str, str, int]]) -> list[str]:
    """Return which documents' blobs are missing, or hold other bytes than their name says; O(bytes), changes nothing.

    Args:
        directory: the store's.
        documents: key, SHA-256 and size of each.
    """
    verdicts: dict[str, str | None] = {}
    reasons: list[str] = []
    for key, sha256, size in documents:
        path = directory / FOLDER / sha256
        if sha256 not in verdicts:
            verdicts[sha256] = _verdict(path, sha256)
        verdict = verdicts[sha256]
        if verdict is None and (actual := path.lstat().st_size) != size:
            verdict = f"has {actual} bytes, and the row says {size}"
        if verdict is not None:
            reasons.append(f"documents[{key!r}]: {path} {verdict}")
    return reasons


def _verdict(path: Path, sha256: str) -> str | None:
    """Return what is wrong with a blob; None if its bytes are those of its name."""
    try:
        with open_own(path) as file:
            actual = digest_of(file)
    except FileNotFoundError:
        return "is missing"
    except ContentDamaged as error:
        return str(error).removeprefix(f"{path} ")
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return None if actual == sha256 else f"is damaged: the SHA-256 of its bytes is {actual}"


def open_own(path: Path) -> BufferedReader:
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


def digest_of(file: BufferedReader) -> str:
    """Return the SHA-256 of an open file, which is never in memory whole, and go back to its beginning."""
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def identity_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what differs once a file was replaced or written to."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def name_of(name: str) -> str:
    """Return a name as the store's `Files` takes it."""
    return f"{FOLDER}/{name}"
