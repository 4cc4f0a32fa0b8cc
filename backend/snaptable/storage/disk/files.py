"""The seam to the operating system: the only module of the store that touches files.

A test puts another `Files` in its place, which records every operation and lets any of them fail.

What is promised here: directories are 0700 and files 0600 whatever the umask; nothing is opened through a symlink, and
no device, FIFO, or file with a second name is ever opened; new files are created exclusively.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from snaptable.errors import UnsafeDirectory

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_FLAGS = _NOFOLLOW | _CLOEXEC | _NONBLOCK | _BINARY
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What a full disk is reported as."""
ROOM = 1 << 16
"""Bytes by which a file that grows is made longer ahead, where a sync is the cheaper for it."""
LARGE = 1 << 19
"""Bytes from which on it pays to reserve a new file's room before it is written."""
MAX_BUFFERS = 512
"""Buffers handed to one writev; the system's limit (IOV_MAX) is 1,024 on Linux and macOS."""

Identity = tuple[int, int, int, int]
"""Device, inode, size and modification time in ns: changes when anybody writes or replaces a file."""


class SyncFailed(OSError):
    """Say that a sync failed: what is on the disk is unknown, and another sync would not tell."""

    @classmethod
    def of(cls, error: OSError) -> "SyncFailed":
        """Return the failure that an error of a sync means."""
        return cls(error.errno, error.strerror or str(error))


def sync(step: Callable[..., None], *arguments: str) -> None:
    """Sync a file or a directory.

    Raises:
        SyncFailed: with the OSError as its cause.
    """
    try:
        step(*arguments)
    except OSError as error:
        raise SyncFailed.of(error) from error


def _sync_descriptor(descriptor: int) -> None:
    if sys.platform == "darwin":
        # Apple's fsync leaves the data in the drive's cache, possibly reordered; this one asks the drive as well.
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


class File:
    """Be a file that is being written, from its beginning or at its end."""

    def __init__(self, descriptor: int, *, fsync: bool = True) -> None:
        self._descriptor = descriptor
        self._fsync = fsync
        self._pushed = 0

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append all the buffers, however many calls that takes."""
        if not hasattr(os, "writev"):
            buffers = [b"".join(buffers)]
        for start in range(0, len(buffers), MAX_BUFFERS):
            self._write_group(buffers[start : start + MAX_BUFFERS])

    def _write_group(self, buffers: Sequence[bytes]) -> None:
        expected = sum(map(len, buffers))
        written = os.writev(self._descriptor, buffers) if hasattr(os, "writev") else 0
        if written < expected:
            rest = memoryview(b"".join(buffers))[written:]
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def push(self) -> None:
        """Let the system begin to write to the disk what was written here, and don't wait: the rest is made meanwhile.

        No more than a wish; `sync` is needed all the same.
        """
        if self._fsync and hasattr(os, "posix_fadvise"):
            # The advice is "not needed any more", but beginning to write is what comes of it.
            size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            os.posix_fadvise(self._descriptor, self._pushed, size - self._pushed, os.POSIX_FADV_DONTNEED)
            self._pushed = size

    def sync(self) -> None:
        """Return when what was written is on the disk. Never called again on this file after it failed once."""
        if self._fsync:
            _sync_descriptor(self._descriptor)

    def append_synced(self, data: bytes) -> None:
        """Append bytes to room that was reserved, and return when they are on the disk.

        In one call of the system where it has one: between two, other threads take the interpreter's lock.

        Raises:
            OSError: they could not be written; `truncate` makes the file as before.
            SyncFailed: nobody knows whether they are there.
        """
        if not (self._fsync and hasattr(os, "RWF_DSYNC")):
            self._append_then_sync(data)
            return
        start = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        try:
            written = os.pwritev(self._descriptor, [data], start, os.RWF_DSYNC)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            raise SyncFailed.of(error) from error
        os.lseek(self._descriptor, start + written, os.SEEK_SET)
        if written < len(data):
            self._append_then_sync(data[written:])

    def _append_then_sync(self, data: bytes) -> None:
        self.write([data])
        sync(self.sync)

    def reserve(self, start: int, count: int) -> None:
        """Give the file so many zero bytes from a place on, which is behind its end; where writing goes on stays."""
        os.posix_fallocate(self._descriptor, start, count)

    def truncate(self, size: int) -> None:
        """Cut the file, and continue writing there."""
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)

    def identity(self) -> Identity:
        """Return what tells this file, with this content, from any other."""
        return _identity(os.fstat(self._descriptor))

    def close(self) -> None:
        """Close the file; errors here count, a full disk may only show now. Closing twice does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class HeldLock(Protocol):
    """Be a lock that is held."""

    def release(self) -> object:
        """Let others in."""


