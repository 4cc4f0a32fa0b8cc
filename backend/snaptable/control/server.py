"""The side that has the store open: a thread that takes one request after the other."""

import logging
import os
import selectors
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from snaptable.control.addresses import address_in, inode_of, is_supported, peer_of, user_name
from snaptable.control.operations import perform
from snaptable.control.protocol import InvalidRequest, decode_request, encode, read_line
from snaptable.control.shapes import conflict_shapes
from snaptable.database.database import Database
from snaptable.errors import SnaptableError, UndoConflict
from snaptable.storage.disk.names import SOCKET

logger = logging.getLogger("snaptable")

REQUEST_SECONDS = 10.0
"""How long a request may take to come."""
ANSWER_SECONDS = 5.0
"""How long an answer may take to be taken."""
BACKLOG = 8


def db_socket(db: Database) -> "ControlSocket":
    """Open the socket by which the command changes a store that this process has open; `close()` or `with` ends it.

    It is there whenever the database is open: closed before the lock is released, opened again when the database is.
    It refers to the database, which so stays open as long. Of a database without a directory, or opened to read only,
    there is none; where it can't be opened, the log says why, and nothing else is different.

    Returns:
        The socket; the one that there is, if it was opened before.

    >>> from snaptable.control import db_socket
    >>> with db_socket(db) as control:
    ...     control.is_open
    False
    """
    known = control_of(db)
    if known is not None:
        return known
    made = ControlSocket(db)
    db._attendants.append(made)
    if db.is_open:
        made.start()
    return made


def control_of(db: Database) -> "ControlSocket | None":
    """Return the socket that `db_socket` opened for a database, None if it didn't."""
    return next((each for each in db._attendants if isinstance(each, ControlSocket)), None)


class ControlSocket:
    """The socket of one database, and the thread that answers; made by `db_socket`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._listener: socket.socket | None = None
        self._wakers: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None
        self._inode: tuple[int, int] | None = None
        self._directory: Path | None = None
        self._asking: socket.socket | None = None
        """A connection whose request has not come yet."""

    @property
    def is_open(self) -> bool:
        """Whether it is listened to."""
        return self._listener is not None

    def __enter__(self) -> "ControlSocket":
        """Return the socket."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it for good, after the request that is being carried out."""
        with suppress(ValueError):
            self._db._attendants.remove(self)
        self.stop()

    # ── with the database ───────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Listen, if there is a directory that this process writes to; called by the database when it is open."""
        directory = self._db.directory
        if directory is None or self._db.read_only or not is_supported() or self.is_open:
            return
        try:
            self._listen(directory)
        except OSError as error:
            self._close_descriptors()
            logger.warning("%s can't be opened, so the command can't write to this store: %s", SOCKET, error)

    def _listen(self, directory: Path) -> None:
        # 1. What a process left that was killed. This one holds the store's lock: it is nobody's.
        if inode_of(directory) is not None:
            (directory / SOCKET).unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # 2. Its mode, before anybody can connect: without `listen` they are refused.
        with address_in(directory) as address:
            self._listener.bind(address)
        self._directory, self._inode = directory, inode_of(directory)
        (directory / SOCKET).chmod(0o600)
        self._listener.listen(BACKLOG)
        self._listener.settimeout(0)
        self._wakers = socket.socketpair()
        self._thread = threading.Thread(target=self._answer_all, name="snaptable control socket", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, and return when nothing is being carried out; called before the lock is released."""
        thread, self._thread = self._thread, None
        self._unlink()
        if self._wakers is not None:
            self._wakers[0].send(b"x")
        asking = self._asking
        if asking is not None:
            with suppress(OSError):
                asking.shutdown(socket.SHUT_RDWR)
        if thread is not None:
            thread.join()
        self._close_descriptors()

    def leave_to_parent(self) -> None:
        """Let this process, a fork, neither listen nor remove what its parent listens to."""
        self._thread = self._inode = None
        self._close_descriptors()

    def _unlink(self) -> None:
        """Remove the file, if it is the one that was made."""
        directory, inode, self._inode = self._directory, self._inode, None
        if directory is not None and inode is not None:
            with suppress(OSError):
                if inode_of(directory) == inode:
                    (directory / SOCKET).unlink()

    def _close_descriptors(self) -> None:
        for each in (self._listener, *(self._wakers or ())):
            if each is not None:
                each.close()
        self._listener = self._wakers = None

    # ── answering ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer_all(self) -> None:
        """Answer one connection after the other, until woken."""
        listener, wakers = self._listener, self._wakers
        assert listener is not None
        assert wakers is not None
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wakers[1], selectors.EVENT_READ)
            while self._thread is not None:
                if any(key.fileobj is wakers[1] for key, _ in selector.select()):
                    return
                with suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        """Answer one request; whatever it holds, only the connection ends."""
        user = peer_of(connection)
        if user is not None and user not in (0, os.geteuid()):
            logger.warning("A process of user %d was refused at %s", user, SOCKET)
            return
        own = {"pid": os.getpid()}
        try:
            operation, given = decode_request(self._line_of(connection))
            answer = encode({**own, "done": perform(self._db, operation, given, actor=user_name(user))})
        except TimeoutError:
            return
        except (SnaptableError, ValueError) as error:
            answer = encode({**own, "refused": _refusal(error)})
        except Exception as error:  # noqa: BLE001 - the thread goes on; what it was may repeat a row
            logger.error("A request at %s failed: %s", SOCKET, type(error).__name__)  # noqa: TRY400
            answer = encode({**own, "refused": {"error": "Failed", "message": f"it failed: {type(error).__name__}"}})
        connection.settimeout(ANSWER_SECONDS)
        connection.sendall(answer)

    def _line_of(self, connection: socket.socket) -> bytes:
        """Return the line that comes; a stop doesn't wait for it."""
        self._asking = connection
        try:
            if self._thread is None:
                raise TimeoutError  # the stop came before it could see this connection
            return read_line(connection, REQUEST_SECONDS)
        finally:
            self._asking = None


def _refusal(error: Exception) -> dict[str, object]:
    name = "InvalidRequest" if isinstance(error, InvalidRequest) else type(error).__name__
    refusal: dict[str, object] = {"error": name, "message": str(error)}
    if isinstance(error, UndoConflict):
        refusal["conflicts"] = conflict_shapes(error.conflicts)
    return refusal
