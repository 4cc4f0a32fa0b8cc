"""A store that is open, and listens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.snaptable.cli.library import Library, filled

from snaptable.control import db_socket


@pytest.fixture
def control_store(tmp_path: Path) -> Iterator[tuple[Path, Library]]:
    """Give the directory, and the database that listens there."""
    path = filled(tmp_path / "data")
    with Library(path, banner=False, fsync=False) as db, db_socket(db):
        yield path, db
