"""The pytest plugin of snaptable: fixtures whose names begin with `snaptable_`; see `snaptable/testing/README.md`.

It stands beside the package, and imports it only when a fixture is used: pytest loads every plugin that is installed,
and importing the package with it would cost each run, and hide the package from coverage.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from snaptable.testing.fixtures import (
        AppFixture,
        ForkBases,
        ForkFixture,
        StoreFactory,
        StoreFixture,
        TemplateFixture,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that repeats what was chosen at random."""
    group = parser.getgroup("snaptable")
    group.addoption("--snaptable-seed", metavar="N", help="seed of every kill() and power_loss() that is given none")


@pytest.fixture
def snaptable_factory(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[StoreFactory]":
    """Give the stores and applications of the test a directory each; `snaptable_store` and `snaptable_app` share it."""
    from snaptable.testing.fixtures import StoreFactory, option_seed

    factory = StoreFactory(tmp_path, request.node, monkeypatch, option_seed(request.config))
    yield factory
    factory.close()


@pytest.fixture
def snaptable_store(snaptable_factory: "StoreFactory") -> "StoreFixture":
    """Open a store in a directory of the test's own: `snaptable_store(Notes).db.notes`."""
    from snaptable.testing.fixtures import StoreFixture

    return StoreFixture(snaptable_factory)


@pytest.fixture
def snaptable_app(snaptable_factory: "StoreFactory") -> "AppFixture":
    """Start an application in a directory of the test's own: `snaptable_app(create_app).client.get("/")`."""
    from snaptable.testing.fixtures import AppFixture

    return AppFixture(snaptable_factory)


@pytest.fixture(scope="session")
def snaptable_template(tmp_path_factory: pytest.TempPathFactory) -> "TemplateFixture":
    """Fill a store once, for the tests of a session to have copies of it: `snaptable_template(Notes, fill)`."""
    from snaptable.testing.fixtures import TemplateFixture

    return TemplateFixture(lambda: tmp_path_factory.mktemp("snaptable"))


@pytest.fixture(scope="session")
def snaptable_fork_bases(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ForkBases]":
    """Keep the stores open that `snaptable_fork` gives forks of."""
    from snaptable.testing.fixtures import ForkBases

    bases = ForkBases(lambda: tmp_path_factory.mktemp("snaptable"))
    yield bases
    bases.close()


@pytest.fixture
def snaptable_fork(snaptable_fork_bases: "ForkBases") -> "Iterator[ForkFixture]":
    """Give the test a store that was filled once, all for itself, in a millisecond: `snaptable_fork(template)`."""
    from snaptable.testing.fixtures import ForkFixture

    fixture = ForkFixture(snaptable_fork_bases)
    yield fixture
    fixture.close()
