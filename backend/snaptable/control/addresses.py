"""Where the socket of a store is, and whose it may be."""

import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snaptable.storage.disk.names import SOCKET

LONGEST = 100
"""Bytes of a path that every system takes for the address of a socket."""


def is_supported() -> bool:
    """Return whether this system has such sockets."""
    return hasattr(socket, "AF_UNIX")


@contextmanager
def address_in(directory: Path) -> Iterator[str]:
    """Give the address of a directory's socket, however long the path is.

    Raises:
        OSError: the directory can't be opened, or the path is too long here.
    """
    path = str(directory / SOCKET)
    if len(os.fsencode(path)) <= LONGEST:
        yield path
        return
    if not Path("/proc/self/fd").is_dir():
        raise OSError(f"{path} is too long for a socket: a path of at most {LONGEST} bytes is possible here")
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def inode_of(directory: Path) -> tuple[int, int] | None:
    """Return what identifies the file of the socket; None if there is none.

    Raises:
        PermissionError: there is another file in its place, or one of another user.
    """
    path = directory / SOCKET
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(status.st_mode):
        raise PermissionError(f"{path} is no socket; move it away")
    if status.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to user {status.st_uid}")
    return status.st_dev, status.st_ino


def peer_of(connection: socket.socket) -> int | None:
    """Return the user on the other side of a connection; None where the system doesn't tell."""
    if sys.platform != "linux":
        return None  # the file's mode and the directory's let nobody else in
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", data)
    return int(user)


def user_name(number: int | None) -> str:
    """Return how a user is called here."""
    import pwd

    user = os.geteuid() if number is None else number
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
