"""Fixtures of the store's tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.snaptable.storage.support import Store

from snaptable import SnaptableError

Open = Callable[..., Store]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Give a place for a store; nothing is there yet."""
    return tmp_path / "data"


@pytest.fixture
def open_store(directory: Path) -> Iterator[Open]:
    """Give a function that opens a store, on the test's directory unless told another; all are closed at the end."""
    with ExitStack() as stack:

        def close(db: Store) -> None:
            with suppress(SnaptableError):
                db.close()

        def open_store(where: Path = directory, **options: Any) -> Store:
            db = Store(where, **{"fsync": False, **options}).open()
            stack.callback(close, db)
            return db

        yield open_store


@pytest.fixture
def store(open_store: Open) -> Store:
    """Give an open store, empty, in a directory of its own."""
    return open_store()
