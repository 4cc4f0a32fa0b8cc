"""`backend/deploy`: the image's command as process 1, its health check, its files, and what must never be committed.

Docker is not needed: the entry point and the health check are read from the Dockerfile and run as they stand, as the
first process of a namespace of processes where the kernel gives one.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
import yaml
from tests.app.support import CHEAP_HASHING, PATIENCE, Api, make_pdf, wait_for
from tests.snaptable.postgres import stores

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "backend" / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def words_of(instruction: str) -> list[str]:
    """Return the command of an instruction of the Dockerfile in its JSON form."""
    text = re.search(rf"^{instruction}[^\[]*?(\[.*\])$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)
    assert text is not None, f"no {instruction} in the Dockerfile"
    words: list[str] = json.loads(text[1])
    return words


def in_this_environment(words: list[str]) -> list[str]:
    """Return a command with the program of the same name beside this Python."""
    return [sys.executable if words[0] == "python" else str(Path(sys.executable).parent / words[0]), *words[1:]]


def is_healthy(port: int) -> bool:
    """Return what the image's health check says."""
    command, env = in_this_environment(words_of("HEALTHCHECK")), {**os.environ, "BACKEND_PORT": str(port)}
    return subprocess.run(command, env=env, capture_output=True, timeout=PATIENCE, check=False).returncode == 0


