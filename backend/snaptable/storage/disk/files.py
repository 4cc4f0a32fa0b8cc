"""The seam to the operating system: the only module of the store that touches files.

A test puts another `Files` in its place, which records every operation and lets any of them fail.

Guarantees: directories are 0700 and files 0600 whatever the umask; nothing is opened through a symlink; no device, FIFO
or file with a second name is ever opened; new files are created exclusively.
"""

import errno
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, NamedTuple, Protocol

from snaptable.errors import OpenError, UnsafeDirectory
from snaptable.storage.disk import renames
from snaptable.storage.disk.safety import unsafe_directory, unsafe_file

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_FLAGS = _NOFOLLOW | _CLOEXEC | _NONBLOCK | _BINARY
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""The error numbers of a full disk."""
ROOM = 1 << 16
"""Bytes of zeros that are written behind a small growing file's end, which makes its next syncs cheaper."""
PREALLOCATE_FROM = 1 << 19
"""Size from which on a new file is preallocated before it is written."""
MAX_BUFFERS = 512
"""Buffers handed to one writev; the system's limit (IOV_MAX) is 1,024 on Linux and macOS."""


class Identity(NamedTuple):
    """What tells a file, with its present content, from any other; it changes with every write and replacement."""

    device: int
    inode: int
    size: int
    """In bytes."""
    modified: int
    """In nanoseconds."""


class SyncFailed(OSError):
    """A failed sync: what is on the disk is unknown, and another sync would not tell."""

    @classmethod
    def of(cls, error: OSError) -> "SyncFailed":
        """Return the failure that an error of a sync means."""
        return cls(error.errno, error.strerror or str(error))


def sync(step: Callable[..., None], *arguments: str) -> None:
    """Sync a file or a directory.

    Args:
        step: `File.sync` or `Files.sync_directory`, bound.
        arguments: handed to it.

    Raises:
        SyncFailed: with the OSError as its cause.
    """
    try:
        step(*arguments)
    except OSError as error:
        raise SyncFailed.of(error) from error


def _sync_descriptor(descriptor: int) -> None:
    if sys.platform == "darwin":
        # Apple's fsync leaves the data in the drive's cache, possibly reordered; F_FULLFSYNC flushes that cache too.
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


class File:
    """A file that is being written, from its beginning or at its end."""

    def __init__(self, descriptor: int, *, fsync: bool = True) -> None:
        self._descriptor = descriptor
        self._fsync = fsync
        self._written_back = 0

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append all the buffers, in as many calls of the system as that takes."""
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

    def start_writeback(self) -> None:
        """Ask the system to begin writing to the disk what was written here, without waiting for it.

        Only a hint, so that the disk works while the next chunk is made; `sync` is needed all the same.
        """
        if self._fsync and hasattr(os, "posix_fadvise"):
            # The advice means "not needed any more"; Linux answers it by starting the writeback of dirty pages.
            size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            os.posix_fadvise(self._descriptor, self._written_back, size - self._written_back, os.POSIX_FADV_DONTNEED)
            self._written_back = size

    def sync(self) -> None:
        """Return when what was written is on the disk. Never called again on this file after it failed once."""
        if self._fsync:
            _sync_descriptor(self._descriptor)

    def write_synced(self, data: bytes, start: int) -> None:
        """Write bytes over the zeros at `start`, and return when they are on the disk; the write position may move.

        One call of the system, if it offers one: between two calls another thread could take the interpreter's lock.

        Raises:
            OSError: they could not be written; `truncate` restores the file.
            SyncFailed: it is unknown whether they are on the disk.
        """
        if not (self._fsync and hasattr(os, "RWF_DSYNC")):
            self._write_then_sync(data, start)
            return
        try:
            written = os.pwritev(self._descriptor, [data], start, os.RWF_DSYNC)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise SyncFailed.of(error) from error
        if written < len(data):
            self._write_then_sync(data[written:], start + written)

    def _write_then_sync(self, data: bytes, start: int) -> None:
        self.seek(start)
        self.write([data])
        sync(self.sync)

    def write_zeros(self, start: int, count: int) -> None:
        """Write `count` zero bytes from `start`, the file's present end; the write position does not move.

        Once they are synced, what is written over them changes nothing else of the file: its sync is one write of the
        disk. Of space that is only reserved, the file system must note that it is in use (on ext4, a commit of its
        own journal for every 4 KiB).

        Raises:
            OSError: not all of them were written; `truncate` restores the file.
        """
        zeros = memoryview(bytes(count))
        while zeros:
            written = os.pwrite(self._descriptor, zeros, start)
            zeros, start = zeros[written:], start + written

    def preallocate(self, start: int, count: int) -> None:
        """Lengthen the file by `count` zero bytes from `start`, its present end; the write position does not move."""
        os.posix_fallocate(self._descriptor, start, count)

    def seek(self, position: int) -> None:
        """Continue writing at a position."""
        os.lseek(self._descriptor, position, os.SEEK_SET)

    def truncate(self, size: int) -> None:
        """Shorten the file to `size` bytes, and continue writing there."""
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)

    def identity(self) -> Identity:
        """Return what tells this file, with its present content, from any other."""
        return _identity(os.fstat(self._descriptor))

    def lease(self) -> bool | None:
        """Return whether nobody else has this file open, which must have no name any more; None if that can't be told.

        Whoever opens it, which only works by its number in this process, waits until it is closed here (fcntl(2),
        F_SETLEASE), and this returns False from then on. The signal that tells of that is one that is ignored unless
        a program asks for it; the usual one would end the process.
        """
        fcntl = _fcntl_with_leases()
        if fcntl is None or os.fstat(self._descriptor).st_nlink:
            return None
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            return bool(fcntl.fcntl(self._descriptor, fcntl.F_GETLEASE) == fcntl.F_WRLCK)
        except OSError as error:
            return False if error.errno == errno.EAGAIN else None

    def close(self) -> None:
        """Close the file. Errors matter: a full disk may only show now. A second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _fcntl_with_leases() -> ModuleType | None:
    """Return the module `fcntl` of a system that has leases of files, which is Linux."""
    if sys.platform != "linux":
        return None
    import fcntl  # rarely needed

    return fcntl


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
        return None if status is None else _identity(status)

    def inode(self, name: str) -> tuple[int, int] | None:
        """Return device and inode of whatever has a name, None if nothing has it; one lstat."""
        status = self._lstat(name)
        return None if status is None else (status.st_dev, status.st_ino)

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
        return _identity(status)

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


def _identity(status: os.stat_result) -> Identity:
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


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
