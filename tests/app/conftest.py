"""Fixtures of the backend's tests."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient
from tests.app.support import CHEAP_HASHING, Api, Json
from tests.snaptable.postgres import stores

from app.api.application import create_app
from app.settings import Settings

Start = Callable[..., TestClient]
Stored = Callable[[str], list[Json]]
"""Returns the rows of a table as they are kept."""
ON_BOTH = (
    "test_app_admin",
    "test_app_admin_pages",
    "test_app_auth",
    "test_app_documents",
    "test_app_quotas",
    "test_app_sessions",
)
"""Files that the suite runs over PostgreSQL too; SNAPTABLE_APP_ENGINE=postgres runs each file over it.

A test of what a server's database does not have says so by `@pytest.mark.memory_only("reason")`, and runs over the
files alone, whatever is wanted.
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests over the engine that is wanted, or both."""
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", _engines(metafunc), indirect=True, scope="session")


def _engines(metafunc: pytest.Metafunc) -> list[str]:
    wanted = os.environ.get("SNAPTABLE_APP_ENGINE")
    if any(metafunc.definition.iter_markers("memory_only")):
        return ["memory"]
    if wanted:
        return [wanted]
    return ["memory", "postgres"] if metafunc.module.__name__.rpartition(".")[2] in ON_BOTH else ["memory"]


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
def stored(engine: str, database: Json, tmp_path: Path) -> Stored:
    """Give a function that returns the rows of a table as they are kept: in the file, or in the server's table."""

    def stored(table: str) -> list[Json]:
        if engine == "postgres":
            schema = stores.schema_of(database["database_url"])
            records = stores.administer(f'select to_json(each) from {schema}."{table}" each')
            return [cast(Json, row) for (row,) in records]
        return list(json.loads((tmp_path / "data" / "db_snapshot.json").read_text())[table].values())

    return stored


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
