"""A way to a server on which a COMMIT may be answered by the server's end, as where its log can't be written."""

import select
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from tests.snaptable.postgres.server import SOCKET_NAME, Server

COMMIT = b"\0commit\0"
_SAYS = b"SPANIC\0VPANIC\0C58030\0Mcould not fdatasync file\0\0"
PANIC = b"E" + struct.pack("!i", len(_SAYS) + 4) + _SAYS
"""What PostgreSQL sends last when it can't sync its log; the transaction may be found in it by the next start."""


class Breakdown:
    """The way to one server.

    Attributes:
        url: of the database by this way.
        next_commit: what the next COMMIT comes to that is answered by a breakdown; None if all go their way.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.url = f"postgresql://postgres@/postgres?host={quote(str(folder), safe='')}"
        self.next_commit: str | None = None
        self._server = server.root / SOCKET_NAME
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / SOCKET_NAME))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(str(self._server))
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    if source is client and COMMIT in data and self.next_commit is not None:
                        self._break_down(client, server, data)
                        return
                    (server if source is client else client).sendall(data)

    def _break_down(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        comes_to, self.next_commit = self.next_commit, None
        if comes_to == "committed":
            server.sendall(data)
            server.recv(1 << 16)
        client.sendall(PANIC)


@contextmanager
def breaking_down(server: Server) -> Iterator[Breakdown]:
    """Give a way to a server."""
    with tempfile.TemporaryDirectory(prefix="snaptable-", dir="/tmp") as folder:
        way = Breakdown(server, Path(folder))
        try:
            yield way
        finally:
            way.listener.shutdown(socket.SHUT_RDWR)
            way.listener.close()