class Files:
    """Be one directory on the disk; names are relative to it, `/` between folders."""

    can_hold = os.name != "nt"
    """Whether a file that is open can be renamed and replaced; on Windows it can't."""

    def __init__(self, root: Path, *, fsync: bool = True) -> None:
        """Take a directory; without `fsync` everything survives the death of the process, and nothing a power cut."""
        self.root = root
        self.fsync = fsync
        self.room = ROOM if fsync and hasattr(os, "posix_fallocate") else 0
        """Bytes to reserve ahead of a file's end: a sync that finds the size unchanged has less to write."""
        self.large = LARGE if self.room else sys.maxsize
        """Bytes from which on to reserve a new file's room."""
        self._prefix = os.path.join(root, "")  # noqa: PTH118 - a Path costs more to build than the call it is for

    def path(self, name: str) -> Path:
        """Return the whole path of a name."""
        return self.root / name if name else self.root

    # ── directories ─────────────────────────────────────────────────────────────────────────────────────────────────

    def make_directory(self, name: str = "") -> bool:
        """Create a directory (0700) with its parents and sync its entry; return whether it was missing."""
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
        """Return whether the directory is there."""
        return self.root.is_dir()

    def list(self, name: str = "") -> list[str]:
        """Return the names in a directory, sorted; empty where it doesn't exist."""
        try:
            return sorted(os.listdir(self._prefix + name))  # noqa: PTH208 - names are wanted, not paths
        except FileNotFoundError:
            return []

    def sync_directory(self, name: str = "") -> None:
        """Return when the names in a directory are on the disk; where the system can't do that, at once."""
        self._sync_path(self._prefix + name)

    def _sync_path(self, path: str | Path) -> None:
        if os.name == "nt" or not self.fsync:
            return  # Windows has no way to sync a directory; a rename there is journalled by the file system
        descriptor = os.open(path, os.O_RDONLY | _CLOEXEC | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    # ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, name: str) -> File:
        """Create a file (0600) that must not exist yet, for writing."""
        descriptor = os.open(self._prefix + name, os.O_CREAT | os.O_EXCL | os.O_RDWR | _FLAGS, 0o600)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)
        return File(descriptor, fsync=self.fsync)

    def append(self, name: str) -> File:
        """Open an existing file of ours to write at its end."""
        descriptor = self._open(name, os.O_RDWR)
        os.lseek(descriptor, 0, os.SEEK_END)
        return File(descriptor, fsync=self.fsync)

    def read(self, name: str) -> bytes:
        """Return the content of a file of ours.

        Raises:
            FileNotFoundError: there is none.
            UnsafeDirectory: it is a symlink, no regular file, or has a second name.
        """
        with os.fdopen(self._open(name, os.O_RDONLY), "rb") as file:
            return file.read()

    def _open(self, name: str, flags: int) -> int:
        path = self.path(name)
        self.inspect(name)
        try:
            descriptor = os.open(path, flags | _FLAGS)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UnsafeDirectory(
                    f"{path} is a symlink; the store's own files are never opened through one"
                ) from error
            raise
        return descriptor

    def inspect(self, name: str) -> Identity | None:
        """Return the identity of a file without opening it, None where there is none.

        Raises:
            UnsafeDirectory: it is a symlink, no regular file, has a second name, or belongs to somebody else.
        """
        try:
            found = os.lstat(self._prefix + name)
        except FileNotFoundError:
            return None
        kind = _unsafe_kind(found)
        if kind:
            path = self.path(name)
            raise UnsafeDirectory(f"{path} {kind}; move it away, the store keeps its files as plain files of its own")
        return _identity(found)

    def inode(self, name: str) -> tuple[int, int] | None:
        """Return device and inode of whatever has a name, None where nothing has."""
        try:
            found = os.lstat(self._prefix + name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino

    def exposed(self, name: str) -> str | None:
        """Return a warning where others than the owner may read or write a file, None where they may not."""
        try:
            mode = stat.S_IMODE(os.lstat(self.path(name)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if os.name == "nt" or not mode & 0o077:
            return None
        path = self.path(name)
        return f"others may read or write {path} (its mode is {mode:04o}); close it: chmod 600 {path}"

    def identity(self, name: str) -> Identity | None:
        """Return the identity of whatever has a name, None where nothing has."""
        try:
            return _identity(os.lstat(self._prefix + name))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def overwrite(self, name: str, content: bytes) -> None:
        """Replace the content of an existing file of ours in place; for what may be torn, like the holder's note."""
        descriptor = self._open(name, os.O_RDWR)
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, content)
        finally:
            os.close(descriptor)

    def lock(self, name: str) -> HeldLock:
        """Lock a file, which is created (0600) where it is missing, against every other process and Database.

        Raises:
            BlockingIOError: somebody else has it locked.
        """
        from filelock import FileLock, Timeout  # not needed to import the package, and as much as a fifth of that

        self.inspect(name)
        # Without flock, filelock would fall back to a file that merely exists: no lock at all after a crash.
        lock = FileLock(self.path(name), mode=0o600, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise BlockingIOError(errno.EAGAIN, "locked by somebody else", str(self.path(name))) from error
        return lock

    def replace(self, source: str, target: str) -> None:
        """Give a file another file's name, in one step; that one is gone, or was never touched."""
        os.replace(self._prefix + source, self._prefix + target)  # noqa: PTH105 - one seam, one family of calls

    def remove(self, name: str) -> None:
        """Remove a file's name."""
        os.unlink(self._prefix + name)  # noqa: PTH108 - one seam, one family of calls

    def check_directory(self, name: str = "") -> str | None:
        """Check that a directory is one, and nobody else can write to it; return a warning where only the group can.

        Raises:
            UnsafeDirectory: it is a symlink (the root was resolved), belongs to others, or everybody may write to it.
        """
        path = self.path(name)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            kind = "is a symlink" if stat.S_ISLNK(found.st_mode) else "is no directory"
            raise UnsafeDirectory(f"{path} {kind}; move it away, the store keeps its folders itself")
        if os.name == "nt":
            return None
        if found.st_uid != os.geteuid():
            raise UnsafeDirectory(
                f"{path} belongs to user {found.st_uid}, this process is user {os.geteuid()}; "
                f"change the owner (chown) or take another directory"
            )
        if found.st_mode & stat.S_IWOTH:
            raise UnsafeDirectory(f"everybody may write to {path}; close it: chmod 700 {path}")
        if found.st_mode & stat.S_IWGRP:
            return f"the group may write to {path}; close it: chmod 700 {path}"
        return None


def _identity(found: os.stat_result) -> Identity:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _unsafe_kind(found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return "is a symlink"
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file"
    if found.st_nlink > 1:
        return "has a second name (a hard link)"
    if os.name != "nt" and found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    return None


def resolve(path: str | os.PathLike[str]) -> Path:
    """Return a directory's path, absolute and with symlinks resolved, once and for all.

    Raises:
        UnsafeDirectory: the path can't be one.
    """
    try:
        return Path(path).resolve()
    except (ValueError, OSError, RuntimeError) as error:
        raise UnsafeDirectory(f"{str(path)!r} is no usable path: {error}") from error
