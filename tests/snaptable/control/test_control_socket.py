"""The control socket: there while the database is open, for its user alone, and nothing comes through but requests."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.cli.library import SCHEMA, Library, User, filled
from tests.snaptable.cli.support import ROOT, command
from tests.snaptable.support import start

from snaptable import SnaptableError, StoreLocked
from snaptable.control import ControlSocket, db_socket, operations, protocol, server
from snaptable.control.addresses import peer_of
from snaptable.control.client import NoServer, Refused, ask

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)

PATIENCE = 30.0
OPERATIONS = ["status", "undo", "rewind", "purge", "advise", "import"]
MEMBERS = ["sequences", "note", "dry_run", "force", "cascade", "at", "table", "key", "keys", "records", "x"]


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when something is true."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def opened(path: Path, **options: Any) -> Library:
    """Return a store that keeps nothing from the disk waiting."""
    return Library(path, banner=False, fsync=False, **options)


def sent(path: Path, data: bytes) -> dict[str, Any]:
    """Send bytes, and return the answer; empty without one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(os.path.relpath(path / "db.socket"))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return json.loads(answer) if answer else {}


def test_it_is_there_while_the_database_is_open(tmp_path: Path) -> None:
    """Ensure it is a socket of mode 0600, opened again with the database, and gone when that is closed."""
    path = tmp_path / "data"
    db = opened(path)
    control = db_socket(db)
    assert not control.is_open
    for _ in range(2):
        with db:
            status = (path / "db.socket").lstat()
            assert stat.S_ISSOCK(status.st_mode)
            assert stat.S_IMODE(status.st_mode) == 0o600
            assert ask(path, "status", {})[0]["writable"] is True
            assert db_socket(db) is control
        assert not (path / "db.socket").exists()
        with pytest.raises(NoServer):
            ask(path, "status", {})
    with db:
        control.close()
        assert not (path / "db.socket").exists()
        db.users.insert(User(id="ann", email="a"))


def test_it_closes_before_the_lock_is_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that whoever can take the lock finds no socket of the process before."""
    path = tmp_path / "data"
    db = opened(path).open()
    db_socket(db)
    seen: list[str] = []
    stop = ControlSocket.stop

    def stopped(control: ControlSocket) -> None:
        stop(control)
        seen.append(f"socket {(path / 'db.socket').exists()}")
        with pytest.raises(StoreLocked):
            opened(path).open()
        seen.append("locked")

    monkeypatch.setattr(ControlSocket, "stop", stopped)
    db.close()
    assert seen == ["socket False", "locked"]


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    """Ensure a dead socket in the directory is no server, and no obstacle to the next one."""
    path = filled(tmp_path / "data")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(os.path.relpath(path / "db.socket"))
    with pytest.raises(NoServer):
        ask(path, "status", {})
    with opened(path) as db, db_socket(db):
        assert ask(path, "status", {})[0]["sequence"] == 7


@pytest.mark.parametrize("kind", ["file", "symlink", "folder"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Ensure nothing else of that name is removed: the database works, the log says why there is no socket."""
    path = filled(tmp_path / "data")
    place = path / "db.socket"
    if kind == "file":
        place.write_text("mine")
    elif kind == "symlink":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
    with opened(path) as db, db_socket(db) as control:
        assert not control.is_open
        db.users.update("ann", name="Annie")
    assert place.lstat()
    assert "db.socket" in caplog.text
    with pytest.raises(PermissionError):
        ask(path, "status", {})


def test_a_long_path(tmp_path: Path) -> None:
    """Ensure a directory whose path is longer than a socket's address may be has one all the same."""
    path = tmp_path / ("long" * 20) / ("longer" * 15) / "data"
    path.parent.mkdir(parents=True)
    with opened(path) as db, db_socket(db) as control:
        assert control.is_open
        assert ask(path, "status", {})[0]["sequence"] == 0


def test_there_is_none_without_a_directory_or_to_read_only(tmp_path: Path) -> None:
    """Ensure neither "memory:" nor a reader listens."""
    with opened(filled(tmp_path / "data"), read_only=True) as db, db_socket(db) as control:
        assert not control.is_open
    with Library("memory:") as db, db_socket(db) as control:
        assert not control.is_open


# ── what comes through ──────────────────────────────────────────────────────────────────────────────────────────────


def line(**changes: object) -> bytes:
    """Return the line of a request, some members otherwise."""
    return protocol.encode({"snaptable": 1, "do": "status", "with": {}} | changes)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"status\n", b"{}\n", b"[1]\n", b"null\n", b"\xff\xfe\n", b"[" * 5000 + b"\n", line()[:-1],
        line() + line(), line(snaptable=2), line(do=1), line(do="eval"), line(do="__init__"), line(**{"with": []}),
        line(**{"with": {"code": "1"}}), line(extra=1), line(do="undo", **{"with": {"sequences": ["1"]}}),
        line(do="undo", **{"with": {"sequences": [True]}}), line(do="undo", **{"with": {"force": 1}}),
        line(do="undo"), line(do="rewind"), line(do="rewind", **{"with": {"at": "soon"}}), line(do="purge"),
        line(do="rewind", **{"with": {"at": 0, "key": "1"}}),
        line(do="purge", **{"with": {"table": "nope", "key": "1"}}), line(do="rewind", **{"with": {"at": 10**30}}),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(control_store: tuple[Path, Library], data: bytes) -> None:
    """Ensure it is answered by a refusal, changes nothing, and the next request is served."""
    path, db = control_store
    before = db.history.sequence
    answer = sent(path, data)
    assert "done" not in answer
    assert answer.get("refused", {}).get("error", "InvalidRequest") in ("InvalidRequest", "ValueError")
    assert db.history.sequence == before
    assert ask(path, "status", {})[0]["sequence"] == before


