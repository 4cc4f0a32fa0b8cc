"""Fixtures of the backend's tests."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.app.support import CHEAP_HASHING, Api, Json
from tests.snaptable.postgres import stores

from app.api.application import create_app
from app.settings import Settings

Start = Callable[..., TestClient]
ON_BOTH = ("test_app_documents",)
"""Files that the suite runs over PostgreSQL too; SNAPTABLE_APP_ENGINE=postgres runs each file over it."""

OF_A_DIRECTORY = ("test_a_check_verifies_the_bytes", "test_bytes_are_stored_by_hash_beside_the_snapshot")
"""Tests of the rows' own files, which a server's are not."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests over the engine that is wanted, or both."""
    if "engine" in metafunc.fixturenames:
        wanted = os.environ.get("SNAPTABLE_APP_ENGINE")
        both = ["memory", "postgres"] if metafunc.module.__name__.rpartition(".")[2] in ON_BOTH else ["memory"]
        engines = ["memory"] if metafunc.function.__name__ in OF_A_DIRECTORY else [wanted] if wanted else both
        metafunc.parametrize("engine", engines, indirect=True, scope="session")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> str:
    """Give the engine that the application keeps its rows by."""
    return str(request.param)


def _database(engine: str) -> Iterator[Json]:
    """Give the settings that name an empty database of an engine."""
    if engine == "memory":
        yield {}
        return
    url = stores.new_schema()
    yield {"database_url": url}
    stores.drop_schemas([url])


@pytest.fixture
def database(engine: str) -> Iterator[Json]:
    """Give the settings of a test's database."""
    yield from _database(engine)


@pytest.fixture(scope="module")
def shared_database(engine: str) -> Iterator[Json]:
    """Give the settings of a module's database."""
    yield from _database(engine)


@pytest.fixture
def start(tmp_path: Path, database: Json) -> Iterator[Start]:
    """Give a function that starts the application in this process, or restarts it, on the test's directory."""
    with ExitStack() as stack:

        def start(**settings: Any) -> TestClient:
            stack.close()
            options = {"data_dir": str(tmp_path / "data"), **database, **CHEAP_HASHING, **settings}
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
def shared(shared_database: Json) -> Iterator[Api]:
    """Give a user of an application that the tests of a module share; for tests that leave no trace others see."""
    options: dict[str, Any] = {"data_dir": "memory:", **shared_database, **CHEAP_HASHING}
    app = create_app(Settings(_env_file=None, **options))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Api(client).register()


@pytest.fixture(scope="module")
def paper(shared: Api) -> Json:
    """Give a document of three pages of that user."""
    return shared.upload()
