"""What the system knows of a connection: how much of an answer a client has taken, whether it has sent more."""

import asyncio
import select
import socket
import struct
import sys

_TCP_INFO_BYTES = 136
_ACKNOWLEDGED = struct.Struct("=Q")
_ACKNOWLEDGED_AT = 120
"""`tcpi_bytes_acked` of Linux's `struct tcp_info` (linux/tcp.h, since 4.1): eight bytes of flags, 24 numbers of 32 bits
and two of 64 stand before it."""


def acknowledged_bytes(transport: asyncio.Transport) -> int | None:
    """Return how many bytes the other side has acknowledged; None where the system doesn't tell.

    What the transport still holds doesn't tell: the system's own buffer of some megabytes lies between, and takes
    nothing for minutes while a slow client reads from it.
    """
    if sys.platform != "linux":
        return None
    connection = transport.get_extra_info("socket")
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except (AttributeError, OSError):  # no socket, or one of another family
        return None
    if len(told) < _TCP_INFO_BYTES:
        return None
    count: int = _ACKNOWLEDGED.unpack_from(told, _ACKNOWLEDGED_AT)[0]
    return count


def is_readable(transport: asyncio.Transport) -> bool:
    """Return whether bytes have come, or the end, that the event loop has not read yet."""
    connection = transport.get_extra_info("socket")
    descriptor = -1 if connection is None else connection.fileno()
    if descriptor < 0:  # it is closed
        return False
    if sys.platform == "win32":
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()  # no limit on the number of a descriptor, and none of its own
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
