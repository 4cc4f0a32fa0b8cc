"""A file that is being written: its writes, syncs and cuts, and what each system calls them."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""The error numbers of a full disk."""
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

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        """Return the identity in what the system says of a file."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


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
        return Identity.of(os.fstat(self._descriptor))

    def lease(self) -> bool | None:
        """Return whether this file is open here alone, which must have no name any more; None if that can't be told.

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
