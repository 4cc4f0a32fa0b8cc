"""Fixtures of the backend's tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.app.support import CHEAP_HASHING, Api, Json

from app.api.application import create_app
from app.settings import Settings

Start = Callable[..., TestClient]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts the application in this process, or restarts it, on the test's directory."""
    with ExitStack() as stack:

        def start(**settings: Any) -> TestClient:
            stack.close()
            options = {"data_dir": str(tmp_path / "data"), **CHEAP_HASHING, **settings}
            app = create_app(Settings(_env_file=None, **options))
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture
def client(start: Start) -> TestClient:
    """Give a client that is not logged in."""
    return start()


@pytest.fixture
def ann(client: TestClient) -> Api:
    """Give a user."""
    return Api(client).register()


@pytest.fixture
def bob(client: TestClient) -> Api:
    """Give another user."""
    return Api(client, "bob@example.org").register()


@pytest.fixture(scope="module")
def shared() -> Iterator[Api]:
    """Give a user of an application that the tests of a module share; for tests that leave no trace others see."""
    options: dict[str, Any] = {"data_dir": "memory:", **CHEAP_HASHING}
    app = create_app(Settings(_env_file=None, **options))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Api(client).register()


@pytest.fixture(scope="module")
def paper(shared: Api) -> Json:
    """Give a document of three pages of that user."""
    return shared.upload()
