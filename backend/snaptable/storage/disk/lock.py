"""The lock that excludes other writers: held from open to close, released by the kernel when the process dies.

The lock itself is the kernel's (flock, through filelock) on `db.lock`; the text in that file only tells people who
holds it. The file is never removed: a lock on a removed file excludes no other process. Of its own locks a process
knows more: the line of the program that opened the store.
"""

import json
import os
import socket
import sys
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

from snaptable.errors import OpenError, ReadOnlyStore, StoreLocked, UnsafeDirectory
from snaptable.runtime.callers import frame_of_caller
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files, HeldLock

_opened_here: dict[tuple[int, int] | None, tuple[int, str]] = {}
"""By the inode of a locked file: the process that locked it (a fork is another), and the line that opened the store."""


class Lock:
    """The lock of a store, held for this process until it is released."""

    def __init__(self, files: Files, advice: str = "close it there", cleanup: ExitStack | None = None) -> None:
        """Take the lock, or fail at once.

        Args:
            files: the store's directory.
            advice: what to do if another process holds it; the end of the message.
            cleanup: is told how to release the lock, before it is taken: whatever interrupts the caller then.

        Raises:
            StoreLocked: it is held already; the message names the process.
            UnsafeDirectory: `db.lock` is not a plain file of ours.
        """
        self._files = files
        self._held: HeldLock | None = None
        self._inode: tuple[int, int] | None = None
        self._pid = os.getpid()
        if cleanup is not None:
            cleanup.callback(self.release)
        try:
            self._held = files.lock(names.LOCK)
        except BlockingIOError:
            raise StoreLocked(_refusal(files, advice), path=files.path(names.LOCK)) from None
        except OSError as error:
            path = files.path(names.LOCK)
            raise OpenError(f"{path} can't be locked: {error}", path=path) from error
        try:
            self._models = last_models(files)
            self._note_holder()
            files.inspect(names.LOCK)
            self._inode = files.inode(names.LOCK)
            _opened_here[self._inode] = (os.getpid(), _line_of_caller())
        except BaseException:
            self.release()
            raise

    def note_models(self, models: str) -> None:
        """Note the Database class that opened the store, as `module:Class`, for tools; "" keeps the one before."""
        if models and models != self._models:
            self._models = models
            self._note_holder()

    def _note_holder(self) -> None:
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        holder: dict[str, object] = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        if self._models:
            holder["models"] = self._models
        try:
            self._files.overwrite(names.LOCK, json.dumps(holder).encode() + b"\n")
        except OSError:
            # The disk is full: the lock excludes others all the same, only its text can't tell who holds it.
            with suppress(OSError):
                self._files.overwrite(names.LOCK, b"")

    def check_ownership(self) -> None:
        """Check that no other process can be writing here; one lstat.

        Raises:
            ReadOnlyStore: this is a fork, or the lock file is not the one that was locked.
        """
        if os.getpid() != self._pid:
            raise ReadOnlyStore(
                "this process is a fork of the one that opened the store; open it after the fork instead"
            )
        try:
            if self._held is not None and self._files.inode(names.LOCK) == self._inode:
                return  # as `problem` finds, without its call: this is asked before every frame
        except OSError:
            pass  # it says which
        problem = self.problem()
        if problem is not None:
            raise ReadOnlyStore(f"writes are refused until the store is reopened: {problem}")

    def problem(self) -> str | None:
        """Return why the lock excludes others no longer, None while it does; one lstat."""
        if self._held is None:
            return "this store was closed, and its lock released"
        try:
            inode = self._files.inode(names.LOCK)
            if inode == self._inode:
                return None
            self._files.inspect(names.LOCK)
        except (OSError, UnsafeDirectory) as error:
            return str(error)
        path = self._files.path(names.LOCK)
        if inode is None:
            return f"{path} is gone: the lock file, or the whole directory, was removed while the store was open"
        return f"{path} is another file now: it was replaced while the store was open, and may be locked by others"

    def release(self) -> None:
        """Let other processes open the store; does nothing if that was done."""
        held, self._held = self._held, None
        if held is not None:
            _opened_here.pop(self._inode, None)
            held.release()


def _line_of_caller() -> str:
    """Return the file and line of the program that opens a store."""
    caller = frame_of_caller(sys._getframe(1))
    return "an unknown place" if caller is None else f"{caller.f_code.co_filename}:{caller.f_lineno}"


def last_models(files: Files) -> str:
    """Return the Database class that last opened a store, as `module:Class`; "" if that is unknown."""
    try:
        models = json.loads(files.read(names.LOCK)).get("models", "")
    except (OSError, ValueError, AttributeError, UnsafeDirectory):
        return ""
    return models if isinstance(models, str) else ""


def _refusal(files: Files, advice: str) -> str:
    """Return the message for a store that is locked."""
    opener, line = _opened_here.get(files.inode(names.LOCK), (0, ""))
    if opener == os.getpid():
        return (
            f"{files.root} is in use: this process ({opener}) has it open; {line} opened it. Close that Database "
            f"first, or use it. One that nothing refers to closes itself, but a notebook's Out[…] and a traceback "
            f"refer to it"
        )
    try:
        holder = json.loads(files.read(names.LOCK))
        pid, host, since = holder["pid"], holder["host"], holder["since"]
    except (OSError, ValueError, KeyError, TypeError, UnsafeDirectory):
        return f"{files.root} is in use by another process; {advice}"
    return f"{files.root} is in use by process {pid} on {host}, since {since}; {advice}"
