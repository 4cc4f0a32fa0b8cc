"""The stores of both engines, for the tests of what every engine owes."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings
from tests.snaptable.contract.stores import ENGINES, EngineName, MemoryStores, PostgresStores, Stores

FEWER = 15
"""By how much fewer examples are tried on PostgreSQL."""
_NONE = SimpleNamespace(params={})


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Give the name of each engine."""
    name: EngineName = request.param
    return name


def _stores_of(engine: EngineName, paths: pytest.TempPathFactory) -> Iterator[Stores]:
    stores = PostgresStores() if engine == "postgres" else MemoryStores(paths.mktemp("stores"))
    yield stores
    stores.remove()


@pytest.fixture
def stores(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Give what makes databases on an engine."""
    yield from _stores_of(engine, tmp_path_factory)


@pytest.fixture(scope="module")
def module_stores(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Give the same to a fixture that the tests of a module share."""
    yield from _stores_of(engine, tmp_path_factory)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Try fewer examples on PostgreSQL, where one takes the time of many."""
    test: Any = item.obj if isinstance(item, pytest.Function) else None
    if not is_hypothesis_test(test) or getattr(item, "callspec", _NONE).params.get("engine") != "postgres":
        return (yield)
    usual: settings = test._hypothesis_internal_use_settings
    test._hypothesis_internal_use_settings = settings(usual, max_examples=max(usual.max_examples // FEWER, 4))
    try:
        return (yield)
    finally:
        test._hypothesis_internal_use_settings = usual
