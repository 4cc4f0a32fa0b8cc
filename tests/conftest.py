"""Profiles of the property tests: quick and repeatable by default, long with SNAPTABLE_HYPOTHESIS=long.

And the beginning and the end of a test run, as the PostgreSQL server sees them that its tests share; and a browser for
the tests of pages, the system's Chromium, which is required where CI=true, as .ci/run sets it.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from tests.snaptable.postgres.shared import SESSION, Session

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

# A run starts hundreds of processes, its workers among them. Where the environment forbids bytecode, as images of
# containers do, each would compile the library, the backend and what they import anew: half of all that it costs.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Tests keep their stores in memory where there is room: on a disk each of their thousands of commits waits some
# milliseconds for it, and for those of the other workers. Tests of the disk itself take the fixture `on_disk`.
MEMORY = Path("/dev/shm")
ROOM = 2 * 2**30
CHOSEN = {"TMPDIR", "PYTEST_DEBUG_TEMPROOT"} & set(os.environ)
if not CHOSEN and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile(
    "long", max_examples=2_000, stateful_step_count=100, deadline=None, suppress_health_check=SLOW, print_blob=True
)
settings.load_profile(os.environ.get("SNAPTABLE_HYPOTHESIS", "quick"))


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run the tests: three a processor, since tests wait for disks, servers and clocks."""
    return 3 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Begin a run; its workers, and test runs inside of it, share its server."""
    if SESSION not in os.environ:
        config.add_cleanup(Session().end)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Let as many workers collect at a time as there are processors: the first ones leave bytecode to the others."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return (yield)
    with FileLock(f"{os.environ[SESSION]}.collecting-{int(worker.removeprefix('gw')) % (os.cpu_count() or 1)}"):
        return (yield)


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """Give a folder on the disk, where `tmp_path` may be in memory; removed afterwards."""
    with TemporaryDirectory(prefix="snaptable-tests-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Give Chromium; skipped where there is none, but never where CI is true.

    It ends with the module: its driver keeps an event loop running in the thread of the tests, where others begin one.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no chromium, and CI=true requires it")
        pytest.skip("there is no chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """Give a page; what it reports as an error, its policy's violations among it, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda message: errors.append(message.text) if "Policy" in message.text else None)
    yield context.new_page()
    context.close()
    assert errors == []
