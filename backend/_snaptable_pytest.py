"""The pytest plugin of snaptable: fixtures whose names begin with `snaptable_`; see `snaptable/testing/README.md`.

It stands beside the package, and imports it only where a fixture is used: pytest loads every plugin that is installed,
and importing the package with it would cost each run, and hide the package from coverage.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from snaptable.testing.fixtures import StoreFactory


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that repeats what was left to chance."""
    group = parser.getgroup("snaptable")
    group.addoption("--snaptable-seed", metavar="N", help="seed of every kill() and power_loss() that names none")


@pytest.fixture
def snaptable_workshop(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[StoreFactory]":
    """Give what makes stores and applications; `snaptable_store` and `snaptable_app` are its two methods."""
    from snaptable.testing.fixtures import StoreFactory, option_seed

    workshop = StoreFactory(tmp_path, request.node, monkeypatch, option_seed(request.config))
    yield workshop
    workshop.close()


@pytest.fixture
def snaptable_store(snaptable_workshop: "StoreFactory") -> Any:
    """Give what opens a store of the test's own for a Database class: `StoreFactory.store`."""
    return snaptable_workshop.store


@pytest.fixture
def snaptable_app(snaptable_workshop: "StoreFactory") -> Any:
    """Give what starts an application in the test's own directory: `StoreFactory.app`."""
    return snaptable_workshop.app


@pytest.fixture(scope="session")
def snaptable_seed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Give what fills a store once, for the tests of a session to have copies of it: `workshop.make_seed`."""
    from snaptable.testing.fixtures import make_seed

    def seed(make: Any, fill: Callable[[Any], object]) -> Any:
        return make_seed(make, fill, tmp_path_factory.mktemp("snaptable") / "data")

    return seed
