"""The seam to the operating system: with `open_file` and `renames`, all of the store that touches files.

A test puts another `Files` in its place, which records every operation and lets any of them fail.

Guarantees: directories are 0700 and files 0600 whatever the umask; nothing is opened through a symlink; no device, FIFO
or file with a second name is ever opened; new files are created exclusively.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from snaptable.errors import OpenError, UnsafeDirectory
from snaptable.storage.disk import renames
from snaptable.storage.disk.open_file import DISK_FULL, File, Identity, SyncFailed, sync
from snaptable.storage.disk.safety import unsafe_directory, unsafe_file

__all__ = ["DISK_FULL", "File", "Files", "HeldLock", "Identity", "SyncFailed", "resolve", "sync"]

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_FLAGS = _NOFOLLOW | _CLOEXEC | _NONBLOCK | _BINARY
ROOM = 1 << 16
"""Bytes of zeros that are written behind a small growing file's end, which makes its next syncs cheaper."""
PREALLOCATE_FROM = 1 << 19
"""Size from which on a new file is preallocated before it is written."""


class HeldLock(Protocol):
    """A lock on a file, until it is released."""

    def release(self) -> object:
        """Unlock the file."""


class Files:
    """One directory on the disk; names are relative to it, with `/` between folders."""

    def __init__(self, root: Path, *, fsync: bool = True) -> None:
        """Take a directory; without `fsync` everything survives the death of the process, but not a power cut."""
        self.root = root
        self.fsync = fsync
        self.room = ROOM if fsync and hasattr(os, "pwrite") else 0
        """Bytes of zeros to write behind a small growing file's end; 0 for none."""
        self.preallocate_from = PREALLOCATE_FROM if fsync and hasattr(os, "posix_fallocate") else sys.maxsize
        """Size in bytes from which on a new file is preallocated."""
        self._admitted: int | None = None
        """A user whose files are read as well as this process's own."""
        self._prefix = os.path.join(root, "")  # noqa: PTH118 - a Path costs more to build than the call it is for

    def path(self, name: str) -> Path:
        """Return the absolute path of a name."""
        return self.root / name if name else self.root

    def admit_owner(self) -> None:
        """Let root read the files of the directory's owner, as it may anyway; only for a store that is not written."""
        status = self._lstat("")
        if status is not None and os.name != "nt" and os.geteuid() == 0:
            self._admitted = status.st_uid

    # ── directories ─────────────────────────────────────────────────────────────────────────────────────────────────

    def make_directory(self, name: str = "") -> bool:
        """Create a directory (0700) with its parents and sync its entry; return whether it was missing.

        Raises:
            FileExistsError, NotADirectoryError: the path, or one of its parents, is a file.
        """
        path = self.path(name)
        if path.is_dir():
            return False
        if not path.parent.is_dir():
            Files(path.parent, fsync=self.fsync).make_directory()
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)
        self._sync_path(path.parent)
        return True

    def exists(self) -> bool:
        """Return whether the directory exists."""
        return self.root.is_dir()

    def list(self, name: str = "") -> list[str]:
        """Return the names in a directory, sorted; empty if it does not exist."""
        try:
            return sorted(os.listdir(self._prefix + name))  # noqa: PTH208 - names are wanted, not paths
        except FileNotFoundError:
            return []

    def sync_directory(self, name: str = "") -> None:
        """Return when the names in a directory are on the disk; at once on a system that can't sync directories."""
        self._sync_path(self._prefix + name)

    def _sync_path(self, path: str | Path) -> None:
        if os.name == "nt" or not self.fsync:
            return  # Windows has no way to sync a directory; a rename there is journalled by the file system
        descriptor = os.open(path, os.O_RDONLY | _CLOEXEC | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def check_directory(self, name: str = "") -> str | None:
        """Check that a name is a directory that no other user can write to.

        Returns:
            A warning if the directory's group can write to it, else None.

        Raises:
            UnsafeDirectory: it is a symlink (the root was resolved before) or a file, belongs to another user, or
                everybody may write to it.
        """
        path = self.path(name)
        status = path.lstat()
        reason = unsafe_directory(path, status)
        if reason is not None:
            raise UnsafeDirectory(reason, path=path)
        if os.name != "nt" and status.st_mode & stat.S_IWGRP:
            return f"the group may write to {path}; close it: chmod 700 {path}"
        return None

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, name: str) -> File:
        """Create a file (0600) for writing.

        Raises:
            FileExistsError: something has the name already.
        """
        descriptor = os.open(self._prefix + name, os.O_CREAT | os.O_EXCL | os.O_RDWR | _FLAGS, 0o600)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)
        return File(descriptor, fsync=self.fsync)

    def append(self, name: str) -> File:
        """Open an existing file of ours to write at its end; raises as `read`."""
        descriptor = self._open(name, os.O_RDWR)
        os.lseek(descriptor, 0, os.SEEK_END)
        return File(descriptor, fsync=self.fsync)

    def read(self, name: str) -> bytes:
        """Return the content of a file of ours.

        Raises:
            FileNotFoundError: there is none.
            UnsafeDirectory: it is a symlink, not a regular file, has a second name, or belongs to another user.
        """
        with os.fdopen(self._open(name, os.O_RDONLY), "rb") as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """Open a file of ours to be read in parts; raises as `read`."""
        return os.fdopen(self._open(name, os.O_RDONLY), "rb")

    def free_bytes(self) -> int | None:
        """Return how many bytes the disk of the directory has room for; None where the system doesn't say."""
        try:
            status = os.statvfs(self.root)
        except (OSError, AttributeError):  # Windows has none
            return None
        return status.f_bavail * status.f_frsize

    def walk(self, folder: str) -> Iterator[str]:
        """Yield the names of all files in a folder and the folders in it, sorted; none if it does not exist.

        Names that begin with a dot are left out: what is being written has such a one.

        Raises:
            UnsafeDirectory: a symlink, a device, or what belongs to another user, stands among them.
        """
        for name in sorted(self.list(folder)):
            path = f"{folder}/{name}"
            status = self._lstat(path)
            if name.startswith(".") or status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                yield from self.walk(path)
            else:
                self.inspect(path)
                yield path

    def _open(self, name: str, flags: int) -> int:
        path = self.path(name)
        self.inspect(name)
        try:
            descriptor = os.open(path, flags | _FLAGS)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UnsafeDirectory(
                    f"{path} is a symlink; the store's own files are never opened through one", path=path
                ) from error
            raise
        return descriptor

    def retain(self, name: str) -> File | None:
        """Open a file that is about to be replaced, so that its blocks are freed when it is closed, not in the rename.

        Returns:
            The file, to be cut once it has no name (see `lease`); None if it can't be opened, or if the system can't
            replace an open file.
        """
        if os.name == "nt":
            return None
        try:
            return File(os.open(self._prefix + name, os.O_RDWR | _FLAGS), fsync=False)
        except OSError:
            return None

    def overwrite(self, name: str, content: bytes) -> None:
        """Replace the content of an existing file of ours in place; a crash may leave half of it; raises as `read`."""
        descriptor = self._open(name, os.O_RDWR)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, content)
        finally:
            os.close(descriptor)

    def replace(self, source: str, target: str) -> None:
        """Rename a file, in one step; a file that has the new name is replaced."""
        os.replace(self._prefix + source, self._prefix + target)  # noqa: PTH105 - one seam, one family of calls

    def rename_new(self, source: str, target: str) -> None:
        """Rename a file, in one step; raises FileExistsError if anything has the new name."""
        renames.rename_new(self._prefix + source, self._prefix + target)

    def exchange(self, first: str, second: str) -> bool:
        """Swap what two names stand for, in one step; return False if the system or its file system has no such step.

        Raises:
            OSError: one of them is missing, or may not be renamed.
        """
        return renames.exchange(self._prefix + first, self._prefix + second)

    def remove(self, name: str) -> None:
        """Remove a file's name."""
        os.unlink(self._prefix + name)  # noqa: PTH108 - one seam, one family of calls

    def lock(self, name: str) -> HeldLock:
        """Lock a file against every other process and Database; the file is created (0600) if it is missing.

        Raises:
            BlockingIOError: it is locked already.
            UnsafeDirectory: as `read`.
        """
        from filelock import FileLock, Timeout  # not needed to import the package, and as much as a fifth of that

        self.inspect(name)
        # Without flock, filelock would fall back to a file that merely exists: not a lock at all after a crash.
        lock = FileLock(self.path(name), mode=0o600, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise BlockingIOError(errno.EAGAIN, "locked already", str(self.path(name))) from error
        except BaseException:
            lock.release(force=True)  # an interruption, behind which it may have been locked
            raise
        return lock

    # ── what a name stands for ──────────────────────────────────────────────────────────────────────────────────────

    def identity(self, name: str) -> Identity | None:
        """Return the identity of whatever has a name, None if nothing has it; one lstat."""
        status = self._lstat(name)
        return None if status is None else Identity.of(status)

    def inode(self, name: str) -> tuple[int, int] | None:
        """Return device and inode of whatever has a name, None if nothing has it; one lstat, before every frame."""
        try:
            status = os.lstat(self._prefix + name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino

    def inspect(self, name: str) -> Identity | None:
        """Return the identity of a file without opening it, None if there is none.

        Raises:
            UnsafeDirectory: it is a symlink, not a regular file, has a second name, or belongs to another user.
        """
        try:
            status = os.lstat(self._prefix + name)
        except FileNotFoundError:
            return None
        reason = unsafe_file(self.path(name), status, self._admitted)
        if reason is not None:
            raise UnsafeDirectory(reason, path=self.path(name))
        return Identity.of(status)

    def exposed(self, name: str) -> str | None:
        """Return a warning if other users may read or write a file, else None."""
        status = self._lstat(name)
        if status is None or os.name == "nt" or not status.st_mode & 0o077:
            return None
        path, mode = self.path(name), stat.S_IMODE(status.st_mode)
        return f"others may read or write {path} (its mode is {mode:04o}); close it: chmod 600 {path}"

    def _lstat(self, name: str) -> os.stat_result | None:
        try:
            return os.lstat(self._prefix + name)
        except (FileNotFoundError, NotADirectoryError):
            return None


def resolve(path: str | os.PathLike[str]) -> Path:
    """Return a directory's path, absolute, with `~` expanded and symlinks resolved, once and for all.

    Raises:
        OpenError: the path is a file's.
        UnsafeDirectory: it can't be a path.
    """
    try:
        resolved = Path(path).expanduser().resolve()
        is_file = resolved.is_file()
    except (ValueError, OSError, RuntimeError) as error:
        raise UnsafeDirectory(f"{str(path)!r} is not a usable path: {error}") from error
    if is_file:
        raise OpenError(f"{resolved} is a file; name a directory, such as {resolved.parent}", path=resolved)
    return resolved