def namespace() -> list[str]:
    """Return the command that runs another as process 1; skips where the kernel refuses."""
    command = ["unshare", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    if shutil.which("unshare") is None:
        pytest.skip("there is no `unshare`, which begins a namespace of processes: Linux has it")
    tried = subprocess.run(
        [*command, "sh", "-c", "echo $$"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if tried.stdout.strip() != "1":
        pytest.skip(f"the kernel gives no namespace of processes: {tried.stderr.strip()}")
    return command


def child_of(parent: int) -> int:
    """Return the process that another has started."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[1]) == parent:
            return int(path.parent.name)
    raise AssertionError("it has started none")


@contextmanager
def as_process_1(directory: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the image's command as the first process of a namespace; give what runs it, and the port that it took."""
    env = {
        **os.environ, "BACKEND_HOST": "127.0.0.1", "BACKEND_PORT": "0", "BACKEND_DATA_DIR": str(directory),
        "BACKEND_SNAPSHOT": "background", **{f"BACKEND_{name.upper()}": value for name, value in settings.items()},
    }  # fmt: skip
    path = directory.parent / "log"
    with path.open("wb") as log:
        runner = subprocess.Popen(
            [*namespace(), *in_this_environment(words_of("ENTRYPOINT"))], env=env, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: runner.poll() is not None or re.search(r"^  Data .*\n", path.read_text(), re.MULTILINE))
        assert runner.poll() is None, path.read_text()
        said = re.search(r"API +http://127\.0\.0\.1:(\d+)/api", path.read_text())
        assert said is not None, path.read_text()
        yield runner, int(said[1])
    finally:
        runner.kill()
        runner.wait()


@pytest.mark.parametrize("workers", [1, 2])
def test_process_1_ends_in_order_at_sigterm(workers: int, tmp_path: Path) -> None:
    """Ensure that it serves, is healthy, and at SIGTERM ends within seconds, with 0 and all written; so do workers."""
    url = stores.new_schema() if workers > 1 else ""
    try:
        cheap = {name: str(value) for name, value in CHEAP_HASHING.items()}
        settings = {"workers": str(workers), "database_url": url, **cheap}
        with as_process_1(tmp_path / "data", **settings) as (runner, port):
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as http:
                ann = Api(http).register()
                ann.annotate(ann.upload(make_pdf())["id"], page_num=1)
            assert is_healthy(port)
            there = [path.relative_to(tmp_path) for path in (tmp_path / "data").rglob("*") if not path.is_dir()]
            assert "blobs" in {path.parts[1] for path in there}
            check_ignored([str(path) for path in there])
            os.kill(child_of(runner.pid), signal.SIGTERM)
            assert runner.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
            assert not is_healthy(port)
        assert "Traceback" not in (tmp_path / "log").read_text()
        if workers == 1:
            snapshot = json.loads((tmp_path / "data" / "db_snapshot.json").read_text())
            assert (len(snapshot["users"]), len(snapshot["annotations"])) == (1, 1)
    finally:
        stores.drop_schemas([url] if url else [])


@pytest.mark.parametrize(("status", "expected"), [(200, True), (503, False), (None, False)])
def test_health_check_tells_a_server_that_refuses_writes(status: int | None, expected: bool) -> None:
    """Ensure that the check passes at 200 alone, and asks the port of the setting."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/health"
            self.send_response(status or 0)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)  # its port is taken from here on, whether it answers or not
    port = server.server_address[1]
    if status is None:
        server.server_close()
        with socket.socket() as closed:  # nobody else listens there meanwhile
            closed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            closed.bind(("127.0.0.1", port))
            assert not is_healthy(port)
        return
    with server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        assert is_healthy(port) is expected
        server.shutdown()
        thread.join()


def check_ignored(paths: list[str]) -> None:
    """Check that git would commit none of some files, whether they are there or not."""
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *paths], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ignored.stderr == ""
    assert set(paths) == set(ignored.stdout.split())


def test_no_file_of_a_store_gets_into_git_or_the_image() -> None:
    """Ensure that what a store may have, damaged and backed up, is ignored, and what git must have is not."""
    names = [
        "db_snapshot.json", "db.lock", "db_journal/00000000000000000001.jsonl", "db_control.sock", "db_schema.json",
        "quarantine/db_snapshot.json.1", "blobs/ab/abcdef", "blobs/abcdef.moving", "backups/2026-01-01T000000Z.snapbak",
        "db_snapshot.json.tmp-1234", "anything.age",
    ]  # fmt: skip
    check_ignored([*(f"data/{name}" for name in names), ".env", "backend/demos/examples/tracker-data/db_snapshot.json"])
    kept = ["data/README.md", "backend/deploy/Dockerfile", "backend/app/main.py"]
    assert subprocess.run(["git", "check-ignore", "--no-index", *kept], cwd=ROOT, check=False).returncode == 1
    context = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    lines = [line for line in context if line and not line.startswith("#")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {name for words in copied for name in words.split()}
    assert {"**/__pycache__", "**/.env", "**/*-data"} <= set(lines)


def test_the_compose_file_holds_together() -> None:
    """Ensure that what it mounts and depends on is there, and that nothing runs with more rights than it needs."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    compose = yaml.safe_load(text)
    services = compose["services"]
    assert set(services) == {"backend", "primary", "standby", "cache"}
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).is_file() if source.startswith("./") else source in compose["volumes"], (
                name,
                source,
            )
        assert set(service.get("depends_on", {})) <= set(services)
        assert ("image" in service) != ("build" in service)
    assert {line.partition(":")[0] for line in re.findall(r"\$\{(\w+[^}]*)\}", text)} == {
        "POSTGRES_PASSWORD", "BACKEND_WORKERS", "BACKEND_CACHE_URL",
    }  # fmt: skip
    for name in ("backend", "cache"):
        service = services[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert services["cache"]["profiles"] == ["cache"]  # only who asks for it has it
    assert [name for name, service in services.items() if "ports" in service] == ["backend"]
    assert all(port.startswith("127.0.0.1:") for port in services["backend"]["ports"])
    build = services["backend"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("linter", "file", "fault", "named"),
    [
        (
            ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"],
            "compose.yaml",
            "    imagine: x\n",
            "imagine",
        ),
        (["hadolint", "--failure-threshold", "info"], "Dockerfile", "RUN cd /tmp && sudo ls\n", "DL3004"),
    ],
)
def test_the_files_of_docker_pass_its_linters(
    linter: list[str], file: str, fault: str, named: str, tmp_path: Path
) -> None:
    """Ensure that they fit the published schema and rules, in which nothing runs them; and that a fault is found."""
    command = in_this_environment(linter)
    sound = subprocess.run([*command, DEPLOY / file], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    text = (DEPLOY / file).read_text(encoding="utf-8")
    (tmp_path / file).write_text(text.replace("services:\n  backend:\n", f"services:\n  backend:\n{fault}"))
    if file == "Dockerfile":
        (tmp_path / file).write_text(text + fault)
    broken = subprocess.run([*command, tmp_path / file], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert broken.returncode != 0
    assert named in broken.stdout + broken.stderr