@given(st.sampled_from(OPERATIONS), st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4))
@settings(max_examples=60, deadline=None)
def test_no_members_break_it(operation: str, given_members: dict[str, Any]) -> None:
    """Ensure an operation either is carried out or refused by name, whatever it is given."""
    with Library("memory:", banner=False) as db:
        db.users.insert(User(id="ann", email="a"))
        with suppress(ValueError, SnaptableError):
            operations.perform(db, operation, given_members, actor="somebody")
        assert db.check() == []


def test_the_bound_of_a_line(control_store: tuple[Path, Library], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a line without end is refused at the bound, not read into memory, and not sent in the first place."""
    path, _ = control_store
    monkeypatch.setattr(protocol, "MOST_BYTES", 1000)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(os.path.relpath(path / "db.socket"))
        connection.sendall(b"x" * 5000)
        with suppress(ConnectionResetError):  # it may have closed before it read all that came
            assert b"at most" in connection.recv(1 << 16)
    assert ask(path, "status", {})[0]["sequence"] == 7
    with pytest.raises(Refused, match="more than a server takes at once"):
        ask(path, "undo", {"note": "x" * (33 << 20)})


def test_another_user_gets_no_answer(control_store: tuple[Path, Library], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the user on the other side is asked of the system, not of the request."""
    path, db = control_store
    monkeypatch.setattr(server, "peer_of", lambda _: 4242)
    before = db.history.sequence
    with suppress(ConnectionResetError, BrokenPipeError):
        assert sent(path, line(do="undo", **{"with": {"sequences": [7]}})) == {}
    assert db.history.sequence == before


@pytest.mark.parametrize("when", ["accepted", "read"])
def test_a_slow_client_does_not_keep_the_database_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Ensure closing does not wait for a request that has begun to come, at whatever moment it is met."""
    monkeypatch.setattr(server, "REQUEST_SECONDS", 3600.0)
    accepted, continued = threading.Event(), threading.Event()

    def peer_of_slowly(connection: socket.socket) -> int | None:
        accepted.set()
        assert continued.wait(PATIENCE)
        return peer_of(connection)

    monkeypatch.setattr(server, "peer_of", peer_of_slowly)
    path = filled(tmp_path / "data")
    db = opened(path).open()
    control = db_socket(db)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(os.path.relpath(path / "db.socket"))
        connection.sendall(b'{"snaptable"')
        assert accepted.wait(PATIENCE)
        if when == "read":
            continued.set()
            wait_until(lambda: control._asking is not None)
        closing = start(db.close)
        wait_until(lambda: control._thread is None)
        if when == "accepted":
            time.sleep(0.1)  # it joins the thread by now, or else this tests less
        continued.set()
        closing.result(PATIENCE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_leaves_it_to_its_parent(control_store: tuple[Path, Library]) -> None:
    """Ensure a forked process neither listens nor removes it at its end."""
    path, _ = control_store
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.snaptable.cli.library import Library\n"
        "from snaptable.control import db_socket\n"
        "from snaptable.control.client import ask\n"
        "db = Library(sys.argv[1], banner=False).open(); db_socket(db)\n"
        "if os.fork() == 0: sys.exit(0)\n"
        "os.wait()\n"
        "print(ask(Path(sys.argv[1]), 'status', {})[0]['sequence'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(path.parent / "forked")],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "0\n"


# ── servers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SERVER = """
import sys
from contextlib import asynccontextmanager
from fastapi import FastAPI
from snaptable.web import serve
from tests.snaptable.cli.library import Library
db = Library(sys.argv[1], banner=False)
@asynccontextmanager
async def lifespan(app):
    with db:
        yield
serve(FastAPI(lifespan=lifespan), port=0, log_level="warning")
"""


def started(path: Path) -> "subprocess.Popen[bytes]":
    """Start a server, and return when its socket answers."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path)], cwd=ROOT)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            assert ask(path, "status", {})[1] == server.pid
        except NoServer:
            time.sleep(0.05)
        else:
            return server
    raise AssertionError("the server didn't start")


def test_a_server_is_written_through_and_survives_its_own_death(tmp_path: Path) -> None:
    """Ensure `serve` listens for databases that its application opens, after a kill too, and closes when it stops."""
    path = filled(tmp_path / "data")
    first = started(path)
    done = command("undo", "7", "--yes", "-s", path)
    assert done.says(f"applied by the server, pid {first.pid}").status == 0
    first.kill()
    first.wait()
    assert (path / "db.socket").exists()
    assert command("log", "-n", "1", "-s", path).says("undo").status == 0
    second = started(path)
    second.terminate()
    assert second.wait(60) == 0
    assert not (path / "db.socket").exists()
    assert command("undo", "8", "--yes", "-s", path, "--schema", SCHEMA).says("Done: commit #9").status == 0
