"""The sessions of the admin page, kept beside the data to outlive a restart: `admin_sessions.json`, mode 0600.

It holds the digests of cookies, by which no session can be entered. It is in no backup, and who removes it before a
start ends all sessions.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from typing_extensions import TypedDict

from snaptable.admin.access import Admin, Session, Sessions, token_of
from snaptable.admin.kept_file import FORMAT, KeptFile

NAME = "admin_sessions.json"
MOST_BYTES = 4 << 20
NOTED_SECONDS = 300.0
"""How old what the file says of a session's last use may get."""

logger = logging.getLogger("snaptable.admin")


class KeptSession(TypedDict):
    """A session: the digest of its cookie, whose it is, and when it began and was used, in seconds since 1970."""

    digest: str
    name: str
    began: float
    used: float


class Kept(TypedDict):
    """The file's content."""

    format: int
    sessions: list[KeptSession]


_FILE = KeptFile(NAME, Kept, MOST_BYTES)


class FileSessions(Sessions):
    """The sessions of a process, which the next one knows too, if the store has a directory.

    A file that can't be read counts as missing; one that can't be written is logged, and logins still work.
    """

    def __init__(self, directory: Callable[[], Path | None], clock: Callable[[], float] = time.time) -> None:
        """Take where the file is, once the store is open.

        Args:
            directory: gives the store's directory; None for a store without one.
            clock: gives seconds since 1970.
        """
        super().__init__(clock)
        self._directory, self._lock = directory, threading.Lock()
        self._is_read = False
        self._noted = 0.0

    def begin(self, admin: Admin) -> str:
        """Begin a session, and return its cookie; it is kept before that."""
        with self._lock:
            self._read()
            cookie = super().begin(admin)
            self._write()
            return cookie

    def of(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, which is used now; None if it is over."""
        with self._lock:
            self._read()
            session = super().of(cookie)
            if session is not None and cookie is not None:
                session.token = token_of(cookie)  # the file doesn't have it
                if self.clock() - self._noted > NOTED_SECONDS:
                    self._write()
            return session

    def end(self, cookie: str | None) -> None:
        """End a session, if there is one; the file forgets it."""
        with self._lock:
            self._read()
            super().end(cookie)
            self._write()

    def end_all(self, name: str) -> None:
        """End every session of the admin of a name; the file forgets them."""
        with self._lock:
            self._read()
            super().end_all(name)
            self._write()

    def _read(self) -> None:
        """Read the file, once the store has its directory."""
        directory = None if self._is_read else self._directory()
        if directory is None or not directory.is_dir():
            return
        self._is_read = True
        try:
            kept = _FILE.read(directory)
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            logger.warning("The sessions in %s can't be read: all log in again.", NAME)
            return
        for each in kept["sessions"]:
            session = Session(Admin(each["name"]), "", each["began"], each["used"])
            if self._is_good(session, self.clock()):
                self._known.setdefault(each["digest"], session)

    def _write(self) -> None:
        """Replace the file by what is known now."""
        directory = self._directory()
        if directory is None or not directory.is_dir():
            return
        self._noted = self.clock()
        sessions: list[KeptSession] = [
            {"digest": digest, "name": each.admin.name, "began": each.began, "used": each.used}
            for digest, each in self._known.items()
            if self._is_good(each, self._noted)
        ]
        try:
            _FILE.write(directory, {"format": FORMAT, "sessions": sessions})
        except OSError as error:
            logger.warning("Sessions are not kept in %s (%s): a restart will end them.", NAME, error)
