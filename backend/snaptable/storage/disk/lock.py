"""The lock that keeps a second process out: held from open to close, gone by itself when the process dies.

The lock is the kernel's (flock, through filelock) on `db.lock`; the text in it only tells people who holds it. The file
is never removed: a lock on a removed file excludes nobody.
"""

import json
import os
import socket
from datetime import UTC, datetime

from snaptable.errors import OpenError, StoreLocked, UnsafeDirectory
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files


class Lock:
    """Hold a store for this process."""

    def __init__(self, files: Files) -> None:
        """Take the lock, or fail at once.

        Raises:
            StoreLocked: somebody has it; the message names the process.
            UnsafeDirectory: `db.lock` is not a plain file of ours.
        """
        self._files = files
        try:
            self._held = files.lock(names.LOCK)
        except BlockingIOError:
            raise StoreLocked(
                f"{files.root} is in use{_holder(files)}; close it there, or open with read_only=True"
            ) from None
        except OSError as error:
            raise OpenError(f"can't lock {files.path(names.LOCK)}: {error}") from error
        try:
            self._note_holder()
            files.inspect(names.LOCK)
            self._inode = files.inode(names.LOCK)
        except BaseException:
            self._held.release()
            raise

    def _note_holder(self) -> None:
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        try:
            self._files.overwrite(names.LOCK, json.dumps(holder).encode() + b"\n")
        except OSError:
            # A full disk: the lock holds all the same, only nobody can read whose it is.
            self._files.overwrite(names.LOCK, b"")

    def problem(self) -> str | None:
        """Return why the lock excludes nobody any more, None while it does; one lstat."""
        try:
            found = self._files.inode(names.LOCK)
            if found == self._inode:
                return None
            self._files.inspect(names.LOCK)
        except (OSError, UnsafeDirectory) as error:
            return str(error)
        path = self._files.path(names.LOCK)
        if found is None:
            return f"{path} is gone: the lock file, or the whole directory, was removed while the store was open"
        return f"{path} is another file now: it was replaced while the store was open, and may be locked by others"

    def release(self) -> None:
        """Let others in."""
        self._held.release()


def _holder(files: Files) -> str:
    try:
        holder = json.loads(files.read(names.LOCK))
        return f" by process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError, UnsafeDirectory):
        return " by another process"
