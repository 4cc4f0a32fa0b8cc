"""What the tests of the demos share: clients, and a server process of the command."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

Json = dict[str, Any]


@contextmanager
def client_of(app: FastAPI) -> Iterator[TestClient]:
    """Give a client of an application that is started, by a name that it may be asked by."""
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@contextmanager
def running(*arguments: str | Path, browser: str | None = None) -> Iterator[str]:
    """Run the command on a free port, and give the address of its page; all that it started ends with the block.

    Args:
        arguments: of the command.
        browser: the command line that opens a page, with `%s` for its address; left out: no page is opened.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "demos.main", *map(str, arguments), "--port=0", "--open" if browser else "--no-open"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "BROWSER": browser or ""},
    )  # fmt: skip
    output = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            output += line
            if address := re.search(r"Page +(http://\S+)/", line):
                break
        else:
            raise AssertionError(f"the demo did not start:\n{output}")
        yield address[1]
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0, process.communicate()[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
