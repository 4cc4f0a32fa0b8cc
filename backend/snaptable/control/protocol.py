"""One line of JSON there, one line back, then the connection ends.

    {"snaptable": 1, "do": "undo", "with": {"sequences": [57]}}
    {"pid": 812, "done": {…}}
    {"pid": 812, "refused": {"error": "UndoConflict", "message": "…", "conflicts": […]}}

A line has a bound, and so has the time that it may take to come.
"""

import json
import socket
import time

VERSION = 1
MOST_BYTES = 32 << 20
"""Bytes of a line."""
CHUNK = 1 << 16


class InvalidRequest(ValueError):
    """A request that is none: an unknown operation, a member too many, or a value of another type."""


def encode(message: dict[str, object]) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def read_line(connection: socket.socket, seconds: float) -> bytes:
    """Return the one line that comes, without its end.

    Raises:
        InvalidRequest: it is too long, or the connection ended before it did.
        TimeoutError: it did not come in time.
    """
    deadline, parts, size = time.monotonic() + seconds, [], 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the other side is too slow")
        connection.settimeout(left)
        data = connection.recv(CHUNK)
        if not data:
            raise InvalidRequest("the connection ended within a line")
        parts.append(data)
        size += len(data)
        if size > MOST_BYTES:
            raise InvalidRequest(f"a line has at most {MOST_BYTES:,} bytes")
        if data.endswith(b"\n"):
            line = b"".join(parts)[:-1]
            if b"\n" in line:
                raise InvalidRequest("a connection has one line")
            return line


def decode_request(line: bytes) -> tuple[str, dict[str, object]]:
    """Return the operation that a line asks for, and its members.

    Raises:
        InvalidRequest: it asks for nothing.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest("the line is no JSON") from None
    if not isinstance(message, dict) or set(message) != {"snaptable", "do", "with"}:
        raise InvalidRequest("a request has the members snaptable, do and with")
    if message["snaptable"] != VERSION:
        raise InvalidRequest(
            f"this process speaks version {VERSION} of the protocol; use the same version of snaptable"
        )
    operation, given = message["do"], message["with"]
    if not isinstance(operation, str) or not isinstance(given, dict):
        raise InvalidRequest("do is a text, with an object")
    return operation, given
