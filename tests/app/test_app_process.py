"""A real server process: started, used, stopped in every way, started again."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.app.support import (
    CHEAP_HASHING,
    PATIENCE,
    Api,
    Process,
    check_problem,
    make_pdf,
    run_in_process,
    run_to_end,
    serving,
)

from app.settings import Settings

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def tmp_path(on_disk: Path) -> Path:
    """Give a folder on the disk, as servers have."""
    return on_disk


def test_the_main_job(tmp_path: Path) -> None:
    """Ensure that everything acknowledged is there after a stop, and after a kill, and can be read in the file."""
    store = tmp_path / "data"
    with serving(store) as server, server.client() as http:
        ann = Api(http).register()
        document = ann.upload(make_pdf(3), metadata='{"source": "scan"}')
        extraction, annotation = ann.extract(document["id"]), ann.annotate(document["id"])
        snapshot = json.loads((store / "db_snapshot.json").read_text())
        assert snapshot["extractions"][extraction["id"]]["text"] == "42.00 €"
        assert server.stop() == 0
    with serving(store) as server, server.client() as http:
        ann.http = http
        assert ann.get(f"/api/annotations/{annotation['id']}").json() == annotation
        changed = ann.patch(f"/api/annotations/{annotation['id']}", json={"content": "seen"}).json()
        server.kill()
    with serving(store) as server, server.client() as http:
        ann.http = http
        assert ann.get(f"/api/annotations/{annotation['id']}").json() == changed
        assert ann.get(f"/api/extractions/{extraction['id']}").json() == extraction
        assert ann.get(f"/api/documents/{document['id']}").json() == document
        assert ann.get(f"/api/documents/{document['id']}/content").content == make_pdf(3)
        assert ann.delete(f"/api/documents/{document['id']}").status_code == 204
        assert server.stop() == 0
    # Whoever undoes the deletion has the bytes as well.
    assert [path.name for path in (store / "blobs").iterdir()] == [document["sha256"]]


def test_the_start_tells_what_there_is_to_know(tmp_path: Path) -> None:
    """Ensure the banner, and where the API, the docs and the data are."""
    with serving(tmp_path / "data") as server:
        assert server.stop() == 0
        assert "IMPORTANT: In-memory database is active" in server.output
        assert f"Docs  {server.base}/docs" in server.output
        assert f"Data  {tmp_path / 'data'}" in server.output
        assert "Traceback" not in server.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_although_a_client_holds_a_stream(tmp_path: Path, number: signal.Signals) -> None:
    """Ensure an end within seconds, with the last snapshot written, while a download stalls and uploads hang."""
    store = tmp_path / "data"
    # Nothing but the stop ends such clients before the test gives up. A machine that is busy may take long to look at
    # so large a PDF, which is not the point.
    options = [f"--{name}-seconds={10 * PATIENCE}" for name in ("reader", "body", "pdf")]
    options += ["--shutdown-seconds=1", "--snapshot=background"]
    with serving(store, *options) as server, server.client() as http:
        ann = Api(http).register()
        large = make_pdf(1) + b"\n%" + b"x" * 20_000_000
        document = ann.upload(large)
        ann.annotate(document["id"], page_num=1)
        token = ann.headers["Authorization"]
        address = ("127.0.0.1", int(server.base.rsplit(":", 1)[1]))
        with socket.create_connection(address) as download, socket.create_connection(address) as upload:
            path = f"/api/documents/{document['id']}/content"
            download.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
            assert download.recv(1000)
            head = f"POST /api/annotations HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
            upload.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{".encode())
            time.sleep(0.2)
            server.signal(number)
            server.signal(number)
            assert server.wait() == 0
    snapshot = json.loads((store / "db_snapshot.json").read_text())
    assert len(snapshot["annotations"]) == 1


def test_a_second_server_on_the_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    """Ensure exit status 1, the holder's name and no traceback; the first one is not disturbed."""
    with serving(tmp_path / "data") as first:
        status, output = run_to_end(["--port=0", f"--data-dir={tmp_path / 'data'}"])
        assert status == 1
        assert "backend: cannot open the store:" in output
        assert "Traceback" not in output
        assert "run one worker" in output
        assert "read_only" not in output
        with first.client() as http:
            assert http.get("/health").status_code == 200


@pytest.mark.parametrize(("option", "logged"), [("--access-log", 1), ("--no-access-log", 0)])
def test_requests_are_logged_unless_told_otherwise(tmp_path: Path, option: str, logged: int) -> None:
    """Ensure a line for each request, without its query, and none with `--no-access-log`; the default is to log."""
    with serving(tmp_path / "data", option) as server, server.client() as http:
        assert http.get("/health?token=not-in-the-log").status_code == 200
        assert server.stop() == 0
    assert server.output.count(": GET /health 200 ") == logged
    assert "not-in-the-log" not in server.output
    assert Settings(_env_file=None).access_log


def test_a_port_that_is_taken_is_told_before_the_store_is_touched(tmp_path: Path) -> None:
    """Ensure exit status 1, and no directory made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, output = run_in_process([f"--port={port}", f"--data-dir={tmp_path / 'data'}"])
    assert status == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in output
    assert "Traceback" not in output
    assert not (tmp_path / "data").exists()


def test_a_damaged_snapshot_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Ensure exit status 1, a reason, and the damaged bytes as they were."""
    store = tmp_path / "data"
    with serving(store) as server, server.client() as http:
        Api(http).register()
        server.stop()
    path = store / "db_snapshot.json"
    damaged = path.read_bytes()[:-40]
    path.write_bytes(damaged)
    status, output = run_in_process(["--port=0", f"--data-dir={store}"])
    assert status == 1
    assert "backend: cannot open the store:" in output
    assert "db_snapshot.json" in output
    assert path.read_bytes() == damaged


