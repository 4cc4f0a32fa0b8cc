"""The side that asks the process which has a store open."""

import json
import socket
from pathlib import Path
from typing import Any

from snaptable.control.addresses import address_in, inode_of, is_supported
from snaptable.control.protocol import MOST_BYTES, VERSION, encode, read_line
from snaptable.errors import SnaptableError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 600.0
"""How long an operation may take: a purge rewrites the journal."""


class NoServer(Exception):
    """No process listens: there is none, or it was killed."""


class Refused(SnaptableError):
    """What a server would not do.

    Attributes:
        name: the name of the error's class.
        conflicts: what is in the way of an undo.
        pid: the server.
    """

    def __init__(self, message: str, *, name: str, conflicts: list[dict[str, object]], pid: int) -> None:
        super().__init__(message)
        self.name, self.conflicts, self.pid = name, conflicts, pid


def ask(directory: Path, operation: str, given: dict[str, object]) -> tuple[dict[str, Any], int]:
    """Have the process that has a store open carry an operation out; return what it did, and its pid.

    Raises:
        NoServer: none listens.
        Refused: it would not.
        OSError: the connection broke, or another user's socket is there.
    """
    line = encode({"snaptable": VERSION, "do": operation, "with": given})
    if len(line) > MOST_BYTES:
        raise Refused(
            f"that is more than a server takes at once ({MOST_BYTES:,} bytes); stop it, and call this again",
            name="TooLarge",
            conflicts=[],
            pid=0,
        )
    with _connected(directory) as connection:
        connection.sendall(line)
        try:
            answer = json.loads(read_line(connection, ANSWER_SECONDS))
            pid = int(answer["pid"])
            if "done" in answer:
                return dict(answer["done"]), pid
            refused = answer["refused"]
            error = Refused(
                str(refused["message"]), name=str(refused["error"]), conflicts=refused.get("conflicts", []), pid=pid
            )
        except (ValueError, KeyError, TypeError) as broken:
            raise OSError(
                "the server ended before it answered; whether it was done, the log of commits tells"
            ) from broken
        raise error


def _connected(directory: Path) -> socket.socket:
    if not is_supported() or inode_of(directory) is None:
        raise NoServer
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_SECONDS)
    try:
        with address_in(directory) as address:
            connection.connect(address)
    except (ConnectionRefusedError, FileNotFoundError):
        connection.close()
        raise NoServer from None
    except BaseException:
        connection.close()
        raise
    return connection
