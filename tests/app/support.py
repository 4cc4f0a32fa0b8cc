"""What the backend's tests share: PDFs, logged-in clients, real server processes."""

import base64
import io
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from pypdf import PdfWriter

from app.main import main

CHEAP_HASHING = {"argon2_memory": 64, "argon2_passes": 1, "argon2_lanes": 1}
PASSWORD = "correct horse battery"
PATIENCE = 60.0
"""Seconds that a test waits for what is to happen at once: a busy machine may let a process wait for many."""

Json = dict[str, Any]


@cache
def make_pdf(pages: int = 3, *, password: str | None = None, owner: str | None = None, title: str = "") -> bytes:
    """Return a real PDF of blank pages; a title makes its bytes differ, and an owner's password encrypts it too."""
    writer = PdfWriter()
    for _ in range(pages):
        writer.add_blank_page(width=200, height=300)
    if title:
        writer.add_metadata({"/Title": title})
    if password or owner:
        writer.encrypt(password or "", owner, algorithm="RC4-128")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def handwritten_pdf() -> bytes:
    """Return a PDF of one page written by hand, cross-reference table and all."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] >>",
    ]
    data, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(data)
    return data + b"xref\n0 4\n0000000000 65535 f \n" + table + trailer


def as_data_url(pdf: bytes) -> str:
    """Return the bytes as the older stop-gap often stored them."""
    return "data:application/pdf;base64," + base64.b64encode(pdf).decode()


class Api:
    """The backend as one user sees it, over any httpx client."""

    def __init__(self, http: httpx2.Client, email: str = "ann@example.org") -> None:
        """Speak without logging in yet."""
        self.http = http
        self.email = email
        self.headers: dict[str, str] = {}

    def register(self) -> "Api":
        """Register and log in."""
        response = self.http.post("/api/auth/register", json={"email": self.email, "password": PASSWORD})
        assert response.status_code == 201, response.text
        return self.log_in()

    def log_in(self) -> "Api":
        """Log in and keep the token."""
        response = self.http.post("/api/auth/login", data={"username": self.email, "password": PASSWORD})
        assert response.status_code == 200, response.text
        self.headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
        return self

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request with the token."""
        return self.http.request(method, path, headers=self.headers | options.pop("headers", {}), **options)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        """Send a GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx2.Response:
        """Send a POST."""
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> httpx2.Response:
        """Send a PATCH."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str) -> httpx2.Response:
        """Send a DELETE."""
        return self.request("DELETE", path)

    def upload(self, pdf: bytes | None = None, name: str = "paper.pdf", **form: str) -> Json:
        """Upload a PDF and return its document."""
        files = {"file": (name, make_pdf() if pdf is None else pdf, "application/pdf")}
        return self.created(self.post("/api/documents", files=files, data=form))

    def extract(self, document_id: str, **changes: Any) -> Json:
        """Record an extraction and return it."""
        return self.created(self.post("/api/extractions", json=extraction(document_id, **changes)))

    def annotate(self, document_id: str, **changes: Any) -> Json:
        """Put an annotation on a page and return it."""
        return self.created(self.post("/api/annotations", json=annotation(document_id, **changes)))

    @staticmethod
    def created(response: httpx2.Response) -> Json:
        """Return the body of a 201."""
        assert response.status_code == 201, response.text
        body: Json = response.json()
        return body


def extraction(document_id: str, **changes: Any) -> Json:
    """Return the body of a valid extraction."""
    body = {
        "document_id": document_id,
        "field_name": "total",
        "text": "42.00 €",
        "page": 1,
        "coordinates": {"x": 1.5, "y": 2, "width": 30.25, "height": 4},
        "method": "manual",
    }
    return body | changes


def annotation(document_id: str, **changes: Any) -> Json:
    """Return the body of a valid annotation."""
    body = {
        "document_id": document_id,
        "page_num": 2,
        "type": "freehand",
        "coordinates": {"points": [[1, 2], [3.5, 4]], "closed": False},
        "content": "look here",
        "color": "#ffcc00",
    }
    return body | changes


def check_problem(response: httpx2.Response, status: int) -> Json:
    """Return the body of a problem, after checking that it is one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: Json = response.json()
    assert body["status"] == status
    assert body["title"]
    return body


def pointers(response: httpx2.Response) -> list[str]:
    """Return the pointers of a 422."""
    return [error["pointer"] for error in check_problem(response, 422)["errors"]]


class Process:
    """A real server process on a directory."""

    def __init__(self, directory: Path, *options: str) -> None:
        """Take the store's directory and further options; nothing runs yet."""
        self.directory = directory
        self.options = options
        self.output = ""
        self._process: subprocess.Popen[str] | None = None
        self.base = ""

    def start(self) -> "Process":
        """Start, and wait until it says where it serves."""
        cheap = [f"--{name.replace('_', '-')}={value}" for name, value in CHEAP_HASHING.items()]
        arguments = ["--port=0", f"--data-dir={self.directory}", "--no-access-log", *cheap, *self.options]
        self._process = run_backend(arguments)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if address := re.search(r"API +(https?://\S+)/api", line):
                self.base = address[1]
            if re.search(r"^  Data ", line):
                return self
        raise AssertionError(f"the server did not start:\n{self.output}\n{self.errors()}")

    def client(self, **options: Any) -> httpx2.Client:
        """Return a client for it."""
        return httpx2.Client(**{"base_url": self.base, "timeout": PATIENCE, **options})

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end, and return the exit status."""
        assert self._process is not None
        status = self._process.wait(PATIENCE)
        self.output += self.errors()
        return status

    def stop(self) -> int:
        """Stop it in order."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill it, with no chance to tidy up."""
        self.signal(signal.SIGKILL)
        self.wait()

    def errors(self) -> str:
        """Return what is left of its output, once it has ended."""
        assert self._process is not None
        rest, _ = self._process.communicate(timeout=PATIENCE)
        return rest

    def end(self) -> None:
        """Make sure that nothing is left running."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def run_backend(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start the command; its log and its output come as one stream."""
    return subprocess.Popen(
        [sys.executable, "-m", "app.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def run_in_process(arguments: Sequence[str]) -> tuple[int, str]:
    """Call the command in this process, and return its exit status and what it wrote: for starts that are refused."""
    written = io.StringIO()
    with redirect_stdout(written), redirect_stderr(written):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException:
            written.write(traceback.format_exc())
            status = 1
    return status, written.getvalue()


def run_to_end(arguments: Sequence[str], seconds: float = PATIENCE) -> tuple[int, str]:
    """Run a command that is to end by itself; return its status and output."""
    process = run_backend(arguments)
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
        process.wait()
    return process.returncode, output


@contextmanager
def serving(directory: Path, *options: str) -> Iterator[Process]:
    """Run a server for the length of a block."""
    process = Process(directory, *options).start()
    try:
        yield process
    finally:
        process.end()


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