def test_help_explains_itself() -> None:
    """Ensure that every setting is an option, with its default and its environment variable's rule."""
    status, output = run_to_end(["--help"])
    assert status == 0
    for option in ("--host", "--port", "--data-dir", "--max-upload", "--session-hours", "--no-fsync", "--snapshot"):
        assert option in output
    assert "BACKEND_DATA_DIR" in output
    assert "127.0.0.1" in output


@pytest.mark.parametrize("option", ["--port=high", "--port=70000", "--snapshot=never", "--colour=red"])
def test_a_wrong_option_is_told(option: str) -> None:
    """Ensure exit status 2 and the option's name."""
    status, output = run_in_process([option])
    assert status == 2
    assert option.split("=")[0] in output
    assert "Traceback" not in output


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    """Ensure that BACKEND_ variables count, and options come before them."""
    code = "from app.main import _parse; _, s = _parse(['--port=5']); print(s.port, s.data_dir, s.fsync)"
    settings = {"BACKEND_PORT": "7", "BACKEND_DATA_DIR": "elsewhere", "BACKEND_FSYNC": "false"}
    output = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings}, cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert output.split() == [b"5", b"elsewhere", b"False"]


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    """Ensure 0600 and 0700 for everything in the store."""
    before = os.umask(0)
    try:
        with serving(tmp_path / "data") as server, server.client() as http:
            Api(http).register().upload()
            server.stop()
    finally:
        os.umask(before)
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Give a server with small limits."""
    folder = tmp_path_factory.mktemp("small")
    with serving(folder / "data", "--max-body=10000", "--max-upload=100000") as server:
        yield server


def test_a_body_over_the_limit_is_answered_while_it_is_sent(small: Process) -> None:
    """Ensure that a client that sends too much reads 413, declared or chunked, and the connection ends."""

    def stream() -> Iterator[bytes]:
        for _ in range(300):
            yield b"x" * 10_000

    with small.client() as http:
        for content in (b"x" * 3_000_000, stream()):
            response = http.post("/api/auth/register", content=content, headers=JSON)
            check_problem(response, 413)
            assert response.headers["connection"] == "close"
        ann = Api(http).register()
        check_problem(
            ann.post("/api/documents", files={"file": ("x.pdf", b"%PDF-" + b"x" * 3_000_000, "application/pdf")}), 413
        )
        check_problem(
            ann.post("/api/documents", files={"file": ("x.pdf", b"%PDF-" + b"x" * 150_000, "application/pdf")}), 413
        )


def test_who_asks_before_sending_too_much_is_told_at_once(small: Process) -> None:
    """Ensure that `Expect: 100-continue` saves the body."""
    address = ("127.0.0.1", int(small.base.rsplit(":", 1)[1]))
    head = "POST /api/auth/register HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_pdf_bomb_does_not_hang_the_server(tmp_path: Path) -> None:
    """Ensure that other requests are answered while a hostile PDF is read, and it is refused in time."""
    kids = b" ".join(b"3 0 R" for _ in range(99_000))
    levels = b"".join(
        b"%d 0 obj\n<< /Type /Pages /Kids [%s] /Count 9 >>\nendobj\n"
        % (number, b" ".join([b"%d 0 R" % (number + 1)] * 300))
        for number in range(3, 40)
    )
    bomb = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids ["
    bomb += kids + b"] /Count 9 >>\nendobj\n" + levels + b"trailer\n<< /Root 1 0 R >>\n"
    with serving(tmp_path / "data", "--pdf-seconds=4") as server, server.client() as http:
        ann = Api(http).register()
        response = ann.post("/api/documents", files={"file": ("x.pdf", bomb, "application/pdf")})
        check_problem(response, 422)
        assert ann.upload()["total_pages"] == 3
        assert server.stop() == 0


def test_cheap_hashing_is_a_setting_of_tests_only() -> None:
    """Ensure that the default cost is OWASP's or more."""
    settings = Settings(_env_file=None)
    assert settings.argon2_memory >= 19 * 1024
    assert settings.argon2_passes >= 2
    assert CHEAP_HASHING["argon2_memory"] < settings.argon2_memory


def test_a_client_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """Ensure that half a request leaves neither a traceback nor a row."""
    with serving(tmp_path / "data") as server, server.client() as http:
        ann = Api(http).register()
        address = ("127.0.0.1", int(server.base.rsplit(":", 1)[1]))
        for path in ("/api/documents", "/api/annotations"):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {ann.headers['Authorization']}\r\n"
            head += "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9999\r\n\r\n--x\r\n"
            with socket.create_connection(address) as connection:
                connection.sendall(head.encode())
                time.sleep(0.1)
        assert ann.get("/health").json()["rows"]["documents"] == 0
        assert server.stop() == 0
        assert "Traceback" not in server.output


def test_docs_work_without_internet(small: Process) -> None:
    """Ensure that /docs loads nothing from elsewhere, and what it loads is served."""
    with small.client() as http:
        for page in ("/docs", "/redoc"):
            html = http.get(page).text
            sources = [part.split('"')[0] for part in html.split('src="')[1:] + html.split('href="')[1:]]
            assert sources
            for source in sources:
                assert source.startswith("/"), source
                assert http.get(source).status_code == 200
            assert "https://" not in html
        assert isinstance(http, httpx2.Client)
