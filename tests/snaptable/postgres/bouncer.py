"""PgBouncer for tests: in transaction mode, with fewer connections than clients, on a socket of its own.

It is Debian's package `pgbouncer`, which .ci/run installs. It refuses to run as root, as the server does.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from tests.snaptable.postgres.server import unprivileged
from tests.snaptable.support import is_listening

START_SECONDS = 30
PORT = 6432
POOL = 3
"""Connections to the server for each user: fewer than the threads that share them."""
INI = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_port = {own_port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {pool}
server_round_robin = 1
ignore_startup_parameters = options
"""


def program() -> str | None:
    """Return where PgBouncer is; None if there is none."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def running(urls: Sequence[str]) -> Iterator[list[str]]:
    """Give the URLs of the same databases through a PgBouncer."""
    parts = [urlsplit(url) for url in urls]
    given = parse_qs(parts[0].query)
    host = given["host"][0] if "host" in given else parts[0].hostname
    folder = Path(tempfile.mkdtemp(prefix="snaptable-bouncer-", dir="/tmp"))
    users = "".join(f'"{part.username}" "{part.password}"\n' for part in parts)
    (folder / "users").write_text(users)
    (folder / "ini").write_text(
        INI.format(host=host, port=parts[0].port or 5432, own_port=PORT, folder=folder, pool=POOL)
    )
    user = unprivileged()
    drop: dict[str, object] = {}
    if user is not None:
        drop = {"user": user[0], "group": user[1], "extra_groups": []}
        for path in (folder, *folder.iterdir()):
            os.chown(path, *user)
    found = program()
    assert found is not None
    with (folder / "log").open("wb") as log:
        process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            [found, "-q", str(folder / "ini")], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, **drop
        )
    try:
        _wait(process, folder)
        yield [
            f"postgresql://{part.username}:{part.password}@{part.path}?host={quote(str(folder), safe='')}&port={PORT}"
            for part in parts
        ]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not is_listening(folder / f".s.PGSQL.{PORT}"):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < end, "PgBouncer did not start"
        time.sleep(0.005)
