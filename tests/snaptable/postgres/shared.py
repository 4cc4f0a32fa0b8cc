"""The one server that all workers of a test run share: started by the first test that asks, ended with the run.

`TEST_DATABASE_URL` names another one. A run holds a lock on a file for as long as it lives. The first test that needs a
server starts a process that makes it, writes its URL beside that file, and waits for the lock: it gets it when the run
has ended, in whatever way, and then takes the server down.
"""

import atexit
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock
from tests.snaptable.postgres.server import START_SECONDS, STOP_SECONDS, NoServer, Server

SESSION = "SNAPTABLE_TEST_SESSION"
"""The environment variable that names the run's file to its workers."""
ROOT = Path(__file__).parents[3]
_keepers: "list[subprocess.Popen[bytes]]" = []
"""Processes that this one started and doesn't wait for: they end with the run."""


class Session:
    """A test run, as the server sees it."""

    def __init__(self) -> None:
        """Begin; costs a small file."""
        handle, name = tempfile.mkstemp(prefix="snaptable-tests-")
        self._handle, self.path = handle, Path(name)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.environ[SESSION] = name

    def end(self) -> None:
        """Let the server end, if there is one, and wait for that."""
        os.environ.pop(SESSION, None)
        fcntl.flock(self._handle, fcntl.LOCK_UN)  # also that of a fork, which would share the lock
        os.close(self._handle)
        end = time.monotonic() + STOP_SECONDS
        while _url_file(self.path).exists() and time.monotonic() < end:
            time.sleep(0.01)
        for path in (self.path, *self.path.parent.glob(f"{self.path.name}.*")):
            path.unlink(missing_ok=True)


def _url_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.url")


def _failure_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.failed")


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def server_url() -> str:
    """Return the URL of a server, as a superuser of it; starts the run's own if it is the first to ask.

    Raises:
        NoServer: there is none, and none can be started; says what to do.
    """
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        return given
    if SESSION not in os.environ:
        atexit.register(Session().end)
    path = Path(os.environ[SESSION])
    with FileLock(_lock_file(path)):
        if not _url_file(path).exists() and not _failure_file(path).exists():
            _start(path)
    if _failure_file(path).exists():
        raise NoServer(_failure_file(path).read_text())
    return _url_file(path).read_text()


def _start(path: Path) -> None:
    """Start the process that keeps the server, and wait until it says how that went."""
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.snaptable.postgres.shared", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,  # Ctrl-C ends the run, and by that the server
    )
    _keepers.append(keeper)
    end = time.monotonic() + START_SECONDS * 2
    while not _url_file(path).exists() and not _failure_file(path).exists():
        if time.monotonic() > end or keeper.poll() is not None:
            _tell(_failure_file(path), "the process that starts PostgreSQL for the tests ended, or takes too long")
        time.sleep(0.01)


def keep(path: Path) -> None:
    """Keep a server for as long as a run holds the lock on its file."""
    server: Server | None = None
    try:
        server = Server.make().start()
    except Exception as error:
        if server is not None:
            server.remove()
        _tell(_failure_file(path), str(error))
        return
    try:
        with path.open() as file:
            _tell(_url_file(path), server.url())
            fcntl.flock(file, fcntl.LOCK_EX)  # the run has ended
    finally:
        server.remove()
        with suppress(OSError):
            path.unlink(missing_ok=True)
        _url_file(path).unlink(missing_ok=True)


def _tell(path: Path, text: str) -> None:
    """Write a file that readers see whole or not at all."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text)
    draft.replace(path)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
