"""HTTPS by the server itself: `--tls-certificate` and `--tls-key`, tried with real processes.

Ensures that requests are answered, that browsers are told to come by HTTPS only, that what is no TLS gets no answer and
keeps nobody waiting, and that files which are wrong end the start with a sentence.
"""

import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.app.support import PATIENCE, Api, Process, make_pdf, run_in_process, serving

YEAR = "max-age=31536000"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a certificate for this machine, signed by itself, and its key."""
    assert shutil.which("openssl"), "these tests make their certificate with the command openssl"
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def server(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Give a server that speaks HTTPS, and gives a client five seconds for its head."""
    options = [f"--tls-certificate={pair[0]}", f"--tls-key={pair[1]}", "--head-seconds=5"]
    with serving(tmp_path_factory.mktemp("served") / "data", *options) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


@pytest.fixture
def http(server: Process, pair: tuple[Path, Path]) -> Iterator[httpx2.Client]:
    """Give a client that trusts the certificate."""
    with server.client(verify=ssl.create_default_context(cafile=str(pair[0]))) as client:
        yield client


def port_of(server: Process) -> int:
    """Return the port."""
    return int(server.base.rpartition(":")[2])


def test_requests_are_answered(server: Process, http: httpx2.Client) -> None:
    """Ensure that all works as over HTTP: accounts, an upload of a megabyte, its bytes."""
    assert server.base.startswith("https://127.0.0.1:")
    ann = Api(http).register()
    pdf = make_pdf(3, title="x" * 1_000_000)
    document = ann.upload(pdf)
    assert ann.get(f"/api/documents/{document['id']}/content").content == pdf


@pytest.mark.parametrize("path", ["/health", "/docs", "/api/documents", "/none", "/openapi.json"])
def test_browsers_are_told_to_stay(http: httpx2.Client, path: str) -> None:
    """Ensure Strict-Transport-Security on every answer, errors included."""
    assert http.get(path).headers["strict-transport-security"] == YEAR


def test_a_client_that_does_not_trust_the_certificate_is_not_answered(server: Process) -> None:
    """Ensure that nothing is sent past a handshake that failed."""
    with pytest.raises(httpx2.ConnectError), server.client() as client:
        client.get("/health")


def test_old_protocols_are_refused(server: Process) -> None:
    """Ensure that TLS 1.1 is not spoken."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=PATIENCE) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(connection)


NO_TLS = {
    "plain HTTP": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "nonsense": b"\x00" * 100,
    "a broken hello": b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff",
    "half a hello": b"\x16\x03\x01\x02\x00\x01",
    "nothing": b"",
}


def test_what_is_no_tls_ends(server: Process, http: httpx2.Client) -> None:
    """Ensure that it gets no answer over HTTP, ends in time, and that others are served meanwhile."""
    connections = {}
    with contextlib.ExitStack() as stack:
        for kind, data in NO_TLS.items():
            # asyncio itself would give a handshake a minute
            connection = socket.create_connection(("127.0.0.1", port_of(server)), timeout=PATIENCE / 2)
            connections[kind] = stack.enter_context(connection)
            connection.sendall(data)
        assert http.get("/health").status_code == 200
        for kind, connection in connections.items():
            received = b""
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(1000):
                    received += piece
            assert b"HTTP" not in received, kind


def test_over_http_browsers_are_not_told(tmp_path: Path) -> None:
    """Ensure that the header is absent where it would have no meaning (RFC 6797, 7.2), and there behind a proxy."""
    with serving(tmp_path / "data", "--trusted-proxies=127.0.0.1") as plain, plain.client() as client:
        assert "strict-transport-security" not in client.get("/health").headers
        secure = client.get("/health", headers={"X-Forwarded-Proto": "https"})
        assert secure.headers["strict-transport-security"] == YEAR


def test_a_pair_that_can_not_be_used_ends_the_start(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    """Ensure a sentence and no traceback for half a pair, a missing file, a wrong one, and a key of another."""
    certificate, key = map(str, pair)
    data = f"--data-dir={tmp_path / 'data'}"
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for options, status, words in [
        ([f"--tls-certificate={certificate}"], 2, "tls"),
        ([f"--tls-key={key}"], 2, "tls"),
        ([f"--tls-certificate={tmp_path / 'none.pem'}", f"--tls-key={key}"], 1, "none.pem"),
        ([f"--tls-certificate={wrong}", f"--tls-key={key}"], 1, "wrong.pem"),
        ([f"--tls-certificate={certificate}", f"--tls-key={wrong}"], 1, "wrong.pem"),
    ]:
        ended, output = run_in_process(["--port=0", data, *options])
        assert (ended, words in output, "Traceback" in output) == (status, True, False), output
